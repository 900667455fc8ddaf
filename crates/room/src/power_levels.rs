//! Power levels: the content of `m.room.power_levels`, and who may do what by it.
//!
//! Source: client-server API, "m.room.power_levels"; rooms v1 "Deprecated event content schemas" (strings and floats),
//! rooms v10 (integers only), rooms v12 (creators), Matrix v1.19.

use std::collections::BTreeMap;

use ruma_common::UserId;

use crate::auth_content::{AuthContent, MalformedPowerLevels};
use crate::canonical::INTEGER_MAX;
use crate::json::{Object, Value};
use crate::pdu::Pdu;
use crate::state::RoomState;
use crate::versions::Rules;

/// How much power a user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A number; greater is mightier.
    Int(i64),
    /// Above all numbers: the creators of a room, from version 12.
    Infinite,
}

/// The content of an `m.room.power_levels` event. `None` is what it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PowerLevels {
    pub users: BTreeMap<String, i64>,
    pub users_default: Option<i64>,
    pub events: BTreeMap<String, i64>,
    pub events_default: Option<i64>,
    pub state_default: Option<i64>,
    pub ban: Option<i64>,
    pub redact: Option<i64>,
    pub kick: Option<i64>,
    pub invite: Option<i64>,
    pub notifications: BTreeMap<String, i64>,
}

/// Who has which power in a room: its power levels together with its creators.
///
/// This is what all questions "may this user …?" are asked of.
#[derive(Debug, Clone, Copy)]
pub struct Powers<'a> {
    create: &'a Pdu,
    levels: Option<&'a PowerLevels>,
}

/// Why the powers in a room can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowersError {
    #[error("the room has no create event")]
    NoCreateEvent,
    #[error(transparent)]
    Malformed(#[from] MalformedPowerLevels),
}

/// The power of a room's creator where there is no `m.room.power_levels` event.
const CREATOR_DEFAULT: i64 = 100;
const BAN_DEFAULT: i64 = 50;
const KICK_DEFAULT: i64 = 50;
const REDACT_DEFAULT: i64 = 50;
const INVITE_DEFAULT: i64 = 0;
const STATE_DEFAULT: i64 = 50;
const EVENTS_DEFAULT: i64 = 0;
const USERS_DEFAULT: i64 = 0;
const NOTIFICATIONS_DEFAULT: i64 = 50;

impl PowerLevels {
    pub(crate) fn read(
        rules: &Rules,
        content: &Object<'_>,
    ) -> Result<PowerLevels, MalformedPowerLevels> {
        let level = |key| read_level(rules, content, key);
        Ok(PowerLevels {
            users: read_users(rules, content)?,
            users_default: level("users_default")?,
            events: read_map(rules, content, "events")?,
            events_default: level("events_default")?,
            state_default: level("state_default")?,
            ban: level("ban")?,
            redact: level("redact")?,
            kick: level("kick")?,
            invite: level("invite")?,
            notifications: read_notifications(rules, content)?,
        })
    }
}

impl<'a> Powers<'a> {
    /// The powers in a room of this state.
    ///
    /// # Errors
    /// Where the state has no create event, or its power levels can't be read.
    pub fn of(state: &'a dyn RoomState) -> Result<Powers<'a>, PowersError> {
        let create = state
            .get("m.room.create", "")
            .ok_or(PowersError::NoCreateEvent)?;
        Self::new(create, state.get("m.room.power_levels", ""))
    }

    /// The powers by this create event and these power levels.
    ///
    /// # Errors
    /// Where the power levels can't be read.
    pub fn new(create: &'a Pdu, power_levels: Option<&'a Pdu>) -> Result<Powers<'a>, PowersError> {
        let levels = match power_levels.map(Pdu::auth_content) {
            Some(AuthContent::PowerLevels(Ok(levels))) => Some(&**levels),
            Some(AuthContent::PowerLevels(Err(malformed))) => return Err(malformed.clone().into()),
            _ => None,
        };
        Ok(Powers { create, levels })
    }

    /// The power of `user_id`.
    pub fn of_user(&self, user_id: &str) -> Level {
        if self.create.rules().auth.creators_have_infinite_power && is_creator(self.create, user_id)
        {
            return Level::Infinite;
        }
        match self.levels {
            Some(levels) => {
                let level = levels.users.get(user_id).copied().or(levels.users_default);
                Level::Int(level.unwrap_or(USERS_DEFAULT))
            }
            None if is_creator(self.create, user_id) => Level::Int(CREATOR_DEFAULT),
            None => Level::Int(USERS_DEFAULT),
        }
    }

