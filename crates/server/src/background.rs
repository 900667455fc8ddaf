//! What runs beside the requests: jobs that are due, and deleting what has had its time.

use std::sync::Arc;
use std::time::Duration;

use homeserver::Homeserver;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Often enough that each sweep is short, seldom enough that idle machines sleep.
const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);

/// Starts it all; it ends soon after the stop.
pub fn start(
    tasks: &mut JoinSet<()>,
    homeserver: &Arc<Homeserver>,
    stopping: &watch::Receiver<bool>,
) {
    tasks.spawn(homeserver::jobs::run(homeserver.clone(), stopping.clone()));
    tasks.spawn(until_stop(stopping.clone(), sweep(homeserver.clone())));
}

/// Only for what is safe to drop at any wait.
async fn until_stop(mut stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = stopping.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

async fn sweep(homeserver: Arc<Homeserver>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = homeserver.db.sweep().await {
            tracing::warn!(%error, "old rows could not be deleted; the next sweep tries again");
        }
    }
}
