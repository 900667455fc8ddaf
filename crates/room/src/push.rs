//! Push rules: which events notify a user, and how (client-server API "Push Notifications", Matrix v1.19).
//!
//! A [`Ruleset`] is what clients see and edit; [`Rules`] is the same made ready for evaluation, free of the user's id, so
//! that users with equal rules are evaluated once. [`outcome`] judges one event.

mod defaults;
mod edit;
mod evaluate;
mod glob;
mod ruleset;

pub use edit::{EditError, Neighbours};
pub use evaluate::{Condition, Context, Outcome, Owner, Power, Rules, Subject};
pub use glob::Glob;
pub use ruleset::{Kind, Rule, Ruleset, RulesetError};

/// What a ruleset says of an event for one user: the first rule that matches decides. Own events never notify.
pub fn outcome(
    rules: &Rules,
    event: &Subject<'_>,
    context: &Context,
    owner: &Owner<'_>,
) -> Outcome {
    if event.sender() == owner.user_id {
        return Outcome::default();
    }
    rules
        .matching(event, context, owner)
        .map(|rule| rule.outcome.clone())
        .unwrap_or_default()
}

/// The content of `m.push_rules` for a user: what is stored, with the server's default rules of today.
pub fn content(user_id: &str, stored: Option<&[u8]>) -> Vec<u8> {
    Ruleset::load(user_id, stored).to_content()
}
