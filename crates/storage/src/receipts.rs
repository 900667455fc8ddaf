//! Read receipts: up to where users have read (client-server API v1.19, "Receipts").
//!
//! `m.fully_read` is account data of its room. A receipt never moves backwards in the order of its room.

use crate::events::Place;
use crate::{Error, EventKey, Kind, RoomKey, Row, Snapshot, Topic, Tx, UserKey, params};

/// Who may see a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReceiptKind {
    /// `m.read`: everybody in the room.
    Public,
    /// `m.read.private`: its owner alone.
    Private,
}

impl ReceiptKind {
    /// The spec's word.
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiptKind::Public => "m.read",
            ReceiptKind::Private => "m.read.private",
        }
    }

    fn to_int(self) -> i64 {
        match self {
            ReceiptKind::Public => 0,
            ReceiptKind::Private => 1,
        }
    }

    fn from_int(value: i64) -> Self {
        if value == 1 {
            ReceiptKind::Private
        } else {
            ReceiptKind::Public
        }
    }
}

/// The timeline that a receipt is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReceiptThread {
    /// No `thread_id`: all of the room, threads included.
    Unthreaded,
    /// `main`: events outside of threads.
    Main,
    /// One thread, by the event id of its root.
    Thread(String),
}

impl ReceiptThread {
    /// As in `thread_id`; none where there is none.
    pub fn thread_id(&self) -> Option<&str> {
        match self {
            ReceiptThread::Unthreaded => None,
            ReceiptThread::Main => Some("main"),
            ReceiptThread::Thread(root) => Some(root),
        }
    }

    fn column(&self) -> &[u8] {
        self.thread_id().unwrap_or_default().as_bytes()
    }

    fn read(column: &[u8]) -> Self {
        match column {
            b"" => ReceiptThread::Unthreaded,
            b"main" => ReceiptThread::Main,
            root => ReceiptThread::Thread(String::from_utf8_lossy(root).into_owned()),
        }
    }
}

/// A user's receipt in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub room: RoomKey,
    pub user: UserKey,
    pub user_id: String,
    pub kind: ReceiptKind,
    pub thread: ReceiptThread,
    pub event: EventKey,
    pub event_id: String,
    /// When the user read it, in milliseconds.
    pub ts: i64,
    /// Where the event stands in its room.
    pub place: Place,
}

/// A receipt as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReceipt {
    pub room: RoomKey,
    pub user: UserKey,
    pub kind: ReceiptKind,
    pub thread: ReceiptThread,
    pub event: EventKey,
    pub event_id: String,
    pub ts: i64,
    pub place: Place,
}

const COLUMNS: &str =
    "r.room, r.user_key, u.user_id, r.kind, r.thread, r.event, r.event_id, r.ts, r.place, r.seq";

fn read(row: &Row) -> Receipt {
    Receipt {
        room: RoomKey(row.int(0)),
        user: UserKey(row.int(1)),
        user_id: row.text(2),
        kind: ReceiptKind::from_int(row.int(3)),
        thread: ReceiptThread::read(&row.bytes(4)),
        event: EventKey(row.int(5)),
        event_id: String::from_utf8_lossy(&row.bytes(6)).into_owned(),
        ts: row.int(7),
        place: Place {
            place: row.int(8),
            seq: row.int(9),
        },
    }
}

/// The receipts of these rooms that changed in (after, up_to] and that the viewer may see: all public ones and the
/// viewer's own.
pub fn changed(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    rooms: &[RoomKey],
    after: i64,
    up_to: i64,
) -> Result<Vec<Receipt>, Error> {
    if rooms.is_empty() {
        return Ok(Vec::new());
    }
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM receipts r JOIN users u ON u.id = r.user_key
             WHERE r.room IN ($1[]) AND r.position > $2 AND r.position <= $3 AND (r.kind = 0 OR r.user_key = $4)
             ORDER BY r.room, r.position"
        ),
        params![rooms, after, up_to, viewer],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// All receipts of these rooms that the viewer may see.
pub fn all_for_rooms(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    rooms: &[RoomKey],
) -> Result<Vec<Receipt>, Error> {
    changed(snap, viewer, rooms, i64::MIN, i64::MAX)
}

/// A user's own receipts, public and private, in these rooms: what unread counts start from.
pub fn own(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<Vec<Receipt>, Error> {
    if rooms.is_empty() {
        return Ok(Vec::new());
    }
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM receipts r JOIN users u ON u.id = r.user_key
             WHERE r.room IN ($1[]) AND r.user_key = $2"
        ),
        params![rooms, user],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// Keeps a receipt, unless the user's one of this kind and thread stands at or after its event. Whether it moved.
pub fn put(tx: &mut Tx<'_>, receipt: &NewReceipt) -> Result<bool, Error> {
    let moved = tx.execute(
        "INSERT INTO receipts (room, user_key, kind, thread, event, event_id, ts, place, seq, position)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)
         ON CONFLICT (room, user_key, kind, thread) DO UPDATE SET event = excluded.event,
             event_id = excluded.event_id, ts = excluded.ts, place = excluded.place, seq = excluded.seq
         WHERE (receipts.place, receipts.seq) < (excluded.place, excluded.seq)",
        params![
            receipt.room,
            receipt.user,
            receipt.kind.to_int(),
            receipt.thread.column(),
            receipt.event,
            receipt.event_id.as_bytes(),
            receipt.ts,
            receipt.place.place,
            receipt.place.seq
        ],
    )?;
    if moved == 0 {
        return Ok(false);
    }
    let (room, user, kind) = (receipt.room, receipt.user, receipt.kind);
    let thread = receipt.thread.column().to_vec();
    // A private receipt concerns its owner alone: nobody else is woken.
    let topic = match kind {
        ReceiptKind::Public => Topic::Room(room),
        ReceiptKind::Private => Topic::User(user),
    };
    tx.publish_with(topic, Kind::Receipt, user.0, room.0, move |snap, position| {
        snap.write(
            "UPDATE receipts SET position = $5 WHERE room = $1 AND user_key = $2 AND kind = $3 AND thread = $4",
            params![room, user, kind.to_int(), thread, position],
        )
        .map(drop)
    });
    Ok(true)
}
