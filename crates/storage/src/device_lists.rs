//! Whose keys changed: one newest row per user. Client-server API v1.19, "Tracking the device list for a user".
//!
//! A window reads only where it begins: a change after its end moved the user's one row, so the end cannot be told.
//! More is told than changed, never less.

use std::collections::BTreeSet;

use crate::{Error, Kind, Position, Snapshot, Topic, Tx, UserKey, params};

/// Takes the user's row, so that what is read of the user's keys after it holds until the commit.
pub(crate) fn lock(tx: &mut Tx<'_>, user: UserKey) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO device_lists (user_key, position) VALUES ($1, 0)
         ON CONFLICT (user_key) DO UPDATE SET position = device_lists.position",
        params![user],
    )
    .map(drop)
}

/// Tells everybody who shares a room with the user that the user's devices or keys changed.
pub fn publish_change(tx: &mut Tx<'_>, user: UserKey) {
    tx.publish_with(
        Topic::Peers(user),
        Kind::DeviceList,
        0,
        0,
        move |snap, position| {
            snap.write(
                "INSERT INTO device_lists (user_key, position) VALUES ($1, $2)
                 ON CONFLICT (user_key) DO UPDATE SET position = excluded.position",
                params![user, position],
            )
            .map(drop)
        },
    );
}

/// Whose keys `viewer` must ask for again: users who share a room with the viewer (or are invited to one of them) and
/// changed after `since`, or share one only since then; the viewer's own; and those whom the viewer has signed.
pub fn changed_users(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    since: Position,
) -> Result<BTreeSet<UserKey>, Error> {
    let mut changed = BTreeSet::new();
    let statements = [
        // Changed keys: few rows are newer than `since`, so they are looked at one by one.
        "SELECT d.user_key FROM device_lists d WHERE d.position > $2 AND (d.user_key = $1 OR EXISTS (
             SELECT 1 FROM members o JOIN members v ON v.room = o.room AND v.user_key = $1 AND v.membership = 3
             WHERE o.user_key = d.user_key AND o.membership IN (1, 3)))",
        "SELECT target_user FROM key_signatures WHERE signer = $1 AND position > $2",
        // Others came to the viewer's rooms.
        "SELECT o.user_key FROM members v
         JOIN members o ON o.room = v.room AND o.began > $2 AND o.membership IN (1, 3)
         WHERE v.user_key = $1 AND v.membership = 3",
        // The viewer came to a room.
        "SELECT o.user_key FROM members v JOIN members o ON o.room = v.room AND o.membership IN (1, 3)
         WHERE v.user_key = $1 AND v.position > $2 AND v.began > $2 AND v.membership = 3",
    ];
    for statement in statements {
        let rows = snap.query(statement, params![viewer, since])?;
        changed.extend(rows.iter().map(|row| UserKey(row.int(0))));
    }
    Ok(changed)
}

/// Whose keys `viewer` need not follow any more: users with whom the viewer shared a room and shares none since a
/// change after `since`.
pub fn left_users(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    since: Position,
) -> Result<BTreeSet<UserKey>, Error> {
    let mut candidates = BTreeSet::new();
    let statements = [
        // Others went from the viewer's rooms.
        "SELECT o.user_key FROM members v
         JOIN members o ON o.room = v.room AND o.began > $2 AND o.membership NOT IN (1, 3)
         WHERE v.user_key = $1 AND v.membership = 3",
        // The viewer went from a room.
        "SELECT o.user_key FROM members v
         JOIN members o ON o.room = v.room AND (o.membership IN (1, 3) OR o.began > $2)
         WHERE v.user_key = $1 AND v.position > $2 AND v.began > $2 AND v.membership NOT IN (1, 3)",
    ];
    for statement in statements {
        let rows = snap.query(statement, params![viewer, since])?;
        candidates.extend(rows.iter().map(|row| row.int(0)));
    }
    candidates.remove(&viewer.0);
    let list: Vec<i64> = candidates.iter().copied().collect();
    let rows = snap.query(
        "SELECT DISTINCT o.user_key FROM members o
         JOIN members v ON v.room = o.room AND v.user_key = $1 AND v.membership = 3
         WHERE o.user_key IN ($2[]) AND o.membership IN (1, 3)",
        params![viewer, list],
    )?;
    for row in rows {
        candidates.remove(&row.int(0));
    }
    Ok(candidates.into_iter().map(UserKey).collect())
}