    /// The power that sending an event of this type takes.
    pub fn to_send(&self, event_type: &str, is_state: bool) -> Level {
        let listed = self
            .levels
            .and_then(|levels| levels.events.get(event_type).copied());
        Level::Int(listed.unwrap_or_else(|| match is_state {
            true => self.named(|levels| levels.state_default, STATE_DEFAULT),
            false => self.named(|levels| levels.events_default, EVENTS_DEFAULT),
        }))
    }

    /// The power that banning takes (and unbanning, together with [`Powers::to_kick`]).
    pub fn to_ban(&self) -> Level {
        Level::Int(self.named(|levels| levels.ban, BAN_DEFAULT))
    }

    /// The power that kicking takes.
    pub fn to_kick(&self) -> Level {
        Level::Int(self.named(|levels| levels.kick, KICK_DEFAULT))
    }

    /// The power that redacting the events of others takes.
    pub fn to_redact(&self) -> Level {
        Level::Int(self.named(|levels| levels.redact, REDACT_DEFAULT))
    }

    /// The power that inviting takes.
    pub fn to_invite(&self) -> Level {
        Level::Int(self.named(|levels| levels.invite, INVITE_DEFAULT))
    }

    /// The power that a notification of this kind takes, e.g. `"room"` for `@room`.
    pub fn to_notify(&self, kind: &str) -> Level {
        let level = self
            .levels
            .and_then(|levels| levels.notifications.get(kind).copied());
        Level::Int(level.unwrap_or(NOTIFICATIONS_DEFAULT))
    }

    /// Whether `user_id` has the power to send an event of this type. It does not ask for membership.
    pub fn can_send(&self, user_id: &str, event_type: &str, is_state: bool) -> bool {
        self.of_user(user_id) >= self.to_send(event_type, is_state)
    }

    /// Whether `user_id` has the power to invite. It does not ask for membership.
    pub fn can_invite(&self, user_id: &str) -> bool {
        self.of_user(user_id) >= self.to_invite()
    }

    /// Whether `user_id` has the power to kick `target`.
    pub fn can_kick(&self, user_id: &str, target: &str) -> bool {
        let level = self.of_user(user_id);
        level >= self.to_kick() && self.of_user(target) < level
    }

    /// Whether `user_id` has the power to ban `target`.
    pub fn can_ban(&self, user_id: &str, target: &str) -> bool {
        let level = self.of_user(user_id);
        level >= self.to_ban() && self.of_user(target) < level
    }

    /// Whether a redaction takes effect: `sender` has the redact level, or its server sent the redacted event.
    ///
    /// Versions 1 and 2 have the rule in their auth rules; from version 3 on a server asks this when both events are
    /// known ("Handling redactions").
    pub fn can_redact(&self, sender: &UserId, redacted_sender: &UserId) -> bool {
        self.of_user(sender.as_str()) >= self.to_redact()
            || sender.server_name() == redacted_sender.server_name()
    }

    /// The levels of the `m.room.power_levels` event, where there is one.
    pub fn levels(&self) -> Option<&'a PowerLevels> {
        self.levels
    }

    fn named(&self, level: impl Fn(&PowerLevels) -> Option<i64>, default: i64) -> i64 {
        self.levels.and_then(level).unwrap_or(default)
    }
}

/// Whether `user_id` is a creator of the room by its create event: the sender (from version 11, before:
/// `content.creator`), and from version 12 the additional creators.
pub fn is_creator(create: &Pdu, user_id: &str) -> bool {
    creators(create).any(|creator| creator == user_id)
}

/// The creators of a room: one until version 11, and the additional ones from version 12.
pub fn creators(create: &Pdu) -> impl Iterator<Item = &str> {
    let auth = &create.rules().auth;
    let AuthContent::Create(content) = create.auth_content() else {
        return None.into_iter().chain([].iter().map(String::as_str));
    };
    let first = match auth.creator_is_sender {
        true => Some(create.sender().as_str()),
        false => content.creator.as_deref(),
    };
    let additional = match (
        auth.creators_have_infinite_power,
        &content.additional_creators,
    ) {
        (true, Some(additional)) => additional.as_slice(),
        _ => &[],
    };
    first
        .into_iter()
        .chain(additional.iter().map(String::as_str))
}

