//! What a sliding client is told of one room.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use storage::rooms::Membership;
use storage::sync_rooms::{self, Hero, StateEntry, UserRoom};
use storage::{EventKey, Position, RoomKey, Snapshot, UserKey};
use view::filter::RoomEventFilter;

use super::Look;
use super::lists::{Relevant, facts};
use super::request::RoomConfig;
use crate::members_given::lock;
use crate::sources::Style;
use crate::state::{self, MEMBER};
use crate::summary;
use crate::timeline::{self, Ask, Timeline};
use crate::unread::{self, Count};
use crate::{rooms, sources};

/// Events of a room's timeline at most: more are for `/messages`.
const TIMELINE_MAX: u64 = 500;

/// Changed members that are told where members are loaded lazily; of more, only those who speak.
const CHANGED_MEMBERS_MAX: usize = 100;

/// What is told of a room. What is none or empty did not change.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub room_id: String,
    /// All of the room: what the client had of it counts no more.
    pub initial: bool,
    /// The timeline reaches further back than what the client had asked for before.
    pub expanded: bool,
    pub bump: Option<i64>,
    pub membership: Option<Membership>,
    pub name: Option<String>,
    /// Some(None): it has none any more.
    pub avatar: Option<Option<String>>,
    pub heroes: Option<Vec<Hero>>,
    pub is_dm: bool,
    pub joined_count: Option<i64>,
    pub invited_count: Option<i64>,
    pub unread: Option<Count>,
    /// JSON array of stripped state.
    pub invite_state: Option<String>,
    pub required_state: Vec<String>,
    pub timeline: Option<ToldTimeline>,
}

/// The newest events of a room.
#[derive(Debug, Default)]
pub(crate) struct ToldTimeline {
    pub events: Vec<String>,
    pub limited: bool,
    pub prev_batch: String,
    /// How many of them came after the connection's last answer.
    pub num_live: usize,
}

/// What is known of a room before its events are written.
struct Draft<'r> {
    relevant: &'r Relevant,
    /// None: the client is told all.
    from: Option<Position>,
    told_before: Option<Arc<RoomConfig>>,
    expands: bool,
    timeline: Timeline,
    state: Vec<StateEntry>,
    /// Changes of the state since `from`.
    changes: Vec<StateEntry>,
}

impl Draft<'_> {
    fn room(&self) -> &UserRoom {
        &self.relevant.room
    }

    /// Whether a change of the state concerns how the room is shown in lists.
    fn changes_any(&self, types: &[&str]) -> bool {
        self.from.is_none()
            || self
                .changes
                .iter()
                .any(|entry| types.contains(&entry.event_type.as_str()))
    }
}

