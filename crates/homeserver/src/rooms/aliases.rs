//! Room aliases and the directory of this server: client-server API v1.19, "Room aliases", "Published room directory".

use serde_json::Value;
use storage::rooms::{Membership, RoomRow};
use storage::{RoomKey, UserKey, params};

use super::create::{CreateError, put_alias};
use super::send::{SendError, find_room};
use super::summary::RoomSummary;
use crate::{Homeserver, Requester};

/// Why an alias or listing was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    #[error("there is no such alias")]
    UnknownAlias,
    #[error("there is no such room here")]
    UnknownRoom,
    #[error("the alias is taken")]
    Taken,
    #[error("aliases of other servers are made there")]
    OtherServer,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The room that an alias of this server names.
pub async fn resolve_alias(
    hs: &Homeserver,
    alias: &str,
) -> Result<Option<RoomRow>, storage::Error> {
    let alias = alias.to_owned();
    hs.db
        .read(move |snap| {
            let row =
                snap.query_one("SELECT room FROM aliases WHERE alias = $1", params![alias])?;
            let Some(key) = row.map(|row| RoomKey(row.int(0))) else {
                return Ok(None);
            };
            Ok(storage::rooms::rooms_by_key(snap, &[key])?.remove(&key))
        })
        .await
}

/// Gives a room one more alias.
pub async fn add_alias(
    hs: &Homeserver,
    requester: &Requester,
    alias: &str,
    room_id: &str,
) -> Result<(), AliasError> {
    if !hs.is_local(alias) {
        return Err(AliasError::OtherServer);
    }
    let room = find_room(hs, room_id)
        .await?
        .ok_or(AliasError::UnknownRoom)?;
    require_joined(hs, requester.user, room.key).await?;
    let (alias, creator, room) = (alias.to_owned(), requester.user, room.key);
    hs.db
        .write(move |tx| {
            put_alias(tx, Some(&alias), room, creator).map_err(|error| match error {
                CreateError::Send(SendError::Storage(error)) => AliasError::Storage(error),
                _ => AliasError::Taken,
            })
        })
        .await
}

/// Takes an alias away: who made it, who may set the room's main alias, or an administrator.
pub async fn remove_alias(
    hs: &Homeserver,
    requester: &Requester,
    alias: &str,
) -> Result<(), AliasError> {
    if !hs.is_local(alias) {
        return Err(AliasError::OtherServer);
    }
    let room = resolve_alias(hs, alias)
        .await?
        .ok_or(AliasError::UnknownAlias)?;
    let may =
        requester.is_admin || has_power(hs, requester, &room, "m.room.canonical_alias").await?;
    let (alias, user) = (alias.to_owned(), requester.user);
    hs.db
        .write(move |tx| {
            let row = tx
                .query_one(
                    "SELECT creator FROM aliases WHERE alias = $1",
                    params![&alias],
                )?
                .ok_or(AliasError::UnknownAlias)?;
            if !may && UserKey(row.int(0)) != user {
                return Err(AliasError::Forbidden(
                    "you need more power in the room to remove this alias",
                ));
            }
            tx.execute("DELETE FROM aliases WHERE alias = $1", params![&alias])?;
            Ok(())
        })
        .await
}

/// The aliases of a room on this server, for its members (and for all where its history is open to the world).
pub async fn aliases_of(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
) -> Result<Vec<String>, AliasError> {
    let room = find_room(hs, room_id)
        .await?
        .ok_or(AliasError::UnknownRoom)?;
    let open = RoomSummary::from_json(&room.summary)
        .history_visibility
        .as_deref()
        == Some("world_readable");
    if !open {
        require_joined(hs, requester.user, room.key).await?;
    }
    let key = room.key;
    let rows = hs
        .db
        .read(move |snap| {
            snap.query(
                "SELECT alias FROM aliases WHERE room = $1 ORDER BY alias",
                params![key],
            )
        })
        .await
        .map_err(AliasError::Storage)?;
    Ok(rows.iter().map(|row| row.text(0)).collect())
}

/// Whether a room is listed.
pub async fn is_published(hs: &Homeserver, room_id: &str) -> Result<bool, AliasError> {
    Ok(find_room(hs, room_id)
        .await?
        .ok_or(AliasError::UnknownRoom)?
        .published)
}

/// Lists a room, or takes it from the list.
pub async fn set_published(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    published: bool,
) -> Result<(), AliasError> {
    let room = find_room(hs, room_id)
        .await?
        .ok_or(AliasError::UnknownRoom)?;
    if !requester.is_admin && !has_power(hs, requester, &room, "m.room.canonical_alias").await? {
        return Err(AliasError::Forbidden(
            "you need more power in the room to change its listing",
        ));
    }
    let key = room.key;
    hs.db
        .write(move |tx| {
            tx.execute(
                "UPDATE rooms SET published = $2 WHERE id = $1",
                params![key, published],
            )
        })
        .await
        .map(drop)
        .map_err(AliasError::Storage)
}

