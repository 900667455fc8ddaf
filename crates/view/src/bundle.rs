//! What relates to an event, bundled with it: `unsigned.m.relations`.
//!
//! Source: client-server API "Aggregations of child events", "Event replacements", "Threading", "Reference relations",
//! Matrix v1.19. A viewer who left is told of nothing that came after.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use storage::events::{self, EventRow};
use storage::{Error, EventKey, RoomKey, Snapshot, relations, threads};

use crate::present::present_texts;
use crate::{Options, Stay, Viewer, sights, stay};

/// Which aggregations are bundled: the events inside of aggregations have fewer themselves, so nothing goes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    All,
    /// All but threads: for the newest event of a thread.
    InThread,
    Nothing,
}

/// References bundled with one event: clients list the rest by `/relations`.
const REFERENCES_MAX: usize = 100;

/// The value of `m.relations` for each event that has any.
pub(crate) fn load(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    events: &[&EventRow],
    options: &Options<'_>,
    level: Level,
) -> Result<HashMap<EventKey, String>, Error> {
    let mut bundles = HashMap::new();
    if level == Level::Nothing {
        return Ok(bundles);
    }
    let mut by_room: HashMap<RoomKey, Vec<&EventRow>> = HashMap::new();
    for event in events {
        by_room.entry(event.room).or_default().push(event);
    }
    for (room, events) in by_room {
        let Some(until) = last_place(snap, viewer, room)? else {
            continue;
        };
        let asked = Asked {
            viewer,
            events: &events,
            options,
            until,
        };
        asked.load(snap, level, &mut bundles)?;
    }
    Ok(bundles)
}

/// Up to which place children count; none where no child does.
fn last_place(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    room: RoomKey,
) -> Result<Option<i64>, Error> {
    let stay = stay::stay(snap, room, viewer.user)?;
    if stay == Stay::Present || crate::is_world_readable(snap, room)? {
        return Ok(Some(i64::MAX));
    }
    Ok(stay.until().map(|place| place.place))
}

struct Asked<'a> {
    viewer: &'a Viewer,
    events: &'a [&'a EventRow],
    options: &'a Options<'a>,
    until: i64,
}

impl Asked<'_> {
    fn load(
        &self,
        snap: &mut Snapshot<'_>,
        level: Level,
        bundles: &mut HashMap<EventKey, String>,
    ) -> Result<(), Error> {
        let edits = self.edits(snap)?;
        let references = self.references(snap)?;
        let mut threads = HashMap::new();
        if level == Level::All {
            threads = self.threads(snap)?;
        }
        for event in self.events {
            let parts = [
                ("m.replace", edits.get(&event.key)),
                ("m.reference", references.get(&event.key)),
                ("m.thread", threads.get(&event.key)),
            ];
            let parts: Vec<String> = parts
                .into_iter()
                .filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)))
                .collect();
            if !parts.is_empty() {
                bundles.insert(event.key, format!("{{{}}}", parts.join(",")));
            }
        }
        Ok(())
    }

    /// The newest edit of each event, whole. What is redacted has none, and state is not edited.
    fn edits(&self, snap: &mut Snapshot<'_>) -> Result<HashMap<EventKey, String>, Error> {
        let originals: Vec<&EventRow> = self
            .events
            .iter()
            .copied()
            .filter(|event| event.redacted_by.is_none() && event.state_no.is_none())
            .collect();
        if originals.is_empty() {
            return Ok(HashMap::new());
        }
        let newest = relations::newest_edits(snap, &originals, self.until)?;
        self.show(snap, newest, Level::Nothing)
    }

    fn references(&self, snap: &mut Snapshot<'_>) -> Result<HashMap<EventKey, String>, Error> {
        let children = relations::references(
            snap,
            self.events,
            self.until,
            self.options.ignored,
            REFERENCES_MAX,
        )?;
        let keys: Vec<EventKey> = children.values().flatten().copied().collect();
        let rows = events::by_key(snap, &keys)?;
        Ok(children
            .into_iter()
            .map(|(parent, children)| {
                let chunk: Vec<_> = children
                    .iter()
                    .filter_map(|child| Some(json!({ "event_id": rows.get(child)?.event_id })))
                    .collect();
                (parent, json!({ "chunk": chunk }).to_string())
            })
            .collect())
    }

    fn threads(&self, snap: &mut Snapshot<'_>) -> Result<HashMap<EventKey, String>, Error> {
        let roots: Vec<EventKey> = self.events.iter().map(|event| event.key).collect();
        let mut counts: HashMap<EventKey, i64> = HashMap::new();
        let mut participated: HashSet<EventKey> = self
            .events
            .iter()
            .filter(|event| event.sender == self.viewer.user)
            .map(|event| event.key)
            .collect();
        for (root, sender, count) in threads::counts(snap, &roots, self.until)? {
            if !self.options.ignored.contains(&sender) {
                *counts.entry(root).or_default() += count;
            }
            if sender == self.viewer.user {
                participated.insert(root);
            }
        }
        if counts.is_empty() {
            return Ok(HashMap::new());
        }
        let roots: Vec<EventKey> = counts.keys().copied().collect();
        let newest = threads::newest(snap, &roots, self.until, self.options.ignored)?;
        let latest = self.show(snap, newest, Level::InThread)?;
        Ok(latest
            .into_iter()
            .map(|(root, latest)| {
                let count = counts.get(&root).copied().unwrap_or_default();
                let took_part = participated.contains(&root);
                let thread = format!(
                    r#"{{"latest_event":{latest},"count":{count},"current_user_participated":{took_part}}}"#
                );
                (root, thread)
            })
            .collect())
    }

    /// Presents one child per event, where the viewer may see it.
    fn show(
        &self,
        snap: &mut Snapshot<'_>,
        children: HashMap<EventKey, EventKey>,
        level: Level,
    ) -> Result<HashMap<EventKey, String>, Error> {
        let keys: Vec<EventKey> = children.values().copied().collect();
        let rows = events::by_key(snap, &keys)?;
        let (parents, rows): (Vec<EventKey>, Vec<&EventRow>) = children
            .iter()
            .filter_map(|(parent, child)| Some((*parent, rows.get(child)?)))
            .unzip();
        let sights = sights(snap, self.viewer, &rows)?;
        let texts = present_texts(snap, self.viewer, &rows, self.options, level)?;
        Ok(parents
            .into_iter()
            .zip(texts)
            .zip(sights)
            .filter(|(_, sight)| sight.visible)
            .map(|(pair, _)| pair)
            .collect())
    }
}
