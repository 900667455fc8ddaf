//! Everything has an end: deletes rows whose time has come, in slices that the foreground does not feel.

use crate::{Database, Error, Snapshot, Tx, params};

/// How long stream rows live: a follower that was away longer starts from the nouns' own tables.
const STREAM_MS: u64 = 7 * DAY_MS;

/// How long a client's transaction is remembered: far beyond any client's retries.
const TRANSACTION_MS: u64 = DAY_MS;

/// How long a node or lease that shows no sign of life is kept, for whoever looks at the tables.
const NODE_MS: u64 = DAY_MS;

/// How long a saved sliding connection is kept: a client that comes back later begins anew.
const CONNECTION_MS: u64 = 30 * DAY_MS;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Rows deleted in one transaction: about a millisecond of the writer's time on the embedded engine.
const SLICE: usize = 200;

/// Slices of one kind in one sweep: what is left waits for the next, so that a backlog never holds the writer.
const SLICES_MAX: usize = 50;

/// Looks for one slice of rows whose time has come, and deletes it: how many went.
type Sweep = fn(&mut Tx<'_>, u64) -> Result<u64, Error>;

const SWEEPS: [(&str, Sweep); 8] = [
    ("stream", sweep_stream),
    ("client transactions", sweep_transactions),
    ("nodes", sweep_nodes),
    ("accounts", |tx, _| {
        crate::accounts_expiry::delete_ended(tx, SLICE)
    }),
    ("claimed one-time keys", |tx, now_ms| {
        crate::one_time_keys::forget_claimed(tx, now_ms, SLICE)
    }),
    ("outbox", |tx, now_ms| {
        crate::to_device::forget_unsent(tx, now_ms, SLICE)
    }),
    ("sliding connections", |tx, now_ms| {
        crate::connections::delete_unused(tx, now_ms.saturating_sub(CONNECTION_MS), SLICE)
    }),
    ("deleted key backups", |tx, _| {
        crate::key_backup::sweep(tx, SLICE)
    }),
];

impl Database {
    /// Deletes what has had its time. Returns how many rows went. Call it every few minutes, on any node.
    pub async fn sweep(&self) -> Result<u64, Error> {
        let mut gone = 0;
        for (name, sweep) in SWEEPS {
            for _ in 0..SLICES_MAX {
                let slice = self.write(move |tx| sweep(tx, tx.now_ms())).await?;
                gone += slice;
                if slice < SLICE as u64 {
                    break;
                }
            }
            tracing::debug!(name, gone, "swept");
        }
        Ok(gone)
    }
}

/// Stream rows, oldest first: they are in order of time, so only the first ones need to be looked at.
fn sweep_stream(tx: &mut Tx<'_>, now_ms: u64) -> Result<u64, Error> {
    let rows = tx.query(
        "SELECT position, at_ms FROM stream ORDER BY position LIMIT $1",
        params![SLICE],
    )?;
    let limit = now_ms as i64 - STREAM_MS as i64;
    let Some(last) = rows.iter().take_while(|row| row.int(1) < limit).last() else {
        return Ok(0);
    };
    tx.execute(
        "DELETE FROM stream WHERE position <= $1",
        params![last.int(0)],
    )
}

fn sweep_transactions(tx: &mut Tx<'_>, now_ms: u64) -> Result<u64, Error> {
    let limit = now_ms.saturating_sub(TRANSACTION_MS);
    let rows = tx.query(
        "SELECT device, endpoint, transaction_id FROM client_transactions WHERE at_ms < $1 ORDER BY at_ms LIMIT $2",
        params![limit, SLICE],
    )?;
    let keys: Vec<_> = rows
        .iter()
        .map(|row| crate::row![row.int(0), row.bytes(1), row.bytes(2)])
        .collect();
    tx.execute_many(
        "DELETE FROM client_transactions WHERE device = $1 AND endpoint = $2 AND transaction_id = $3",
        &keys,
    )
}

fn sweep_nodes(tx: &mut Tx<'_>, now_ms: u64) -> Result<u64, Error> {
    let limit = now_ms.saturating_sub(NODE_MS);
    let nodes = tx.execute("DELETE FROM nodes WHERE seen_ms < $1", params![limit])?;
    Ok(nodes + tx.execute("DELETE FROM leases WHERE until_ms < $1", params![limit])?)
}

/// How many rows the tables that grow with traffic hold: for tests that watch for growth.
pub fn stream_rows(snap: &mut Snapshot<'_>) -> Result<i64, Error> {
    Ok(snap.query("SELECT COUNT(*) FROM stream", params![])?[0].int(0))
}
