//! Saying up to where one has read: client-server API v1.19, "Receipts" and "Read and unread markers".

use storage::events::EventRow;
use storage::receipts::{NewReceipt, ReceiptKind, ReceiptThread, put};
use storage::rooms::Membership;
use storage::{Tx, account_data, events, rooms};

use crate::{Homeserver, Requester};

/// What a client marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `m.read` or `m.read.private`.
    Receipt(ReceiptKind),
    /// `m.fully_read`.
    FullyRead,
}

impl Mark {
    /// Reads the spec's word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "m.read" => Some(Mark::Receipt(ReceiptKind::Public)),
            "m.read.private" => Some(Mark::Receipt(ReceiptKind::Private)),
            "m.fully_read" => Some(Mark::FullyRead),
            _ => None,
        }
    }
}

/// Why nothing was marked.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    #[error("you are not joined to this room")]
    NotJoined,
    #[error("this room has no event {0}")]
    UnknownEvent(String),
    #[error("m.fully_read is about all of a room: it has no thread")]
    ThreadedMarker,
    #[error("a thread is \"main\" or the id of its first event")]
    BadThread,
    #[error("the event is not in this thread")]
    OtherThread,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Marks events of a room as read, all or none of them. What would move backwards stays where it is.
pub async fn mark(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    marks: Vec<(Mark, String)>,
    thread: ReceiptThread,
) -> Result<(), MarkError> {
    if thread != ReceiptThread::Unthreaded && marks.iter().any(|(mark, _)| *mark == Mark::FullyRead)
    {
        return Err(MarkError::ThreadedMarker);
    }
    if matches!(&thread, ReceiptThread::Thread(root) if !root.starts_with('$')) {
        return Err(MarkError::BadThread);
    }
    let (user, room_id, ts) = (requester.user, room_id.to_owned(), hs.now_ms() as i64);
    hs.db
        .write(move |tx| {
            let room = rooms::find_room(tx, &room_id)?.ok_or(MarkError::NotJoined)?;
            let mine = rooms::member(tx, room.key, user)?;
            if mine.is_none_or(|row| row.membership != Membership::Join) {
                return Err(MarkError::NotJoined);
            }
            for (mark, event_id) in &marks {
                let event = find_event(tx, event_id)?
                    .filter(|event| event.room == room.key)
                    .ok_or_else(|| MarkError::UnknownEvent(event_id.clone()))?;
                let Some(place) = event.place else {
                    return Err(MarkError::UnknownEvent(event_id.clone()));
                };
                match mark {
                    Mark::FullyRead => move_marker(tx, user, &event)?,
                    Mark::Receipt(kind) => {
                        check_thread(tx, &event, &thread)?;
                        let receipt = NewReceipt {
                            room: room.key,
                            user,
                            kind: *kind,
                            thread: thread.clone(),
                            event: event.key,
                            event_id: event_id.clone(),
                            ts,
                            place,
                        };
                        put(tx, &receipt)?;
                    }
                }
            }
            Ok(())
        })
        .await
}

fn find_event(tx: &mut Tx<'_>, event_id: &str) -> Result<Option<EventRow>, storage::Error> {
    Ok(events::by_id(tx, &[event_id])?.remove(event_id))
}

/// Whether a receipt for this thread may stand at this event.
fn check_thread(
    tx: &mut Tx<'_>,
    event: &EventRow,
    thread: &ReceiptThread,
) -> Result<(), MarkError> {
    let fits = match thread {
        ReceiptThread::Unthreaded => true,
        ReceiptThread::Main => event.thread.is_none(),
        ReceiptThread::Thread(root) => {
            let root = find_event(tx, root)?.map(|root| root.key);
            root.is_some() && (event.thread == root || Some(event.key) == root)
        }
    };
    fits.then_some(()).ok_or(MarkError::OtherThread)
}

/// Moves `m.fully_read`, which is account data of the room, forwards.
fn move_marker(
    tx: &mut Tx<'_>,
    user: storage::UserKey,
    event: &EventRow,
) -> Result<(), storage::Error> {
    let room = event.room;
    const TYPE: &str = "m.fully_read";
    let old = account_data::get(tx, user, Some(room), TYPE)?;
    let old: Option<serde_json::Value> = old.and_then(|old| serde_json::from_slice(&old).ok());
    if let Some(old_id) = old.as_ref().and_then(|old| old["event_id"].as_str()) {
        let stands = find_event(tx, old_id)?.and_then(|old| old.place);
        if stands >= event.place {
            return Ok(());
        }
    }
    let content = serde_json::json!({ "event_id": event.event_id }).to_string();
    account_data::put(tx, user, Some(room), TYPE, content.as_bytes())
}
