//! Whose keys changed between two syncs: client-server API v1.19, "GET /keys/changes".

use storage::{Position, device_lists, ids};

use crate::{Homeserver, Requester};

/// Whose keys changed, and whose need not be followed any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyChanges {
    /// User ids, sorted.
    pub changed: Vec<String>,
    /// User ids, sorted.
    pub left: Vec<String>,
}

/// Whose keys changed after `from`. More may be told than changed up to a given end, never less.
pub async fn key_changes(
    hs: &Homeserver,
    requester: &Requester,
    from: Position,
) -> Result<KeyChanges, storage::Error> {
    let viewer = requester.user;
    // What was acknowledged anywhere is seen here.
    hs.db.head().await?;
    hs.db
        .read(move |snap| {
            let changed = device_lists::changed_users(snap, viewer, from)?;
            let left = device_lists::left_users(snap, viewer, from)?;
            let keys: Vec<_> = changed.union(&left).copied().collect();
            let names = ids::user_ids(snap, &keys)?;
            let named = |users: &std::collections::BTreeSet<_>| {
                let mut names: Vec<_> = users
                    .iter()
                    .filter_map(|user| names.get(user).cloned())
                    .collect();
                names.sort();
                names
            };
            Ok(KeyChanges {
                changed: named(&changed),
                left: named(&left),
            })
        })
        .await
}
