//! Making an event of our own: the fields a caller chooses, everything else filled in, hashed and signed.
//!
//! Source: server-server API "PDUs", "Auth events selection", "Signing events"; rooms v12 "Event format", Matrix v1.19.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ruma_common::{EventId, OwnedEventId, RoomId, UserId};

use crate::auth::selection::auth_event_keys;
use crate::auth_content::AuthContent;
use crate::canonical::{CanonicalError, Numbers, canonicalize};
use crate::hash::content_hash;
use crate::json::{Object, Value, parse_object};
use crate::pdu::{Pdu, PduError};
use crate::sign::{ServerKey, Verified, sign_event};
use crate::state::RoomState;
use crate::versions::Rules;

/// An event to be made.
#[derive(Clone, Copy)]
pub struct Draft<'a> {
    pub rules: &'static Rules,
    /// The room; of no meaning for the create event of a version 12 room, which makes its own.
    pub room_id: &'a RoomId,
    pub sender: &'a UserId,
    pub event_type: &'a str,
    /// `Some` for a state event.
    pub state_key: Option<&'a str>,
    /// The content, a JSON object.
    pub content: &'a str,
    /// For a redaction, what it redacts. It is written where the room version has it.
    pub redacts: Option<&'a EventId>,
    /// The events it follows: the room's extremities.
    pub prev_events: &'a [OwnedEventId],
    /// One more than the greatest depth among `prev_events`; 1 for the create event.
    pub depth: i64,
    /// Now, in milliseconds since 1970.
    pub origin_server_ts: i64,
}

/// Why an event can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The content is no JSON object, or holds numbers that events must not hold.
    #[error("the content is not allowed: {0}")]
    Content(CanonicalError),
    /// The event would break the event format, e.g. by its size.
    #[error(transparent)]
    Format(#[from] PduError),
}

impl Draft<'_> {
    /// Makes the event: chooses its auth events from `state` (the state before it), hashes and signs it.
    ///
    /// # Errors
    /// [`DraftError`] where the content or the size does not allow it. Whether the room allows it is not asked here.
    pub fn sign(&self, state: &dyn RoomState, key: &ServerKey) -> Result<Verified, DraftError> {
        let content = self.canonical_content()?;
        let event = self.unsigned_object(&content, state)?;
        self.finish(event, key)
    }

    /// The event without hashes and signatures, as JSON: what `/make_join` and its like hand to another server, which
    /// hashes and signs it.
    ///
    /// # Errors
    /// [`DraftError::Content`].
    pub fn template(&self, state: &dyn RoomState) -> Result<String, DraftError> {
        let content = self.canonical_content()?;
        let mut event = self.unsigned_object(&content, state)?;
        event.remove("event_id");
        let mut out = String::new();
        crate::canonical::write_value(&Value::Object(event), Numbers::Strict, &mut out)
            .map_err(DraftError::Content)?;
        Ok(out)
    }

    /// The content in canonical form. We send strict JSON in every version, whatever it would let pass.
    fn canonical_content(&self) -> Result<String, DraftError> {
        canonicalize(self.content, Numbers::Strict).map_err(DraftError::Content)
    }

    fn unsigned_object<'c>(
        &'c self,
        content: &'c str,
        state: &dyn RoomState,
    ) -> Result<Object<'c>, DraftError> {
        let mut content =
            parse_object(content).map_err(|error| DraftError::Content(error.into()))?;
        if let Some(redacts) = self.redacts
            && self.rules.redaction.redacts_in_content
        {
            content.insert("redacts", string(redacts.as_str()));
        }
        let auth_events = self.auth_events(&content, state);
        let mut event = Object::default();
        event.insert("type", string(self.event_type));
        event.insert("sender", string(self.sender.as_str()));
        event.insert("origin_server_ts", integer(self.origin_server_ts));
        event.insert("depth", integer(self.depth));
        event.insert("content", Value::Object(content));
        event.insert("prev_events", self.references(self.prev_events.to_vec()));
        event.insert("auth_events", self.references(auth_events));
        if !(self.event_type == "m.room.create" && self.rules.room_id_is_create_event()) {
            event.insert("room_id", string(self.room_id.as_str()));
        }
        if let Some(state_key) = self.state_key {
            event.insert("state_key", string(state_key));
        }
        if let Some(redacts) = self.redacts
            && !self.rules.redaction.redacts_in_content
        {
            event.insert("redacts", string(redacts.as_str()));
        }
        if self.rules.events_choose_their_id() {
            let hash = content_hash(self.rules, &event).map_err(DraftError::Content)?;
            // The id must differ from all others of this server: the hash of all else does.
            let id = format!(
                "${}:{}",
                URL_SAFE_NO_PAD.encode(hash),
                self.sender.server_name()
            );
            event.insert("event_id", Value::String(id.into()));
        }
        Ok(event)
    }

    fn auth_events(&self, content: &Object<'_>, state: &dyn RoomState) -> Vec<OwnedEventId> {
        let auth_content = AuthContent::read(self.rules, self.event_type, content);
        let keys = auth_event_keys(
            self.rules,
            self.event_type,
            self.state_key,
            self.sender.as_str(),
            &auth_content,
        );
        let found = keys
            .iter()
            .filter_map(|(event_type, state_key)| state.get(event_type, state_key));
        found.map(|pdu| pdu.event_id().to_owned()).collect()
    }

    /// A list of events as the room version writes it.
    fn references<'v>(&self, event_ids: Vec<OwnedEventId>) -> Value<'v> {
        let reference = |id: OwnedEventId| {
            let id = Value::String(Cow::Owned(id.as_str().to_owned()));
            match self.rules.events_choose_their_id() {
                // The hashes beside the ids were never checked by anyone, and later versions dropped them.
                true => Value::Array(vec![id, Value::Object(Object::default())]),
                false => id,
            }
        };
        Value::Array(event_ids.into_iter().map(reference).collect())
    }

    fn finish(&self, mut event: Object<'_>, key: &ServerKey) -> Result<Verified, DraftError> {
        sign_event(self.rules, &mut event, key).map_err(DraftError::Content)?;
        Ok(Verified::by_us(Pdu::from_object(self.rules, event, None)?))
    }
}

/// Hashes and signs an event that another server drafted for us (`/make_join`, `/make_leave`, `/make_knock`).
///
/// The caller has checked that it is what was asked for. For versions 1 and 2 the event gets an id of ours.
///
/// # Errors
/// Where the template is no event of this room version.
pub fn sign_template(
    rules: &'static Rules,
    template: &str,
    key: &ServerKey,
) -> Result<Verified, PduError> {
    let mut event = parse_object(template)?;
    for key in ["unsigned", "hashes", "signatures", "event_id"] {
        event.remove(key);
    }
    if rules.events_choose_their_id() {
        let id = format!(
            "${}:{}",
            URL_SAFE_NO_PAD.encode(content_hash(rules, &event)?),
            key.server()
        );
        event.insert("event_id", Value::String(id.into()));
    }
    sign_event(rules, &mut event, key)?;
    Ok(Verified::by_us(Pdu::from_object(rules, event, None)?))
}

fn string(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}

fn integer<'v>(value: i64) -> Value<'v> {
    Value::Number(Cow::Owned(value.to_string()))
}
