//! Events as clients see them: without what is for servers, with `unsigned` spliced in for the reader.
//!
//! Source: client-server API "Room event format" (ClientEvent, `unsigned`), "Stripped state", rooms v11 "Redactions"
//! (`redacts` at both places), Matrix v1.19.
//!
//! The body is made once per event ([`ClientBody`]); `unsigned` differs per reader and is added by copying bytes.

use ruma_common::RoomId;

use crate::canonical::write_string;
use crate::members::Members;
use crate::pdu::Pdu;
use crate::versions::Rules;

/// An event in the client format without `unsigned` and `room_id`, made once and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientBody {
    /// A JSON object without its closing brace.
    open: Box<str>,
}

/// What `unsigned` may hold. Raw JSON is copied as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unsigned<'a> {
    /// How old the event is in milliseconds, by our clock.
    pub age: Option<i64>,
    /// The reader's own membership when the event was sent.
    pub membership: Option<&'a str>,
    /// The content of the state event that this one replaced (raw JSON), where the reader may see it.
    pub prev_content: Option<&'a str>,
    /// The sender of that event.
    pub prev_sender: Option<&'a str>,
    /// The id of that event.
    pub replaces_state: Option<&'a str>,
    /// Only for the device that sent the event.
    pub transaction_id: Option<&'a str>,
    /// The redaction in client format (raw JSON).
    pub redacted_because: Option<&'a str>,
    /// Bundled aggregations (raw JSON).
    pub relations: Option<&'a str>,
    /// The stripped state of an invite (raw JSON list).
    pub invite_room_state: Option<&'a str>,
    /// The stripped state of a knock (raw JSON list).
    pub knock_room_state: Option<&'a str>,
}

impl ClientBody {
    /// The client's view of `pdu`.
    pub fn of(pdu: &Pdu) -> ClientBody {
        Self::of_stored(
            pdu.rules(),
            pdu.event_id().as_str(),
            pdu.event_type(),
            pdu.json(),
        )
    }

    /// The client's view of an event that was kept as [`Pdu::json`]: its bytes are copied, nothing is parsed.
    pub fn of_stored(rules: &Rules, event_id: &str, event_type: &str, json: &str) -> ClientBody {
        let redacts = redacts(rules, event_type, json);
        let in_content = rules.redaction.redacts_in_content;
        let mut open = String::with_capacity(json.len());
        for (key, value) in Members::of(json) {
            if is_for_servers(key) {
                continue;
            }
            push_key(key, &mut open);
            match redacts.filter(|_| key == "content" && !in_content) {
                Some(redacts) => push_content_with_redacts(value, redacts, &mut open),
                None => open.push_str(value),
            }
        }
        push_key("event_id", &mut open);
        write_string(event_id, &mut open);
        if let Some(redacts) = redacts.filter(|_| in_content) {
            push_key("redacts", &mut open);
            open.push_str(redacts);
        }
        ClientBody {
            open: open.into_boxed_str(),
        }
    }

    /// The body of kept bytes, as [`ClientBody::as_str`] gave them.
    pub fn from_kept(open: impl Into<Box<str>>) -> ClientBody {
        ClientBody { open: open.into() }
    }

    /// The bytes to keep: a JSON object without its closing brace.
    pub fn as_str(&self) -> &str {
        &self.open
    }

    /// The event for one reader; with `room_id`, as everywhere but in the answers of `/sync`.
    pub fn event(&self, room_id: Option<&RoomId>, unsigned: &Unsigned<'_>) -> String {
        let mut out = String::with_capacity(self.open.len() + 256);
        self.write(room_id, unsigned, &mut out);
        out
    }

    /// As [`ClientBody::event`], appended to `out`.
    pub fn write(&self, room_id: Option<&RoomId>, unsigned: &Unsigned<'_>, out: &mut String) {
        out.push_str(&self.open);
        if let Some(room_id) = room_id {
            push_key("room_id", out);
            write_string(room_id.as_str(), out);
        }
        unsigned.write(out);
        out.push('}');
    }
}

impl Unsigned<'_> {
    /// Appends `,"unsigned":{…}`, or nothing where there is nothing to say.
    fn write(&self, out: &mut String) {
        let start = out.len();
        push_key("unsigned", out);
        let inner = out.len();
        if let Some(age) = self.age {
            push_inner_key(inner, "age", out);
            out.push_str(&age.to_string());
        }
        let mut text = |key, value: Option<&str>| {
            if let Some(value) = value {
                push_inner_key(inner, key, out);
                write_string(value, out);
            }
        };
        text("membership", self.membership);
        text("prev_sender", self.prev_sender);
        text("replaces_state", self.replaces_state);
        text("transaction_id", self.transaction_id);
        let mut raw = |key, value: Option<&str>| {
            if let Some(value) = value {
                push_inner_key(inner, key, out);
                out.push_str(value);
            }
        };
        raw("prev_content", self.prev_content);
        raw("redacted_because", self.redacted_because);
        raw("m.relations", self.relations);
        raw("invite_room_state", self.invite_room_state);
        raw("knock_room_state", self.knock_room_state);
        match out.len() == inner {
            true => out.truncate(start),
            false => out.push('}'),
        }
    }
}

