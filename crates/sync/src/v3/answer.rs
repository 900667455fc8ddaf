//! The answer of `/v3/sync` as JSON.

use std::collections::HashMap;

use storage::account_data::AccountData;
use storage::events::EventRow;
use storage::receipts::{self, Receipt};
use storage::rooms::Membership;
use storage::sync_rooms::{StateEntry, UserRoom};
use storage::{EventKey, RoomKey, Snapshot, account_data, typing};

use super::joined::Joined;
use super::left::Left;
use super::{Found, Look};
use crate::encryption::Keys;
use crate::json::Object;
use crate::sources::Style;
use crate::summary::{self, Facts};
use crate::timeline::Timeline;
use crate::unread::{self, Count, Unread};
use crate::{Token, ephemeral, sources};

/// Finished JSON of rooms, by their ids.
#[derive(Default)]
pub(super) struct Rooms {
    join: Vec<(String, String)>,
    invite: Vec<(String, String)>,
    knock: Vec<(String, String)>,
    leave: Vec<(String, String)>,
}

/// An answer that tells of nothing.
pub(super) fn nothing(token: Token, keys: Option<&Keys>) -> String {
    let mut out = String::with_capacity(256);
    let mut answer = Object::new(&mut out);
    answer.text("next_batch", &token.to_string());
    if let Some(keys) = keys {
        keys.write(&mut answer);
    }
    answer.end();
    out
}

impl Found {
    pub(super) fn into_json(self, look: &Look<'_>) -> String {
        let token = Token {
            position: look.head,
            to_device: self.queue.cut_at,
        };
        let mut out = String::with_capacity(4096);
        let mut answer = Object::new(&mut out);
        answer.text("next_batch", &token.to_string());
        if !self.account_data.is_empty() {
            answer.events("account_data", &self.account_data);
        }
        if !self.presence.is_empty() {
            answer.events("presence", &self.presence);
        }
        if !self.rooms.is_empty() {
            self.rooms.write(&mut answer);
        }
        if !self.queue.events.is_empty() {
            answer.events("to_device", &self.queue.events);
        }
        if !self.device_lists.is_empty() {
            let mut lists = answer.object("device_lists");
            self.device_lists.write(&mut lists);
            lists.end();
        }
        self.keys.write(&mut answer);
        answer.end();
        out
    }
}

/// The finished events of a room.
struct Events {
    timeline: Vec<String>,
    state: Vec<String>,
}

/// What is told of joined rooms beside their events.
struct Extras {
    unread: HashMap<RoomKey, Unread>,
    receipts: HashMap<RoomKey, Vec<Receipt>>,
    typing: HashMap<RoomKey, Vec<String>>,
    account_data: HashMap<RoomKey, Vec<String>>,
}

impl Rooms {
    pub(super) fn is_empty(&self) -> bool {
        self.join.is_empty()
            && self.invite.is_empty()
            && self.knock.is_empty()
            && self.leave.is_empty()
    }

    fn write(&self, answer: &mut Object<'_>) {
        let mut rooms = answer.object("rooms");
        for (key, list) in [
            ("join", &self.join),
            ("invite", &self.invite),
            ("knock", &self.knock),
            ("leave", &self.leave),
        ] {
            if list.is_empty() {
                continue;
            }
            let mut by_id = rooms.object(key);
            for (room_id, json) in list {
                by_id.raw(room_id, json);
            }
            by_id.end();
        }
        rooms.end();
    }

    /// Reads and writes these rooms.
    pub(super) fn read(
        look: &Look<'_>,
        snap: &mut Snapshot<'_>,
        rooms: Vec<UserRoom>,
        personal: &[AccountData],
    ) -> Result<Self, storage::Error> {
        let mut read = Self::default();
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        for room in rooms {
            let is_news =
                look.is_initial() || look.request.full_state || room.position > look.since.0;
            match room.membership {
                Membership::Join => joined.push(room),
                Membership::Invite if is_news && !look.ignored.contains(&room.sender) => {
                    read.invite.push(stripped(room, "invite_state"));
                }
                Membership::Knock if is_news => read.knock.push(stripped(room, "knock_state")),
                Membership::Leave | Membership::Ban => left.push(room),
                Membership::Invite | Membership::Knock => {}
            }
        }
        let joined = look.joined(snap, joined)?;
        let extras = look.extras(snap, &joined, personal)?;
        let events = look.events(
            snap,
            joined.iter().map(|room| (&room.timeline, &*room.state)),
        )?;
        for (room, events) in joined.iter().zip(events) {
            if let Some(json) = look.write_joined(room, &events, &extras) {
                read.join.push((room.room.room_id.clone(), json));
            }
        }
        let wanted = |room: &UserRoom| match look.is_initial() {
            true => look.request.filter.room.include_leave,
            false => room.began > look.since.0,
        };
        let left: Vec<Left> = left
            .into_iter()
            .filter(wanted)
            .map(|room| look.left(snap, room))
            .collect::<Result<_, _>>()?;
        let events = look.events(snap, left.iter().map(|room| (&room.timeline, &*room.state)))?;
        for (left, events) in left.into_iter().zip(events) {
            let json = look.write_left(&left, &events);
            read.leave.push((left.room.room_id, json));
        }
        Ok(read)
    }
}

