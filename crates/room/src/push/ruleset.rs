//! Rulesets as clients see them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::defaults::default_rules;

/// The kinds of rules, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Override,
    Content,
    Room,
    Sender,
    Underride,
}

impl Kind {
    pub const ALL: [Kind; 5] = [
        Kind::Override,
        Kind::Content,
        Kind::Room,
        Kind::Sender,
        Kind::Underride,
    ];

    /// The spec's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Override => "override",
            Kind::Content => "content",
            Kind::Room => "room",
            Kind::Sender => "sender",
            Kind::Underride => "underride",
        }
    }

    /// Reads the spec's word.
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether rules of this kind say in `conditions` what they match.
    pub fn has_conditions(self) -> bool {
        matches!(self, Kind::Override | Kind::Underride)
    }
}

/// One rule, as in the spec's `PushRule`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `notify`, or tweaks.
    pub actions: Vec<Value>,
    /// Of override and underride rules: all must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Value>>,
    /// Whether it is one of the server's.
    #[serde(default)]
    pub default: bool,
    pub enabled: bool,
    /// Of content rules: the glob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    pub rule_id: String,
}

/// All rules of a user, the most important of each kind first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ruleset {
    #[serde(default)]
    pub(super) r#override: Vec<Rule>,
    #[serde(default)]
    pub(super) content: Vec<Rule>,
    #[serde(default)]
    pub(super) room: Vec<Rule>,
    #[serde(default)]
    pub(super) sender: Vec<Rule>,
    #[serde(default)]
    pub(super) underride: Vec<Rule>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    global: Ruleset,
}

/// Why a text is no content of `m.push_rules`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the content of m.push_rules: {0}")]
pub struct RulesetError(String);

impl Ruleset {
    /// The server's default rules for a user.
    pub fn server_default(user_id: &str) -> Ruleset {
        let of = |kind| default_rules(user_id, kind);
        Ruleset {
            r#override: of(Kind::Override),
            content: of(Kind::Content),
            room: of(Kind::Room),
            sender: of(Kind::Sender),
            underride: of(Kind::Underride),
        }
    }

    /// Reads the content of `m.push_rules`, as it is.
    ///
    /// # Errors
    /// Where it is no JSON of that shape.
    pub fn parse(content: &[u8]) -> Result<Ruleset, RulesetError> {
        serde_json::from_slice(content)
            .map(|Content { global }| global)
            .map_err(|error| RulesetError(error.to_string()))
    }

    /// A user's rules: what is stored, with the server's default rules of today in the places where they belong.
    /// What can't be read counts as nothing stored.
    pub fn load(user_id: &str, stored: Option<&[u8]>) -> Ruleset {
        let mut rules = Ruleset::server_default(user_id);
        let Some(Ok(mut stored)) = stored.map(Ruleset::parse) else {
            return rules;
        };
        for kind in Kind::ALL {
            let (defaults, own): (Vec<Rule>, Vec<Rule>) = std::mem::take(stored.of_kind_mut(kind))
                .into_iter()
                .partition(|rule| rule.rule_id.starts_with('.'));
            let list = rules.of_kind_mut(kind);
            for rule in list.iter_mut() {
                if let Some(changed) = defaults
                    .iter()
                    .find(|changed| changed.rule_id == rule.rule_id)
                {
                    rule.enabled = changed.enabled;
                    rule.actions.clone_from(&changed.actions);
                }
            }
            let at = first_place(list);
            list.splice(at..at, own);
        }
        rules
    }

    /// The content of `m.push_rules`.
    pub fn to_content(&self) -> Vec<u8> {
        // Maps with text keys and JSON values can always be written.
        serde_json::to_vec(&Content {
            global: self.clone(),
        })
        .unwrap_or_default()
    }

    /// The rules of a kind, the most important first.
    pub fn of_kind(&self, kind: Kind) -> &[Rule] {
        match kind {
            Kind::Override => &self.r#override,
            Kind::Content => &self.content,
            Kind::Room => &self.room,
            Kind::Sender => &self.sender,
            Kind::Underride => &self.underride,
        }
    }

    pub(super) fn of_kind_mut(&mut self, kind: Kind) -> &mut Vec<Rule> {
        match kind {
            Kind::Override => &mut self.r#override,
            Kind::Content => &mut self.content,
            Kind::Room => &mut self.room,
            Kind::Sender => &mut self.sender,
            Kind::Underride => &mut self.underride,
        }
    }

    /// One rule.
    pub fn rule(&self, kind: Kind, rule_id: &str) -> Option<&Rule> {
        self.of_kind(kind)
            .iter()
            .find(|rule| rule.rule_id == rule_id)
    }
}

/// Where a user's own rules of a kind begin: before the defaults, but for the master rule.
pub(super) fn first_place(rules: &[Rule]) -> usize {
    usize::from(
        rules
            .first()
            .is_some_and(|rule| rule.rule_id == ".m.rule.master"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "@alice:b";

    #[test]
    fn own_rules_stand_before_the_defaults_but_after_the_master_rule() {
        let stored = br#"{"global":{"override":[{"rule_id":"mine","actions":[],"enabled":true,"conditions":[]},
            {"rule_id":".m.rule.reaction","actions":["notify"],"enabled":false,"conditions":[]},
            {"rule_id":".m.rule.gone","actions":[],"enabled":true,"conditions":[]}]}}"#;
        let rules = Ruleset::load(ALICE, Some(stored));
        let ids: Vec<&str> = rules
            .of_kind(Kind::Override)
            .iter()
            .map(|rule| &*rule.rule_id)
            .collect();
        assert_eq!(
            ids[..3],
            [".m.rule.master", "mine", ".m.rule.suppress_notices"]
        );
        assert!(!ids.contains(&".m.rule.gone"));
        let reaction = rules.rule(Kind::Override, ".m.rule.reaction").unwrap();
        assert!(!reaction.enabled);
        assert_eq!(reaction.actions, ["notify"]);
        assert_eq!(reaction.conditions.as_ref().unwrap().len(), 1);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let rules = Ruleset::server_default(ALICE);
        assert_eq!(Ruleset::parse(&rules.to_content()), Ok(rules.clone()));
        assert_eq!(Ruleset::load(ALICE, None), rules);
        assert_eq!(Ruleset::load(ALICE, Some(b"nonsense")), rules);
    }
}
