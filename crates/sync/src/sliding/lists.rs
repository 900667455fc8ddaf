//! The lists of a sliding client: the user's rooms by recency, filtered, and the ranges of them that are in sight.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use storage::rooms::Membership;
use storage::sync_rooms::UserRoom;
use storage::{RoomKey, Snapshot, account_data};

use super::request::{Filters, List, Request, RoomConfig};
use crate::summary::Facts;
use crate::{Client, Sync, rooms, sources};

/// The rooms that a request has in sight.
#[derive(Default)]
pub(crate) struct InSight {
    pub rooms: BTreeMap<RoomKey, Relevant>,
    /// How many rooms each list has.
    pub counts: BTreeMap<String, u64>,
}

/// A room in sight, and why.
pub(crate) struct Relevant {
    pub room: UserRoom,
    pub bump: i64,
    pub config: RoomConfig,
    pub lists: Vec<String>,
    pub subscribed: bool,
}

/// What filters ask of the user's account data.
pub(crate) struct Personal {
    /// Ids of rooms that are direct chats.
    pub direct: HashSet<String>,
    /// Read where a filter asks for them.
    tags: HashMap<RoomKey, HashSet<String>>,
}

impl Personal {
    pub(crate) fn read(
        snap: &mut Snapshot<'_>,
        client: &Client,
        request: &Request,
    ) -> Result<Self, storage::Error> {
        let filters = || request.lists.values().map(|list| &list.filters);
        let needs_tags =
            filters().any(|filters| filters.tags.is_some() || !filters.not_tags.is_empty());
        Ok(Self {
            direct: direct(snap, client)?,
            tags: if needs_tags {
                tags(snap, client)?
            } else {
                HashMap::new()
            },
        })
    }
}

/// The rooms of `m.direct`.
fn direct(snap: &mut Snapshot<'_>, client: &Client) -> Result<HashSet<String>, storage::Error> {
    let content = account_data::get(snap, client.user, None, "m.direct")?;
    let by_user: HashMap<String, serde_json::Value> = content
        .and_then(|content| serde_json::from_slice(&content).ok())
        .unwrap_or_default();
    let rooms = by_user
        .values()
        .filter_map(|rooms| rooms.as_array())
        .flatten();
    Ok(rooms
        .filter_map(|room| room.as_str().map(str::to_owned))
        .collect())
}

fn tags(
    snap: &mut Snapshot<'_>,
    client: &Client,
) -> Result<HashMap<RoomKey, HashSet<String>>, storage::Error> {
    #[derive(Deserialize)]
    struct Tags {
        tags: HashMap<String, serde::de::IgnoredAny>,
    }
    let all = account_data::all(snap, client.user)?;
    let tagged = all.into_iter().filter(|data| data.event_type == "m.tag");
    Ok(tagged
        .filter_map(|data| {
            let tags: Tags = serde_json::from_slice(&data.content).ok()?;
            Some((data.room?, tags.tags.into_keys().collect()))
        })
        .collect())
}

/// Finds the rooms in sight.
pub(crate) fn in_sight(
    snap: &mut Snapshot<'_>,
    sync: &Sync,
    client: &Client,
    request: &Request,
    personal: &Personal,
) -> Result<InSight, storage::Error> {
    let ignored = sources::ignored(snap, client)?;
    let mut rooms: Vec<(UserRoom, i64)> = Vec::new();
    for room in rooms::all(snap, client)?.into_values() {
        let from_ignored = room.membership == Membership::Invite && ignored.contains(&room.sender);
        if !room.forgotten && !from_ignored {
            let bump = sync.bumps.of(snap, &room)?;
            rooms.push((room, bump));
        }
    }
    // Invariant: keys grow, so rooms with equal stamps keep an order.
    rooms.sort_by_key(|(room, bump)| (std::cmp::Reverse(*bump), room.room));
    let mut found = InSight::default();
    for (name, list) in &request.lists {
        let members: Vec<usize> = (0..rooms.len())
            .filter(|at| {
                is_listed(&rooms[*at].0, client)
                    && is_wanted(&rooms[*at].0, &list.filters, personal)
            })
            .collect();
        found.counts.insert(name.clone(), members.len() as u64);
        for at in in_ranges(list, &members) {
            let (room, bump) = &rooms[at];
            found
                .add(room, *bump, &list.config)
                .lists
                .push(name.clone());
        }
    }
    for (room, bump) in &rooms {
        if let Some(config) = request.room_subscriptions.get(&room.room_id) {
            found.add(room, *bump, config).subscribed = true;
        }
    }
    Ok(found)
}

impl InSight {
    fn add(&mut self, room: &UserRoom, bump: i64, config: &RoomConfig) -> &mut Relevant {
        let relevant = self.rooms.entry(room.room).or_insert_with(|| Relevant {
            room: room.clone(),
            bump,
            config: RoomConfig::default(),
            lists: Vec::new(),
            subscribed: false,
        });
        relevant.config.merge(config);
        relevant
    }
}

/// Whether lists have the room: a room that the user left of its own will has gone; one that it was removed from stays,
/// so that it learns why.
fn is_listed(room: &UserRoom, client: &Client) -> bool {
    match room.membership {
        Membership::Join | Membership::Invite | Membership::Knock => true,
        Membership::Leave | Membership::Ban => room.sender != client.user,
    }
}

/// Those of a list's rooms that lie in its ranges, each once.
fn in_ranges(list: &List, members: &[usize]) -> Vec<usize> {
    let inside = |number: usize| {
        let number = number as u64;
        list.ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    };
    let numbered = members.iter().enumerate();
    numbered
        .filter(|(number, _)| inside(*number))
        .map(|(_, at)| *at)
        .collect()
}

fn is_wanted(room: &UserRoom, filters: &Filters, personal: &Personal) -> bool {
    let facts = match needs_facts(filters) {
        true => facts(room),
        false => Facts::default(),
    };
    let is = |wanted: Option<bool>, fact: bool| wanted.is_none_or(|wanted| wanted == fact);
    let name_matches = || {
        let like = filters
            .room_name_like
            .as_ref()
            .map(|like| like.to_lowercase());
        like.is_none_or(|like| {
            facts
                .name
                .as_ref()
                .is_some_and(|name| name.to_lowercase().contains(&like))
        })
    };
    let none = HashSet::new();
    let tags = personal.tags.get(&room.room).unwrap_or(&none);
    is(filters.is_dm, personal.direct.contains(&room.room_id))
        && is(filters.is_invite, room.membership == Membership::Invite)
        && is(filters.is_encrypted, facts.encryption.is_some())
        && filters
            .room_types
            .as_ref()
            .is_none_or(|types| types.contains(&facts.room_type))
        && !filters.not_room_types.contains(&facts.room_type)
        && name_matches()
        && filters
            .tags
            .as_ref()
            .is_none_or(|wanted| wanted.iter().any(|tag| tags.contains(tag)))
        && !filters.not_tags.iter().any(|tag| tags.contains(tag))
}

fn needs_facts(filters: &Filters) -> bool {
    filters.is_encrypted.is_some()
        || filters.room_types.is_some()
        || !filters.not_room_types.is_empty()
        || filters.room_name_like.is_some()
}

/// What the user may know of a room: of one that it is not in, what came with the invite.
pub(crate) fn facts(room: &UserRoom) -> Facts {
    match room.membership {
        Membership::Join => Facts::of(&room.summary),
        _ => Facts::of_stripped(room.stripped.as_deref().unwrap_or_default()),
    }
}
