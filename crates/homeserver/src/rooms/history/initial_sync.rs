//! `GET /rooms/{roomId}/initialSync`: a look at a room, for previews.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v3/rooms/{roomId}/initialSync".

use serde_json::value::RawValue;
use storage::account_data;
use storage::rooms::{self, Membership};
use view::Options;
use view::filter::RoomEventFilter;

use super::access::enter;
use super::messages::{Ask, Page, page};
use super::{Direction, ReadError, state, viewer};
use crate::{Homeserver, Requester};

/// Messages in a look at a room.
const MESSAGES: usize = 20;

/// A room as it is, or as it was when the requester left.
#[derive(Debug)]
pub struct RoomLook {
    pub room_id: String,
    pub membership: Option<Membership>,
    /// Newest last.
    pub messages: Page,
    pub state: Vec<Box<RawValue>>,
    /// Whether the room is in the directory.
    pub published: bool,
    /// Types and contents.
    pub account_data: Vec<(String, Vec<u8>)>,
}

/// Reads a room's state and newest messages.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub async fn look(
    hs: &Homeserver,
    requester: &Requester,
    room_id: String,
) -> Result<RoomLook, ReadError> {
    let viewer = viewer(requester);
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &room_id)?;
            let newest = Ask {
                room_id,
                direction: Direction::Backwards,
                from: None,
                to: None,
                limit: MESSAGES,
                filter: RoomEventFilter::default(),
            };
            let mut messages = page(snap, &viewer, &entered, &newest, now_ms)?;
            messages.chunk.reverse();
            let state = state::all(snap, &entered)?;
            let account_data = account_data::of_rooms(snap, viewer.user, &[entered.room.key])?;
            let membership = rooms::member(snap, entered.room.key, viewer.user)?
                .filter(|member| !member.forgotten)
                .map(|member| member.membership);
            Ok(RoomLook {
                membership,
                messages,
                state: view::present(snap, &viewer, state, &Options::state(now_ms))?,
                published: entered.room.published,
                account_data: account_data
                    .into_iter()
                    .map(|data| (data.event_type, data.content))
                    .collect(),
                room_id: entered.room.room_id,
            })
        })
        .await
}