impl Look<'_> {
    /// What changed in the rooms in sight.
    pub(super) fn updates(
        &self,
        snap: &mut Snapshot<'_>,
        relevant: &[&Relevant],
    ) -> Result<Vec<Update>, storage::Error> {
        let (shown, closed): (Vec<&Relevant>, Vec<&Relevant>) =
            relevant.iter().partition(|relevant| {
                !matches!(
                    relevant.room.membership,
                    Membership::Invite | Membership::Knock
                )
            });
        let mut updates: Vec<Update> = closed
            .into_iter()
            .filter_map(|relevant| self.invite(relevant))
            .collect();
        let mut drafts = self.drafts(snap, &shown)?;
        self.add_state(snap, &mut drafts)?;
        updates.extend(self.write(snap, drafts)?);
        Ok(updates)
    }

    /// An invite or knock, told once.
    fn invite(&self, relevant: &Relevant) -> Option<Update> {
        let room = &relevant.room;
        let told = self
            .base
            .rooms
            .get(&room.room)
            .map(|given| self.base.told(given));
        if told.is_some_and(|told| room.position <= told.0) {
            return None;
        }
        let facts = facts(room);
        let events = room
            .stripped
            .clone()
            .and_then(|events| String::from_utf8(events).ok());
        Some(Update {
            room_id: room.room_id.clone(),
            initial: true,
            bump: Some(relevant.bump),
            membership: Some(room.membership),
            name: facts.name,
            avatar: Some(facts.avatar_url),
            is_dm: self.personal.direct.contains(&room.room_id),
            unread: Some(Count {
                notifications: 0,
                highlights: 0,
            }),
            invite_state: Some(
                events
                    .filter(|events| !events.is_empty())
                    .unwrap_or_else(|| "[]".to_owned()),
            ),
            ..Update::default()
        })
    }

    fn drafts<'r>(
        &self,
        snap: &mut Snapshot<'_>,
        relevant: &[&'r Relevant],
    ) -> Result<Vec<Draft<'r>>, storage::Error> {
        let mut drafts = Vec::with_capacity(relevant.len());
        let mut asks = Vec::with_capacity(relevant.len());
        for relevant in relevant {
            let room = &relevant.room;
            let given = self.base.rooms.get(&room.room);
            let told = given.map(|given| self.base.told(given));
            // Who came into the room since is new in it.
            let from = told.filter(|told| {
                room.membership != Membership::Join || rooms::continues(room, *told).is_some()
            });
            let told_before = given
                .filter(|_| from.is_some())
                .map(|given| Arc::clone(&given.config));
            let expands = told_before
                .as_ref()
                .is_some_and(|config| config.timeline_limit < relevant.config.timeline_limit);
            let up_to = self.up_to(room);
            let changes = match from {
                Some(from) => state::changes(snap, room, from.0, up_to)?,
                None => Vec::new(),
            };
            asks.push(Ask {
                room,
                from: from.filter(|_| !expands).map(|from| from.0),
                up_to,
                limit: relevant.config.timeline_limit.min(TIMELINE_MAX) as usize,
            });
            drafts.push(Draft {
                relevant,
                from,
                told_before,
                expands,
                timeline: Timeline::default(),
                state: Vec::new(),
                changes,
            });
        }
        let filter = RoomEventFilter::default();
        let timelines = timeline::read(snap, self.client, &asks, &filter, &self.ignored)?;
        for (draft, timeline) in drafts.iter_mut().zip(timelines) {
            draft.timeline = timeline;
        }
        Ok(drafts)
    }

    /// Who left sees the room up to there.
    fn up_to(&self, room: &UserRoom) -> i64 {
        match room.membership {
            Membership::Join => self.head.0,
            _ => room.position,
        }
    }

    fn add_state(
        &self,
        snap: &mut Snapshot<'_>,
        drafts: &mut [Draft<'_>],
    ) -> Result<(), storage::Error> {
        let senders: HashSet<UserKey> = drafts
            .iter()
            .flat_map(|draft| draft.timeline.senders())
            .collect();
        let ids = sources::ids_by_key(snap, senders)?;
        let mut current = self.current_states(snap, drafts)?;
        for draft in drafts {
            let speakers: HashMap<UserKey, String> = draft
                .timeline
                .senders()
                .into_iter()
                .filter_map(|sender| Some((sender, ids.get(&sender)?.clone())))
                .collect();
            let wanted = Wanted::new(&draft.relevant.config, &self.client.user_id, &speakers);
            let mut state: Vec<StateEntry> = match draft.room().membership {
                Membership::Join => current.remove(&draft.room().room).unwrap_or_default(),
                // What a room became after the user had left is not its to see.
                _ => self.state_when_left(snap, draft)?,
            };
            state.retain(|entry| wanted.has(entry));
            if let Some(before) = &draft.told_before {
                // Only what the client did not ask for before.
                let before = Wanted::new(before, &self.client.user_id, &speakers);
                state.retain(|entry| {
                    !before.has(entry) || entry.event_type == MEMBER && before.is_lazy()
                });
                let changed = self.wanted_changes(draft, &wanted);
                state.retain(|entry| changed.iter().all(|changed| changed.no != entry.no));
                state.extend(changed);
            }
            if wanted.is_lazy() {
                self.leave_out_given(draft.room(), draft.from, &speakers, &mut state);
            }
            draft.state = state;
        }
        Ok(())
    }

    /// The current states that drafts need, as far as they may be wanted.
    fn current_states(
        &self,
        snap: &mut Snapshot<'_>,
        drafts: &[Draft<'_>],
    ) -> Result<HashMap<RoomKey, Vec<StateEntry>>, storage::Error> {
        let mut states: HashMap<RoomKey, Vec<StateEntry>> = HashMap::new();
        // Rooms that want the same are read together.
        let mut groups: HashMap<&RoomConfig, Vec<RoomKey>> = HashMap::new();
        for draft in drafts
            .iter()
            .filter(|draft| draft.room().membership == Membership::Join)
        {
            let has_all = |before: &Arc<RoomConfig>| {
                before
                    .required_state
                    .is_superset(&draft.relevant.config.required_state)
            };
            if draft
                .told_before
                .as_ref()
                .is_none_or(|before| !has_all(before))
            {
                groups
                    .entry(&draft.relevant.config)
                    .or_default()
                    .push(draft.room().room);
            }
        }
        for (config, rooms) in groups {
            for entry in read_wanted(snap, &config.required_state, &self.client.user_id, &rooms)? {
                states.entry(entry.room).or_default().push(entry);
            }
        }
        let lazy = |draft: &&Draft<'_>| {
            draft
                .relevant
                .config
                .required_state
                .contains(&lazy_members())
        };
        for draft in drafts
            .iter()
            .filter(lazy)
            .filter(|draft| draft.room().membership == Membership::Join)
        {
            let speakers = sources::ids_by_key(snap, draft.timeline.senders())?;
            if !speakers.is_empty() {
                let members = state::members(snap, draft.room(), &speakers)?;
                let entries = states.entry(draft.room().room).or_default();
                let known: HashSet<_> = entries.iter().map(|entry| entry.no).collect();
                entries.extend(
                    members
                        .into_iter()
                        .filter(|member| !known.contains(&member.no)),
                );
            }
        }
        Ok(states)
    }

    /// The state of a room that the user is not in any more, where it is told anew. Who was only invited sees nothing
    /// but what became of that.
    fn state_when_left(
        &self,
        snap: &mut Snapshot<'_>,
        draft: &mut Draft<'_>,
    ) -> Result<Vec<StateEntry>, storage::Error> {
        let room = &draft.relevant.room;
        let is_own = |entry: &StateEntry| {
            entry.event_type == MEMBER && entry.state_key == self.client.user_id
        };
        let mut state = match draft.from {
            Some(_) => Vec::new(),
            None => state::whole_at(snap, room, room.position)?,
        };
        let since = draft.from.unwrap_or_default();
        let before = rooms::before_leaving(snap, self.client, room, since)?;
        if before == rooms::Before::NotJoined {
            state.retain(is_own);
            draft.changes.retain(is_own);
        }
        Ok(state)
    }

    /// The changes since the client was last told that it wants to know of.
    fn wanted_changes(&self, draft: &Draft<'_>, wanted: &Wanted<'_>) -> Vec<StateEntry> {
        let members = draft
            .changes
            .iter()
            .filter(|entry| entry.event_type == MEMBER)
            .count();
        // A member that the client may have been given lazily must not stay as it was.
        let all_members = wanted.is_lazy() && members <= CHANGED_MEMBERS_MAX;
        let is_wanted =
            |entry: &&StateEntry| wanted.has(entry) || all_members && entry.event_type == MEMBER;
        draft.changes.iter().filter(is_wanted).cloned().collect()
    }

    /// Leaves out speakers whom the client has, and notes those whom it gets now.
    fn leave_out_given(
        &self,
        room: &UserRoom,
        from: Option<Position>,
        speakers: &HashMap<UserKey, String>,
        state: &mut Vec<StateEntry>,
    ) {
        let users: HashMap<&str, UserKey> = speakers
            .iter()
            .map(|(user, id)| (id.as_str(), *user))
            .collect();
        let mut given = lock(&self.given);
        state.retain(|entry| {
            let user = users
                .get(entry.state_key.as_str())
                .filter(|_| entry.event_type == MEMBER);
            let (Some(user), Some(event)) = (user, entry.event) else {
                return true;
            };
            if from.is_some() && given.has(room.room, *user, event) {
                return false;
            }
            given.give(room.room, *user, event, self.head.0);
            true
        });
    }

    fn write(
        &self,
        snap: &mut Snapshot<'_>,
        drafts: Vec<Draft<'_>>,
    ) -> Result<Vec<Update>, storage::Error> {
        let style = Style {
            now_ms: self.now_ms,
            format: Default::default(),
            fields: None,
        };
        let (mut rows, mut keys) = (Vec::new(), Vec::new());
        for draft in &drafts {
            rows.extend(draft.timeline.events.iter().cloned());
            keys.extend(draft.state.iter().filter_map(|entry| entry.event));
        }
        let mut events =
            sources::timeline_events(snap, self.client, rows, &self.ignored, style)?.into_iter();
        let mut state = self.state_events(snap, &keys, style)?;
        let joined: Vec<&UserRoom> = drafts
            .iter()
            .map(Draft::room)
            .filter(|room| room.membership == Membership::Join)
            .collect();
        let unread = unread::of_rooms(snap, self.client, &joined)?;
        let mut updates = Vec::new();
        for draft in &drafts {
            let timeline: Vec<String> = events.by_ref().take(draft.timeline.events.len()).collect();
            let required: Vec<String> = draft
                .state
                .iter()
                .filter_map(|entry| state.remove(&entry.event?))
                .collect();
            let mut update = self.update(snap, draft)?;
            update.unread = unread.get(&draft.room().room).map(unread::Unread::total);
            let is_news = draft.from.is_none()
                || draft.expands
                || !timeline.is_empty()
                || draft.timeline.limited
                || !required.is_empty()
                || update.membership.is_some()
                || update.joined_count.is_some()
                || update.name.is_some()
                || update.avatar.is_some()
                || self.read_in.contains(&draft.room().room);
            if !is_news {
                continue;
            }
            update.required_state = required;
            update.timeline = Some(self.told_timeline(draft, timeline));
            updates.push(update);
        }
        Ok(updates)
    }

    /// State events by key.
    fn state_events(
        &self,
        snap: &mut Snapshot<'_>,
        keys: &[EventKey],
        style: Style<'_>,
    ) -> Result<HashMap<EventKey, String>, storage::Error> {
        let rows: Vec<_> = sources::events_by_key(snap, keys)?.into_values().collect();
        let keys: Vec<EventKey> = rows.iter().map(|row| row.key).collect();
        let events = sources::state_events(snap, self.client, rows, style)?;
        Ok(keys.into_iter().zip(events).collect())
    }

    fn told_timeline(&self, draft: &Draft<'_>, events: Vec<String>) -> ToldTimeline {
        let since = self.base.position.0;
        let live = |position: i64| since > 0 && position > since;
        ToldTimeline {
            num_live: draft
                .timeline
                .events
                .iter()
                .filter(|event| live(event.position))
                .count(),
            limited: draft.timeline.limited,
            prev_batch: draft.timeline.prev_batch.clone(),
            events,
        }
    }

    /// What of the room itself changed.
    fn update(&self, snap: &mut Snapshot<'_>, draft: &Draft<'_>) -> Result<Update, storage::Error> {
        let room = draft.room();
        let began = draft.from.is_none_or(|from| room.began > from.0);
        let mut update = Update {
            room_id: room.room_id.clone(),
            initial: draft.from.is_none(),
            expanded: draft.expands,
            bump: Some(draft.relevant.bump),
            membership: began.then_some(room.membership),
            is_dm: self.personal.direct.contains(&room.room_id),
            ..Update::default()
        };
        if room.membership != Membership::Join {
            return Ok(update);
        }
        let facts = facts(room);
        if draft.changes_any(&["m.room.name", "m.room.canonical_alias", MEMBER]) {
            update.heroes = Some(summary::heroes(snap, self.client, room, &facts)?)
                .filter(|heroes| !heroes.is_empty());
        }
        if draft.changes_any(&["m.room.name", "m.room.canonical_alias"]) {
            update.name = facts.name.clone().or_else(|| facts.canonical_alias.clone());
        }
        if draft.changes_any(&["m.room.avatar"]) {
            update.avatar = Some(facts.avatar_url.clone());
        }
        if draft.changes_any(&[MEMBER]) {
            update.joined_count = Some(room.joined_members);
            update.invited_count = Some(room.invited_members);
        }
        Ok(update)
    }
}

