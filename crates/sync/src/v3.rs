//! `GET /v3/sync`: everything that changed for a client since a token. Client-server API v1.19, "Syncing".

mod answer;
mod joined;
mod left;

use std::sync::Arc;

use storage::sync_rooms::UserRoom;
use storage::{Position, Snapshot, account_data, presence};
use view::filter::Filter;

use crate::encryption::{DeviceLists, Keys, MESSAGES_MAX, Queue};
use crate::wait::{Looked, Start, Waited, wait};
use crate::{Client, Sync, SyncError, Token, encryption, rooms, sources, state};

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// None: everything from the start.
    pub since: Option<Token>,
    pub filter: Arc<Filter>,
    /// The whole state of all rooms, though `since` is given. Such a request never waits.
    pub full_state: bool,
    pub timeout_ms: u64,
    /// State is told as it is after the timeline, as `state_after`.
    pub use_state_after: bool,
    /// The same under its unstable name, which clients know longer.
    pub unstable_use_state_after: bool,
}

impl Request {
    fn state_at(&self) -> state::At {
        match self.use_state_after || self.unstable_use_state_after {
            true => state::At::TimelineEnd,
            false => state::At::TimelineStart,
        }
    }

    /// Under which names the state is told.
    fn state_names(&self) -> &'static [&'static str] {
        match (self.use_state_after, self.unstable_use_state_after) {
            (false, false) => &["state"],
            (true, false) => &["state_after"],
            (false, true) => &["org.matrix.msc4222.state_after"],
            (true, true) => &["state_after", "org.matrix.msc4222.state_after"],
        }
    }

    fn lazy_members(&self) -> bool {
        self.filter.room.state.lazy_load_members || self.filter.room.timeline.lazy_load_members
    }
}

/// An answer that tells of nothing: the client goes on from where it is.
pub fn nothing(since: Token) -> String {
    answer::nothing(since, None)
}

/// Answers with a JSON object. Waits until there is something to tell, or the time is over.
///
/// # Errors
/// [`SyncError::SignedOut`] where the device is signed out while it waits.
pub async fn sync(
    sync: &Arc<Sync>,
    client: &Client,
    request: Request,
) -> Result<String, SyncError> {
    let since = request.since;
    let start = Start {
        since: since.map_or(Position(0), |token| token.position),
        // What was cut off of the queue of messages lies before the position.
        look: request.full_state || since.is_none_or(|token| token.to_device.is_some()),
        timeout_ms: if request.full_state || since.is_none() {
            0
        } else {
            request.timeout_ms
        },
    };
    let request = Arc::new(request);
    let look = |waited| {
        let (sync, client, request) = (Arc::clone(sync), client.clone(), Arc::clone(&request));
        async move { look(&sync, client, request, waited).await }
    };
    match wait(&sync.db, client.user, start, look).await? {
        Waited::Something(answer) => Ok(answer),
        Waited::Nothing(up_to) => {
            let token = Token {
                position: up_to,
                to_device: None,
            };
            Ok(answer::nothing(
                token,
                sync.key_counts.last_told(client.device).as_deref(),
            ))
        }
    }
}

/// Reads what changed, in one snapshot.
async fn look(
    sync: &Arc<Sync>,
    client: Client,
    request: Arc<Request>,
    waited: bool,
) -> Result<Looked<String>, SyncError> {
    let (handle, device, since) = (Arc::clone(sync), client.device, request.since);
    let (looked, acknowledged) = sync
        .db
        .read(move |snap| -> Result<_, SyncError> {
            if waited && !sources::is_signed_in(snap, &client)? {
                return Err(SyncError::SignedOut);
            }
            let look = Look::begin(snap, &handle, &client, &request)?;
            if look.since > look.head {
                // Another node is ahead of this one: its token is waited for.
                return Ok((Looked::Nothing(look.head), false));
            }
            let found = look.read(snap)?;
            let acknowledged = found.queue.acknowledged;
            handle.key_counts.remember(client.device, &found.keys);
            if request.since.is_some() && !request.full_state && found.is_nothing(look.since) {
                return Ok((Looked::Nothing(look.head), acknowledged));
            }
            Ok((Looked::Something(found.into_json(&look)), acknowledged))
        })
        .await?;
    if let Some(token) = since.filter(|_| acknowledged) {
        encryption::acknowledge(&sync.db, device, token.queue_position());
    }
    Ok(looked)
}

