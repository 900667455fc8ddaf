//! How clients change their rules: client-server API, "Push Rules: API", Matrix v1.19.

use serde_json::Value;

use super::ruleset::{Kind, Rule, Ruleset, first_place};

/// Beside which of the user's own rules a rule shall stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours<'a> {
    /// It becomes the next more important one than this.
    pub before: Option<&'a str>,
    /// It becomes the next less important one than this.
    pub after: Option<&'a str>,
}

/// Why rules were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("there is no such rule")]
    UnknownRule,
    #[error(
        "rules whose id starts with a dot are the server's: they can be turned off, not replaced or deleted"
    )]
    ServerDefault,
    #[error(
        "a rule id can't be empty, longer than {RULE_ID_MAX} bytes, or hold a slash or backslash"
    )]
    BadRuleId,
    #[error(
        "the rule {0}, beside which the rule shall stand, is none of the user's own of this kind"
    )]
    UnknownNeighbour(String),
    #[error("{0}")]
    Malformed(&'static str),
    #[error("a user can have {RULES_MAX} push rules")]
    TooMany,
}

/// A room or user id has at most 255 bytes; keyword rules are named after their keyword.
const RULE_ID_MAX: usize = 512;

/// Each event is checked against all of them; muting some hundred rooms is the largest use.
const RULES_MAX: usize = 1_000;

/// A keyword or a path; matching costs one machine word per 64 characters of it and character of the event.
const PATTERN_MAX: usize = 512;

/// Conditions and actions of one rule: the largest default rule has 3 of each.
const PARTS_MAX: usize = 32;

impl Ruleset {
    /// Adds a rule of the user's own, or changes it. A new one is enabled, and the most important unless `beside` says
    /// otherwise; a changed one keeps its place and whether it is enabled.
    ///
    /// # Errors
    /// [`EditError`]; then nothing was changed.
    pub fn put(&mut self, kind: Kind, rule: Rule, beside: Neighbours<'_>) -> Result<(), EditError> {
        let rule_id = rule.rule_id.clone();
        if rule_id.starts_with('.') {
            return Err(EditError::ServerDefault);
        }
        if rule_id.is_empty() || rule_id.len() > RULE_ID_MAX || rule_id.contains(['/', '\\']) {
            return Err(EditError::BadRuleId);
        }
        let mut rule = checked(kind, rule)?;
        let count: usize = Kind::ALL
            .into_iter()
            .map(|kind| self.of_kind(kind).len())
            .sum();
        let mut list = self.of_kind(kind).to_vec();
        let old = list.iter().position(|rule| rule.rule_id == rule_id);
        if old.is_none() && count >= RULES_MAX {
            return Err(EditError::TooMany);
        }
        rule.default = false;
        rule.enabled = old.is_none_or(|at| list[at].enabled);
        if let Some(at) = old {
            list.remove(at);
        }
        let find = |neighbour: &str| {
            let own = |rule: &Rule| rule.rule_id == neighbour && !rule.default;
            list.iter()
                .position(own)
                .ok_or_else(|| EditError::UnknownNeighbour(neighbour.to_owned()))
        };
        let after = beside.after.map(find).transpose()?;
        let before = beside.before.map(find).transpose()?;
        let at = match (before, after, old) {
            (Some(at), _, _) => at,
            (None, Some(at), _) => at + 1,
            (None, None, Some(at)) => at,
            (None, None, None) => first_place(&list),
        };
        list.insert(at, rule);
        *self.of_kind_mut(kind) = list;
        Ok(())
    }

    /// Deletes a rule of the user's own.
    ///
    /// # Errors
    /// Where there is none, or it is the server's.
    pub fn delete(&mut self, kind: Kind, rule_id: &str) -> Result<(), EditError> {
        let rule = self.rule(kind, rule_id).ok_or(EditError::UnknownRule)?;
        if rule.default {
            return Err(EditError::ServerDefault);
        }
        self.of_kind_mut(kind)
            .retain(|rule| rule.rule_id != rule_id);
        Ok(())
    }

    /// Turns a rule on or off.
    ///
    /// # Errors
    /// Where there is none.
    pub fn set_enabled(&mut self, kind: Kind, rule_id: &str, on: bool) -> Result<(), EditError> {
        self.rule_mut(kind, rule_id)?.enabled = on;
        Ok(())
    }

    /// Sets what a rule does.
    ///
    /// # Errors
    /// Where there is none, or the actions are malformed.
    pub fn set_actions(
        &mut self,
        kind: Kind,
        rule_id: &str,
        actions: Vec<Value>,
    ) -> Result<(), EditError> {
        let rule = self.rule_mut(kind, rule_id)?;
        rule.actions = checked_actions(actions)?;
        Ok(())
    }

    fn rule_mut(&mut self, kind: Kind, rule_id: &str) -> Result<&mut Rule, EditError> {
        self.of_kind_mut(kind)
            .iter_mut()
            .find(|rule| rule.rule_id == rule_id)
            .ok_or(EditError::UnknownRule)
    }
}

/// The rule with what its kind has, or what is wrong with it.
fn checked(kind: Kind, rule: Rule) -> Result<Rule, EditError> {
    let pattern = match (kind, rule.pattern) {
        (Kind::Content, None) => {
            return Err(EditError::Malformed("a content rule needs a `pattern`"));
        }
        (Kind::Content, Some(pattern)) if pattern.len() > PATTERN_MAX => {
            return Err(EditError::Malformed(
                "the `pattern` is longer than 512 bytes",
            ));
        }
        (Kind::Content, pattern) => pattern,
        _ => None,
    };
    let conditions = kind
        .has_conditions()
        .then(|| rule.conditions.unwrap_or_default());
    let conditions = conditions.map(checked_conditions).transpose()?;
    Ok(Rule {
        actions: checked_actions(rule.actions)?,
        conditions,
        pattern,
        ..rule
    })
}