/// A state event as it stands in `invite_room_state` and its like: `content`, `sender`, `state_key`, `type`.
pub fn stripped(pdu: &Pdu) -> String {
    let mut out = String::with_capacity(pdu.content().len() + 128);
    push_key("content", &mut out);
    out.push_str(pdu.content());
    push_key("sender", &mut out);
    write_string(pdu.sender().as_str(), &mut out);
    push_key("state_key", &mut out);
    write_string(pdu.state_key().unwrap_or_default(), &mut out);
    push_key("type", &mut out);
    write_string(pdu.event_type(), &mut out);
    out.push('}');
    out
}

/// What clients are not shown, or what is written anew: ids are ours to say, whatever the event says.
fn is_for_servers(key: &str) -> bool {
    matches!(
        key,
        "auth_events"
            | "prev_events"
            | "prev_state"
            | "depth"
            | "hashes"
            | "signatures"
            | "origin"
            | "unsigned"
            | "age"
            | "age_ts"
            | "event_id"
            | "room_id"
            | "membership"
    )
}

/// What a redaction redacts, as a JSON string, from where its room version has it. It is shown at the other place too:
/// clients of rooms before version 11 may look in the content, those of later ones at the top level.
fn redacts<'a>(rules: &Rules, event_type: &str, json: &'a str) -> Option<&'a str> {
    let member = |object: &'a str, name| {
        Members::of(object)
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    if event_type != "m.room.redaction" {
        return None;
    }
    match rules.redaction.redacts_in_content {
        true => member(json, "content").and_then(|content| member(content, "redacts")),
        false => member(json, "redacts"),
    }
    .filter(|value| value.starts_with('"'))
}

fn push_content_with_redacts(content: &str, redacts: &str, out: &mut String) {
    let open = content.strip_suffix('}').unwrap_or(content);
    if Members::of(content).any(|(key, _)| key == "redacts") {
        return out.push_str(content);
    }
    out.push_str(open);
    out.push_str(if open == "{" { "" } else { "," });
    out.push_str("\"redacts\":");
    out.push_str(redacts);
    out.push('}');
}

/// Appends `"key":` with what must stand before it. The keys are ours or canonical already, so need no escapes.
fn push_key(key: &str, out: &mut String) {
    out.push(if out.is_empty() { '{' } else { ',' });
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
}

fn push_inner_key(inner: usize, key: &str, out: &mut String) {
    out.push(if out.len() == inner { '{' } else { ',' });
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::Rules;

    fn pdu(version: &str, more: &str) -> Pdu {
        let json = format!(
            r#"{{"auth_events":[],"depth":3,"hashes":{{}},"origin_server_ts":1,"prev_events":[],"room_id":"!r:b",
               "sender":"@a:b","signatures":{{"b":{{"ed25519:1":"x\"}}"}}}},{more}}}"#
        );
        Pdu::parse(Rules::of_name(version).unwrap(), &json).unwrap()
    }

    #[test]
    fn clients_see_no_federation_fields() {
        let pdu = pdu(
            "11",
            r#""type":"m.x","content":{"a":["}",{"b":"\\\""}]},"event_id":"$forged","state_key":"","new":1"#,
        );
        let event = ClientBody::of(&pdu).event(Some(pdu.room_id()), &Unsigned::default());
        assert_eq!(
            event,
            format!(
                r#"{{"content":{{"a":["}}",{{"b":"\\\""}}]}},"new":1,"origin_server_ts":1,"sender":"@a:b","state_key":"","type":"m.x","event_id":"{}","room_id":"!r:b"}}"#,
                pdu.event_id()
            )
        );
        assert!(serde_json::from_str::<serde_json::Value>(&event).is_ok());
    }

    #[test]
    fn unsigned_is_spliced_in() {
        let body = ClientBody::of(&pdu("11", r#""type":"m.x","content":{}"#));
        let unsigned = Unsigned {
            age: Some(5),
            membership: Some("join"),
            transaction_id: Some("t\""),
            prev_content: Some("{\"a\":1}"),
            relations: Some("{}"),
            ..Unsigned::default()
        };
        let event: serde_json::Value = serde_json::from_str(&body.event(None, &unsigned)).unwrap();
        let expected = serde_json::json!({
            "age": 5, "membership": "join", "transaction_id": "t\"", "prev_content": {"a": 1}, "m.relations": {}
        });
        assert_eq!(event["unsigned"], expected);
        assert_eq!(event.get("room_id"), None);
    }

    #[test]
    fn redacts_stands_where_old_and_new_clients_look() {
        for (version, fields) in [
            (
                "11",
                r#""type":"m.room.redaction","content":{"redacts":"$x"}"#,
            ),
            (
                "10",
                r#""type":"m.room.redaction","redacts":"$x","content":{"reason":"r"}"#,
            ),
            (
                "10",
                r#""type":"m.room.redaction","redacts":"$x","content":{}"#,
            ),
        ] {
            let event = ClientBody::of(&pdu(version, fields)).event(None, &Unsigned::default());
            let event: serde_json::Value = serde_json::from_str(&event).unwrap();
            assert_eq!(
                (
                    event["redacts"].as_str(),
                    event["content"]["redacts"].as_str()
                ),
                (Some("$x"), Some("$x"))
            );
        }
    }

    #[test]
    fn stripped_state_has_four_fields() {
        let stripped = stripped(&pdu(
            "11",
            r#""type":"m.room.name","state_key":"","content":{"name":"n"}"#,
        ));
        assert_eq!(
            stripped,
            r#"{"content":{"name":"n"},"sender":"@a:b","state_key":"","type":"m.room.name"}"#
        );
    }
}
