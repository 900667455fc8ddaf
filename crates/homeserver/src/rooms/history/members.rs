//! `GET /rooms/{roomId}/members` and `/joined_members`.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v3/rooms/{roomId}/members" and
//! "GET /_matrix/client/v3/rooms/{roomId}/joined_members".

use serde_json::value::RawValue;
use storage::events::{self, EventRow, Place};
use storage::rooms::{self, Membership};
use storage::{EventKey, Snapshot, event_context, ids, states};
use view::{Options, Stay};

use super::access::enter;
use super::{Access, Entered, ReadError, viewer};
use crate::{Homeserver, Requester};

/// Which members.
#[derive(Debug, Clone)]
pub struct Ask {
    pub room_id: String,
    /// As of this point; none: now.
    pub at: Option<Place>,
    /// Only this membership. With `not_membership` too, either suffices.
    pub membership: Option<Membership>,
    /// All but this membership.
    pub not_membership: Option<Membership>,
}

/// The membership events of a room, in client format.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub async fn members(
    hs: &Homeserver,
    requester: &Requester,
    ask: Ask,
) -> Result<Vec<Box<RawValue>>, ReadError> {
    let viewer = viewer(requester);
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &ask.room_id)?;
            let mut rows = match position(&entered, ask.at) {
                None => now(snap, &entered, &ask)?,
                Some(position) => then(snap, &entered, position)?,
            };
            rows.retain(|row| ask.wants(view::membership(row)));
            rows.sort_unstable_by_key(|row| (row.place, row.position));
            Ok(view::present(snap, &viewer, rows, &Options::state(now_ms))?)
        })
        .await
}

impl Ask {
    fn wants(&self, membership: Option<Membership>) -> bool {
        let is = membership.is_some() && membership == self.membership;
        match (self.membership, self.not_membership) {
            (None, None) => true,
            (Some(_), None) => is,
            (_, Some(not)) => is || membership != Some(not),
        }
    }
}

/// The position as of which members are read; none: now.
fn position(entered: &Entered, at: Option<Place>) -> Option<i64> {
    // A point before an event of a place is the end of the position before it.
    let at = at.map(|at| at.place.saturating_sub(i64::from(at.seq < 0)));
    match entered.access {
        Access::Now => at,
        Access::Until { position, .. } => Some(at.unwrap_or(position).min(position)),
    }
}

/// From the rows of members, so that those who are not asked for are not even read.
fn now(snap: &mut Snapshot<'_>, entered: &Entered, ask: &Ask) -> Result<Vec<EventRow>, ReadError> {
    let keys: Vec<EventKey> = rooms::members(snap, entered.room.key)?
        .into_iter()
        .filter(|member| ask.wants(Some(member.membership)))
        .map(|member| member.event)
        .collect();
    Ok(events::by_key(snap, &keys)?.into_values().collect())
}

fn then(
    snap: &mut Snapshot<'_>,
    entered: &Entered,
    position: i64,
) -> Result<Vec<EventRow>, ReadError> {
    let room = entered.room.key;
    let Some(state) = events::state_at_position(snap, room, position)? else {
        return Ok(Vec::new());
    };
    let members = event_context::all_member_numbers(snap, room)?;
    let keys: Vec<EventKey> = states::entries(snap, state)?
        .into_iter()
        .filter(|(no, _)| members.contains(no))
        .map(|(_, event)| event)
        .collect();
    Ok(events::by_key(snap, &keys)?.into_values().collect())
}

/// A joined member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub user_id: String,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

/// The joined members of a room that the requester is joined to.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub async fn joined_members(
    hs: &Homeserver,
    requester: &Requester,
    room_id: String,
) -> Result<Vec<JoinedMember>, ReadError> {
    let viewer = viewer(requester);
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &room_id)?;
            if entered.stay != Stay::Present {
                return Err(ReadError::NotAllowed);
            }
            let mut rows = rooms::members(snap, entered.room.key)?;
            rows.retain(|member| member.membership == Membership::Join);
            let users: Vec<_> = rows.iter().map(|member| member.user).collect();
            let user_ids = ids::user_ids(snap, &users)?;
            Ok(rows
                .into_iter()
                .filter_map(|member| {
                    Some(JoinedMember {
                        user_id: user_ids.get(&member.user)?.clone(),
                        display_name: member.displayname,
                        avatar_url: member.avatar_url,
                    })
                })
                .collect())
        })
        .await
}