fn read_level(
    rules: &Rules,
    content: &Object<'_>,
    key: &str,
) -> Result<Option<i64>, MalformedPowerLevels> {
    match content.get(key) {
        None => Ok(None),
        // Old servers sent null for "not said".
        Some(Value::Null) if !rules.auth.integer_power_levels => Ok(None),
        Some(value) => integer(rules, value)
            .map(Some)
            .ok_or_else(|| MalformedPowerLevels::NotAnInteger(key.to_owned())),
    }
}

fn read_map(
    rules: &Rules,
    content: &Object<'_>,
    key: &'static str,
) -> Result<BTreeMap<String, i64>, MalformedPowerLevels> {
    let Some(value) = content.get(key) else {
        return Ok(BTreeMap::new());
    };
    let map = value
        .as_object()
        .ok_or(MalformedPowerLevels::NotAnObject(key))?;
    let entry = |(name, value): (&str, &Value<'_>)| match integer(rules, value) {
        Some(level) => Ok((name.to_owned(), level)),
        None => Err(MalformedPowerLevels::NotAnInteger(format!("{key}.{name}"))),
    };
    map.iter().map(entry).collect()
}

/// Until version 5 no rule looks at `notifications`, so nothing in it can be wrong: what is no level is not there.
fn read_notifications(
    rules: &Rules,
    content: &Object<'_>,
) -> Result<BTreeMap<String, i64>, MalformedPowerLevels> {
    let read = read_map(rules, content, "notifications");
    if rules.auth.limit_notifications {
        read
    } else {
        Ok(read.unwrap_or_default())
    }
}

fn read_users(
    rules: &Rules,
    content: &Object<'_>,
) -> Result<BTreeMap<String, i64>, MalformedPowerLevels> {
    let users = read_map(rules, content, "users")?;
    match users.keys().find(|user| !looks_like_a_user_id(user)) {
        Some(user) => Err(MalformedPowerLevels::NotAUser(user.clone())),
        None => Ok(users),
    }
}

/// The network's servers ask no more of the keys of `users` than this, and who asks more parts from them.
fn looks_like_a_user_id(text: &str) -> bool {
    text.starts_with('@') && text.contains(':')
}

fn integer(rules: &Rules, value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(text) if rules.auth.integer_power_levels => text.parse().ok(),
        Value::Number(text) => integer_of_digits(text).or_else(|| integer_of_float(text)),
        Value::String(text) if !rules.auth.integer_power_levels => integer_of_digits(text.trim()),
        _ => None,
    }
}

/// Reads digits after an optional sign. What is greater than 64 bits hold counts as the greatest they hold.
fn integer_of_digits(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if text.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    }))
}

/// Reads a float and cuts what follows the point.
fn integer_of_float(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the spec truncates; beyond 64 bits it saturates"
    )]
    value.is_finite().then_some(value as i64)
}

/// Power levels that clients set lie within ±this, as all integers of canonical JSON.
pub const LEVEL_MAX: i64 = INTEGER_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    fn read(version: &str, content: &str) -> Result<PowerLevels, MalformedPowerLevels> {
        PowerLevels::read(
            Rules::of_name(version).unwrap(),
            &parse_object(content).unwrap(),
        )
    }

    #[test]
    fn strings_and_floats_are_levels_until_version_9() {
        let table = [
            (r#""100""#, 100),
            (r#""000100""#, 100),
            (r#""+100""#, 100),
            (r#"" -100 ""#, -100),
            ("5.114698E4", 51146),
            ("50.57", 50),
            ("-50.57", -50),
            (r#""99999999999999999999""#, i64::MAX),
        ];
        for (written, level) in table {
            let content = format!(r#"{{"ban":{written}}}"#);
            assert_eq!(read("5", &content).unwrap().ban, Some(level), "{written}");
            assert!(read("10", &content).is_err(), "{written}");
        }
        for wrong in [
            r#""""#,
            r#""1.5""#,
            r#""--1""#,
            r#""0x10""#,
            r#""1e3""#,
            "true",
            "[]",
            "{}",
            "1e999",
        ] {
            assert!(
                read("5", &format!(r#"{{"ban":{wrong}}}"#)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn users_must_be_user_ids_with_levels() {
        assert!(read("1", r#"{"users":{"@a:b":1}}"#).is_ok());
        for wrong in [
            r#"{"users":[]}"#,
            r#"{"users":{"a:b":1}}"#,
            r#"{"users":{"@a":1}}"#,
            r#"{"users":{"@a:b":null}}"#,
        ] {
            for version in ["1", "10"] {
                assert!(read(version, wrong).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn nothing_is_above_a_creator() {
        assert!(Level::Infinite > Level::Int(i64::MAX));
        assert!(Level::Int(1) > Level::Int(0));
    }
}
