//! Sliding sync: lists of rooms by recency, of which a client sees ranges, and what changed in those.
//!
//! One engine, and a codec per shape that clients speak: [`unstable`] is MSC4186 as today's clients know it. A connection
//! remembers what it has told ([`connection`]); what it tells next follows from that, the request and the stream.

mod connection;
mod extensions;
mod lists;
pub mod request;
mod room;
pub mod unstable;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use storage::rooms::Membership;
use storage::{Position, RoomKey, Snapshot, UserKey};

pub(crate) use connection::Connections;
use connection::{At, Given, Pos, State};
use extensions::Told;
use lists::{InSight, Personal, Relevant};
pub use request::Request;
use room::Update;

use crate::encryption;
use crate::wait::{Looked, Start, Waited, wait};
use crate::{Client, Sync, SyncError, members_given, rooms, sources};

/// What a client is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub pos: Pos,
    /// How many rooms each list has.
    pub counts: BTreeMap<String, u64>,
    pub rooms: Vec<Update>,
    pub extensions: Told,
}

/// Waits until there is something to tell, or the time is over.
pub(crate) async fn answer(
    sync: &Arc<Sync>,
    client: &Client,
    request: &Arc<Request>,
) -> Result<Answer, SyncError> {
    let at = match &request.pos {
        None => sync
            .connections
            .begin(&sync.db, client.device, &request.conn_id),
        Some(pos) => {
            sync.connections
                .resume(&sync.db, client.device, &request.conn_id, pos)
                .await?
        }
    };
    let fingerprint = request.fingerprint();
    let start = Start {
        since: at.state.position,
        look: request.pos.is_none() || at.state.fingerprint != fingerprint,
        timeout_ms: if request.pos.is_none() {
            0
        } else {
            request.timeout_ms
        },
    };
    // What is told moves on while it waits: a look begins where the last one ended.
    let at = Arc::new(Mutex::new(at));
    let look_on = |waited| {
        let (sync, client, request, at) = (
            Arc::clone(sync),
            client.clone(),
            Arc::clone(request),
            Arc::clone(&at),
        );
        async move {
            let from = lock(&at).clone();
            let (looked, state) = look(&sync, &client, &request, &from, waited).await?;
            match looked {
                None => {
                    let position = state.position;
                    let state = sync.connections.advance(client.device, &from, state);
                    *lock(&at) = At { state, ..from };
                    Ok(Looked::Nothing(position))
                }
                Some((updates, told)) => {
                    let position = state.position;
                    let counts = state.counts.clone();
                    let at = sync.connections.keep(
                        &sync.db,
                        client.device,
                        &request.conn_id,
                        &from,
                        state,
                    );
                    Ok(Looked::Something(Answer {
                        pos: at.pos(position),
                        counts,
                        rooms: updates,
                        extensions: told,
                    }))
                }
            }
        }
    };
    match wait(&sync.db, client.user, start, look_on).await? {
        Waited::Something(answer) => Ok(answer),
        Waited::Nothing(up_to) => {
            let at = lock(&at).clone();
            Ok(Answer {
                pos: at.pos(up_to),
                counts: at.state.counts.clone(),
                rooms: Vec::new(),
                extensions: Told::default(),
            })
        }
    }
}

fn lock(at: &Mutex<At>) -> std::sync::MutexGuard<'_, At> {
    // Nobody panics while holding it; a value that was swapped half is not possible.
    at.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

type News = (Option<(Vec<Update>, Told)>, State);

/// Reads what changed, in one snapshot: what to tell, if anything, and what the client knows then.
async fn look(
    sync: &Arc<Sync>,
    client: &Client,
    request: &Arc<Request>,
    from: &At,
    waited: bool,
) -> Result<News, SyncError> {
    let (handle, client_of, request_of) = (Arc::clone(sync), client.clone(), Arc::clone(request));
    let base = Arc::clone(&from.state);
    let (news, acknowledged) = sync
        .db
        .read(move |snap| -> Result<_, SyncError> {
            if waited && !sources::is_signed_in(snap, &client_of)? {
                return Err(SyncError::SignedOut);
            }
            let look = Look::begin(snap, &handle, &client_of, &request_of, &base)?;
            if base.position > look.head {
                return Ok(((None, State::clone(&base)), false));
            }
            let in_sight = lists::in_sight(snap, &handle, &client_of, &request_of, &look.personal)?;
            Ok(look.read(snap, in_sight)?)
        })
        .await?;
    let since = request
        .extensions
        .to_device
        .and_then(|to_device| to_device.since);
    if let Some(since) = since.filter(|_| acknowledged) {
        encryption::acknowledge(&sync.db, client.device, since);
    }
    Ok(news)
}

/// One look: who looks at what.
struct Look<'a> {
    sync: &'a Sync,
    client: &'a Client,
    request: &'a Request,
    base: &'a State,
    head: Position,
    ignored: HashSet<UserKey>,
    personal: Personal,
    given: Arc<Mutex<members_given::Given>>,
    /// Rooms that the user read since.
    read_in: HashSet<RoomKey>,
    now_ms: u64,
}

