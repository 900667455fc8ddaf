//! Waiting for something new: the listener first, then the look, so that no wake-up is lost.

use std::time::Duration;

use storage::{Database, Position, UserKey};

use crate::SyncError;

/// A request is held at most this long: proxies in front of servers cut connections after a minute or two.
const TIMEOUT_MS_MAX: u64 = 90_000;

/// What a look at the database found.
pub(crate) enum Looked<T> {
    /// Something to answer with.
    Something(T),
    /// Nothing for this client up to a position.
    Nothing(Position),
}

/// What waiting came to.
pub(crate) enum Waited<T> {
    Something(T),
    /// The time is over; nothing happened up to a position.
    Nothing(Position),
}

/// Where waiting begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// Everything up to here was given to the client.
    pub since: Position,
    /// Look at once, whatever memory says.
    pub look: bool,
    pub timeout_ms: u64,
}

/// Looks for something new until there is, or the time is over. Where memory knows that nothing changed for the user,
/// nothing is read. `look` is told whether time has passed since the request was authenticated.
pub(crate) async fn wait<T, F, L>(
    db: &Database,
    user: UserKey,
    start: Start,
    look: L,
) -> Result<Waited<T>, SyncError>
where
    F: Future<Output = Result<Looked<T>, SyncError>>,
    L: Fn(bool) -> F,
{
    let mut given = start.since;
    let mut listener = db.listen(user).await?;
    let head = db.head().await?;
    if start.look || listener.changed() > given {
        match look(false).await? {
            Looked::Something(found) => return Ok(Waited::Something(found)),
            Looked::Nothing(up_to) => given = given.max(up_to),
        }
    } else {
        given = given.max(head);
    }
    let until_found = async {
        loop {
            listener.changed_after(given).await;
            match look(true).await? {
                Looked::Something(found) => return Ok(found),
                Looked::Nothing(up_to) => given = given.max(up_to),
            }
            // The user may have been forgotten and loaded anew meanwhile: then the old listener hears nothing more.
            listener = db.listen(user).await?;
        }
    };
    let timeout = Duration::from_millis(start.timeout_ms.min(TIMEOUT_MS_MAX));
    let outcome = tokio::time::timeout(timeout, until_found).await;
    match outcome {
        Ok(found) => found.map(Waited::Something),
        Err(_) => Ok(Waited::Nothing(given)),
    }
}
