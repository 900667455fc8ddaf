//! An event of a room as servers exchange it: a [`Pdu`], parsed once, its JSON kept.
//!
//! Source: rooms v1, v3, v4, v6, v11, v12 "Event format" and client-server API "Size limits", Matrix v1.19.

use std::ops::Range;

use ruma_common::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId};

use crate::auth_content::AuthContent;
use crate::canonical::{CanonicalError, write_string, write_value};
use crate::hash::{event_id, reference_hash};
use crate::json::{self, JsonError, Object, Value, parse_object};
use crate::members::Members;
use crate::redact::redact;
use crate::versions::Rules;

/// An event is at most this long as canonical JSON, signatures and all ("Size limits").
pub const EVENT_BYTES_MAX: usize = 65_536;
/// Ids, types and state keys are at most this long in bytes ("Size limits").
pub const NAME_BYTES_MAX: usize = 255;
/// An event follows at most this many ("PDU": `prev_events`).
pub const PREV_EVENTS_MAX: usize = 20;
/// An event names at most this many events that allow it ("PDU": `auth_events`).
pub const AUTH_EVENTS_MAX: usize = 10;

/// A parsed event. That it parses says nothing of its signatures (see [`crate::sign::verify`]) or of its right to be
/// there (see [`crate::admit`]).
///
/// It holds its own JSON: canonical, in the federation format of its room version, without `unsigned`.
#[derive(Debug, Clone)]
pub struct Pdu {
    rules: &'static Rules,
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    event_type: Box<str>,
    state_key: Option<Box<str>>,
    origin_server_ts: i64,
    depth: i64,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    has_room_id: bool,
    auth_content: AuthContent,
    json: Box<str>,
    content: Range<usize>,
}

/// Why a text is not an event of its room version. Such an event is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` is not {1}")]
    Malformed(&'static str, &'static str),
    #[error("the event is {0} bytes long; {EVENT_BYTES_MAX} are allowed")]
    TooLarge(usize),
    #[error("`{0}` is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong(&'static str),
    #[error("`{0}` names too many events")]
    TooManyEvents(&'static str),
}

impl From<JsonError> for PduError {
    fn from(error: JsonError) -> Self {
        PduError::Canonical(CanonicalError::Json(error))
    }
}

impl Pdu {
    /// Reads an event as another server sent it and computes its id.
    ///
    /// # Errors
    /// [`PduError`] where the text is not an event of this room version, or too large.
    pub fn parse(rules: &'static Rules, text: &str) -> Result<Pdu, PduError> {
        Self::from_object(rules, parse_object(text)?, None)
    }

    /// Reads an event from bytes, as [`Pdu::parse`] does.
    ///
    /// # Errors
    /// As [`Pdu::parse`], and where the bytes are not UTF-8.
    pub fn parse_bytes(rules: &'static Rules, bytes: &[u8]) -> Result<Pdu, PduError> {
        let text = str::from_utf8(bytes).map_err(|error| JsonError::Syntax {
            what: "not UTF-8",
            at: error.valid_up_to(),
        })?;
        Self::parse(rules, text)
    }

    /// Reads an event that was parsed before and kept as [`Pdu::json`]: its id is known, so nothing is hashed.
    ///
    /// # Errors
    /// As [`Pdu::parse`]; with JSON that came of [`Pdu::json`] there is none.
    pub fn from_stored(
        rules: &'static Rules,
        event_id: OwnedEventId,
        json: &str,
    ) -> Result<Pdu, PduError> {
        let Some((event, content)) = stored_fields(rules, json)? else {
            return Self::from_object(rules, parse_object(json)?, Some(event_id));
        };
        let mut pdu = Self::read(rules, &event, Some(event_id))?;
        (pdu.json, pdu.content) = (json.into(), content);
        Ok(pdu)
    }

    pub(crate) fn from_object(
        rules: &'static Rules,
        mut event: Object<'_>,
        known_id: Option<OwnedEventId>,
    ) -> Result<Pdu, PduError> {
        event.remove("unsigned");
        let mut pdu = Self::read(rules, &event, known_id)?;
        (pdu.json, pdu.content) = write_event(rules, &event)?;
        if pdu.json.len() > EVENT_BYTES_MAX {
            return Err(PduError::TooLarge(pdu.json.len()));
        }
        Ok(pdu)
    }