impl<'a> Look<'a> {
    fn begin(
        snap: &mut Snapshot<'_>,
        sync: &'a Sync,
        client: &'a Client,
        request: &'a Request,
        base: &'a State,
    ) -> Result<Self, storage::Error> {
        let head = storage::sync_rooms::applied_head(sync.db.memory(), snap)?;
        let mut hasher = DefaultHasher::new();
        request.conn_id.hash(&mut hasher);
        // 0 is the connection of `/v3/sync`.
        let connection = hasher.finish() | 1;
        let since = Some(base.position.0).filter(|position| *position > 0);
        let read_in = match base.position.0 {
            0 => HashSet::new(),
            since => storage::unread::rooms_read(snap, client.user, since, head.0)?
                .into_iter()
                .collect(),
        };
        Ok(Self {
            head,
            ignored: sources::ignored(snap, client)?,
            personal: Personal::read(snap, client, request)?,
            given: sync.members_given.of((client.device, connection), since),
            read_in,
            now_ms: sync.db.clock().now_ms(),
            sync,
            client,
            request,
            base,
        })
    }

    fn read(
        &self,
        snap: &mut Snapshot<'_>,
        in_sight: InSight,
    ) -> Result<(News, bool), storage::Error> {
        let mut candidates = self.candidates(snap, &in_sight)?;
        let gone = self.gone(snap, &in_sight)?;
        candidates.extend(&gone);
        let updates = self.updates(snap, &candidates)?;
        let told = self.extensions(snap, &in_sight)?;
        let mut state = self.state_after(&in_sight);
        for relevant in &gone {
            state.rooms.remove(&relevant.room.room);
        }
        let acknowledged = told.acknowledged;
        let is_news = self.request.pos.is_none()
            || !updates.is_empty()
            || !told.is_nothing(self.base.position)
            || state.counts != self.base.counts;
        Ok(((is_news.then_some((updates, told)), state), acknowledged))
    }

    /// The rooms in sight in which something may have changed for the client.
    fn candidates<'s>(
        &self,
        snap: &mut Snapshot<'_>,
        in_sight: &'s InSight,
    ) -> Result<Vec<&'s Relevant>, storage::Error> {
        let since = self.base.position;
        let changed = match since.0 {
            0 => HashSet::new(),
            _ => {
                let none = std::iter::empty();
                let changed = rooms::changed(
                    snap,
                    self.sync.db.memory(),
                    self.client,
                    since,
                    self.head,
                    none,
                )?;
                changed.into_keys().collect()
            }
        };
        let is_candidate = |relevant: &&Relevant| match self.base.rooms.get(&relevant.room.room) {
            Some(given) => {
                given.up_to.is_some()
                    || *given.config != relevant.config
                    || changed.contains(&relevant.room.room)
            }
            None => true,
        };
        Ok(in_sight.rooms.values().filter(is_candidate).collect())
    }

    /// Rooms that the client was told of and that the user has left: told once more.
    fn gone(
        &self,
        snap: &mut Snapshot<'_>,
        in_sight: &InSight,
    ) -> Result<Vec<Relevant>, storage::Error> {
        let told: Vec<RoomKey> = self
            .base
            .rooms
            .keys()
            .filter(|room| !in_sight.rooms.contains_key(room))
            .copied()
            .collect();
        let rooms = storage::sync_rooms::user_rooms(snap, self.client.user, &told)?;
        Ok(rooms
            .into_iter()
            .filter(|room| matches!(room.membership, Membership::Leave | Membership::Ban))
            .filter_map(|room| {
                let given = self.base.rooms.get(&room.room)?;
                (room.position > self.base.told(given).0).then(|| Relevant {
                    bump: room.position,
                    config: request::RoomConfig::clone(&given.config),
                    lists: Vec::new(),
                    subscribed: false,
                    room,
                })
            })
            .collect())
    }

    /// What the client knows once it has the answer.
    fn state_after(&self, in_sight: &InSight) -> State {
        let mut rooms = self.base.rooms.clone();
        for (room, given) in &mut rooms {
            // Out of sight: told up to where the connection was.
            if !in_sight.rooms.contains_key(room) {
                given.up_to.get_or_insert(self.base.position);
            }
        }
        for (room, relevant) in &in_sight.rooms {
            let config = match rooms.get(room) {
                Some(given) if *given.config == relevant.config => Arc::clone(&given.config),
                _ => Arc::new(relevant.config.clone()),
            };
            rooms.insert(
                *room,
                Given {
                    up_to: None,
                    config,
                },
            );
        }
        State {
            number: self.base.number,
            position: self.head,
            rooms,
            counts: in_sight.counts.clone(),
            account_data: self.request.extensions.account_data.is_some(),
            fingerprint: self.request.fingerprint(),
        }
    }
}
