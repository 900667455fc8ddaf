//! The shape that today's clients speak: `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`.
//!
//! Source: MSC4186 as clients implemented it (`ranges`, `required_state` as pairs with `$LAZY` and `$ME`, counts).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use storage::rooms::Membership;
use storage::sync_rooms::Hero;

use super::extensions::{Told, list};
use super::request::{Extensions, Filters, List, Request, RoomConfig, Scope, ToDevice};
use super::room::{ToldTimeline, Update};
use super::{Answer, answer};
use crate::json::{Object, quoted};
use crate::{Client, Sync, SyncError, Token};

/// Lists of a request: clients have one to five.
const LISTS_MAX: usize = 100;

/// Subscriptions of a request: clients have one for each room that is open.
const SUBSCRIPTIONS_MAX: usize = 1_000;

/// Entries of one `required_state`: clients name about 20.
const REQUIRED_STATE_MAX: usize = 1_000;

/// A connection's name: clients are told to use 16 at most.
const CONN_ID_MAX: usize = 64;

/// A request's body. What is not known is ignored, other extensions too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    conn_id: Option<String>,
    txn_id: Option<String>,
    lists: BTreeMap<String, ListBody>,
    room_subscriptions: BTreeMap<String, RoomBody>,
    extensions: ExtensionsBody,
    pos: Option<String>,
    timeout: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ListBody {
    ranges: Vec<(u64, u64)>,
    #[serde(flatten)]
    room: RoomBody,
    filters: Option<FiltersBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RoomBody {
    required_state: Vec<(String, String)>,
    timeline_limit: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FiltersBody {
    is_dm: Option<bool>,
    is_encrypted: Option<bool>,
    is_invite: Option<bool>,
    room_types: Option<Vec<Option<String>>>,
    not_room_types: Option<Vec<Option<String>>>,
    room_name_like: Option<String>,
    tags: Option<Vec<String>>,
    not_tags: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ExtensionsBody {
    to_device: Option<ToDeviceBody>,
    e2ee: Option<ScopeBody>,
    account_data: Option<ScopeBody>,
    receipts: Option<ScopeBody>,
    typing: Option<ScopeBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ToDeviceBody {
    enabled: Option<bool>,
    limit: Option<u64>,
    since: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ScopeBody {
    enabled: Option<bool>,
    lists: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
}

/// Why a body is no request. The sentence is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("`{what}` has {count} entries; at most {max} are allowed")]
    TooMany {
        what: &'static str,
        count: usize,
        max: usize,
    },
    #[error("`conn_id` is longer than {CONN_ID_MAX} bytes")]
    ConnIdTooLong,
    #[error("the range [{0}, {1}] ends before it begins")]
    Range(u64, u64),
    #[error("`extensions.to_device.since` is no token of ours")]
    ToDeviceSince,
}

impl Body {
    /// The request; `pos` and `timeout` of the query win over those of the body.
    ///
    /// # Errors
    /// [`BodyError`], with a sentence for the client.
    pub fn into_request(
        self,
        pos: Option<String>,
        timeout_ms: Option<u64>,
    ) -> Result<Request, BodyError> {
        bounded("lists", self.lists.len(), LISTS_MAX)?;
        bounded(
            "room_subscriptions",
            self.room_subscriptions.len(),
            SUBSCRIPTIONS_MAX,
        )?;
        let conn_id = self.conn_id.unwrap_or_default();
        if conn_id.len() > CONN_ID_MAX {
            return Err(BodyError::ConnIdTooLong);
        }
        Ok(Request {
            pos: pos.or(self.pos),
            conn_id,
            txn_id: self.txn_id,
            timeout_ms: timeout_ms.or(self.timeout).unwrap_or_default(),
            lists: collect(self.lists, ListBody::into_list)?,
            room_subscriptions: collect(self.room_subscriptions, RoomBody::into_config)?,
            extensions: self.extensions.into_extensions()?,
        })
    }
}

fn collect<A, B>(
    from: BTreeMap<String, A>,
    into: impl Fn(A) -> Result<B, BodyError>,
) -> Result<BTreeMap<String, B>, BodyError> {
    from.into_iter()
        .map(|(key, value)| Ok((key, into(value)?)))
        .collect()
}

fn bounded(what: &'static str, count: usize, max: usize) -> Result<(), BodyError> {
    if count > max {
        Err(BodyError::TooMany { what, count, max })
    } else {
        Ok(())
    }
}

impl ListBody {
    fn into_list(self) -> Result<List, BodyError> {
        bounded("ranges", self.ranges.len(), LISTS_MAX)?;
        if let Some((first, last)) = self.ranges.iter().find(|(first, last)| first > last) {
            return Err(BodyError::Range(*first, *last));
        }
        let filters = self.filters.unwrap_or_default();
        Ok(List {
            ranges: self.ranges,
            config: self.room.into_config()?,
            filters: Filters {
                is_dm: filters.is_dm,
                is_encrypted: filters.is_encrypted,
                is_invite: filters.is_invite,
                room_types: filters.room_types,
                not_room_types: filters.not_room_types.unwrap_or_default(),
                room_name_like: filters.room_name_like,
                tags: filters.tags,
                not_tags: filters.not_tags.unwrap_or_default(),
            },
        })
    }
}

impl RoomBody {
    fn into_config(self) -> Result<RoomConfig, BodyError> {
        bounded(
            "required_state",
            self.required_state.len(),
            REQUIRED_STATE_MAX,
        )?;
        Ok(RoomConfig {
            timeline_limit: self.timeline_limit,
            required_state: self.required_state.into_iter().collect(),
        })
    }
}

impl ExtensionsBody {
    fn into_extensions(self) -> Result<Extensions, BodyError> {
        let scope = |body: Option<ScopeBody>| {
            let body = body.filter(|body| body.enabled == Some(true))?;
            Some(Scope {
                lists: body.lists,
                rooms: body.rooms,
            })
        };
        let to_device = match self.to_device.filter(|body| body.enabled == Some(true)) {
            None => None,
            Some(body) => {
                let since = match body.since.as_deref() {
                    None => None,
                    Some(since) => Some(
                        Token::parse(since)
                            .ok_or(BodyError::ToDeviceSince)?
                            .position,
                    ),
                };
                Some(ToDevice {
                    since,
                    limit: body.limit,
                })
            }
        };
        Ok(Extensions {
            to_device,
            e2ee: self.e2ee.is_some_and(|body| body.enabled == Some(true)),
            account_data: scope(self.account_data),
            receipts: scope(self.receipts),
            typing: scope(self.typing),
        })
    }
}

/// Answers with a JSON object. Waits until there is something to tell, or the time is over.
///
/// # Errors
/// [`SyncError::UnknownPos`] where the client must begin anew; [`SyncError::SignedOut`].
pub async fn sync(
    sync: &Arc<Sync>,
    client: &Client,
    request: Request,
) -> Result<String, SyncError> {
    let request = Arc::new(request);
    let answer = answer(sync, client, &request).await?;
    Ok(write(&request, &answer))
}

/// An answer that tells of nothing: the client goes on from where it is.
pub fn nothing(pos: &str) -> String {
    format!("{{\"pos\":{}}}", quoted(pos))
}

fn write(request: &Request, answer: &Answer) -> String {
    let mut out = String::with_capacity(4096);
    let mut object = Object::new(&mut out);
    object.text("pos", &answer.pos.to_string());
    if let Some(txn_id) = &request.txn_id {
        object.text("txn_id", txn_id);
    }
    let mut lists = object.object("lists");
    for (name, count) in &answer.counts {
        let mut list = lists.object(name);
        list.raw("count", &count.to_string());
        list.end();
    }
    lists.end();
    let mut rooms = object.object("rooms");
    for update in &answer.rooms {
        write_room(update, rooms.object(&update.room_id));
    }
    rooms.end();
    write_extensions(&answer.extensions, object.object("extensions"));
    object.end();
    out
}

fn write_room(update: &Update, mut room: Object<'_>) {
    if update.initial {
        room.boolean("initial", true);
    }
    if update.expanded {
        room.boolean("unstable_expanded_timeline", true);
        room.boolean("expanded_timeline", true);
    }
    if let Some(name) = &update.name {
        room.text("name", name);
    }
    match &update.avatar {
        Some(Some(url)) => room.text("avatar", url),
        // On a first sight its absence says as much.
        Some(None) if !update.initial => room.raw("avatar", "null"),
        _ => {}
    }
    if let Some(heroes) = &update.heroes {
        room.list("heroes", heroes.iter().map(hero));
    }
    room.boolean("is_dm", update.is_dm);
    if let Some(membership) = update.membership {
        room.text("membership", membership.as_str());
    }
    if let Some(state) = &update.invite_state {
        let key = if update.membership == Some(Membership::Knock) {
            "knock_state"
        } else {
            "invite_state"
        };
        room.raw(key, state);
    }
    if !update.required_state.is_empty() {
        room.list("required_state", &update.required_state);
    }
    if let Some(timeline) = &update.timeline {
        write_timeline(timeline, &mut room);
    }
    for (key, count) in [
        ("joined_count", update.joined_count),
        ("invited_count", update.invited_count),
    ] {
        if let Some(count) = count {
            room.number(key, count);
        }
    }
    if let Some(unread) = update.unread {
        room.number("notification_count", unread.notifications);
        room.number("highlight_count", unread.highlights);
    }
    if let Some(bump) = update.bump {
        room.number("bump_stamp", bump.max(0));
    }
    room.end();
}

fn write_timeline(timeline: &ToldTimeline, room: &mut Object<'_>) {
    room.list("timeline", &timeline.events);
    room.boolean("limited", timeline.limited);
    room.text("prev_batch", &timeline.prev_batch);
    room.number("num_live", timeline.num_live as i64);
}

fn hero(hero: &Hero) -> String {
    let mut out = String::new();
    let mut object = Object::new(&mut out);
    object.text("user_id", &hero.user_id);
    if let Some(name) = &hero.displayname {
        object.text("displayname", name);
    }
    if let Some(url) = &hero.avatar_url {
        object.text("avatar_url", url);
    }
    object.end();
    out
}

fn write_extensions(told: &Told, mut extensions: Object<'_>) {
    if let Some(queue) = &told.to_device {
        let mut object = extensions.object("to_device");
        object.text("next_batch", &queue.next_batch.to_string());
        object.list("events", &queue.events);
        object.end();
    }
    if let Some((lists, keys)) = &told.e2ee {
        let mut object = extensions.object("e2ee");
        let mut inner = object.object("device_lists");
        lists.write(&mut inner);
        inner.end();
        keys.write(&mut object);
        object.end();
    }
    if !told.account_data.is_empty() || !told.room_account_data.is_empty() {
        let mut object = extensions.object("account_data");
        object.list("global", &told.account_data);
        let mut rooms = object.object("rooms");
        for (room_id, events) in &told.room_account_data {
            rooms.raw(room_id, &list(events));
        }
        rooms.end();
        object.end();
    }
    for (key, events) in [("receipts", &told.receipts), ("typing", &told.typing)] {
        if !events.is_empty() {
            let mut object = extensions.object(key);
            let mut rooms = object.object("rooms");
            for (room_id, event) in events {
                rooms.raw(room_id, event);
            }
            rooms.end();
            object.end();
        }
    }
    extensions.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Result<Request, BodyError> {
        serde_json::from_str::<Body>(body)
            .unwrap()
            .into_request(None, None)
    }

    #[test]
    fn what_clients_send_is_read() {
        let request = request(
            r#"{"conn_id":"room-list","lists":{"all_rooms":{"ranges":[[0,19]],"timeline_limit":1,
                "required_state":[["m.room.member","$LAZY"],["m.room.member","$ME"]],
                "filters":{"is_invite":false,"not_room_types":["m.space"]},"sort":["by_recency"]}},
                "room_subscriptions":{"!r:b":{"timeline_limit":20}},
                "extensions":{"to_device":{"enabled":true,"since":"s5"},"e2ee":{"enabled":true},
                  "typing":{"enabled":true,"lists":["all_rooms"],"rooms":["*"]},"receipts":{"enabled":false},
                  "org.example.other":{"enabled":true}}}"#,
        )
        .unwrap();
        let list = &request.lists["all_rooms"];
        assert_eq!(
            (list.ranges.as_slice(), list.config.timeline_limit),
            ([(0, 19)].as_slice(), 1)
        );
        assert_eq!(list.filters.not_room_types, [Some("m.space".to_owned())]);
        assert_eq!(
            request.extensions.to_device.unwrap().since,
            Some(storage::Position(5))
        );
        assert!(request.extensions.e2ee && request.extensions.receipts.is_none());
        let scope = request.extensions.typing.unwrap();
        assert!(
            scope.has_list("all_rooms") && !scope.has_list("other") && scope.has_subscribed("!r:b")
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for body in [
            r#"{"lists":{"a":{"ranges":[[3,1]]}}}"#.to_owned(),
            format!(r#"{{"conn_id":"{}"}}"#, "x".repeat(65)),
            r#"{"extensions":{"to_device":{"enabled":true,"since":"nonsense"}}}"#.to_owned(),
        ] {
            assert!(request(&body).is_err(), "{body}");
        }
    }
}