fn lazy_members() -> (String, String) {
    (MEMBER.to_owned(), "$LAZY".to_owned())
}

/// Which state a room's config asks for.
struct Wanted<'a> {
    required: &'a BTreeSet<(String, String)>,
    user_id: &'a str,
    speakers: HashSet<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(
        config: &'a RoomConfig,
        user_id: &'a str,
        speakers: &'a HashMap<UserKey, String>,
    ) -> Self {
        Self {
            required: &config.required_state,
            user_id,
            speakers: speakers.values().map(String::as_str).collect(),
        }
    }

    fn is_lazy(&self) -> bool {
        self.required.contains(&lazy_members())
    }

    fn has(&self, entry: &StateEntry) -> bool {
        let is_member = entry.event_type == MEMBER;
        self.required.iter().any(|(event_type, state_key)| {
            // Where members are loaded lazily, a wildcard for all types does not mean all of them.
            let type_matches = match event_type.as_str() {
                "*" => !(is_member && self.is_lazy()),
                event_type => event_type == entry.event_type,
            };
            type_matches
                && match state_key.as_str() {
                    "*" => true,
                    "$ME" => entry.state_key == self.user_id,
                    "$LAZY" => is_member && self.speakers.contains(entry.state_key.as_str()),
                    state_key => entry.state_key == state_key,
                }
        })
    }
}

