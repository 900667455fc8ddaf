//! Which rule matches an event: client-server API, "Push Rules" and "Conditions", Matrix v1.19.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::glob::Glob;
use super::ruleset::{Kind, Rule, Ruleset};
use crate::auth_content::AuthContent;
use crate::json::{Object, Value, parse_object};
use crate::pdu::Pdu;
use crate::power_levels::{Level, Powers};
use crate::state::RoomState;

/// What shall happen for an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Outcome {
    pub notify: bool,
    pub highlight: bool,
    /// The value of the sound tweak.
    pub sound: Option<String>,
    /// Whether the rule is about all of a room, or all rooms: what it silences is told from the ruleset on reading, so
    /// nothing need be kept per event.
    pub room_wide: bool,
}

/// An event as rules see it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    event_type: &'a str,
    sender: &'a str,
    room_id: &'a str,
    state_key: Option<&'a str>,
    content: Object<'a>,
}

/// What rules ask of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Joined members.
    pub member_count: u64,
    pub power: Power,
}

/// The sender's power, and the power that notifications need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Power {
    pub sender: Level,
    /// `notifications` of the power levels; 50 where it says nothing.
    pub notifications: BTreeMap<String, i64>,
}

/// Whose rules they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Empty for nobody: then no event is about the owner.
    pub user_id: &'a str,
    /// The display name in the room.
    pub displayname: Option<&'a str>,
}

/// A ruleset made ready for evaluation: enabled rules alone, in order. The user's own id is not in it (but where the user
/// wrote it), so that rulesets of different users may be equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    rules: Vec<Ready>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ready {
    conditions: Vec<Condition>,
    pub(super) outcome: Outcome,
    /// The actions, as JSON.
    actions: String,
}

/// What must hold for a rule to match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `event_match` on a property.
    Matches(Path, Glob),
    /// `event_match` on `content.body`: matches words.
    BodyMatches(Glob),
    /// `event_property_is`.
    Is(Path, Scalar),
    /// `event_property_contains`.
    Contains(Path, Scalar),
    /// The event's `m.mentions` name the user.
    MentionsOwner,
    /// The event's state key is the user.
    IsAboutOwner,
    /// `contains_display_name`: no longer in the spec (v1.17), but clients may have set it.
    ContainsDisplayName,
    /// `room_member_count`.
    MemberCount(Comparison, u64),
    /// `sender_notification_permission`.
    SenderMayNotify(String),
    /// A condition that this server does not know.
    Never,
}

/// A path to a property: appendices, "Dot-separated property paths".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    Less,
    Greater,
    AtLeast,
    AtMost,
}

/// A value that is no array and no object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
}

impl<'a> Subject<'a> {
    /// An event of its parts; `content` is a JSON object. Content that can't be read counts as empty.
    pub fn new(
        event_type: &'a str,
        sender: &'a str,
        room_id: &'a str,
        state_key: Option<&'a str>,
        content: &'a str,
    ) -> Self {
        Self {
            event_type,
            sender,
            room_id,
            state_key,
            content: parse_object(content).unwrap_or_default(),
        }
    }

    pub fn of(pdu: &'a Pdu) -> Self {
        Self::new(
            pdu.event_type(),
            pdu.sender().as_str(),
            pdu.room_id().as_str(),
            pdu.state_key(),
            pdu.content(),
        )
    }

    pub fn sender(&self) -> &str {
        self.sender
    }

    pub fn event_type(&self) -> &str {
        self.event_type
    }

    pub fn state_key(&self) -> Option<&str> {
        self.state_key
    }

    /// The users that the event's `m.mentions` name, as they are written.
    pub fn mentioned(&self) -> impl Iterator<Item = &str> {
        let mentions = self.content.get("m.mentions").and_then(Value::as_object);
        let users = mentions.and_then(|mentions| mentions.get("user_ids")?.as_array());
        users.into_iter().flatten().filter_map(Value::as_str)
    }

    /// The membership that a member event gives.
    pub fn membership(&self) -> Option<&str> {
        (self.event_type == "m.room.member" && self.state_key.is_some())
            .then(|| self.content.get_str("membership"))?
    }

    fn text(&self, path: &Path) -> Option<&str> {
        match &*path.0 {
            [top] => match top.as_str() {
                "type" => Some(self.event_type),
                "sender" => Some(self.sender),
                "room_id" => Some(self.room_id),
                "state_key" => self.state_key,
                _ => None,
            },
            _ => self.property(path)?.as_str(),
        }
    }

    fn scalar(&self, path: &Path) -> Option<Scalar> {
        match self.text(path) {
            Some(text) => Some(Scalar::Text(text.to_owned())),
            None => Scalar::of(self.property(path)?),
        }
    }

