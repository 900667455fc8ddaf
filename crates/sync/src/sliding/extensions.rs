//! What a sliding client is told beside rooms: messages to the device, keys, account data, receipts, typing.

use std::collections::{BTreeMap, HashSet};

use storage::rooms::Membership;
use storage::{Position, RoomKey, Snapshot, account_data, receipts, typing};

use super::Look;
use super::lists::{InSight, Relevant};
use super::request::Scope;
use crate::encryption::{DeviceLists, Keys, MESSAGES_MAX, Queue};
use crate::json::write_list;
use crate::{Token, ephemeral, sources};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub to_device: Option<ToDevice>,
    pub e2ee: Option<(DeviceLists, Keys)>,
    pub account_data: Vec<String>,
    /// By room id: finished events.
    pub room_account_data: BTreeMap<String, Vec<String>>,
    /// By room id: a finished event.
    pub receipts: BTreeMap<String, String>,
    pub typing: BTreeMap<String, String>,
    /// Whether messages that the client has are still kept.
    pub acknowledged: bool,
}

/// Messages to the device.
#[derive(Debug)]
pub(crate) struct ToDevice {
    pub next_batch: Token,
    pub events: Vec<String>,
}

impl Told {
    /// Whether a client that knows everything up to `since` learns nothing of it.
    pub(crate) fn is_nothing(&self, since: Position) -> bool {
        self.to_device
            .as_ref()
            .is_none_or(|queue| queue.events.is_empty())
            && self
                .e2ee
                .as_ref()
                .is_none_or(|(lists, keys)| lists.is_empty() && keys.changed <= since)
            && self.account_data.is_empty()
            && self.room_account_data.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
    }
}

