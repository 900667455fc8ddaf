//! Sending events: client-server API v1.19, "Sending events to a room".

use ruma_common::{OwnedEventId, OwnedUserId};
use storage::append::{AppendError, NewTransaction};
use storage::rooms::RoomRow;
use storage::{EventKey, RoomKey, UserKey};

use super::decide::{LocalEvent, Sender};
use super::lane::send_events;
use crate::{Homeserver, Requester};

/// An event that was made and is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub event_id: OwnedEventId,
    pub key: EventKey,
    pub origin_server_ts: i64,
}

/// Why an event was not made.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("there is no such room here")]
    UnknownRoom,
    #[error("{0}")]
    Forbidden(room::auth::Reason),
    #[error(
        "the event would have {bytes} bytes; a room takes {} at most",
        room::pdu::EVENT_BYTES_MAX
    )]
    TooLarge { bytes: usize },
    #[error("{0}")]
    Malformed(room::draft::DraftError),
    #[error("{0}")]
    Refused(&'static str),
    #[error("too many events wait in this room")]
    Busy,
    /// The room changed meanwhile; the lane decides again.
    #[error("the room has moved on")]
    HeadMoved,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<AppendError> for SendError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::HeadMoved => SendError::HeadMoved,
            AppendError::Storage(error) => SendError::Storage(error),
        }
    }
}

/// A client's transaction: method and path, and the id that the client chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub endpoint: String,
    pub transaction_id: String,
}

/// The sender that a requester is.
pub fn sender_of(requester: &Requester) -> Result<Sender, SendError> {
    let user_id = OwnedUserId::try_from(requester.user_id.as_str())
        .map_err(|_| SendError::Refused("this account's user id can make no events"))?;
    Ok(Sender {
        key: requester.user,
        user_id,
    })
}

/// The row of a room by its id.
pub async fn find_room(hs: &Homeserver, room_id: &str) -> Result<Option<RoomRow>, storage::Error> {
    let room_id = room_id.to_owned();
    hs.db
        .read(move |snap| storage::rooms::find_room(snap, &room_id))
        .await
}

/// The key of a room by its id, where this server has it.
pub async fn room_key(hs: &Homeserver, room_id: &str) -> Result<RoomKey, SendError> {
    find_room(hs, room_id)
        .await?
        .map(|room| room.key)
        .ok_or(SendError::UnknownRoom)
}

/// The key of a user, made where it is new here.
pub async fn intern_user(hs: &Homeserver, user_id: &str) -> Result<UserKey, storage::Error> {
    let name = user_id.to_owned();
    let known = hs
        .db
        .read(move |snap| storage::ids::find_user(snap, &name))
        .await?;
    match known {
        Some(key) => Ok(key),
        None => {
            let name = user_id.to_owned();
            hs.db
                .write(move |tx| Ok(storage::ids::intern_users(tx, &[&name])?[0]))
                .await
        }
    }
}

/// Sends one event that is about no membership. A repeated transaction gives the first one's event.
pub async fn send_event(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    mut event: LocalEvent,
    transaction: Option<Transaction>,
) -> Result<OwnedEventId, SendError> {
    let sender = sender_of(requester)?;
    if let Some(sent) = answered(hs, requester, transaction.as_ref()).await? {
        return Ok(sent);
    }
    let room = room_key(hs, room_id).await?;
    event.transaction = transaction.as_ref().map(|transaction| NewTransaction {
        device: requester.device,
        endpoint: transaction.endpoint.clone().into_bytes(),
        transaction_id: transaction.transaction_id.clone().into_bytes(),
        answer: Vec::new(),
    });
    match send_events(hs, room, &sender, &[event]).await {
        Ok(sent) => Ok(sent[0].event_id.clone()),
        // The same transaction was under way twice: the other one was first.
        Err(SendError::Storage(storage::Error::Duplicate(why))) => {
            answered(hs, requester, transaction.as_ref())
                .await?
                .ok_or(SendError::Storage(storage::Error::Duplicate(why)))
        }
        Err(error) => Err(error),
    }
}

/// The event that a transaction made before.
async fn answered(
    hs: &Homeserver,
    requester: &Requester,
    transaction: Option<&Transaction>,
) -> Result<Option<OwnedEventId>, SendError> {
    let Some(transaction) = transaction.cloned() else {
        return Ok(None);
    };
    let device = requester.device;
    let event_id = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            let row = snap.query_one(
                "SELECT e.event_id FROM client_transactions t JOIN events e ON e.id = t.event
                 WHERE t.device = $1 AND t.endpoint = $2 AND t.transaction_id = $3",
                storage::params![
                    device,
                    transaction.endpoint.as_bytes(),
                    transaction.transaction_id.as_bytes()
                ],
            )?;
            Ok(row.map(|row| storage::append::decode_event_id(&row.bytes(0))))
        })
        .await?;
    Ok(event_id.and_then(|id| OwnedEventId::try_from(id).ok()))
}
