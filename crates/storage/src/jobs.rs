//! Durable jobs: work that is long, later or in many rooms. Written by the commit that causes it, run under a lease.

use crate::{Error, Kind, Snapshot, Topic, Tx, params};

/// A job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    pub kind: String,
    /// What it is about: one job of a kind a subject.
    pub subject: String,
    pub body: Vec<u8>,
    pub attempts: i64,
}

/// Writes a job, or replaces the one of the same kind and subject.
pub fn put_job(
    tx: &mut Tx<'_>,
    kind: &str,
    subject: &str,
    body: &[u8],
    due_ms: u64,
) -> Result<(), Error> {
    let id = crate::ids::next_id(tx, "job")?;
    tx.execute(
        "INSERT INTO jobs (id, kind, subject, body, due_ms, attempts) VALUES ($1, $2, $3, $4, $5, 0)
         ON CONFLICT (kind, subject) DO UPDATE SET body = excluded.body, due_ms = excluded.due_ms, attempts = 0",
        params![id, kind, subject, body, due_ms],
    )?;
    tx.publish(Topic::Server, Kind::Job, 0, 0);
    Ok(())
}

/// Jobs due by now, oldest first.
pub fn due_jobs(snap: &mut Snapshot<'_>, now_ms: u64, limit: usize) -> Result<Vec<Job>, Error> {
    let rows = snap.query(
        "SELECT id, kind, subject, body, attempts FROM jobs WHERE due_ms <= $1 ORDER BY due_ms, id LIMIT $2",
        params![now_ms, limit],
    )?;
    Ok(rows
        .into_iter()
        .map(|mut row| Job {
            id: row.int(0),
            kind: row.text(1),
            subject: row.text(2),
            body: row.take_bytes(3),
            attempts: row.int(4),
        })
        .collect())
}

/// When the next job is due, in milliseconds since the Unix epoch.
pub fn next_due_ms(snap: &mut Snapshot<'_>) -> Result<Option<u64>, Error> {
    let row = snap.query_one("SELECT due_ms FROM jobs ORDER BY due_ms LIMIT 1", params![])?;
    Ok(row.map(|row| row.int(0).unsigned_abs()))
}

/// Removes a job that is done.
pub fn finish_job(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    tx.execute("DELETE FROM jobs WHERE id = $1", params![id])
        .map(drop)
}

/// Removes the job of a kind and subject, if there is one.
pub fn finish_named(tx: &mut Tx<'_>, kind: &str, subject: &str) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM jobs WHERE kind = $1 AND subject = $2",
        params![kind, subject],
    )
    .map(drop)
}

/// Keeps a job's progress and when to go on.
pub fn continue_job(
    tx: &mut Tx<'_>,
    id: i64,
    body: &[u8],
    due_ms: u64,
    attempts: i64,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE jobs SET body = $2, due_ms = $3, attempts = $4 WHERE id = $1",
        params![id, body, due_ms, attempts],
    )
    .map(drop)
}

/// Removes a job that this attempt has done, unless it was asked for again meanwhile.
pub fn finish_attempt(tx: &mut Tx<'_>, id: i64, attempts: i64) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM jobs WHERE id = $1 AND attempts = $2",
        params![id, attempts],
    )
    .map(drop)
}