    /// Reads the fields of an event; its JSON stays empty.
    fn read(
        rules: &'static Rules,
        event: &Object<'_>,
        known_id: Option<OwnedEventId>,
    ) -> Result<Pdu, PduError> {
        let event_type = name(event, "type")?.ok_or(PduError::Missing("type"))?;
        let state_key = name(event, "state_key")?;
        let sender = user_id(event, "sender")?;
        let Some(content) = object(event, "content")? else {
            return Err(PduError::Missing("content"));
        };
        object(event, "hashes")?;
        object(event, "signatures")?;
        let event_id = match known_id {
            Some(event_id) => event_id,
            None => own_event_id(rules, event)?,
        };
        let is_create = event_type == "m.room.create" && state_key == Some("");
        let room_id = own_room_id(rules, event, &event_id, is_create)?;
        let redacts = match rules.redaction.redacts_in_content {
            true => content.get_str("redacts"),
            false => event.get_str("redacts"),
        };
        let auth_content = AuthContent::read(rules, event_type, content);
        let pdu = Pdu {
            rules,
            event_id,
            room_id,
            sender,
            redacts: redacts.and_then(|id| OwnedEventId::try_from(id).ok()),
            event_type: event_type.into(),
            state_key: state_key.map(Into::into),
            origin_server_ts: integer(event, "origin_server_ts")?,
            depth: integer(event, "depth")?,
            prev_events: event_ids(rules, event, "prev_events", PREV_EVENTS_MAX)?,
            auth_events: event_ids(rules, event, "auth_events", AUTH_EVENTS_MAX)?,
            has_room_id: event.get("room_id").is_some(),
            auth_content,
            json: Box::default(),
            content: 0..0,
        };
        if pdu.depth < 0 {
            return Err(PduError::Malformed("depth", "zero or more"));
        }
        Ok(pdu)
    }

    /// The rules of the room version it was read by.
    pub fn rules(&self) -> &'static Rules {
        self.rules
    }

    /// Its id: chosen (versions 1 and 2) or made of its reference hash.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// Its room. For a version 12 create event, which says none, made of its id.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// The server its sender belongs to, whose signature it must bear.
    pub fn sender_server(&self) -> &ServerName {
        self.sender.server_name()
    }

    /// Its `type`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Its state key; a state event has one, if only an empty one.
    pub fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// Whether it is state of exactly this type and key.
    pub fn is(&self, event_type: &str, state_key: &str) -> bool {
        self.event_type() == event_type && self.state_key() == Some(state_key)
    }

    /// Milliseconds since 1970 by the sending server's clock, which may lie.
    pub fn origin_server_ts(&self) -> i64 {
        self.origin_server_ts
    }

    /// How deep in the graph the sending server says it is.
    pub fn depth(&self) -> i64 {
        self.depth
    }

    /// The events it follows.
    pub fn prev_events(&self) -> &[OwnedEventId] {
        &self.prev_events
    }

    /// The state events that allow it, as its sender says.
    pub fn auth_events(&self) -> &[OwnedEventId] {
        &self.auth_events
    }

    /// Of an `m.room.redaction`: what it redacts, from where its room version has it. Other events too may have such
    /// a field, and it means nothing there.
    pub fn redacts(&self) -> Option<&EventId> {
        self.redacts.as_deref()
    }

    /// Its JSON: canonical, in federation format, without `unsigned`. This is what is stored and sent to servers.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON of its `content`.
    pub fn content(&self) -> &str {
        &self.json[self.content.clone()]
    }

    /// What the auth rules read of its content.
    pub fn auth_content(&self) -> &AuthContent {
        &self.auth_content
    }

    /// Whether its JSON has a `room_id` (a version 12 create event has none).
    pub(crate) fn has_room_id(&self) -> bool {
        self.has_room_id
    }

    /// What is left of it when it is redacted; its id stays.
    pub fn redacted(&self) -> Pdu {
        let parsed = parse_object(&self.json).ok().and_then(|mut event| {
            redact(self.rules, &mut event);
            Self::from_object(self.rules, event, Some(self.event_id.clone())).ok()
        });
        // A parsed event's JSON parses, and redaction keeps every field that parsing asks for.
        parsed.unwrap_or_else(|| self.clone())
    }

    /// Its JSON as a tree, to hash, sign or change.
    pub(crate) fn object(&self) -> Object<'_> {
        // The JSON was written by us from a parsed object.
        parse_object(&self.json).unwrap_or_default()
    }
}

/// The fields of a stored event that are read, and where its content stands, without parsing what nobody reads.
///
/// `None` where the text is not in the form that [`Pdu::json`] has.
fn stored_fields<'t>(
    rules: &Rules,
    json: &'t str,
) -> Result<Option<(Object<'t>, Range<usize>)>, PduError> {
    let mut event = Object::default();
    let mut content = None;
    let mut members = Members::of(json);
    while let Some((key, value)) = members.next() {
        match key {
            "content" => {
                let end = json.len() - members.rest().len();
                content = Some((value, end - value.len()..end));
            }
            "unsigned" => return Ok(None),
            "type" | "state_key" | "sender" | "room_id" | "origin_server_ts" | "depth"
            | "prev_events" | "auth_events" | "redacts" | "event_id" => {
                event.insert(key, json::parse(value)?)
            }
            _ => {}
        }
    }
    let (Some((content, span)), Some(event_type)) = (content, event.get_str("type")) else {
        return Ok(None);
    };
    let parsed = match AuthContent::reads(event_type)
        || rules.redaction.redacts_in_content && event_type == "m.room.redaction"
    {
        true => json::parse(content)?,
        false => Value::Object(Object::default()),
    };
    event.insert("content", parsed);
    Ok(Some((event, span)))
}

