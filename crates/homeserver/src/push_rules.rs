//! Push rules: kept and changed per user, and asked once per event for all of a room.
//!
//! Client-server API v1.19, "Push Rules". The cost of an event: the default rules once, each distinct ruleset of members
//! who have their own once, and the users it mentions. A room of members without rules of their own costs the first alone.

mod audience;

pub use audience::Audiences;

use room::push::{Context, EditError, Outcome, Owner, Power, Rules, Ruleset, Subject, outcome};
use storage::append::NewException;
use storage::{RoomKey, UserKey, push_rules};

use crate::{Homeserver, Requester};
use audience::{Asked, Member};

/// Why push rules were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PushRuleError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The requester's rules, with the server's defaults.
pub async fn ruleset(hs: &Homeserver, requester: &Requester) -> Result<Ruleset, storage::Error> {
    let (user, user_id) = (requester.user, requester.user_id.clone());
    hs.db
        .read(move |snap| {
            let stored = push_rules::get(snap, user)?;
            Ok(Ruleset::load(&user_id, stored.as_deref()))
        })
        .await
}

/// Changes the requester's rules.
pub async fn edit(
    hs: &Homeserver,
    requester: &Requester,
    edit: impl Fn(&mut Ruleset) -> Result<(), EditError> + Send + 'static,
) -> Result<(), PushRuleError> {
    let (user, user_id) = (requester.user, requester.user_id.clone());
    hs.db
        .write(move |tx| {
            let stored = push_rules::get(tx, user)?;
            let mut rules = Ruleset::load(&user_id, stored.as_deref());
            let before = rules.clone();
            edit(&mut rules)?;
            if rules != before {
                push_rules::put(tx, user, &rules.to_content())?;
            }
            Ok(())
        })
        .await
}

/// The room that an event is evaluated for.
#[derive(Debug, Clone)]
pub struct Room<'a> {
    pub key: RoomKey,
    pub room_id: &'a str,
    pub joined_members: i64,
    pub sender: UserKey,
    pub sender_id: &'a str,
    pub power: Power,
}

/// An event that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub event_type: &'a str,
    pub state_key: Option<&'a str>,
    /// A JSON object.
    pub content: &'a str,
}

/// Whom an event notifies.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Whether the default rules notify members of it.
    pub notifies: bool,
    /// Local members for whom it is otherwise.
    pub exceptions: Vec<NewException>,
}

/// Whom these events of a room notify, one answer for each.
pub async fn evaluate_for_room(
    hs: &Homeserver,
    room: &Room<'_>,
    events: &[Event<'_>],
) -> Result<Vec<Verdict>, storage::Error> {
    let context = Context {
        member_count: room.joined_members.unsigned_abs(),
        power: room.power.clone(),
    };
    let mut verdicts = Vec::with_capacity(events.len());
    for event in events {
        let subject = Subject::new(
            event.event_type,
            room.sender_id,
            room.room_id,
            event.state_key,
            event.content,
        );
        verdicts.push(evaluate(hs, room, &context, &subject).await?);
    }
    Ok(verdicts)
}

async fn evaluate(
    hs: &Homeserver,
    room: &Room<'_>,
    context: &Context,
    event: &Subject<'_>,
) -> Result<Verdict, storage::Error> {
    let nobody = Owner {
        user_id: "",
        displayname: None,
    };
    let by_default = outcome(hs.push_rules.defaults(), event, context, &nobody);
    let mut mentioned: Vec<String> = event
        .mentioned()
        .filter(|user_id| hs.is_local(user_id))
        .take(MENTIONS_MAX)
        .map(str::to_owned)
        .collect();
    // Who is invited is no member yet, and is told all the same.
    let invited = event
        .state_key()
        .filter(|user_id| event.membership() == Some("invite") && hs.is_local(user_id));
    mentioned.extend(invited.map(str::to_owned));
    mentioned.sort();
    mentioned.dedup();
    let asked = Asked {
        room: room.key,
        named: mentioned,
        invited: invited.map(str::to_owned),
        // A highlight for everybody is a row for each: the tally counts notifications alone.
        everybody: by_default.highlight,
    };
    let members = hs.push_rules.of_room(hs, asked).await?;
    let mut known: Vec<(&Rules, Outcome)> = Vec::new();
    let mut exceptions = Vec::new();
    for member in &members {
        if member.user == room.sender {
            continue;
        }
        let verdict = judge(member, event, context, &mut known);
        if let Some(exception) = exception(member, &verdict, &by_default) {
            exceptions.push(exception);
        }
    }
    Ok(Verdict {
        notifies: by_default.notify,
        exceptions,
    })
}

/// Local users that one event may mention with effect: bounds what a sender can make the server write.
const MENTIONS_MAX: usize = 100;

/// What a member's rules say. Members who are not named share the answer of their ruleset.
fn judge<'m>(
    member: &'m Member,
    event: &Subject<'_>,
    context: &Context,
    known: &mut Vec<(&'m Rules, Outcome)>,
) -> Outcome {
    let rules = &*member.rules;
    let shared = !member.named && !member.rules_ask_for_name;
    if shared
        && let Some((_, outcome)) = known.iter().find(|(known, _)| std::ptr::eq(*known, rules))
    {
        return outcome.clone();
    }
    let owner = Owner {
        user_id: if shared { "" } else { &member.user_id },
        displayname: member.displayname.as_deref(),
    };
    let verdict = outcome(rules, event, context, &owner);
    if shared {
        known.push((rules, verdict.clone()));
    }
    verdict
}

/// What is kept of a verdict that differs from the default. A room that is silenced as a whole is told from the rules on
/// reading, so nothing is kept for it.
fn exception(member: &Member, verdict: &Outcome, by_default: &Outcome) -> Option<NewException> {
    let silenced = verdict.room_wide && !verdict.notify;
    let notify = i64::from(verdict.notify) - i64::from(by_default.notify);
    if silenced || (notify == 0 && !verdict.highlight) {
        return None;
    }
    Some(NewException {
        user: member.user,
        notify,
        highlight: verdict.highlight,
    })
}