    fn property(&self, path: &Path) -> Option<&Value<'a>> {
        let [top, keys @ .., last] = &*path.0 else {
            return None;
        };
        if top != "content" {
            return None;
        }
        let mut object = &self.content;
        for key in keys {
            object = object.get(key)?.as_object()?;
        }
        object.get(last)
    }
}

impl Power {
    /// The sender's power in a room's state; a state that can't be read gives none.
    pub fn of(state: &dyn RoomState, sender: &str) -> Power {
        let levels = state.get("m.room.power_levels", "").map(Pdu::auth_content);
        let notifications = match levels {
            Some(AuthContent::PowerLevels(Ok(levels))) => levels.notifications.clone(),
            _ => BTreeMap::new(),
        };
        Power {
            sender: Powers::of(state).map_or(Level::Int(0), |powers| powers.of_user(sender)),
            notifications,
        }
    }

    fn may_notify(&self, key: &str) -> bool {
        /// "m.room.power_levels": the level of a notification that the event does not name.
        const DEFAULT: i64 = 50;
        let needed = self.notifications.get(key).copied().unwrap_or(DEFAULT);
        self.sender >= Level::Int(needed)
    }
}

impl Rules {
    pub fn of(ruleset: &Ruleset) -> Rules {
        let rules = Kind::ALL.into_iter().flat_map(|kind| {
            let enabled = ruleset.of_kind(kind).iter().filter(|rule| rule.enabled);
            enabled.map(move |rule| Ready::of(kind, rule))
        });
        Rules {
            rules: rules.collect(),
        }
    }

    /// The server's default rules.
    pub fn server_default() -> Rules {
        Rules::of(&Ruleset::server_default(""))
    }

    /// Whether what they say of an event may depend on the user's display name.
    pub fn ask_for_displayname(&self) -> bool {
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.any(|condition| *condition == Condition::ContainsDisplayName)
    }

    /// The actions (a JSON array) of the rule that decides. None: no rule matches.
    pub fn actions(
        &self,
        event: &Subject<'_>,
        context: &Context,
        owner: &Owner<'_>,
    ) -> Option<&str> {
        let rule = self.matching(event, context, owner)?;
        Some(&rule.actions)
    }

    pub(super) fn matching(
        &self,
        event: &Subject<'_>,
        context: &Context,
        owner: &Owner<'_>,
    ) -> Option<&Ready> {
        self.rules.iter().find(|rule| {
            let mut conditions = rule.conditions.iter();
            conditions.all(|condition| condition.holds(event, context, owner))
        })
    }
}

impl Ready {
    fn of(kind: Kind, rule: &Rule) -> Ready {
        let conditions = match kind {
            Kind::Override | Kind::Underride => conditions_of(rule),
            Kind::Content => vec![match &rule.pattern {
                Some(pattern) => Condition::BodyMatches(Glob::new(pattern)),
                None => Condition::Never,
            }],
            Kind::Room => vec![Condition::exact("room_id", &rule.rule_id)],
            Kind::Sender => vec![Condition::exact("sender", &rule.rule_id)],
        };
        let mut outcome = outcome_of(&rule.actions);
        outcome.room_wide = match kind {
            Kind::Room => true,
            Kind::Override => match &*conditions {
                [] => rule.rule_id == ".m.rule.master",
                [Condition::Matches(path, glob)] => path.0 == ["room_id"] && glob.is_literal(),
                _ => false,
            },
            _ => false,
        };
        Ready {
            conditions,
            outcome,
            actions: Json::from(rule.actions.clone()).to_string(),
        }
    }
}

fn conditions_of(rule: &Rule) -> Vec<Condition> {
    let conditions: Vec<Condition> = rule
        .conditions
        .iter()
        .flatten()
        .map(Condition::read)
        .collect();
    match &*rule.rule_id {
        ".m.rule.is_user_mention" => vec![Condition::MentionsOwner],
        ".m.rule.invite_for_me" => {
            let about_owner = |condition| match condition {
                Condition::Matches(path, _) if path.0 == ["state_key"] => Condition::IsAboutOwner,
                other => other,
            };
            conditions.into_iter().map(about_owner).collect()
        }
        _ => conditions,
    }
}

fn outcome_of(actions: &[Json]) -> Outcome {
    let mut outcome = Outcome::default();
    for action in actions {
        let value = action.get("value");
        match action.get("set_tweak").and_then(Json::as_str) {
            // A highlight without a value is one.
            Some("highlight") => outcome.highlight = value.is_none_or(|value| *value == true),
            Some("sound") => outcome.sound = value.and_then(Json::as_str).map(str::to_owned),
            _ => outcome.notify |= action == "notify",
        }
    }
    // Tweaks say how to notify: without a notification they say nothing.
    if outcome.notify {
        outcome
    } else {
        Outcome::default()
    }
}

impl Condition {
    fn exact(key: &str, value: &str) -> Condition {
        Condition::Matches(Path(vec![key.to_owned()]), Glob::literal(value))
    }

