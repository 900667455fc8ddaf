//! Rule 10: `m.room.power_levels`. What is malformed was found when the event was parsed.

use std::collections::BTreeMap;

use super::Reason;
use crate::auth_content::AuthContent;
use crate::pdu::Pdu;
use crate::power_levels::{Level, PowerLevels, Powers, creators};

pub(super) fn check(pdu: &Pdu, create: &Pdu, powers: &Powers<'_>) -> Result<(), Reason> {
    let new = match pdu.auth_content() {
        AuthContent::PowerLevels(levels) => levels.as_deref().map_err(Clone::clone)?,
        _ => return Ok(()),
    };
    let auth = &pdu.rules().auth;
    if auth.creators_have_infinite_power
        && creators(create).any(|creator| new.users.contains_key(creator))
    {
        return Err(Reason::CreatorInPowerLevels);
    }
    let Some(current) = powers.levels() else {
        return Ok(());
    };
    let own = powers.of_user(pdu.sender().as_str());
    for (name, current, new) in named_levels(current, new) {
        check_change(name, current, new, own)?;
    }
    check_entries("events", &current.events, &new.events, own)?;
    if auth.limit_notifications {
        check_entries(
            "notifications",
            &current.notifications,
            &new.notifications,
            own,
        )?;
    }
    check_users(pdu.sender().as_str(), current, new, own)
}

type Named = (&'static str, Option<i64>, Option<i64>);

fn named_levels(current: &PowerLevels, new: &PowerLevels) -> [Named; 7] {
    [
        ("users_default", current.users_default, new.users_default),
        ("events_default", current.events_default, new.events_default),
        ("state_default", current.state_default, new.state_default),
        ("ban", current.ban, new.ban),
        ("redact", current.redact, new.redact),
        ("kick", current.kick, new.kick),
        ("invite", current.invite, new.invite),
    ]
}

fn check_entries(
    map: &str,
    current: &BTreeMap<String, i64>,
    new: &BTreeMap<String, i64>,
    own: Level,
) -> Result<(), Reason> {
    for (name, current, new) in changes(current, new) {
        check_change(&format!("{map}.{name}"), current, new, own)?;
    }
    Ok(())
}

fn check_users(
    sender: &str,
    current: &PowerLevels,
    new: &PowerLevels,
    own: Level,
) -> Result<(), Reason> {
    for (user, current, new) in changes(&current.users, &new.users) {
        if user != sender && current.is_some_and(|current| Level::Int(current) >= own) {
            return Err(Reason::UserOfSamePower(user.to_owned()));
        }
        if new.is_some_and(|new| Level::Int(new) > own) {
            return Err(Reason::NewLevelAboveOwn(format!("users.{user}")));
        }
    }
    Ok(())
}

fn check_change(
    name: &str,
    current: Option<i64>,
    new: Option<i64>,
    own: Level,
) -> Result<(), Reason> {
    if current == new {
        return Ok(());
    }
    if current.is_some_and(|current| Level::Int(current) > own) {
        return Err(Reason::LevelAboveOwn(name.to_owned()));
    }
    if new.is_some_and(|new| Level::Int(new) > own) {
        return Err(Reason::NewLevelAboveOwn(name.to_owned()));
    }
    Ok(())
}

/// The entries added, changed or removed: name, current and new value.
fn changes<'a>(
    current: &'a BTreeMap<String, i64>,
    new: &'a BTreeMap<String, i64>,
) -> impl Iterator<Item = (&'a str, Option<i64>, Option<i64>)> {
    let added = new
        .iter()
        .filter(|(name, _)| !current.contains_key(*name))
        .map(|(name, new)| (&**name, None, Some(*new)));
    let kept = current
        .iter()
        .map(|(name, current)| (&**name, Some(*current), new.get(name).copied()));
    kept.filter(|(_, current, new)| current != new).chain(added)
}
