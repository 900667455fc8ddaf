//! Whom a user can find: who shares a room, or is in a public one (client-server API v1.19, "User Directory").

use crate::{Error, Snapshot, UserKey, params};

/// A user that may be found, with the name and picture it has in one of the rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub user: UserKey,
    pub user_id: String,
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
    /// Whether a room is shared with who searches.
    pub shares_room: bool,
}

/// Up to `limit` joined members of the viewer's rooms and of published rooms, each once; those of shared rooms first.
///
/// The caller picks those whose name matches: what letters count as equal is no matter of SQL.
pub fn candidates(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let rows = snap.query(
        "SELECT user_key, user_id, displayname, avatar_url, shared FROM (
             SELECT m.user_key, u.user_id, m.displayname, m.avatar_url, r.shared,
                 ROW_NUMBER() OVER (PARTITION BY m.user_key ORDER BY r.shared DESC, m.position DESC) AS choice
             FROM (
                 SELECT room, 1 AS shared FROM members WHERE user_key = $1 AND membership = 3
                 UNION ALL
                 SELECT id, 0 FROM rooms WHERE published
             ) AS r
             JOIN members m ON m.room = r.room AND m.membership = 3
             JOIN users u ON u.id = m.user_key
         ) AS found WHERE choice = 1 ORDER BY shared DESC, user_key LIMIT $2",
        params![viewer, limit],
    )?;
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(rows
        .iter()
        .map(|row| Candidate {
            user: UserKey(row.int(0)),
            user_id: row.text(1),
            displayname: row.opt_bytes(2).map(lossy),
            avatar_url: row.opt_bytes(3).map(lossy),
            shares_room: row.int(4) == 1,
        })
        .collect())
}
