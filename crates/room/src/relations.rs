//! What an event says of its relation to another: `m.relates_to`.
//!
//! Source: client-server API "Forming relationships between events", "Event replacements", "Threading", "Rich replies",
//! Matrix v1.19.

use ruma_common::{EventId, OwnedEventId};

use crate::json::{Object, parse_object};
use crate::pdu::Pdu;

/// `m.relates_to` of an event's content, as far as the server acts on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relations {
    /// `rel_type` and `event_id`, where both are there.
    pub relation: Option<Relation>,
    /// `m.in_reply_to`.
    pub in_reply_to: Option<OwnedEventId>,
    /// In a thread: whether `in_reply_to` is only for clients that know no threads.
    pub is_falling_back: bool,
}

/// One event's relation to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub rel_type: String,
    pub event_id: OwnedEventId,
    /// Of an annotation: the reaction.
    pub key: Option<String>,
}

/// `rel_type` of an edit.
pub const REPLACE: &str = "m.replace";
/// `rel_type` of a reaction.
pub const ANNOTATION: &str = "m.annotation";
/// `rel_type` of an event in a thread.
pub const THREAD: &str = "m.thread";
/// `rel_type` of a plain reference.
pub const REFERENCE: &str = "m.reference";

impl Relation {
    /// The root of the thread the event stands in.
    pub fn thread_root(&self) -> Option<&EventId> {
        (self.rel_type == THREAD).then_some(&*self.event_id)
    }

    /// The event that this one edits, if the rules for edits allow it (see [`may_replace`]).
    pub fn replaces(&self) -> Option<&EventId> {
        (self.rel_type == REPLACE).then_some(&*self.event_id)
    }
}

/// Reads the relations out of an event's content (JSON). What is malformed is as if it were not there.
pub fn relations(content: &str) -> Relations {
    // Most events relate to nothing, and need no parsing to say so.
    if !content.contains("\"m.relates_to\"") {
        return Relations::default();
    }
    let content = parse_object(content).unwrap_or_default();
    let Some(relates_to) = content
        .get("m.relates_to")
        .and_then(|value| value.as_object())
    else {
        return Relations::default();
    };
    let in_reply_to = relates_to
        .get("m.in_reply_to")
        .and_then(|value| value.as_object());
    Relations {
        relation: relation(relates_to),
        in_reply_to: in_reply_to.and_then(|reply| event_id(reply)),
        is_falling_back: relates_to
            .get("is_falling_back")
            .and_then(|value| value.as_bool())
            == Some(true),
    }
}

/// Whether `edit` is a valid replacement of `original` ("Validity of replacement events").
///
/// Its content and `m.relates_to` are in the clear even in encrypted rooms; only `m.new_content` is not.
pub fn may_replace(original: &Pdu, edit: &Pdu) -> bool {
    let is_edit = |pdu: &Pdu| {
        relations(pdu.content())
            .relation
            .is_some_and(|relation| relation.rel_type == REPLACE)
    };
    let has_new_content = || {
        parse_object(edit.content()).is_ok_and(|content| {
            content
                .get("m.new_content")
                .is_some_and(|new| new.as_object().is_some())
        })
    };
    original.room_id() == edit.room_id()
        && original.sender() == edit.sender()
        && original.event_type() == edit.event_type()
        && !original.is_state()
        && !edit.is_state()
        && !is_edit(original)
        && (edit.event_type() == "m.room.encrypted" || has_new_content())
}

fn relation(relates_to: &Object<'_>) -> Option<Relation> {
    Some(Relation {
        rel_type: relates_to.get_str("rel_type")?.to_owned(),
        event_id: event_id(relates_to)?,
        key: relates_to.get_str("key").map(ToOwned::to_owned),
    })
}

fn event_id(object: &Object<'_>) -> Option<OwnedEventId> {
    OwnedEventId::try_from(object.get_str("event_id")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaction_names_its_event_and_key() {
        let relation =
            relations(r#"{"m.relates_to":{"rel_type":"m.annotation","event_id":"$a","key":"👍"}}"#)
                .relation;
        let relation = relation.unwrap();
        assert_eq!(
            (relation.rel_type.as_str(), relation.key.as_deref()),
            (ANNOTATION, Some("👍"))
        );
        assert_eq!(relation.event_id.as_str(), "$a");
    }

    #[test]
    fn a_threaded_event_may_fall_back_to_a_reply() {
        let relations = relations(
            r#"{"m.relates_to":{"rel_type":"m.thread","event_id":"$root","is_falling_back":true,"m.in_reply_to":{"event_id":"$b"}}}"#,
        );
        assert_eq!(
            relations
                .relation
                .as_ref()
                .and_then(|relation| relation.thread_root())
                .unwrap()
                .as_str(),
            "$root"
        );
        assert_eq!(relations.in_reply_to.unwrap().as_str(), "$b");
        assert!(relations.is_falling_back);
    }

    #[test]
    fn what_is_malformed_relates_to_nothing() {
        for content in [
            "{}",
            r#"{"m.relates_to":1}"#,
            r#"{"m.relates_to":{"rel_type":"m.thread"}}"#,
            r#"{"m.relates_to":{"rel_type":1,"event_id":"$a"}}"#,
            r#"{"m.relates_to":{"rel_type":"m.thread","event_id":"a"}}"#,
            r#"{"body":"\"m.relates_to\""}"#,
        ] {
            assert_eq!(relations(content), Relations::default(), "{content}");
        }
    }
}