/// One look: who looks at what.
struct Look<'a> {
    sync: &'a Sync,
    client: &'a Client,
    request: &'a Request,
    /// 0 where the client begins.
    since: Position,
    head: Position,
    ignored: std::collections::HashSet<storage::UserKey>,
    now_ms: u64,
}

/// What a look found.
struct Found {
    account_data: Vec<String>,
    presence: Vec<String>,
    rooms: answer::Rooms,
    queue: Queue,
    device_lists: DeviceLists,
    keys: Keys,
}

impl Found {
    fn is_nothing(&self, since: Position) -> bool {
        self.account_data.is_empty()
            && self.presence.is_empty()
            && self.rooms.is_empty()
            && self.queue.events.is_empty()
            && self.device_lists.is_empty()
            && self.keys.changed <= since
    }
}

impl<'a> Look<'a> {
    fn begin(
        snap: &mut Snapshot<'_>,
        sync: &'a Sync,
        client: &'a Client,
        request: &'a Request,
    ) -> Result<Self, storage::Error> {
        Ok(Self {
            head: storage::sync_rooms::applied_head(sync.db.memory(), snap)?,
            since: request.since.map_or(Position(0), |token| token.position),
            ignored: sources::ignored(snap, client)?,
            now_ms: sync.db.clock().now_ms(),
            sync,
            client,
            request,
        })
    }

    fn is_initial(&self) -> bool {
        self.request.since.is_none()
    }

    fn read(&self, snap: &mut Snapshot<'_>) -> Result<Found, storage::Error> {
        let (user, device) = (self.client.user, self.client.device);
        let personal = match self.is_initial() {
            true => account_data::all(snap, user)?,
            false => account_data::changed(snap, user, self.since.0, self.head.0)?,
        };
        let queue_after = self
            .request
            .since
            .map_or(Position(0), |token| token.queue_position());
        Ok(Found {
            account_data: self.global_account_data(&personal),
            presence: self.presence(snap)?,
            queue: Queue::read(snap, device, queue_after, self.head, MESSAGES_MAX)?,
            device_lists: match self.is_initial() {
                true => DeviceLists::default(),
                false => DeviceLists::read(snap, self.client, self.since)?,
            },
            keys: Keys::read(snap, device)?,
            rooms: self.rooms(snap, &personal)?,
        })
    }

    fn rooms(
        &self,
        snap: &mut Snapshot<'_>,
        personal: &[account_data::AccountData],
    ) -> Result<answer::Rooms, storage::Error> {
        let touched = personal.iter().filter_map(|data| data.room);
        let mut found = match self.is_initial() || self.request.full_state {
            true => rooms::all(snap, self.client)?,
            false => rooms::changed(
                snap,
                self.sync.db.memory(),
                self.client,
                self.since,
                self.head,
                touched,
            )?,
        };
        // Who follows must learn that a room was left, though it is forgotten since.
        let is_there =
            |room: &UserRoom| !room.forgotten || !self.is_initial() && room.position > self.since.0;
        found.retain(|_, room| {
            is_there(room) && self.request.filter.room.allows_room(&room.room_id)
        });
        answer::Rooms::read(self, snap, found.into_values().collect(), personal)
    }

    fn global_account_data(&self, personal: &[account_data::AccountData]) -> Vec<String> {
        let filter = &self.request.filter.account_data;
        let mut events: Vec<(&str, String)> = personal
            .iter()
            .filter(|data| data.room.is_none())
            .map(|data| {
                (
                    data.event_type.as_str(),
                    sources::account_data_event(self.client, data),
                )
            })
            .collect();
        let has_rules = || {
            personal
                .iter()
                .any(|data| data.room.is_none() && data.event_type == "m.push_rules")
        };
        if self.is_initial() && !has_rules() {
            events.push(("m.push_rules", sources::push_rules_event(self.client, None)));
        }
        events
            .into_iter()
            .filter(|(event_type, _)| filter.allows(event_type, &self.client.user_id))
            .map(|(_, event)| event)
            .collect()
    }

    fn presence(&self, snap: &mut Snapshot<'_>) -> Result<Vec<String>, storage::Error> {
        let filter = &self.request.filter.presence;
        let changed = presence::changed(snap, self.client.user, self.since.0, self.head.0)?;
        Ok(changed
            .iter()
            .filter(|presence| {
                !self.is_initial() || presence.state != presence::PresenceState::Offline
            })
            .filter(|presence| !self.ignored.contains(&presence.user))
            .filter(|presence| filter.allows("m.presence", &presence.user_id))
            .map(|presence| sources::presence_event(presence, self.now_ms))
            .collect())
    }
}
