//! What the auth rules read of an event's content, read once when the event is parsed.
//!
//! Source: client-server API, the event types named below, Matrix v1.19.

use crate::json::{Object, Value};
use crate::membership::MemberContent;
use crate::power_levels::PowerLevels;
use crate::versions::Rules;

/// The content of an event, as far as the auth rules look into it.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthContent {
    /// `m.room.create`.
    Create(CreateContent),
    /// `m.room.member`.
    Member(MemberContent),
    /// `m.room.power_levels`, or what is wrong with it.
    PowerLevels(Result<Box<PowerLevels>, MalformedPowerLevels>),
    /// `m.room.join_rules`: the `join_rule`, where it is there; empty where it is no string.
    JoinRules(Option<Box<str>>),
    /// Any other type.
    Other,
}

/// What is wrong with the content of an `m.room.power_levels` event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPowerLevels {
    #[error("`{0}` of the power levels is not an integer")]
    NotAnInteger(String),
    #[error("`{0}` of the power levels is not an object")]
    NotAnObject(&'static str),
    #[error("`users` of the power levels names {0}, which is no user id")]
    NotAUser(String),
}

/// What the rules read of the content of `m.room.create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateContent {
    /// `creator`, where it is a string.
    pub creator: Option<String>,
    /// Whether there is a `creator` of any kind.
    pub has_creator: bool,
    /// `room_version`, where it is there: `Err` where it is no string.
    pub room_version: Option<Result<String, NotAString>>,
    /// Whether users of other servers may take part: false where `m.federate` is `false`.
    pub federate: bool,
    /// `additional_creators`, `None` where it is there but no list of user ids. Only read where creators have
    /// infinite power (from version 12).
    pub additional_creators: Option<Vec<String>>,
}

/// A field that should be a string is something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAString;

impl AuthContent {
    /// Whether the rules look into the content of events of this type.
    pub(crate) fn reads(event_type: &str) -> bool {
        matches!(
            event_type,
            "m.room.create" | "m.room.member" | "m.room.power_levels" | "m.room.join_rules"
        )
    }

    pub(crate) fn read(rules: &Rules, event_type: &str, content: &Object<'_>) -> AuthContent {
        match event_type {
            "m.room.create" => AuthContent::Create(CreateContent::read(content)),
            "m.room.member" => AuthContent::Member(MemberContent::read(content)),
            "m.room.power_levels" => {
                AuthContent::PowerLevels(PowerLevels::read(rules, content).map(Box::new))
            }
            "m.room.join_rules" => {
                let rule = content.get("join_rule");
                AuthContent::JoinRules(rule.map(|rule| rule.as_str().unwrap_or_default().into()))
            }
            _ => AuthContent::Other,
        }
    }
}

impl CreateContent {
    fn read(content: &Object<'_>) -> CreateContent {
        CreateContent {
            creator: content.get_str("creator").map(ToOwned::to_owned),
            has_creator: content.get("creator").is_some(),
            room_version: content
                .get("room_version")
                .map(|value| value.as_str().map(ToOwned::to_owned).ok_or(NotAString)),
            federate: content.get("m.federate").and_then(Value::as_bool) != Some(false),
            additional_creators: match content.get("additional_creators") {
                None => Some(Vec::new()),
                Some(value) => user_ids(value),
            },
        }
    }
}

fn user_ids(value: &Value<'_>) -> Option<Vec<String>> {
    let user_id = |value: &Value<'_>| {
        let text = value.as_str()?;
        <&ruma_common::UserId>::try_from(text)
            .ok()
            .map(|_| text.to_owned())
    };
    value.as_array()?.iter().map(user_id).collect()
}
