//! How many events of a room a user has not read: client-server API v1.19, "Receiving notifications".
//!
//! Counted without a row per member: a timeline's tally minus the tally where the user has read up to, plus what differs
//! for this user. Mute and mentions-only apply here, on reading.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use storage::events::Place;
use storage::receipts::{self, Receipt, ReceiptThread};
use storage::sync_rooms::UserRoom;
use storage::unread::{self, Exception, Thread};
use storage::{RoomKey, Snapshot, push_rules};

use crate::Client;

/// Unread events of one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    pub notifications: i64,
    pub highlights: i64,
}

/// Unread events of a room: outside of threads, and of each thread that has any, by the event id of its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Unread {
    pub main: Count,
    pub threads: Vec<(String, Count)>,
}

impl Unread {
    /// All of the room, threads included.
    pub(crate) fn total(&self) -> Count {
        self.threads
            .iter()
            .fold(self.main, |sum, (_, count)| Count {
                notifications: sum.notifications + count.notifications,
                highlights: sum.highlights + count.highlights,
            })
    }
}

/// The unread events of rooms that the user is joined to.
pub(crate) fn of_rooms(
    snap: &mut Snapshot<'_>,
    client: &Client,
    rooms: &[&UserRoom],
) -> Result<HashMap<RoomKey, Unread>, storage::Error> {
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<RoomKey> = rooms.iter().map(|room| room.room).collect();
    let quiet = Quiet::of(push_rules::get(snap, client.user)?.as_deref());
    let tallies = unread::room_tallies(snap, &keys)?;
    let own_places = unread::own_places(snap, client.user, &keys)?;
    let mut receipts = by_room(receipts::own(snap, client.user, &keys)?, |receipt| {
        receipt.room
    });
    let mut exceptions = by_room(unread::exceptions(snap, client.user, &keys)?, |exception| {
        exception.room
    });
    let mut threads = by_room(unread::threads(snap, client.user, &keys)?, |thread| {
        thread.room
    });
    let mut counts = HashMap::new();
    for room in rooms {
        let facts = RoomFacts {
            room,
            tally: tallies.get(&room.room).copied().unwrap_or_default(),
            own_place: own_places.get(&room.room).copied(),
            receipts: receipts.remove(&room.room).unwrap_or_default(),
            exceptions: exceptions.remove(&room.room).unwrap_or_default(),
            threads: threads.remove(&room.room).unwrap_or_default(),
        };
        counts.insert(room.room, facts.count(snap, quiet.of_room(&room.room_id))?);
    }
    Ok(counts)
}

fn by_room<T>(rows: Vec<T>, room: impl Fn(&T) -> RoomKey) -> HashMap<RoomKey, Vec<T>> {
    let mut grouped: HashMap<RoomKey, Vec<T>> = HashMap::new();
    for row in rows {
        grouped.entry(room(&row)).or_default().push(row);
    }
    grouped
}

/// What the counts of one room are made of.
struct RoomFacts<'a> {
    room: &'a UserRoom,
    tally: i64,
    own_place: Option<i64>,
    receipts: Vec<Receipt>,
    exceptions: Vec<Exception>,
    threads: Vec<Thread>,
}

impl RoomFacts<'_> {
    fn count(&self, snap: &mut Snapshot<'_>, volume: Volume) -> Result<Unread, storage::Error> {
        if volume == Volume::Muted {
            return Ok(Unread::default());
        }
        // What happened before the user came is read, and so is all up to a receipt for no thread.
        let everywhere = self
            .read_up_to(&ReceiptThread::Unthreaded)
            .max(self.room.began);
        let main_read = everywhere
            .max(self.read_up_to(&ReceiptThread::Main))
            .max(self.own_place.unwrap_or(i64::MIN));
        let tally = match main_read < self.room.last_place {
            true => self.tally - unread::tally_at(snap, self.room.room, main_read)?,
            false => 0,
        };
        let mut unread = Unread {
            main: self.adjusted(tally, None, main_read, volume),
            threads: Vec::new(),
        };
        for thread in &self.threads {
            let read = everywhere
                .max(self.read_up_to(&ReceiptThread::Thread(thread.root_id.clone())))
                .max(thread.own_place.unwrap_or(i64::MIN));
            if read >= thread.last_place {
                continue;
            }
            let tally = thread.tally - unread::thread_tally_at(snap, thread.root, read)?;
            let count = self.adjusted(tally, Some(thread), read, volume);
            if count != Count::default() {
                unread.threads.push((thread.root_id.clone(), count));
            }
        }
        Ok(unread)
    }

    /// The live place up to which the receipts for a thread reach.
    fn read_up_to(&self, thread: &ReceiptThread) -> i64 {
        let of_thread = self
            .receipts
            .iter()
            .filter(|receipt| receipt.thread == *thread);
        of_thread
            .map(|receipt| live_place(receipt.place))
            .max()
            .unwrap_or(i64::MIN)
    }

    fn adjusted(&self, tally: i64, thread: Option<&Thread>, read: i64, volume: Volume) -> Count {
        let root = thread.map(|thread| thread.root);
        let unread = || {
            self.exceptions
                .iter()
                .filter(|exception| exception.thread == root && exception.place > read)
        };
        let highlights = unread().filter(|exception| exception.highlight).count() as i64;
        let notifications = match volume {
            Volume::MentionsOnly => highlights,
            _ => tally + unread().map(|exception| exception.notify).sum::<i64>(),
        };
        Count {
            notifications: notifications.max(0),
            highlights,
        }
    }
}