impl Look<'_> {
    pub(super) fn extensions(
        &self,
        snap: &mut Snapshot<'_>,
        in_sight: &InSight,
    ) -> Result<Told, storage::Error> {
        let mut told = Told::default();
        self.to_device(snap, &mut told)?;
        if self.request.extensions.e2ee {
            let lists = match self.base.position {
                Position(0) => DeviceLists::default(),
                since => DeviceLists::read(snap, self.client, since)?,
            };
            told.e2ee = Some((lists, Keys::read(snap, self.client.device)?));
        }
        if let Some(scope) = &self.request.extensions.account_data {
            self.account_data(snap, &self.scoped(in_sight, scope), &mut told)?;
        }
        if let Some(scope) = &self.request.extensions.receipts {
            self.receipts(snap, &self.scoped(in_sight, scope), &mut told)?;
        }
        if let Some(scope) = &self.request.extensions.typing {
            self.typing(snap, &self.scoped(in_sight, scope), &mut told)?;
        }
        Ok(told)
    }

    fn scoped<'s>(&self, in_sight: &'s InSight, scope: &Scope) -> Vec<&'s Relevant> {
        let is_scoped = |relevant: &&Relevant| {
            relevant.lists.iter().any(|list| scope.has_list(list))
                || relevant.subscribed && scope.has_subscribed(&relevant.room.room_id)
        };
        let rooms = in_sight.rooms.values().filter(is_scoped);
        rooms
            .filter(|relevant| relevant.room.membership == Membership::Join)
            .collect()
    }

    /// From where a room is told; none: all of it.
    fn told_up_to(&self, relevant: &Relevant) -> Option<Position> {
        let given = self.base.rooms.get(&relevant.room.room)?;
        let told = self.base.told(given);
        (relevant.room.began <= told.0).then_some(told)
    }

    fn to_device(&self, snap: &mut Snapshot<'_>, told: &mut Told) -> Result<(), storage::Error> {
        let Some(asked) = self.request.extensions.to_device else {
            return Ok(());
        };
        let limit = asked.limit.map_or(MESSAGES_MAX, |limit| {
            limit.clamp(1, MESSAGES_MAX as u64) as usize
        });
        let after = asked.since.unwrap_or_default();
        let queue = Queue::read(snap, self.client.device, after, self.head, limit)?;
        told.acknowledged = queue.acknowledged;
        // A token of the future would hide what comes until then.
        let up_to = queue.cut_at.unwrap_or(self.head);
        told.to_device = Some(ToDevice {
            next_batch: Token::whole(up_to),
            events: queue.events,
        });
        Ok(())
    }

    fn account_data(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: &[&Relevant],
        told: &mut Told,
    ) -> Result<(), storage::Error> {
        let user = self.client.user;
        let since = self.base.position.0;
        let changed = match self.base.account_data {
            true => account_data::changed(snap, user, since, self.head.0)?,
            false => account_data::all(snap, user)?,
        };
        let global = changed.iter().filter(|data| data.room.is_none());
        told.account_data.extend(
            global
                .clone()
                .map(|data| sources::account_data_event(self.client, data)),
        );
        if !self.base.account_data && !global.clone().any(|data| data.event_type == "m.push_rules")
        {
            told.account_data
                .push(sources::push_rules_event(self.client, None));
        }
        // Rooms that were not in sight are told all of it again.
        let is_live = |relevant: &Relevant| {
            let given = self.base.rooms.get(&relevant.room.room);
            self.base.account_data && given.is_some_and(|given| given.up_to.is_none())
        };
        let (live, new): (Vec<&Relevant>, Vec<&Relevant>) =
            rooms.iter().partition(|relevant| is_live(relevant));
        let keys = |rooms: &[&Relevant]| {
            rooms
                .iter()
                .map(|relevant| relevant.room.room)
                .collect::<Vec<RoomKey>>()
        };
        let live: HashSet<RoomKey> = keys(&live).into_iter().collect();
        let of_new = account_data::of_rooms(snap, user, &keys(&new))?;
        let of_live = changed
            .iter()
            .filter(|data| data.room.is_some_and(|room| live.contains(&room)));
        for data in of_new.iter().chain(of_live) {
            let room = rooms
                .iter()
                .find(|relevant| Some(relevant.room.room) == data.room);
            let Some(relevant) = room else { continue };
            let events = told
                .room_account_data
                .entry(relevant.room.room_id.clone())
                .or_default();
            events.push(sources::account_data_event(self.client, data));
        }
        Ok(())
    }

    fn receipts(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: &[&Relevant],
        told: &mut Told,
    ) -> Result<(), storage::Error> {
        let user = self.client.user;
        let mut found = Vec::new();
        let (mut live, mut new) = (Vec::new(), Vec::new());
        for relevant in rooms {
            match self.told_up_to(relevant) {
                Some(since) if since == self.base.position => live.push(relevant.room.room),
                Some(since) => {
                    found.extend(receipts::changed(
                        snap,
                        user,
                        &[relevant.room.room],
                        since.0,
                        self.head.0,
                    )?);
                }
                None => new.push(relevant.room.room),
            }
        }
        if !live.is_empty() {
            found.extend(receipts::changed(
                snap,
                user,
                &live,
                self.base.position.0,
                self.head.0,
            )?);
        }
        if !new.is_empty() {
            found.extend(receipts::all_for_rooms(snap, user, &new)?);
        }
        for relevant in rooms {
            let of_room: Vec<_> = found
                .iter()
                .filter(|receipt| receipt.room == relevant.room.room)
                .cloned()
                .collect();
            // The shape has room for one event: of a user's receipts on one event in several threads, the first.
            if let Some(event) = ephemeral::receipts(&of_room, &self.ignored)
                .into_iter()
                .next()
            {
                told.receipts.insert(relevant.room.room_id.clone(), event);
            }
        }
        Ok(())
    }

    fn typing(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: &[&Relevant],
        told: &mut Told,
    ) -> Result<(), storage::Error> {
        let (mut changed, mut live, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for relevant in rooms {
            let room = relevant.room.room;
            match self.told_up_to(relevant) {
                Some(since) if since == self.base.position => live.push(room),
                Some(since) => {
                    changed.extend(typing::changed(snap, &[room], since.0, self.head.0)?)
                }
                None => new.push(room),
            }
        }
        if !live.is_empty() {
            changed.extend(typing::changed(
                snap,
                &live,
                self.base.position.0,
                self.head.0,
            )?);
        }
        let all: Vec<RoomKey> = changed.iter().chain(&new).copied().collect();
        if all.is_empty() {
            return Ok(());
        }
        let mut types = typing::in_rooms(snap, &all, self.now_ms)?;
        for relevant in rooms {
            let room = relevant.room.room;
            // That nobody types is news only where somebody did.
            if let Some(users) = types
                .remove(&room)
                .or_else(|| changed.contains(&room).then(Vec::new))
            {
                told.typing
                    .insert(relevant.room.room_id.clone(), ephemeral::typing(&users));
            }
        }
        Ok(())
    }
}

/// A list of finished JSON values.
pub(crate) fn list(values: &[String]) -> String {
    let mut out = String::new();
    write_list(values, &mut out);
    out
}
