//! Finding people: client-server API v1.19, "User Directory".

use std::collections::HashSet;

use serde_json::Value;
use storage::user_directory::{Candidate, candidates};
use storage::{UserKey, profiles, rooms};

use crate::{Homeserver, Requester};

/// Answers of one search, where the client asks for more.
const RESULTS_MAX: usize = 50;

/// People looked at in one search: those who share rooms come first. A search over them takes some 50 ms.
const CANDIDATES_MAX: usize = 50_000;

/// What a search gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub people: Vec<Person>,
    /// Whether more were found than are given.
    pub limited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub user_id: String,
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
}

/// Finds people whose name or id has words that begin with those of the term, among those who share a room with the
/// requester or are in a published room. The closest first.
pub async fn search(
    hs: &Homeserver,
    requester: &Requester,
    term: &str,
    limit: usize,
) -> Result<Found, storage::Error> {
    let (viewer, term) = (requester.user, term.to_lowercase());
    let limit = limit.min(RESULTS_MAX);
    hs.db
        .read(move |snap| {
            let mut found: Vec<(u8, Candidate)> = candidates(snap, viewer, CANDIDATES_MAX)?
                .into_iter()
                .filter_map(|person| Some((closeness(&person, &term)?, person)))
                .collect();
            found.sort_by(|(close, one), (closer, other)| {
                (close, &one.user_id).cmp(&(closer, &other.user_id))
            });
            let limited = found.len() > limit;
            found.truncate(limit);
            let keys: Vec<UserKey> = found.iter().map(|(_, person)| person.user).collect();
            // A local user's profile is newer than what rooms show of it.
            let mut profiles = profiles::of_users(snap, &keys)?;
            let people = found.into_iter().map(|(_, person)| {
                let text = |value: Option<Vec<u8>>| {
                    let value: Value = serde_json::from_slice(&value?).ok()?;
                    value.as_str().map(str::to_owned)
                };
                let (displayname, avatar_url) = match profiles.remove(&person.user) {
                    Some(mut profile) => (
                        text(profile.remove("displayname")),
                        text(profile.remove("avatar_url")),
                    ),
                    None => (person.displayname, person.avatar_url),
                };
                Person {
                    user_id: person.user_id,
                    displayname,
                    avatar_url,
                }
            });
            Ok(Found {
                people: people.collect(),
                limited,
            })
        })
        .await
}

/// How close a person is to the term, in small letters; the smaller the closer. None: it does not match.
fn closeness(person: &Candidate, term: &str) -> Option<u8> {
    let user_id = person.user_id.to_lowercase();
    let name = person
        .displayname
        .as_deref()
        .unwrap_or_default()
        .to_lowercase();
    let localpart = user_id.get(1..).and_then(|rest| rest.split(':').next());
    if user_id == term || localpart == Some(term) || name == term {
        return Some(0);
    }
    let begins = !term.is_empty() && (user_id.starts_with(term) || name.starts_with(term));
    let words_of = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let wanted = words_of(term);
    let have = [words_of(&name), words_of(&user_id)].concat();
    let matches = |word: &String| have.iter().any(|whole| whole.starts_with(word.as_str()));
    if !begins && (wanted.is_empty() || !wanted.iter().all(matches)) {
        return None;
    }
    Some(if person.shares_room { 1 } else { 2 })
}

/// The ids of the rooms that the requester and another user are both joined to (client-server API v1.19, "Mutual rooms").
pub async fn mutual_rooms(
    hs: &Homeserver,
    requester: &Requester,
    user_id: &str,
) -> Result<Vec<String>, storage::Error> {
    let (viewer, user_id) = (requester.user, user_id.to_owned());
    hs.db
        .read(move |snap| {
            let Some(other) = storage::ids::find_user(snap, &user_id)? else {
                return Ok(Vec::new());
            };
            let mut joined = |user| -> Result<HashSet<_>, storage::Error> {
                let rows = rooms::memberships_after(snap, user, i64::MIN)?;
                let joined = rows
                    .iter()
                    .filter(|row| row.membership == rooms::Membership::Join);
                Ok(joined.map(|row| row.room).collect())
            };
            let (mine, theirs) = (joined(viewer)?, joined(other)?);
            let both: Vec<_> = mine.intersection(&theirs).copied().collect();
            let mut ids: Vec<String> = rooms::rooms_by_key(snap, &both)?
                .into_values()
                .map(|room| room.room_id)
                .collect();
            ids.sort();
            Ok(ids)
        })
        .await
}
