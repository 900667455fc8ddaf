//! What others provide, in the shape that syncs use: how events look, who is ignored, whether a device is signed in.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;
use storage::account_data::{self, AccountData};
use storage::events::EventRow;
use storage::presence::{Presence, PresenceState};
use storage::{EventKey, Snapshot, UserKey, ids, push_rules};
use view::filter::{EventFormat, Fields};
use view::{Options, Viewer};

use crate::Client;
use crate::json::{Object, small_event};

/// For each event, of whichever rooms, whether the client may see it.
pub(crate) fn visible(
    snap: &mut Snapshot<'_>,
    client: &Client,
    rows: &[EventRow],
) -> Result<Vec<bool>, storage::Error> {
    view::visible(snap, &viewer(client), rows)
}

/// How events are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'a> {
    pub now_ms: u64,
    pub format: EventFormat,
    pub fields: Option<&'a Fields>,
}

/// Events of timelines, of whichever rooms, as the client gets them: without `room_id`, in the same order.
pub(crate) fn timeline_events(
    snap: &mut Snapshot<'_>,
    client: &Client,
    rows: Vec<EventRow>,
    ignored: &HashSet<UserKey>,
    style: Style<'_>,
) -> Result<Vec<String>, storage::Error> {
    let ignored: Vec<UserKey> = ignored.iter().copied().collect();
    let options = Options {
        format: style.format,
        fields: style.fields,
        ..Options::timeline(style.now_ms, &ignored)
    };
    Ok(texts(view::present(
        snap,
        &viewer(client),
        rows,
        &options.without_room_id(),
    )?))
}

/// Events of states, of whichever rooms, as the client gets them: without `room_id`, in the same order.
pub(crate) fn state_events(
    snap: &mut Snapshot<'_>,
    client: &Client,
    rows: Vec<EventRow>,
    style: Style<'_>,
) -> Result<Vec<String>, storage::Error> {
    let options = Options {
        format: style.format,
        fields: style.fields,
        ..Options::state(style.now_ms)
    };
    Ok(texts(view::present(
        snap,
        &viewer(client),
        rows,
        &options.without_room_id(),
    )?))
}

fn texts(events: Vec<Box<RawValue>>) -> Vec<String> {
    events
        .into_iter()
        .map(|event| String::from(Box::<str>::from(event)))
        .collect()
}

fn viewer(client: &Client) -> Viewer {
    Viewer {
        user: client.user,
        user_id: client.user_id.clone(),
        device: Some(client.device),
    }
}

/// Whether a device is still signed in.
pub(crate) fn is_signed_in(
    snap: &mut Snapshot<'_>,
    client: &Client,
) -> Result<bool, storage::Error> {
    Ok(storage::devices::of_user(snap, client.user)?
        .iter()
        .any(|device| device.key == client.device))
}

/// Account data as an event. Push rules are shown with the server's defaults of today.
pub(crate) fn account_data_event(client: &Client, data: &AccountData) -> String {
    if data.room.is_none() && data.event_type == push_rules::EVENT_TYPE {
        return push_rules_event(client, Some(&data.content));
    }
    small_event(&data.event_type, &String::from_utf8_lossy(&data.content))
}

/// A user's push rules as an event; of who has set none, the defaults.
pub(crate) fn push_rules_event(client: &Client, stored: Option<&[u8]>) -> String {
    let content = room::push::content(&client.user_id, stored);
    small_event(push_rules::EVENT_TYPE, &String::from_utf8_lossy(&content))
}

/// A user acted within this time: it is active now.
const ACTIVE_MS: u64 = 60_000;

/// A user's presence as an event (client-server API v1.19, "m.presence").
pub(crate) fn presence_event(presence: &Presence, now_ms: u64) -> String {
    let ago = now_ms.saturating_sub(presence.active_ms);
    let mut out = String::new();
    let mut event = Object::new(&mut out);
    event.text("type", "m.presence");
    event.text("sender", &presence.user_id);
    let mut content = event.object("content");
    content.text("presence", presence.state.as_str());
    content.number("last_active_ago", i64::try_from(ago).unwrap_or(i64::MAX));
    content.boolean(
        "currently_active",
        presence.state == PresenceState::Online && ago < ACTIVE_MS,
    );
    if let Some(status) = &presence.status_msg {
        content.text("status_msg", status);
    }
    content.end();
    event.end();
    out
}

/// The ids of users.
pub(crate) fn ids_by_key(
    snap: &mut Snapshot<'_>,
    users: HashSet<UserKey>,
) -> Result<HashMap<UserKey, String>, storage::Error> {
    let users: Vec<UserKey> = users.into_iter().collect();
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    ids::user_ids(snap, &users)
}

/// The ids of users, sorted.
pub(crate) fn ids_of(
    snap: &mut Snapshot<'_>,
    users: BTreeSet<UserKey>,
) -> Result<Vec<String>, storage::Error> {
    let mut ids: Vec<String> = ids_by_key(snap, users.into_iter().collect())?
        .into_values()
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The users whom the client's user ignores (`m.ignored_user_list`).
pub(crate) fn ignored(
    snap: &mut Snapshot<'_>,
    client: &Client,
) -> Result<HashSet<UserKey>, storage::Error> {
    #[derive(serde::Deserialize)]
    struct List {
        ignored_users: HashMap<String, serde::de::IgnoredAny>,
    }
    let content = account_data::get(snap, client.user, None, "m.ignored_user_list")?;
    let list = content.and_then(|content| serde_json::from_slice::<List>(&content).ok());
    let mut ignored = HashSet::new();
    for user_id in list
        .into_iter()
        .flat_map(|list| list.ignored_users.into_keys())
    {
        // Nobody ignores itself: its own messages would be lost to it.
        if user_id != client.user_id && !user_id.contains('\0') {
            ignored.extend(ids::find_user(snap, &user_id)?);
        }
    }
    Ok(ignored)
}

/// Events by key, read in parts so that no statement carries a list without bound.
pub(crate) fn events_by_key(
    snap: &mut Snapshot<'_>,
    keys: &[EventKey],
) -> Result<HashMap<EventKey, EventRow>, storage::Error> {
    const PART: usize = 2_000;
    let mut events = HashMap::with_capacity(keys.len());
    for part in keys.chunks(PART) {
        events.extend(storage::events::by_key(snap, part)?);
    }
    Ok(events)
}
