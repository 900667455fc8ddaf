//! What a client wants to see: the filters of `/sync`, `/messages` and their like.
//!
//! Source: client-server API "Filtering" (`Filter`, `RoomFilter`, `StateFilter`, `RoomEventFilter`, `EventFilter`),
//! Matrix v1.19. Pure: a filter is read once per request and asked for each event.

use ruma_common::{RoomId, UserId};
use serde::Deserialize;

mod fields;
mod pattern;

pub use fields::Fields;
pub use pattern::Pattern;

/// A filter's JSON is at most this long: some 500 rooms and as many senders, far more than clients send, and a bound
/// on the work for each event.
pub const FILTER_BYTES_MAX: usize = 65_536;

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not JSON at all.
    #[error("the filter is not JSON: {0}")]
    NotJson(String),
    /// JSON of another shape; the sentence names the member.
    #[error("the filter has the wrong shape: {0}")]
    Malformed(String),
    #[error("the filter is {0} bytes long; {FILTER_BYTES_MAX} are allowed")]
    TooLarge(usize),
}

/// All that a `/sync` request may narrow.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Filter {
    /// Which members of events to send; none: all.
    #[serde(default)]
    pub event_fields: Option<Fields>,
    #[serde(default)]
    pub event_format: EventFormat,
    #[serde(default)]
    pub presence: EventFilter,
    /// Account data that belongs to no room.
    #[serde(default)]
    pub account_data: EventFilter,
    #[serde(default)]
    pub room: RoomFilter,
}

/// In which form events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    #[default]
    Client,
    Federation,
}

/// What of rooms to send.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct RoomFilter {
    /// Only these rooms; none: all.
    #[serde(default)]
    pub rooms: Option<Vec<String>>,
    #[serde(default)]
    pub not_rooms: Vec<String>,
    /// Whether rooms that the user left are sent.
    #[serde(default)]
    pub include_leave: bool,
    #[serde(default)]
    pub timeline: RoomEventFilter,
    #[serde(default)]
    pub state: RoomEventFilter,
    #[serde(default)]
    pub ephemeral: RoomEventFilter,
    #[serde(default)]
    pub account_data: RoomEventFilter,
}

/// Which events to send, by sender and type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct EventFilter {
    /// At most this many.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Only events of these; none: of all.
    #[serde(default)]
    pub senders: Option<Vec<String>>,
    #[serde(default)]
    pub not_senders: Vec<String>,
    /// Only events of these types; `*` stands for any text.
    #[serde(default)]
    pub types: Option<Vec<Pattern>>,
    #[serde(default)]
    pub not_types: Vec<Pattern>,
}

/// Which events of rooms to send. State filters are the same ("StateFilter").
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct RoomEventFilter {
    #[serde(flatten)]
    pub event: EventFilter,
    /// Only from these rooms; none: from all.
    #[serde(default)]
    pub rooms: Option<Vec<String>>,
    #[serde(default)]
    pub not_rooms: Vec<String>,
    /// Only events with (or without) a `url` in their content.
    #[serde(default)]
    pub contains_url: Option<bool>,
    /// Whether the memberships of only those whose events are sent are sent.
    #[serde(default)]
    pub lazy_load_members: bool,
    /// Whether members that the client knows are sent again.
    #[serde(default)]
    pub include_redundant_members: bool,
    /// Whether unread counts are given apart for threads.
    #[serde(default)]
    pub unread_thread_notifications: bool,
}

impl Filter {
    /// Reads a filter as clients send it.
    ///
    /// # Errors
    /// [`FilterError`], with a sentence for the client.
    pub fn parse(json: &str) -> Result<Filter, FilterError> {
        let filter: Filter = parse(json)?;
        filter.room.check()?;
        filter.presence.check()?;
        filter.account_data.check()?;
        Ok(filter)
    }
}

impl RoomFilter {
    /// Whether anything of this room is wanted.
    pub fn allows_room(&self, room_id: &str) -> bool {
        allows(self.rooms.as_deref(), &self.not_rooms, room_id)
    }

    fn check(&self) -> Result<(), FilterError> {
        check_room_ids(self.rooms.iter().flatten().chain(&self.not_rooms))?;
        [
            &self.timeline,
            &self.state,
            &self.ephemeral,
            &self.account_data,
        ]
        .into_iter()
        .try_for_each(RoomEventFilter::check)
    }
}

impl EventFilter {
    /// Whether every event is wanted, so that nothing need be asked.
    pub fn allows_all(&self) -> bool {
        self.senders.is_none()
            && self.not_senders.is_empty()
            && self.types.is_none()
            && self.not_types.is_empty()
    }

    /// Whether an event of this type and sender is wanted.
    pub fn allows(&self, event_type: &str, sender: &str) -> bool {
        self.allows_type(event_type) && self.allows_sender(sender)
    }

    /// Whether events of this type are wanted.
    pub fn allows_type(&self, event_type: &str) -> bool {
        let one_of =
            |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(event_type));
        !one_of(&self.not_types) && self.types.as_deref().is_none_or(one_of)
    }

    /// Whether events of this sender are wanted.
    pub fn allows_sender(&self, sender: &str) -> bool {
        allows(self.senders.as_deref(), &self.not_senders, sender)
    }

    fn check(&self) -> Result<(), FilterError> {
        let mut senders = self.senders.iter().flatten().chain(&self.not_senders);
        match senders.find(|sender| <&UserId>::try_from(sender.as_str()).is_err()) {
            Some(sender) => Err(FilterError::Malformed(format!(
                "{sender:?} is not a user id"
            ))),
            None => Ok(()),
        }
    }
}