/// One row of the public list.
#[derive(Debug, Clone)]
pub struct PublicRoom {
    pub room: RoomRow,
    pub summary: RoomSummary,
}

/// A page of the public list.
#[derive(Debug, Clone)]
pub struct PublicRooms {
    pub rooms: Vec<PublicRoom>,
    pub total: usize,
    /// Where the next page starts, and the previous one, as counts of rooms.
    pub next: Option<usize>,
    pub previous: Option<usize>,
}

/// What the list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct PublicRoomsFilter {
    pub search_term: Option<String>,
    /// Room types to show; `None` within stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
}

/// Listed rooms that are looked at for one page: bounds the work on a server that lists very many.
const LISTED_MAX: usize = 10_000;

/// The listed rooms, those with most members first.
pub async fn public_rooms(
    hs: &Homeserver,
    filter: PublicRoomsFilter,
    from: usize,
    limit: usize,
) -> Result<PublicRooms, storage::Error> {
    let rows = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            let keys: Vec<RoomKey> = snap
                .query("SELECT id FROM rooms WHERE published ORDER BY joined_members DESC, id LIMIT $1", params![LISTED_MAX])?
                .iter()
                .map(|row| RoomKey(row.int(0)))
                .collect();
            let mut rooms = storage::rooms::rooms_by_key(snap, &keys)?;
            Ok(keys.iter().filter_map(|key| rooms.remove(key)).collect::<Vec<_>>())
        })
        .await?;
    let matching: Vec<PublicRoom> = rows
        .into_iter()
        .map(|room| PublicRoom {
            summary: RoomSummary::from_json(&room.summary),
            room,
        })
        .filter(|listed| matches(&filter, listed))
        .collect();
    let total = matching.len();
    let end = from.saturating_add(limit).min(total);
    Ok(PublicRooms {
        next: (end < total).then_some(end),
        previous: (from > 0).then(|| from.saturating_sub(limit)),
        rooms: matching.into_iter().skip(from).take(limit).collect(),
        total,
    })
}

fn matches(filter: &PublicRoomsFilter, listed: &PublicRoom) -> bool {
    let of_type = filter
        .room_types
        .as_ref()
        .is_none_or(|types| types.contains(&listed.summary.room_type));
    let found = filter.search_term.as_ref().is_none_or(|term| {
        let term = term.to_lowercase();
        [
            &listed.summary.name,
            &listed.summary.topic,
            &listed.summary.canonical_alias,
        ]
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(&term))
    });
    of_type && found
}

/// Whether a user has the power to send this state in a room, as a member of it.
async fn has_power(
    hs: &Homeserver,
    requester: &Requester,
    room: &RoomRow,
    event_type: &'static str,
) -> Result<bool, storage::Error> {
    let (key, user) = (room.key, requester.user);
    let (member, create, levels) = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            Ok((
                storage::rooms::member(snap, key, user)?,
                storage::events::current_state_event(snap, key, "m.room.create", "")?,
                storage::events::current_state_event(snap, key, "m.room.power_levels", "")?,
            ))
        })
        .await?;
    if member.is_none_or(|member| member.membership != Membership::Join) {
        return Ok(false);
    }
    let Some(rules) = room::versions::Rules::of_name(&room.room_version) else {
        return Ok(false);
    };
    let parse = |row: Option<storage::events::EventRow>| {
        row.and_then(|row| super::head::parse_stored(rules, row))
    };
    let (Some(create), levels) = (parse(create), parse(levels)) else {
        return Ok(false);
    };
    let powers = room::power_levels::Powers::new(&create, levels.as_deref());
    Ok(powers.is_ok_and(|powers| powers.can_send(&requester.user_id, event_type, true)))
}

async fn require_joined(hs: &Homeserver, user: UserKey, room: RoomKey) -> Result<(), AliasError> {
    let member = super::membership::member(hs, room, user).await?;
    match member.map(|member| member.membership) {
        Some(Membership::Join) => Ok(()),
        _ => Err(AliasError::Forbidden("you are not in this room")),
    }
}

/// Whether the aliases that a canonical-alias event names all point to its room (else `M_BAD_ALIAS`). Those that the
/// room's present event names already are not asked again.
pub async fn aliases_are_good(
    hs: &Homeserver,
    room_id: &str,
    content: &Value,
    present: &Value,
) -> Result<bool, storage::Error> {
    let named = |content: &Value| -> Vec<String> {
        let alt = content["alt_aliases"].as_array().into_iter().flatten();
        content["alias"]
            .as_str()
            .into_iter()
            .chain(alt.filter_map(Value::as_str))
            .map(str::to_owned)
            .collect()
    };
    let known = named(present);
    for alias in named(content)
        .into_iter()
        .filter(|alias| !known.contains(alias))
    {
        let room = resolve_alias(hs, &alias).await?;
        if room.is_none_or(|room| room.room_id != room_id) {
            return Ok(false);
        }
    }
    Ok(true)
}
