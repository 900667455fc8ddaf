//! Work that is long, later or in many rooms: durable jobs, and what ends by time.
//!
//! A job is written by the commit that causes it and is run here, by one node at a time, in steps that can be repeated: it
//! is deleted only when it succeeded, and only if nobody asked for it again meanwhile.

use std::sync::Arc;
use std::time::Duration;

use storage::jobs::{self, Job};
use tokio::sync::watch;

use crate::{Homeserver, deactivation, presence, profile, typing};

/// After a look, the next comes at the earliest then: bounds what looking costs while much is written.
const LOOK_EVERY_MS: u64 = 200;

/// Without anything due or written, the next look comes then: for what another node or a changed clock makes due.
const LOOK_AT_LEAST_EVERY_MS: u64 = 30_000;

/// Jobs read at once.
const JOBS_MAX: usize = 100;

/// How long one node runs jobs before it asks again: a few times the longest step.
const LEASE_MS: u64 = 60_000;

/// How long a failed job waits: twice as long each time, from a second to an hour.
const RETRY_MIN_MS: u64 = 1_000;
const RETRY_MAX_MS: u64 = 3_600_000;

/// Runs what is due until a stop is asked for.
pub async fn run(hs: Arc<Homeserver>, mut stopping: watch::Receiver<bool>) {
    let mut heads = hs.db.memory().heads();
    loop {
        heads.mark_unchanged();
        let next_ms = match run_due(&hs).await {
            Ok(next_ms) => next_ms,
            Err(error) => {
                tracing::warn!(%error, "jobs could not be run; they are tried again");
                None
            }
        };
        let wait_ms = next_ms
            .map_or(LOOK_AT_LEAST_EVERY_MS, |next_ms| {
                next_ms.saturating_sub(hs.now_ms())
            })
            .clamp(LOOK_EVERY_MS, LOOK_AT_LEAST_EVERY_MS);
        let wait = async {
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
            let rest = tokio::time::sleep(Duration::from_millis(wait_ms - LOOK_EVERY_MS));
            tokio::select! {
                () = rest => {}
                _ = heads.changed() => {}
            }
        };
        tokio::select! {
            () = wait => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Runs everything that is due by now. When something is due next, in milliseconds since the Unix epoch.
pub async fn run_due(hs: &Homeserver) -> Result<Option<u64>, storage::Error> {
    let typing_ms = typing::end_expired(hs).await?;
    let presence_ms = presence::end_unseen(hs).await?;
    let now_ms = hs.now_ms();
    let next = hs.db.read(jobs::next_due_ms).await?;
    if next.is_some_and(|next| next <= now_ms) && hs.db.lease("jobs", LEASE_MS).await?.is_some() {
        let due = hs
            .db
            .read(move |snap| jobs::due_jobs(snap, now_ms, JOBS_MAX))
            .await?;
        for job in due {
            run_job(hs, job).await?;
        }
    }
    let job_ms = hs.db.read(jobs::next_due_ms).await?;
    Ok([typing_ms, presence_ms, job_ms].into_iter().flatten().min())
}

async fn run_job(hs: &Homeserver, job: Job) -> Result<(), storage::Error> {
    let Job {
        id, body, attempts, ..
    } = job.clone();
    let attempt = attempts + 1;
    let pause = RETRY_MIN_MS << attempts.clamp(0, 20);
    let retry_ms = hs.now_ms() + pause.min(RETRY_MAX_MS);
    // Put off before it runs: who asks for it again meanwhile makes it due again, which the end respects.
    hs.db
        .write(move |tx| jobs::continue_job(tx, id, &body, retry_ms, attempt))
        .await?;
    let outcome = match job.kind.as_str() {
        profile::JOB => profile::propagate(hs, &job.subject)
            .await
            .map_err(|error| error.to_string()),
        deactivation::JOB => match deactivation::go_on(hs, &job.subject).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("some rooms could not be left".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        _ => Err("this program knows no such job".to_owned()),
    };
    match outcome {
        Ok(()) => {
            hs.db
                .write(move |tx| jobs::finish_attempt(tx, id, attempt))
                .await
        }
        Err(error) => {
            tracing::info!(kind = job.kind, error, "a job failed and is tried again");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server runs it as a task of its own: that it may be is told here, not by an error far away.
    #[expect(dead_code, reason = "it need only compile")]
    fn runs_on_any_thread(hs: Arc<Homeserver>, stopping: watch::Receiver<bool>) -> impl Send {
        run(hs, stopping)
    }
}
