//! What a room is called and how many are in it: the `summary` of `/v3/sync`, name and heroes of sliding sync.
//!
//! Client-server API v1.19, "Calculating the display name for a room".

use serde::Deserialize;
use storage::Snapshot;
use storage::sync_rooms::{self, Hero, UserRoom};

use crate::Client;
use crate::json::{Object, quoted};

/// Heroes that are told: as the spec says.
const HEROES_MAX: usize = 5;

/// Facts of the current state, as they are kept with the room's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    pub name: Option<String>,
    pub canonical_alias: Option<String>,
    pub avatar_url: Option<String>,
    pub room_type: Option<String>,
    pub encryption: Option<String>,
}

impl Facts {
    /// Of a room's row. What is not readable is as if it were not there.
    pub(crate) fn of(summary: &[u8]) -> Self {
        serde_json::from_slice(summary).unwrap_or_default()
    }

    /// Of stripped state, a JSON array.
    pub(crate) fn of_stripped(events: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Event {
            r#type: String,
            content: serde_json::Value,
        }
        let events: Vec<Event> = serde_json::from_slice(events).unwrap_or_default();
        let text = |event_type: &str, key: &str| {
            let event = events.iter().find(|event| event.r#type == event_type)?;
            event
                .content
                .get(key)?
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        Self {
            name: text("m.room.name", "name"),
            canonical_alias: text("m.room.canonical_alias", "alias"),
            avatar_url: text("m.room.avatar", "url"),
            room_type: text("m.room.create", "type"),
            encryption: text("m.room.encryption", "algorithm"),
        }
    }

    /// Whether the room is known by its members.
    pub(crate) fn is_nameless(&self) -> bool {
        self.name.is_none() && self.canonical_alias.is_none()
    }
}

/// Those by whom a room without a name is known; none where it has one.
pub(crate) fn heroes(
    snap: &mut Snapshot<'_>,
    client: &Client,
    room: &UserRoom,
    facts: &Facts,
) -> Result<Vec<Hero>, storage::Error> {
    if !facts.is_nameless() {
        return Ok(Vec::new());
    }
    let present = sync_rooms::heroes(snap, room.room, client.user, true, HEROES_MAX)?;
    if !present.is_empty() {
        return Ok(present);
    }
    sync_rooms::heroes(snap, room.room, client.user, false, HEROES_MAX)
}

/// Writes the `summary` of a joined room.
pub(crate) fn write(room: &UserRoom, facts: &Facts, heroes: &[Hero], out: &mut String) {
    let mut summary = Object::new(out);
    if facts.is_nameless() {
        summary.list("m.heroes", heroes.iter().map(|hero| quoted(&hero.user_id)));
    }
    summary.number("m.joined_member_count", room.joined_members);
    summary.number("m.invited_member_count", room.invited_members);
    summary.end();
}
