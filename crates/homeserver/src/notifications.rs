//! What a user was notified of: client-server API v1.19, "Listing Notifications".

use std::collections::HashMap;

use room::power_levels::Level;
use room::push::{Context, Owner, Power, Rules, Ruleset, Subject, outcome};
use serde_json::value::RawValue;
use storage::events::EventRow;
use storage::receipts::{Receipt, ReceiptThread};
use storage::rooms::Membership;
use storage::sync_rooms::{UserRoom, user_rooms_after};
use storage::{EventKey, RoomKey, notified, push_rules, receipts};
use view::Viewer;

use crate::rooms::head::parse_stored;
use crate::{Homeserver, Requester};

/// Rooms looked at: those in which something happened last.
const ROOMS_MAX: usize = 50;

/// Events looked at in each room for one answer.
const EVENTS_MAX: usize = 50;

/// Notifications in one answer, where the client asks for more.
const ANSWER_MAX: usize = 100;

/// An event that notified the user.
#[derive(Debug)]
pub struct Notification {
    /// A JSON array.
    pub actions: Box<RawValue>,
    pub event: Box<RawValue>,
    pub room_id: String,
    pub read: bool,
    /// When it came, in milliseconds.
    pub ts: i64,
}

/// A part of the list.
#[derive(Debug)]
pub struct Page {
    pub notifications: Vec<Notification>,
    /// The place before which the next part begins; none at the end.
    pub next: Option<i64>,
}

/// Of the rooms that the requester is joined to, the events that its rules of now notify of; the newest first, from
/// before a place on. `highlights`: only those that highlight.
pub async fn notifications(
    hs: &Homeserver,
    requester: &Requester,
    before: Option<i64>,
    limit: usize,
    highlights: bool,
) -> Result<Page, storage::Error> {
    let viewer = Viewer {
        user: requester.user,
        user_id: requester.user_id.clone(),
        device: Some(requester.device),
    };
    let now_ms = hs.now_ms();
    let (before, limit) = (before.unwrap_or(i64::MAX), limit.clamp(1, ANSWER_MAX));
    hs.db
        .read(move |snap| {
            let mut rooms = user_rooms_after(snap, viewer.user, i64::MIN)?;
            rooms.retain(|room| room.membership == Membership::Join);
            rooms.sort_by_key(|room| std::cmp::Reverse(room.last_place));
            rooms.truncate(ROOMS_MAX);
            let keys: Vec<RoomKey> = rooms.iter().map(|room| room.room).collect();
            let rooms: HashMap<RoomKey, UserRoom> =
                rooms.into_iter().map(|room| (room.room, room)).collect();
            let stored = push_rules::get(snap, viewer.user)?;
            let rules = Rules::of(&Ruleset::load(&viewer.user_id, stored.as_deref()));
            let receipts = receipts::own(snap, viewer.user, &keys)?;
            let highlighted = notified::highlighted(snap, viewer.user, &keys)?;
            let ignored = view::ignored_users(snap, viewer.user)?;
            let mut events = notified::recent_events(snap, viewer.user, &keys, before, EVENTS_MAX)?;
            let lowest = events.last().and_then(|event| event.place);
            events.retain(|event| {
                let began = rooms.get(&event.room).map_or(i64::MAX, |room| room.began);
                event.redacted_by.is_none()
                    && !ignored.contains(&event.sender)
                    && event.place.is_some_and(|place| place.place > began)
            });
            let mut picked: Vec<(EventRow, String, String)> = Vec::new();
            let mut last = lowest.map(|place| place.place);
            for event in events {
                if picked.len() == limit {
                    last = picked
                        .last()
                        .and_then(|(event, ..)| Some(event.place?.place));
                    break;
                }
                let Some(room) = rooms.get(&event.room) else {
                    continue;
                };
                let highlight = highlighted.contains(&event.key).then_some(event.key);
                if let Some(actions) = actions(&rules, room, &event, highlight, &viewer, highlights)
                {
                    picked.push((event, room.room_id.clone(), actions));
                }
            }
            let rows = picked.iter().map(|(event, ..)| event.clone()).collect();
            let options = view::Options::timeline(now_ms, &ignored);
            let shown = view::present(snap, &viewer, rows, &options)?;
            let notifications =
                picked
                    .into_iter()
                    .zip(shown)
                    .map(|((event, room_id, actions), shown)| Notification {
                        actions: RawValue::from_string(actions).unwrap_or_default(),
                        event: shown,
                        room_id,
                        read: is_read(&receipts, &event),
                        ts: event.ts,
                    });
            Ok(Page {
                notifications: notifications.collect(),
                next: last,
            })
        })
        .await
}

/// The actions of the rule that notified of an event. None: it did not, or no highlight where only those are asked for.
fn actions(
    rules: &Rules,
    room: &UserRoom,
    event: &EventRow,
    highlight: Option<EventKey>,
    viewer: &Viewer,
    highlights: bool,
) -> Option<String> {
    let version = room::versions::Rules::of_name(&room.room_version)?;
    let pdu = parse_stored(version, event.clone())?;
    // Whether the sender might notify all of the room was decided when the event came, and is kept with it.
    let sender = match highlight {
        Some(_) => Level::Infinite,
        None => Level::Int(i64::MIN),
    };
    let context = Context {
        member_count: room.joined_members.unsigned_abs(),
        power: Power {
            sender,
            notifications: std::collections::BTreeMap::new(),
        },
    };
    let owner = Owner {
        user_id: &viewer.user_id,
        displayname: None,
    };
    let subject = Subject::of(&pdu);
    let verdict = outcome(rules, &subject, &context, &owner);
    if !verdict.notify || (highlights && !verdict.highlight) {
        return None;
    }
    rules.actions(&subject, &context, &owner).map(str::to_owned)
}

fn is_read(receipts: &[Receipt], event: &EventRow) -> bool {
    receipts.iter().any(|receipt| {
        let of_timeline = match &receipt.thread {
            ReceiptThread::Unthreaded => true,
            ReceiptThread::Main => event.thread.is_none(),
            ReceiptThread::Thread(_) => event.thread.is_some() && receipt.event == event.key,
        };
        receipt.room == event.room && of_timeline && Some(receipt.place) >= event.place
    })
}