/// An invite or knock: the state that came with it.
fn stripped(room: UserRoom, key: &str) -> (String, String) {
    let events = room.stripped.unwrap_or_default();
    let events = String::from_utf8(events)
        .ok()
        .filter(|events| !events.is_empty());
    let json = format!(
        "{{\"{key}\":{{\"events\":{}}}}}",
        events.as_deref().unwrap_or("[]")
    );
    (room.room_id, json)
}

impl Look<'_> {
    fn extras(
        &self,
        snap: &mut Snapshot<'_>,
        joined: &[Joined],
        personal: &[AccountData],
    ) -> Result<Extras, storage::Error> {
        let user = self.client.user;
        let rooms: Vec<&UserRoom> = joined.iter().map(|room| &room.room).collect();
        let (known, new): (Vec<&Joined>, Vec<&Joined>) =
            joined.iter().partition(|room| room.from.is_some());
        let keys = |rooms: &[&Joined]| {
            rooms
                .iter()
                .map(|joined| joined.room.room)
                .collect::<Vec<_>>()
        };
        let (known, new) = (keys(&known), keys(&new));

        let mut receipts_of: HashMap<RoomKey, Vec<Receipt>> = HashMap::new();
        let mut given = receipts::changed(snap, user, &known, self.since.0, self.head.0)?;
        given.extend(receipts::all_for_rooms(snap, user, &new)?);
        for receipt in given {
            receipts_of.entry(receipt.room).or_default().push(receipt);
        }

        let mut typing_of = typing::in_rooms(snap, &new, self.now_ms)?;
        let changed = typing::changed(snap, &known, self.since.0, self.head.0)?;
        let mut types = typing::in_rooms(snap, &changed, self.now_ms)?;
        for room in changed {
            typing_of.insert(room, types.remove(&room).unwrap_or_default());
        }

        let mut account_data: HashMap<RoomKey, Vec<String>> = HashMap::new();
        let filter = &self.request.filter.room.account_data;
        // Who is new in a room is told all of it; on a first sync it has been read already.
        let all = match self.is_initial() {
            true => Vec::new(),
            false => account_data::of_rooms(snap, user, &new)?,
        };
        let changed = personal
            .iter()
            .filter(|data| self.is_initial() || data.room.is_some_and(|room| !new.contains(&room)));
        for data in all.iter().chain(changed) {
            let Some(room) = data
                .room
                .filter(|_| filter.event.allows(&data.event_type, &self.client.user_id))
            else {
                continue;
            };
            account_data
                .entry(room)
                .or_default()
                .push(sources::account_data_event(self.client, data));
        }

        Ok(Extras {
            unread: unread::of_rooms(snap, self.client, &rooms)?,
            receipts: receipts_of,
            typing: typing_of,
            account_data,
        })
    }

    /// The finished events of rooms, in their order. All are read and written at once.
    fn events<'r>(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: impl Iterator<Item = (&'r Timeline, &'r [StateEntry])>,
    ) -> Result<Vec<Events>, storage::Error> {
        let filter = &self.request.filter;
        let style = Style {
            now_ms: self.now_ms,
            format: filter.event_format,
            fields: filter.event_fields.as_ref(),
        };
        let (mut counts, mut timeline, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (events, state) in rooms {
            let state: Vec<EventKey> = state.iter().filter_map(|entry| entry.event).collect();
            counts.push((events.events.len(), state.len()));
            timeline.extend(events.events.iter().cloned());
            keys.extend(state);
        }
        let mut timeline =
            sources::timeline_events(snap, self.client, timeline, &self.ignored, style)?
                .into_iter();
        let mut state = self.wanted_state(snap, &keys, style)?.into_iter();
        Ok(counts
            .into_iter()
            .map(|(events, entries)| Events {
                timeline: timeline.by_ref().take(events).collect(),
                state: state.by_ref().take(entries).flatten().collect(),
            })
            .collect())
    }

    /// State events, in the order of their keys; none in place of what the filter does not want.
    fn wanted_state(
        &self,
        snap: &mut Snapshot<'_>,
        keys: &[EventKey],
        style: Style<'_>,
    ) -> Result<Vec<Option<String>>, storage::Error> {
        let filter = &self.request.filter.room.state;
        let mut rows = sources::events_by_key(snap, keys)?;
        let senders = match filter.allows_all() {
            true => HashMap::new(),
            false => sources::ids_by_key(snap, rows.values().map(|row| row.sender).collect())?,
        };
        let rows: Vec<Option<EventRow>> = keys
            .iter()
            .map(|key| {
                rows.remove(key).filter(|row| {
                    let sender = senders.get(&row.sender).map_or("", String::as_str);
                    filter.allows_all() || filter.allows(&row.event_type, sender, &row.body)
                })
            })
            .collect();
        let shown: Vec<bool> = rows.iter().map(Option::is_some).collect();
        let rows = rows.into_iter().flatten().collect();
        let mut events = sources::state_events(snap, self.client, rows, style)?.into_iter();
        Ok(shown
            .into_iter()
            .map(|shown| if shown { events.next() } else { None })
            .collect())
    }

    /// None where there is nothing to tell.
    fn write_joined(&self, joined: &Joined, events: &Events, extras: &Extras) -> Option<String> {
        let room = &joined.room;
        let Events { timeline, state } = events;
        let ephemeral = self.ephemeral(room, extras);
        let none = Vec::new();
        let account_data = match self
            .request
            .filter
            .room
            .account_data
            .allows_room(&room.room_id)
        {
            true => extras.account_data.get(&room.room).unwrap_or(&none),
            false => &none,
        };
        // Only the user's own receipts change its counts and nothing else.
        let read = extras.receipts.get(&room.room).is_some_and(|receipts| {
            receipts
                .iter()
                .any(|receipt| receipt.user == self.client.user)
        });
        let is_nothing = joined.from.is_some()
            && timeline.is_empty()
            && !joined.timeline.limited
            && state.is_empty()
            && joined.summary.is_none()
            && ephemeral.is_empty()
            && account_data.is_empty()
            && !read;
        if is_nothing {
            return None;
        }
        let mut out = String::with_capacity(1024);
        let mut json = Object::new(&mut out);
        if let Some(heroes) = &joined.summary {
            summary::write(room, &Facts::of(&room.summary), heroes, json.key("summary"));
        }
        self.write_timeline(&joined.timeline, timeline, &mut json);
        for key in self.request.state_names() {
            json.events(key, state);
        }
        if !ephemeral.is_empty() {
            json.events("ephemeral", &ephemeral);
        }
        if !account_data.is_empty() {
            json.events("account_data", account_data);
        }
        if let Some(unread) = extras.unread.get(&room.room) {
            self.write_unread(unread, &mut json);
        }
        json.end();
        Some(out)
    }

    fn write_left(&self, left: &Left, events: &Events) -> String {
        let mut out = String::with_capacity(1024);
        let mut json = Object::new(&mut out);
        self.write_timeline(&left.timeline, &events.timeline, &mut json);
        for key in self.request.state_names() {
            json.events(key, &events.state);
        }
        json.end();
        out
    }

    fn ephemeral(&self, room: &UserRoom, extras: &Extras) -> Vec<String> {
        let filter = &self.request.filter.room.ephemeral;
        let mut events = Vec::new();
        if !filter.allows_room(&room.room_id) {
            return events;
        }
        if let Some(receipts) = extras
            .receipts
            .get(&room.room)
            .filter(|_| filter.event.allows_type("m.receipt"))
        {
            events.extend(ephemeral::receipts(receipts, &self.ignored));
        }
        if let Some(users) = extras
            .typing
            .get(&room.room)
            .filter(|_| filter.event.allows_type("m.typing"))
        {
            events.push(ephemeral::typing(users));
        }
        events
    }

    fn write_timeline(&self, timeline: &Timeline, events: &[String], json: &mut Object<'_>) {
        let mut object = json.object("timeline");
        object.list("events", events);
        object.boolean("limited", timeline.limited);
        object.text("prev_batch", &timeline.prev_batch);
        object.end();
    }

    fn write_unread(&self, unread: &Unread, json: &mut Object<'_>) {
        let apart = self
            .request
            .filter
            .room
            .timeline
            .unread_thread_notifications;
        let total = if apart { unread.main } else { unread.total() };
        write_count(total, json.object("unread_notifications"));
        if apart && !unread.threads.is_empty() {
            let mut threads = json.object("unread_thread_notifications");
            for (root, count) in &unread.threads {
                write_count(*count, threads.object(root));
            }
            threads.end();
        }
    }
}

fn write_count(count: Count, mut object: Object<'_>) {
    object.number("notification_count", count.notifications);
    object.number("highlight_count", count.highlights);
    object.end();
}