    /// Reads a condition. What is malformed or unknown never holds.
    fn read(json: &Json) -> Condition {
        let text = |name: &str| json.get(name).and_then(Json::as_str);
        let path = || text("key").map(Path::parse);
        let value = || json.get("value").and_then(Scalar::of_json);
        let condition = match text("kind") {
            Some("event_match") if text("key") == Some("content.body") => {
                text("pattern").map(|pattern| Condition::BodyMatches(Glob::new(pattern)))
            }
            Some("event_match") => path()
                .zip(text("pattern"))
                .map(|(path, pattern)| Condition::Matches(path, Glob::new(pattern))),
            Some("event_property_is") => path()
                .zip(value())
                .map(|(path, value)| Condition::Is(path, value)),
            Some("event_property_contains") => path()
                .zip(value())
                .map(|(path, value)| Condition::Contains(path, value)),
            Some("contains_display_name") => Some(Condition::ContainsDisplayName),
            Some("room_member_count") => text("is").and_then(Condition::member_count),
            Some("sender_notification_permission") => {
                text("key").map(|key| Condition::SenderMayNotify(key.to_owned()))
            }
            _ => None,
        };
        condition.unwrap_or(Condition::Never)
    }

    fn member_count(is: &str) -> Option<Condition> {
        let digits = is.trim_start_matches(['=', '<', '>']);
        let comparison = match &is[..is.len() - digits.len()] {
            "" | "==" => Comparison::Equal,
            "<" => Comparison::Less,
            ">" => Comparison::Greater,
            ">=" => Comparison::AtLeast,
            "<=" => Comparison::AtMost,
            _ => return None,
        };
        let is_decimal = digits.bytes().all(|digit| digit.is_ascii_digit());
        let count = digits.parse().ok().filter(|_| is_decimal)?;
        Some(Condition::MemberCount(comparison, count))
    }

    fn is_about_owner(&self) -> bool {
        matches!(self, Condition::MentionsOwner | Condition::IsAboutOwner)
    }

    fn holds(&self, event: &Subject<'_>, context: &Context, owner: &Owner<'_>) -> bool {
        match self {
            Condition::Matches(path, glob) => {
                event.text(path).is_some_and(|text| glob.matches(text))
            }
            Condition::BodyMatches(glob) => {
                body(event).is_some_and(|body| glob.matches_words(body))
            }
            Condition::Is(path, value) => event.scalar(path).is_some_and(|found| found == *value),
            Condition::Contains(path, value) => event
                .property(path)
                .and_then(Value::as_array)
                .is_some_and(|found| found.iter().any(|v| Scalar::of(v).as_ref() == Some(value))),
            // An empty id is nobody's, but an event may name it.
            _ if owner.user_id.is_empty() && self.is_about_owner() => false,
            Condition::MentionsOwner => event.mentioned().any(|user_id| user_id == owner.user_id),
            Condition::IsAboutOwner => event.state_key == Some(owner.user_id),
            Condition::ContainsDisplayName => owner
                .displayname
                .filter(|name| !name.is_empty())
                .zip(body(event))
                .is_some_and(|(name, body)| Glob::literal(name).matches_words(body)),
            Condition::MemberCount(comparison, count) => {
                let members = context.member_count;
                match comparison {
                    Comparison::Equal => members == *count,
                    Comparison::Less => members < *count,
                    Comparison::Greater => members > *count,
                    Comparison::AtLeast => members >= *count,
                    Comparison::AtMost => members <= *count,
                }
            }
            Condition::SenderMayNotify(key) => context.power.may_notify(key),
            Condition::Never => false,
        }
    }
}

fn body<'e>(event: &'e Subject<'_>) -> Option<&'e str> {
    event.content.get_str("body")
}

impl Path {
    /// Reads a path: dots separate, `\.` and `\\` stand for themselves; any other backslash for itself.
    fn parse(text: &str) -> Path {
        let mut keys = vec![String::new()];
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let escaped = (c == '\\').then(|| rest.next_if(|next| matches!(next, '.' | '\\')));
            let key = keys.len() - 1;
            match (c, escaped.flatten()) {
                (_, Some(escaped)) => keys[key].push(escaped),
                ('.', None) => keys.push(String::new()),
                (c, None) => keys[key].push(c),
            }
        }
        Path(keys)
    }
}

impl Scalar {
    fn of(value: &Value<'_>) -> Option<Scalar> {
        Some(match value {
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Number(_) => Scalar::Int(value.as_i64()?),
            Value::String(text) => Scalar::Text(text.clone().into_owned()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    fn of_json(value: &Json) -> Option<Scalar> {
        Some(match value {
            Json::Null => Scalar::Null,
            Json::Bool(value) => Scalar::Bool(*value),
            Json::Number(number) => Scalar::Int(number.as_i64()?),
            Json::String(text) => Scalar::Text(text.clone()),
            Json::Array(_) | Json::Object(_) => return None,
        })
    }
}