/// The newest live place that is not after an event: historic ones stand before the live event of their place.
fn live_place(place: Place) -> i64 {
    if place.seq < 0 {
        place.place - 1
    } else {
        place.place
    }
}

/// How loud a room is for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Volume {
    All,
    MentionsOnly,
    Muted,
}

/// The rooms that a user's push rules make quiet.
#[derive(Debug, Default, PartialEq, Eq)]
struct Quiet {
    everything: bool,
    muted: HashSet<String>,
    mentions_only: HashSet<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rules {
    global: Global,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Global {
    r#override: Vec<Rule>,
    room: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    rule_id: String,
    enabled: bool,
    #[serde(default)]
    actions: Vec<serde_json::Value>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    kind: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    pattern: String,
}

impl Rule {
    fn silences(&self) -> bool {
        self.enabled
            && !self
                .actions
                .iter()
                .any(|action| action == "notify" || action == "coalesce")
    }

    /// The room, where the rule is about one room as a whole.
    fn only_room(&self) -> Option<&str> {
        match self.conditions.as_slice() {
            [only] if only.kind == "event_match" && only.key == "room_id" => Some(&only.pattern),
            _ => None,
        }
    }
}

impl Quiet {
    /// Of `m.push_rules`; what is not readable silences nothing.
    fn of(content: Option<&[u8]>) -> Self {
        let rules: Rules = content
            .and_then(|content| serde_json::from_slice(content).ok())
            .unwrap_or_default();
        let overrides = || {
            rules
                .global
                .r#override
                .iter()
                .filter(|rule| rule.silences())
        };
        Self {
            everything: overrides().any(|rule| rule.rule_id == ".m.rule.master"),
            muted: overrides()
                .filter_map(|rule| rule.only_room().map(str::to_owned))
                .collect(),
            mentions_only: rules
                .global
                .room
                .iter()
                .filter(|rule| rule.silences())
                .map(|rule| rule.rule_id.clone())
                .collect(),
        }
    }

    fn of_room(&self, room_id: &str) -> Volume {
        if self.everything || self.muted.contains(room_id) {
            Volume::Muted
        } else if self.mentions_only.contains(room_id) {
            Volume::MentionsOnly
        } else {
            Volume::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(rules: &str) -> Volume {
        Quiet::of(Some(rules.as_bytes())).of_room("!r:b")
    }

    #[test]
    fn an_override_rule_without_actions_mutes_its_room() {
        let rules = r#"{"global":{"override":[{"rule_id":"!r:b","enabled":true,"actions":[],
            "conditions":[{"kind":"event_match","key":"room_id","pattern":"!r:b"}]}]}}"#;
        assert_eq!(volume(rules), Volume::Muted);
        assert_eq!(volume(&rules.replace("true", "false")), Volume::All);
        assert_eq!(volume(&rules.replace("[],", "[\"notify\"],")), Volume::All);
        assert_eq!(
            volume(&rules.replace("\"pattern\":\"!r:b\"", "\"pattern\":\"!other:b\"")),
            Volume::All
        );
    }

    #[test]
    fn a_room_rule_without_actions_leaves_mentions() {
        let rules =
            r#"{"global":{"room":[{"rule_id":"!r:b","enabled":true,"actions":["dont_notify"]}]}}"#;
        assert_eq!(volume(rules), Volume::MentionsOnly);
    }

    #[test]
    fn the_master_rule_mutes_all() {
        let rules = r#"{"global":{"override":[{"rule_id":".m.rule.master","enabled":true,"actions":[],"conditions":[]}]}}"#;
        assert_eq!(volume(rules), Volume::Muted);
        assert_eq!(volume("nonsense"), Volume::All);
        assert_eq!(Quiet::of(None), Quiet::default());
    }
}