fn checked_conditions(conditions: Vec<Value>) -> Result<Vec<Value>, EditError> {
    if conditions.len() > PARTS_MAX {
        return Err(EditError::Malformed("a rule can have 32 `conditions`"));
    }
    for condition in &conditions {
        if !condition.get("kind").is_some_and(Value::is_string) {
            return Err(EditError::Malformed(
                "each of `conditions` is an object with a `kind`",
            ));
        }
        let long = |name: &str| {
            let text = condition.get(name).and_then(Value::as_str);
            text.is_some_and(|text| text.len() > PATTERN_MAX)
        };
        if ["key", "pattern", "value", "is"].into_iter().any(long) {
            return Err(EditError::Malformed(
                "a condition's text is longer than 512 bytes",
            ));
        }
    }
    Ok(conditions)
}

/// The actions without those that no longer mean anything ("Historical Actions").
fn checked_actions(mut actions: Vec<Value>) -> Result<Vec<Value>, EditError> {
    actions.retain(|action| action != "dont_notify" && action != "coalesce");
    if actions.len() > PARTS_MAX {
        return Err(EditError::Malformed("a rule can have 32 `actions`"));
    }
    let known = |action: &Value| {
        action == "notify" || action.get("set_tweak").is_some_and(Value::is_string)
    };
    if actions.iter().all(known) {
        Ok(actions)
    } else {
        Err(EditError::Malformed(
            "each of `actions` is \"notify\" or an object with a `set_tweak`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn own(rule_id: &str) -> Rule {
        Rule {
            actions: vec![json!("dont_notify")],
            conditions: None,
            default: true,
            enabled: false,
            pattern: Some("cake".into()),
            rule_id: rule_id.into(),
        }
    }

    fn ids(rules: &Ruleset, kind: Kind) -> Vec<&str> {
        let ids = rules.of_kind(kind).iter();
        ids.map(|rule| &*rule.rule_id)
            .filter(|id| !id.starts_with('.'))
            .collect()
    }

    #[test]
    fn a_new_rule_is_enabled_the_users_own_and_the_most_important() {
        let mut rules = Ruleset::server_default("@a:b");
        for id in ["one", "two"] {
            rules
                .put(Kind::Override, own(id), Neighbours::default())
                .unwrap();
        }
        assert_eq!(ids(&rules, Kind::Override), ["two", "one"]);
        assert_eq!(rules.of_kind(Kind::Override)[0].rule_id, ".m.rule.master");
        let rule = rules.rule(Kind::Override, "one").unwrap();
        assert!(rule.enabled && !rule.default);
        assert_eq!((rule.actions.len(), &rule.pattern), (0, &None));
        assert_eq!(rule.conditions, Some(vec![]));
    }

    #[test]
    fn a_rule_stands_where_its_neighbours_say() {
        let mut rules = Ruleset::server_default("@a:b");
        let mut put = |id, before, after| {
            rules
                .put(Kind::Content, own(id), Neighbours { before, after })
                .map(|()| ids(&rules, Kind::Content).join(" "))
        };
        assert_eq!(put("a", None, None).unwrap(), "a");
        assert_eq!(put("b", None, Some("a")).unwrap(), "a b");
        assert_eq!(put("c", Some("b"), None).unwrap(), "a c b");
        assert_eq!(put("b", Some("a"), None).unwrap(), "b a c");
        assert_eq!(put("c", None, None).unwrap(), "b a c");
        assert_eq!(put("b", Some("c"), Some("a")).unwrap(), "a b c");
        let unknown = EditError::UnknownNeighbour(".m.rule.master".into());
        assert_eq!(put("d", Some(".m.rule.master"), None), Err(unknown));
        let itself = EditError::UnknownNeighbour("a".into());
        assert_eq!(put("a", Some("a"), None), Err(itself));
    }

    #[test]
    fn the_servers_rules_can_be_turned_off_but_not_replaced() {
        let mut rules = Ruleset::server_default("@a:b");
        let id = ".m.rule.message";
        assert_eq!(
            rules.delete(Kind::Underride, id),
            Err(EditError::ServerDefault)
        );
        assert_eq!(
            rules.put(Kind::Underride, own(id), Neighbours::default()),
            Err(EditError::ServerDefault)
        );
        rules.set_enabled(Kind::Underride, id, false).unwrap();
        rules
            .set_actions(Kind::Underride, id, vec![json!("coalesce")])
            .unwrap();
        let rule = rules.rule(Kind::Underride, id).unwrap();
        assert!(!rule.enabled && rule.actions.is_empty());
        assert_eq!(
            rules.set_enabled(Kind::Room, id, false),
            Err(EditError::UnknownRule)
        );
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let mut rules = Ruleset::server_default("@a:b");
        let mut put = |rule| rules.put(Kind::Content, rule, Neighbours::default());
        for id in ["", "a/b", "a\\b"] {
            assert_eq!(put(own(id)), Err(EditError::BadRuleId));
        }
        let pattern = None;
        assert!(matches!(
            put(Rule {
                pattern,
                ..own("a")
            }),
            Err(EditError::Malformed(_))
        ));
        let actions = vec![json!("explode")];
        assert!(matches!(
            put(Rule {
                actions,
                ..own("a")
            }),
            Err(EditError::Malformed(_))
        ));
        let conditions = Some(vec![json!({})]);
        let rule = Rule {
            conditions,
            ..own("a")
        };
        let put = rules.put(Kind::Override, rule, Neighbours::default());
        assert!(matches!(put, Err(EditError::Malformed(_))));
    }
}
