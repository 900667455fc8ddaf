//! Receipts and typing as events of a room (client-server API v1.19, "Receipts", "Typing Notifications").

use std::collections::{BTreeMap, HashSet};

use storage::UserKey;
use storage::receipts::{Receipt, ReceiptKind};

use crate::json::{Object, quoted, small_event, write_list};

type Content<'a> = BTreeMap<&'a str, BTreeMap<ReceiptKind, BTreeMap<&'a str, &'a Receipt>>>;

/// The `m.receipt` events of a room: one, unless a user has read the same event in several threads.
pub(crate) fn receipts(receipts: &[Receipt], ignored: &HashSet<UserKey>) -> Vec<String> {
    let mut contents: Vec<Content<'_>> = Vec::new();
    let mut shown: Vec<&Receipt> = receipts
        .iter()
        .filter(|receipt| !ignored.contains(&receipt.user))
        .collect();
    // Where there is room for one event alone, receipts for all of the room go first.
    shown.sort_by(|a, b| a.thread.cmp(&b.thread));
    for receipt in shown {
        let (event, kind, user) = (
            receipt.event_id.as_str(),
            receipt.kind,
            receipt.user_id.as_str(),
        );
        // One user has one entry under an event: the next thread's goes into the next event.
        let has = |content: &Content<'_>| {
            content
                .get(event)
                .and_then(|kinds| kinds.get(&kind))
                .is_some_and(|users| users.contains_key(user))
        };
        let free = contents
            .iter()
            .position(|content| !has(content))
            .unwrap_or_else(|| {
                contents.push(Content::new());
                contents.len() - 1
            });
        contents[free]
            .entry(event)
            .or_default()
            .entry(kind)
            .or_default()
            .insert(user, receipt);
    }
    contents
        .iter()
        .map(|content| small_event("m.receipt", &write_receipts(content)))
        .collect()
}

fn write_receipts(content: &Content<'_>) -> String {
    let mut out = String::new();
    let mut events = Object::new(&mut out);
    for (event, kinds) in content {
        let mut event = events.object(event);
        for (kind, users) in kinds {
            let mut kind = event.object(kind.as_str());
            for (user, receipt) in users {
                let mut entry = kind.object(user);
                entry.number("ts", receipt.ts);
                if let Some(thread) = receipt.thread.thread_id() {
                    entry.text("thread_id", thread);
                }
                entry.end();
            }
            kind.end();
        }
        event.end();
    }
    events.end();
    out
}

/// The `m.typing` event of a room.
pub(crate) fn typing(user_ids: &[String]) -> String {
    let mut list = String::new();
    write_list(user_ids.iter().map(|id| quoted(id)), &mut list);
    small_event("m.typing", &format!("{{\"user_ids\":{list}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::events::Place;
    use storage::receipts::ReceiptThread;
    use storage::{EventKey, RoomKey};

    fn receipt(user: i64, kind: ReceiptKind, thread: ReceiptThread) -> Receipt {
        Receipt {
            room: RoomKey(1),
            user: UserKey(user),
            user_id: format!("@u{user}:b"),
            kind,
            thread,
            event: EventKey(1),
            event_id: "$e".into(),
            ts: 7,
            place: Place { place: 1, seq: 0 },
        }
    }

    #[test]
    fn receipts_are_grouped_by_event_and_kind() {
        let given = [
            receipt(1, ReceiptKind::Public, ReceiptThread::Unthreaded),
            receipt(2, ReceiptKind::Public, ReceiptThread::Main),
            receipt(1, ReceiptKind::Private, ReceiptThread::Thread("$t".into())),
        ];
        assert_eq!(
            receipts(&given, &HashSet::new()),
            [
                r#"{"type":"m.receipt","content":{"$e":{"m.read":{"@u1:b":{"ts":7},"@u2:b":{"ts":7,"thread_id":"main"}},"m.read.private":{"@u1:b":{"ts":7,"thread_id":"$t"}}}}}"#
            ]
        );
    }

    #[test]
    fn receipts_of_one_user_in_two_threads_are_two_events() {
        let given = [
            receipt(1, ReceiptKind::Public, ReceiptThread::Unthreaded),
            receipt(1, ReceiptKind::Public, ReceiptThread::Main),
        ];
        assert_eq!(receipts(&given, &HashSet::new()).len(), 2);
        assert!(receipts(&given, &HashSet::from([UserKey(1)])).is_empty());
    }
}