fn object<'e, 'a>(
    event: &'e Object<'a>,
    key: &'static str,
) -> Result<Option<&'e Object<'a>>, PduError> {
    match event.get(key) {
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(PduError::Malformed(key, "an object")),
        None => Ok(None),
    }
}

fn string<'e>(event: &'e Object<'_>, key: &'static str) -> Result<Option<&'e str>, PduError> {
    match event.get(key) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(PduError::Malformed(key, "a string")),
        None => Ok(None),
    }
}

fn name<'e>(event: &'e Object<'_>, key: &'static str) -> Result<Option<&'e str>, PduError> {
    let name = string(event, key)?;
    if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return Err(PduError::NameTooLong(key));
    }
    Ok(name)
}

fn integer(event: &Object<'_>, key: &'static str) -> Result<i64, PduError> {
    let value = event.get(key).ok_or(PduError::Missing(key))?;
    value.as_i64().ok_or(PduError::Malformed(key, "an integer"))
}

fn user_id(event: &Object<'_>, key: &'static str) -> Result<OwnedUserId, PduError> {
    let text = name(event, key)?.ok_or(PduError::Missing(key))?;
    OwnedUserId::try_from(text).map_err(|_| PduError::Malformed(key, "a user id"))
}

fn own_event_id(rules: &Rules, event: &Object<'_>) -> Result<OwnedEventId, PduError> {
    let not_an_id = PduError::Malformed("event_id", "an event id");
    if rules.events_choose_their_id() {
        let text = name(event, "event_id")?.ok_or(PduError::Missing("event_id"))?;
        return OwnedEventId::try_from(text)
            .ok()
            .filter(|id| id.server_name().is_some())
            .ok_or(not_an_id);
    }
    let id = event_id(rules, &reference_hash(rules, event)?).ok_or(not_an_id.clone())?;
    OwnedEventId::try_from(id).map_err(|_| not_an_id)
}

fn own_room_id(
    rules: &Rules,
    event: &Object<'_>,
    event_id: &EventId,
    is_create: bool,
) -> Result<OwnedRoomId, PduError> {
    let not_an_id = PduError::Malformed("room_id", "a room id");
    match name(event, "room_id")? {
        Some(room_id) => OwnedRoomId::try_from(room_id).map_err(|_| not_an_id),
        None if is_create && rules.room_id_is_create_event() => {
            OwnedRoomId::try_from(event_id.as_str().replacen('$', "!", 1)).map_err(|_| not_an_id)
        }
        None => Err(PduError::Missing("room_id")),
    }
}

/// Reads a list of event ids: plain, or (versions 1 and 2) pairs of an id and its hashes.
fn event_ids(
    rules: &Rules,
    event: &Object<'_>,
    key: &'static str,
    count_max: usize,
) -> Result<Vec<OwnedEventId>, PduError> {
    let list = event.get(key).ok_or(PduError::Missing(key))?;
    let list = list.as_array().ok_or(PduError::Malformed(key, "a list"))?;
    if list.len() > count_max {
        return Err(PduError::TooManyEvents(key));
    }
    let not_an_id = PduError::Malformed(key, "a list of event ids");
    let id = |value: &Value<'_>| {
        let text = match (rules.events_choose_their_id(), value) {
            (true, Value::Array(pair)) => pair.first().and_then(Value::as_str),
            (false, value) => value.as_str(),
            (true, _) => None,
        };
        let id = text
            .filter(|text| text.len() <= NAME_BYTES_MAX)
            .and_then(|text| OwnedEventId::try_from(text).ok());
        id.ok_or(not_an_id.clone())
    };
    list.iter().map(id).collect()
}

/// Writes the event canonically, and tells where in the text its content stands.
fn write_event(
    rules: &Rules,
    event: &Object<'_>,
) -> Result<(Box<str>, Range<usize>), CanonicalError> {
    let mut out = String::with_capacity(1024);
    let mut content = 0..0;
    for (key, value) in event.iter() {
        out.push(if out.is_empty() { '{' } else { ',' });
        write_string(key, &mut out);
        out.push(':');
        let start = out.len();
        write_value(value, rules.numbers(), &mut out)?;
        if key == "content" {
            content = start..out.len();
        }
    }
    out.push('}');
    Ok((out.into_boxed_str(), content))
}