/// The entries of the current states of rooms that may be wanted; of members loaded lazily, none.
fn read_wanted(
    snap: &mut Snapshot<'_>,
    required: &BTreeSet<(String, String)>,
    user_id: &str,
    rooms: &[RoomKey],
) -> Result<Vec<StateEntry>, storage::Error> {
    let any_type = required.iter().any(|(event_type, _)| event_type == "*");
    let all_members = required.iter().any(|(event_type, key)| {
        key == "*"
            && (event_type == MEMBER || event_type == "*" && !required.contains(&lazy_members()))
    });
    if any_type && all_members {
        return sync_rooms::current_states(snap, rooms);
    }
    let mut entries = match any_type {
        true => sync_rooms::current_states_without_members(snap, rooms)?,
        false => {
            let types: BTreeSet<&str> = required
                .iter()
                .map(|(event_type, _)| event_type.as_str())
                .collect();
            let types: Vec<&str> = types
                .into_iter()
                .filter(|event_type| all_members || *event_type != MEMBER)
                .collect();
            sync_rooms::current_states_of_types(snap, rooms, &types)?
        }
    };
    if !all_members {
        let named = required
            .iter()
            .filter(|(event_type, _)| event_type == MEMBER || event_type == "*");
        let ids: BTreeSet<&str> = named
            .map(|(_, key)| if key == "$ME" { user_id } else { key.as_str() })
            .filter(|key| key.starts_with('@'))
            .collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        entries.extend(sync_rooms::current_states_of_keys(
            snap, rooms, MEMBER, &ids,
        )?);
    }
    Ok(entries)
}