impl RoomEventFilter {
    /// Reads a filter as the query of `/messages` and `/context` holds it.
    ///
    /// # Errors
    /// [`FilterError`], with a sentence for the client.
    pub fn parse(json: &str) -> Result<RoomEventFilter, FilterError> {
        let filter: RoomEventFilter = parse(json)?;
        filter.check()?;
        Ok(filter)
    }

    /// Whether every event of every room is wanted, so that nothing need be asked.
    pub fn allows_all(&self) -> bool {
        self.event.allows_all()
            && self.rooms.is_none()
            && self.not_rooms.is_empty()
            && self.contains_url.is_none()
    }

    /// Whether events of this room are wanted.
    pub fn allows_room(&self, room_id: &str) -> bool {
        allows(self.rooms.as_deref(), &self.not_rooms, room_id)
    }

    /// Whether an event of an allowed room is wanted. `json` is the event (PDU or client format), read only where
    /// the filter asks for a `url`.
    pub fn allows(&self, event_type: &str, sender: &str, json: &[u8]) -> bool {
        self.event.allows(event_type, sender)
            && self
                .contains_url
                .is_none_or(|wanted| wanted == has_url(json))
    }

    fn check(&self) -> Result<(), FilterError> {
        check_room_ids(self.rooms.iter().flatten().chain(&self.not_rooms))?;
        self.event.check()
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, FilterError> {
    if json.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLarge(json.len()));
    }
    serde_json::from_str(json).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => FilterError::Malformed(error.to_string()),
        _ => FilterError::NotJson(error.to_string()),
    })
}

fn allows(only: Option<&[String]>, not: &[String], value: &str) -> bool {
    let is = |other: &String| other == value;
    !not.iter().any(is) && only.is_none_or(|only| only.iter().any(is))
}

fn check_room_ids<'a>(mut ids: impl Iterator<Item = &'a String>) -> Result<(), FilterError> {
    match ids.find(|id| <&RoomId>::try_from(id.as_str()).is_err()) {
        Some(id) => Err(FilterError::Malformed(format!("{id:?} is not a room id"))),
        None => Ok(()),
    }
}

/// Whether the content of an event has a `url`.
fn has_url(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Event {
        content: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        url: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Event>(json).is_ok_and(|event| event.content.url.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &[u8] = br#"{"content":{"url":"mxc://a/b"}}"#;
    const TEXT: &[u8] = br#"{"content":{"body":"url"}}"#;

    #[test]
    fn an_empty_filter_wants_all() {
        let filter = Filter::parse("{}").unwrap();
        assert_eq!(filter, Filter::default());
        assert!(filter.room.allows_room("!a:b") && filter.room.timeline.allows_all());
        assert!(filter.room.timeline.allows("m.x", "@a:b", TEXT));
    }

    #[test]
    fn what_is_excluded_wins_over_what_is_included() {
        let filter = RoomEventFilter::parse(
            r#"{"types":["m.room.*"],"not_types":["m.room.member"],"senders":["@a:b","@c:d"],"not_senders":["@c:d"],
                "rooms":["!a:b","!c:d"],"not_rooms":["!c:d"],"limit":3}"#,
        )
        .unwrap();
        let allows = |event_type, sender| filter.allows(event_type, sender, TEXT);
        assert!(allows("m.room.message", "@a:b"));
        assert!(!allows("m.room.member", "@a:b"));
        assert!(!allows("m.sticker", "@a:b"));
        assert!(!allows("m.room.message", "@c:d"));
        assert!(!allows("m.room.message", "@e:f"));
        assert!(filter.allows_room("!a:b"));
        assert!(!filter.allows_room("!c:d") && !filter.allows_room("!e:f"));
        assert_eq!(filter.event.limit, Some(3));
    }

    #[test]
    fn an_empty_list_wants_nothing() {
        for json in [r#"{"types":[]}"#, r#"{"senders":[]}"#] {
            assert!(
                !RoomEventFilter::parse(json)
                    .unwrap()
                    .allows("m.x", "@a:b", TEXT)
            );
        }
        assert!(
            !RoomEventFilter::parse(r#"{"rooms":[]}"#)
                .unwrap()
                .allows_room("!a:b")
        );
    }

    #[test]
    fn events_with_a_url_can_be_asked_for() {
        let allows = |json, event| {
            RoomEventFilter::parse(json)
                .unwrap()
                .allows("m.x", "@a:b", event)
        };
        assert!(allows(r#"{"contains_url":true}"#, IMAGE));
        assert!(!allows(r#"{"contains_url":true}"#, TEXT));
        assert!(!allows(r#"{"contains_url":false}"#, IMAGE));
        assert!(allows(r#"{"contains_url":false}"#, TEXT));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for json in [
            r#"{"presence":"not an object"}"#,
            r#"{"room":{"timeline":{"rooms":"not a list"}}}"#,
            r#"{"room":{"timeline":{"rooms":["not a room id"]}}}"#,
            r#"{"room":{"timeline":{"senders":["not a user id"]}}}"#,
            r#"{"room":{"rooms":["x"]}}"#,
            r#"{"room":{"state":{"limit":-1}}}"#,
            r#"{"event_format":"other"}"#,
            r#"{"event_fields":"content"}"#,
        ] {
            assert!(
                matches!(Filter::parse(json), Err(FilterError::Malformed(_))),
                "{json}"
            );
        }
        assert!(matches!(Filter::parse("{"), Err(FilterError::NotJson(_))));
        let large = format!(
            r#"{{"room":{{"rooms":["{}"]}}}}"#,
            "x".repeat(FILTER_BYTES_MAX)
        );
        assert!(matches!(
            Filter::parse(&large),
            Err(FilterError::TooLarge(_))
        ));
    }
}
