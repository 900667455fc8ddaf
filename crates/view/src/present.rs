//! Events in the form that clients get, with what belongs in `unsigned` for this viewer.
//!
//! Source: client-server API "Room event format" and `unsigned`, "Redactions", Matrix v1.19. Everything is loaded for a
//! page of events at once; bodies are copied, and only redacted ones are parsed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use room::client_format::{ClientBody, Unsigned};
use room::pdu::Pdu;
use room::versions::Rules;
use ruma_common::{OwnedEventId, RoomId};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::events::{self, EventRow};
use storage::rooms::{self, RoomRow};
use storage::{Error, EventKey, RoomKey, Snapshot, StateNo, UserKey, event_context};

use crate::bundle::{self, Level};
use crate::filter::{EventFormat, Fields};
use crate::{Sight, Viewer, sights};

/// How events shall look.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Now, for `age`.
    pub now_ms: u64,
    /// Whether events have a `room_id`: everywhere but in the answers of `/sync`.
    pub room_id: bool,
    pub format: EventFormat,
    /// Which members to send; none: all.
    pub fields: Option<&'a Fields>,
    /// Whether `unsigned` holds what depends on the event's place in the timeline: `membership`, `prev_content` and
    /// `replaces_state`.
    pub timeline: bool,
    /// Whether aggregations of child events are bundled.
    pub relations: bool,
    /// Users whose events are in no aggregation.
    pub ignored: &'a [UserKey],
}

impl<'a> Options<'a> {
    /// Events of a timeline, with all that belongs to them.
    pub fn timeline(now_ms: u64, ignored: &'a [UserKey]) -> Self {
        Self {
            now_ms,
            room_id: true,
            format: EventFormat::Client,
            fields: None,
            timeline: true,
            relations: true,
            ignored,
        }
    }

    /// Events of a state, whose place in the timeline is of no interest.
    pub fn state(now_ms: u64) -> Self {
        Self {
            timeline: false,
            relations: false,
            ..Self::timeline(now_ms, &[])
        }
    }

    /// As `/sync` gives them: without `room_id`.
    pub fn without_room_id(self) -> Self {
        Self {
            room_id: false,
            ..self
        }
    }
}

/// The events as the viewer gets them, one for each, in their order. Whether it may see them is asked before: see
/// [`crate::visible`].
pub fn present(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    events: Vec<EventRow>,
    options: &Options<'_>,
) -> Result<Vec<Box<RawValue>>, Error> {
    let events: Vec<&EventRow> = events.iter().collect();
    let level = if options.relations {
        Level::All
    } else {
        Level::Nothing
    };
    let texts = present_texts(snap, viewer, &events, options, level)?;
    Ok(texts
        .into_iter()
        .map(|text| {
            // What is stored was JSON when it was parsed, and what is spliced in is written by us.
            let event = RawValue::from_string(text).unwrap_or_default();
            match options.fields {
                Some(fields) => fields.keep(&event),
                None => event,
            }
        })
        .collect())
}

/// As [`present`], as text and with the aggregations of a level.
pub(crate) fn present_texts(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    events: &[&EventRow],
    options: &Options<'_>,
    level: Level,
) -> Result<Vec<String>, Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let surroundings = Surroundings::load(snap, viewer, events, options)?;
    let bundles = bundle::load(snap, viewer, events, options, level)?;
    Ok(events
        .iter()
        .map(|event| surroundings.write(event, bundles.get(&event.key), options))
        .collect())
}

/// The body of an event as it may be shown: as stored, or what redaction leaves of it. None only where the stored body
/// is no event.
pub(crate) fn shown_body<'a>(rules: &'static Rules, event: &'a EventRow) -> Option<Cow<'a, str>> {
    let body = str::from_utf8(&event.body).ok()?;
    if event.redacted_by.is_none() {
        return Some(Cow::Borrowed(body));
    }
    let event_id = OwnedEventId::try_from(event.event_id.as_str()).ok()?;
    let pdu = Pdu::from_stored(rules, event_id, body).ok()?;
    Some(Cow::Owned(pdu.redacted().json().to_owned()))
}

/// Leaves of an event what redaction would, without a redaction.
pub fn blank(rules: &'static Rules, event: &mut EventRow) {
    let redacted = EventRow {
        redacted_by: Some(event.key),
        ..event.clone()
    };
    event.body = shown_body(rules, &redacted)
        .unwrap_or_default()
        .into_owned()
        .into_bytes();
}

/// What a page of events needs beside itself.
struct Surroundings {
    rooms: HashMap<RoomKey, RoomRow>,
    /// Redactions and replaced state events.
    others: HashMap<EventKey, EventRow>,
    /// For state events: which one they replaced.
    replaced: HashMap<(i64, StateNo), EventKey>,
    sights: HashMap<EventKey, Sight>,
    transaction_ids: HashMap<EventKey, String>,
}

