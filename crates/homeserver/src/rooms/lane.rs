//! Room lanes: events of one room are decided one after another on its newest head, uncommitted changes included, and
//! each is answered when its own commit is durable.
//!
//! So a room is never forked by accident, and nobody waits for another's commit. When a commit fails, or another node
//! moved the room, the lane loads the head and whoever waited decides again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use storage::{Counter, RoomKey, Tx};

use super::decide::{Decision, LocalEvent, Sender, decide, names_for};
use super::head::{Head, load_names};
use super::send::{SendError, Sent};
use crate::Homeserver;

/// How often an event is decided anew when its room moved on.
const ATTEMPTS_MAX: usize = 5;

/// Events that may wait in one lane: at a commit a millisecond the last waits well under a second.
const WAITING_MAX: usize = 64;

/// Lanes held in memory; the idle ones beyond it are dropped and loaded again on demand.
const LANES_MAX: usize = 2_000;

/// The lanes of this node.
#[derive(Default)]
pub struct Lanes {
    // Held for a lookup only.
    lanes: Mutex<HashMap<RoomKey, Arc<Lane>>>,
}

/// One room's lane.
#[derive(Default)]
struct Lane {
    // Held while an event is decided, across the loading of what the decision needs: that is what a lane is for.
    // Never held while a commit is awaited.
    head: tokio::sync::Mutex<Option<Head>>,
    waiting: AtomicUsize,
    /// The newest version known to be committed: where the head has the same, nothing it holds is uncommitted.
    committed: AtomicI64,
}

impl Lanes {
    fn lane(&self, room: RoomKey) -> Arc<Lane> {
        let mut lanes = self
            .lanes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if lanes.len() >= LANES_MAX && !lanes.contains_key(&room) {
            // A lane that somebody holds is in use; one eighth goes at once, so that the walk is rare.
            let idle: Vec<_> = lanes
                .iter()
                .filter(|(_, lane)| Arc::strong_count(lane) == 1)
                .map(|(room, _)| *room)
                .collect();
            for room in idle.into_iter().take(LANES_MAX / 8) {
                lanes.remove(&room);
            }
        }
        lanes.entry(room).or_default().clone()
    }
}

/// Counts who waits in a lane, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes events of a local user in a room, all or none of them, and answers when they are durable.
pub async fn send_events(
    hs: &Homeserver,
    room: RoomKey,
    sender: &Sender,
    events: &[LocalEvent],
) -> Result<Vec<Sent>, SendError> {
    send_events_with(hs, room, sender, events, |_| Ok(())).await
}

/// Like [`send_events`], and writes more in the same transaction. `more` may run several times.
pub async fn send_events_with(
    hs: &Homeserver,
    room: RoomKey,
    sender: &Sender,
    events: &[LocalEvent],
    more: impl Fn(&mut Tx<'_>) -> Result<(), SendError> + Clone + Send + 'static,
) -> Result<Vec<Sent>, SendError> {
    let lane = hs.lanes.lane(room);
    if lane.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
        lane.waiting.fetch_sub(1, Ordering::Relaxed);
        return Err(SendError::Busy);
    }
    let _waiting = Waiting(&lane.waiting);
    for _ in 0..ATTEMPTS_MAX {
        match attempt(hs, &lane, room, sender, events, more.clone()).await {
            Err(SendError::HeadMoved) => *lane.head.lock().await = None,
            Err(error @ (SendError::Storage(_) | SendError::Refused(_))) => {
                // Whether it was written is known only from a fresh head.
                *lane.head.lock().await = None;
                return Err(error);
            }
            outcome => return outcome,
        }
    }
    Err(SendError::Busy)
}

