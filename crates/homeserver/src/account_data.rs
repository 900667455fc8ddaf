//! Account data and tags: client-server API v1.19, "Client Config" and "Room Tagging".

use serde_json::{Map, Value};
use storage::{RoomKey, Tx, account_data, push_rules};

use crate::{Homeserver, Requester};

/// Content of one type: Element keeps all direct chats in one, at some 80 bytes each.
pub const CONTENT_BYTES_MAX: usize = 256 << 10;

/// A type's name: as long as an event's type may be.
pub const TYPE_BYTES_MAX: usize = 255;

/// Types that a user may have: some ten global ones, and a few for each of thousands of rooms.
const TYPES_MAX: i64 = 20_000;

/// All contents of a user in sum: an initial sync sends them all.
const TOTAL_BYTES_MAX: i64 = 16 << 20;

/// Types that have endpoints of their own.
const RESERVED: [&str; 2] = ["m.fully_read", "m.push_rules"];

/// Why account data was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountDataError {
    #[error("{0} is kept by the server: it has an endpoint of its own")]
    Reserved(String),
    #[error("a type has 1 to {TYPE_BYTES_MAX} bytes")]
    BadType,
    #[error("the content has {0} bytes; {CONTENT_BYTES_MAX} are allowed")]
    TooLarge(usize),
    #[error("this account keeps as much account data as it may")]
    Full,
    #[error("this server knows no such room")]
    UnknownRoom,
    #[error("a tag has 1 to {TYPE_BYTES_MAX} bytes")]
    BadTag,
    #[error("the order of a tag is a number from 0 to 1")]
    BadOrder,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// A type's content (a JSON object), global or of a room. None: there is none.
pub async fn account_data(
    hs: &Homeserver,
    requester: &Requester,
    room_id: Option<&str>,
    event_type: &str,
) -> Result<Option<Vec<u8>>, storage::Error> {
    let (user, user_id) = (requester.user, requester.user_id.clone());
    let (room_id, event_type) = (room_id.map(str::to_owned), event_type.to_owned());
    hs.db
        .read(move |snap| {
            let room = match &room_id {
                None => None,
                Some(room_id) => match storage::rooms::find_room(snap, room_id)? {
                    None => return Ok(None),
                    Some(room) => Some(room.key),
                },
            };
            let content = account_data::get(snap, user, room, &event_type)?;
            if room.is_none() && event_type == push_rules::EVENT_TYPE {
                return Ok(Some(room::push::content(&user_id, content.as_deref())));
            }
            Ok(content)
        })
        .await
}

/// Sets a type's content, global or for a room.
pub async fn put_account_data(
    hs: &Homeserver,
    requester: &Requester,
    room_id: Option<&str>,
    event_type: &str,
    content: Map<String, Value>,
) -> Result<(), AccountDataError> {
    let user = requester.user;
    let content = checked(event_type, content)?;
    let (room_id, event_type) = (room_id.map(str::to_owned), event_type.to_owned());
    hs.db
        .write(move |tx| {
            let room = find(tx, room_id.as_deref())?;
            let (types, bytes) = account_data::usage(tx, user)?;
            if types >= TYPES_MAX || bytes + content.len() as i64 > TOTAL_BYTES_MAX {
                return Err(AccountDataError::Full);
            }
            Ok(account_data::put(tx, user, room, &event_type, &content)?)
        })
        .await
}

/// Deletes a type. Deleting what is not there is no error.
pub async fn delete_account_data(
    hs: &Homeserver,
    requester: &Requester,
    room_id: Option<&str>,
    event_type: &str,
) -> Result<(), AccountDataError> {
    if RESERVED.contains(&event_type) {
        return Err(AccountDataError::Reserved(event_type.to_owned()));
    }
    let user = requester.user;
    let (room_id, event_type) = (room_id.map(str::to_owned), event_type.to_owned());
    hs.db
        .write(move |tx| {
            let room = find(tx, room_id.as_deref())?;
            account_data::delete(tx, user, room, &event_type)?;
            Ok(())
        })
        .await
}

/// The tags of a room: their names, each with what the user said of it.
pub async fn tags(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
) -> Result<Map<String, Value>, storage::Error> {
    let content = account_data(hs, requester, Some(room_id), "m.tag").await?;
    Ok(tags_of(content.as_deref()))
}

/// Sets a tag of a room.
pub async fn put_tag(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    tag: &str,
    info: Map<String, Value>,
) -> Result<(), AccountDataError> {
    if tag.is_empty() || tag.len() > TYPE_BYTES_MAX {
        return Err(AccountDataError::BadTag);
    }
    let in_order = |order: &Value| {
        order
            .as_f64()
            .is_some_and(|order| (0.0..=1.0).contains(&order))
    };
    if info.get("order").is_some_and(|order| !in_order(order)) {
        return Err(AccountDataError::BadOrder);
    }
    let tag = tag.to_owned();
    edit_tags(hs, requester, room_id, move |tags| {
        tags.insert(tag.clone(), Value::Object(info.clone()));
        true
    })
    .await
}

/// Takes a tag from a room. Taking what is not there is no error.
pub async fn delete_tag(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    tag: &str,
) -> Result<(), AccountDataError> {
    let tag = tag.to_owned();
    edit_tags(hs, requester, room_id, move |tags| {
        tags.remove(&tag).is_some()
    })
    .await
}

/// Changes the tags of a room; `edit` says whether anything changed.
async fn edit_tags(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    edit: impl Fn(&mut Map<String, Value>) -> bool + Send + 'static,
) -> Result<(), AccountDataError> {
    let user = requester.user;
    let room_id = room_id.to_owned();
    hs.db
        .write(move |tx| {
            let room = find(tx, Some(&room_id))?;
            let mut tags = tags_of(account_data::get(tx, user, room, "m.tag")?.as_deref());
            if !edit(&mut tags) {
                return Ok(());
            }
            let content = Map::from_iter([("tags".to_owned(), Value::Object(tags))]);
            let content = checked("m.tag", content)?;
            Ok(account_data::put(tx, user, room, "m.tag", &content)?)
        })
        .await
}

fn tags_of(content: Option<&[u8]>) -> Map<String, Value> {
    let content: Option<Value> = content.and_then(|content| serde_json::from_slice(content).ok());
    match content.map(|mut content| content["tags"].take()) {
        Some(Value::Object(tags)) => tags,
        _ => Map::new(),
    }
}

fn checked(event_type: &str, content: Map<String, Value>) -> Result<Vec<u8>, AccountDataError> {
    if RESERVED.contains(&event_type) {
        return Err(AccountDataError::Reserved(event_type.to_owned()));
    }
    if event_type.is_empty() || event_type.len() > TYPE_BYTES_MAX {
        return Err(AccountDataError::BadType);
    }
    let content = Value::Object(content).to_string().into_bytes();
    if content.len() > CONTENT_BYTES_MAX {
        return Err(AccountDataError::TooLarge(content.len()));
    }
    Ok(content)
}

fn find(tx: &mut Tx<'_>, room_id: Option<&str>) -> Result<Option<RoomKey>, AccountDataError> {
    let Some(room_id) = room_id else {
        return Ok(None);
    };
    let room = storage::rooms::find_room(tx, room_id)?;
    room.map(|room| Some(room.key))
        .ok_or(AccountDataError::UnknownRoom)
}