impl Surroundings {
    fn load(
        snap: &mut Snapshot<'_>,
        viewer: &Viewer,
        events: &[&EventRow],
        options: &Options<'_>,
    ) -> Result<Self, Error> {
        let room_keys: HashSet<RoomKey> = events.iter().map(|event| event.room).collect();
        let room_keys: Vec<RoomKey> = room_keys.into_iter().collect();
        let rooms = rooms::rooms_by_key(snap, &room_keys)?;
        let mut replaced = HashMap::new();
        if options.timeline {
            let pairs: Vec<_> = events
                .iter()
                .filter_map(|event| event.state_before.zip(event.state_no))
                .collect();
            replaced = event_context::entries(snap, &pairs)?;
        }
        let redactions = events.iter().filter_map(|event| event.redacted_by);
        let others: HashSet<EventKey> = redactions.chain(replaced.values().copied()).collect();
        let others: Vec<EventKey> = others.into_iter().collect();
        let others = events::by_key(snap, &others)?;
        let mut seen = HashMap::new();
        if options.timeline {
            let redactions = events
                .iter()
                .filter_map(|event| others.get(&event.redacted_by?));
            let all: Vec<&EventRow> = events.iter().copied().chain(redactions).collect();
            let sights = sights(snap, viewer, &all)?;
            seen = all.iter().map(|event| event.key).zip(sights).collect();
        }
        let mut transaction_ids = HashMap::new();
        if let Some(device) = viewer.device {
            let own: Vec<EventKey> = events
                .iter()
                .filter(|event| event.sender == viewer.user)
                .map(|event| event.key)
                .collect();
            if !own.is_empty() {
                transaction_ids = event_context::transaction_ids(snap, device, &own)?;
            }
        }
        Ok(Self {
            rooms,
            others,
            replaced,
            sights: seen,
            transaction_ids,
        })
    }

    fn write(&self, event: &EventRow, relations: Option<&String>, options: &Options<'_>) -> String {
        let (room, rules) = self.room(event);
        let room_id = <&RoomId>::try_from(room.room_id.as_str())
            .ok()
            .filter(|_| options.room_id);
        let because = event
            .redacted_by
            .and_then(|key| self.others.get(&key))
            .filter(|redaction| self.is_visible(redaction.key))
            .map(|redaction| client_body(rules, redaction).event(room_id, &Unsigned::default()));
        let replaced = event
            .state_before
            .zip(event.state_no)
            .and_then(|pair| self.others.get(self.replaced.get(&pair)?));
        let replaced_body = replaced.and_then(|replaced| shown_body(rules, replaced));
        let replaced_parts = replaced_body.as_deref().and_then(Replaced::read);
        let membership = self.sights.get(&event.key).map(|sight| {
            sight
                .membership
                .map_or("leave", |membership| membership.as_str())
        });
        let age = i64::try_from(options.now_ms)
            .unwrap_or(i64::MAX)
            .saturating_sub(event.ts)
            .max(0);
        let unsigned = Unsigned {
            age: Some(age),
            membership,
            prev_content: replaced_parts.as_ref().map(|parts| parts.content.get()),
            prev_sender: replaced_parts.as_ref().map(|parts| &*parts.sender),
            replaces_state: replaced.map(|replaced| replaced.event_id.as_str()),
            transaction_id: self.transaction_ids.get(&event.key).map(String::as_str),
            redacted_because: because.as_deref(),
            relations: relations.map(String::as_str),
            ..Unsigned::default()
        };
        match options.format {
            EventFormat::Client => client_body(rules, event).event(room_id, &unsigned),
            EventFormat::Federation => {
                let body = shown_body(rules, event).unwrap_or_default();
                let open = body.strip_suffix('}').unwrap_or(&body);
                ClientBody::from_kept(open).event(None, &unsigned)
            }
        }
    }

    /// Where nothing was asked, as for state, redactions are shown to whoever sees the event.
    fn is_visible(&self, event: EventKey) -> bool {
        self.sights.get(&event).is_none_or(|sight| sight.visible)
    }

    fn room(&self, event: &EventRow) -> (&RoomRow, &'static Rules) {
        let room = self.rooms.get(&event.room);
        let rules = room.and_then(|room| Rules::of_name(&room.room_version));
        match room.zip(rules) {
            Some(found) => found,
            None => panic!(
                "event {} is of no room whose rules are known",
                event.event_id
            ),
        }
    }
}

/// A stored event in client format, without `unsigned`.
fn client_body(rules: &'static Rules, event: &EventRow) -> ClientBody {
    let body = shown_body(rules, event).unwrap_or_default();
    ClientBody::of_stored(rules, &event.event_id, &event.event_type, &body)
}

/// What is told of a replaced state event.
#[derive(Deserialize)]
struct Replaced<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow)]
    sender: Cow<'a, str>,
}

impl<'a> Replaced<'a> {
    fn read(body: &'a str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }
}