async fn attempt(
    hs: &Homeserver,
    lane: &Lane,
    room: RoomKey,
    sender: &Sender,
    events: &[LocalEvent],
    more: impl Fn(&mut Tx<'_>) -> Result<(), SendError> + Send + 'static,
) -> Result<Vec<Sent>, SendError> {
    let mut guard = lane.head.lock().await;
    let is_committed = |head: &Head| head.version == lane.committed.load(Ordering::Acquire);
    if guard
        .as_ref()
        .is_some_and(|head| head.is_large() && is_committed(head))
    {
        *guard = None;
    }
    if guard.is_none() {
        *guard = hs.db.read(move |snap| Head::load(snap, room)).await?;
        lane.committed.store(
            guard.as_ref().map_or(0, |head| head.version),
            Ordering::Release,
        );
    }
    let Some(head) = guard.as_mut() else {
        return Err(SendError::UnknownRoom);
    };
    let decision = decide_on(hs, head, sender, events).await;
    let Decision { change, sent } = match decision {
        Ok(decision) => decision,
        Err(error) => {
            // What was decided before the refusal in this call is in the head, but will not be written.
            if events.len() > 1 {
                *guard = None;
            }
            return Err(error);
        }
    };
    let bytes = change.events.iter().map(|event| event.body.len()).sum();
    let version = change.base + 1;
    let change = Arc::new(change);
    // Queued before the lane is left, so that commits happen in the order of decisions.
    let written = hs.db.submit(bytes, move |tx| -> Result<(), SendError> {
        tx.append(&change)?;
        more(tx)
    });
    drop(guard);
    written.await?;
    lane.committed.fetch_max(version, Ordering::AcqRel);
    Ok(sent)
}

/// Loads what the events need, then decides them one on top of the other.
pub async fn decide_on(
    hs: &Homeserver,
    head: &mut Head,
    sender: &Sender,
    events: &[LocalEvent],
) -> Result<Decision, SendError> {
    let names: Vec<_> = events
        .iter()
        .flat_map(|event| names_for(sender, event))
        .collect();
    let unknown = head.unknown(&names);
    if !unknown.is_empty() {
        let (room, rules) = (head.room, head.rules);
        let found = match head.version {
            0 => unknown.into_iter().map(|name| (name, None, None)).collect(),
            _ => {
                hs.db
                    .read(move |snap| load_names(snap, room, rules, unknown))
                    .await?
            }
        };
        head.learn(found);
    }
    let related = super::decide::load_related(hs, head, events).await?;
    let ids = Ids {
        events: hs.db.new_ids(Counter::Event, events.len()).await?,
        states: hs.db.new_ids(Counter::State, events.len()).await?,
        nodes: nodes_for(hs, head, events).await?,
    };
    let verdicts = super::decide::verdicts(hs, head, sender, events).await?;
    decide(hs, head, sender, events, &related, &verdicts, ids)
}

/// Ids taken for what a decision makes.
pub struct Ids {
    pub events: Vec<i64>,
    pub states: Vec<i64>,
    /// Enough for every node that rooting a chain may write.
    pub nodes: Vec<i64>,
}

/// Nodes written when a chain is rooted: at most a path for each of its moved entries, five levels hold 32,768 names.
const NODES_PER_ROOTING: usize = 17 * 7;

/// Takes node ids and loads the tree's paths where this change will give an ancestor a root.
async fn nodes_for(
    hs: &Homeserver,
    head: &mut Head,
    events: &[LocalEvent],
) -> Result<Vec<i64>, SendError> {
    let entries = events
        .iter()
        .filter(|event| event.state_key.is_some())
        .count();
    let length = head.state.chain.len() + entries;
    if length <= storage::states::CHAIN_MAX {
        return Ok(Vec::new());
    }
    let numbers: Vec<_> = head.state.chain.iter().map(|(_, no, _)| *no).collect();
    let (root, held) = (head.state.root, head.nodes().clone());
    let nodes = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            // A root that is not committed yet is held; its nodes below may be too.
            storage::states::load_nodes_beyond(snap, root, Some(&numbers), &held)
        })
        .await?;
    head.hold_nodes(nodes);
    let rootings = 1 + length / storage::states::CHAIN_KEPT;
    Ok(hs
        .db
        .new_ids(Counter::Node, rootings * NODES_PER_ROOTING)
        .await?)
}
