//! Closes an account for good: client-server API v1.19, "Account deactivation".
//!
//! One transaction takes all access and writes down that the rooms are to be left; leaving them is repeatable, and goes on
//! as a job where it was broken off.

use storage::rooms::Membership;
use storage::{DeviceKey, RoomKey, UserKey, accounts as rows, jobs};

use crate::accounts::sessions;
use crate::rooms::membership;
use crate::{Homeserver, Requester};

/// The job that leaves the rooms; its subject is the user id.
pub(crate) const JOB: &str = "leave_rooms_of_deactivated";

/// The job waits this long for the rooms to be left at once, by the request itself.
const HEAD_START_MS: u64 = 60_000;

/// Why an account was not closed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeactivateError {
    #[error("there is no such account")]
    NoSuchAccount,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Closes the account of `user_id`, signs all of its devices out and leaves its rooms. Nobody can register the name again.
/// `erase`: its messages are to be hidden from people who join rooms later.
pub async fn deactivate(
    hs: &Homeserver,
    user_id: &str,
    erase: bool,
) -> Result<(), DeactivateError> {
    let id = user_id.to_owned();
    let user = hs
        .db
        .write(move |tx| {
            let account = rows::find(tx, &id)?.ok_or(DeactivateError::NoSuchAccount)?;
            let now_ms = tx.now_ms();
            jobs::put_job(tx, JOB, &id, b"", now_ms + HEAD_START_MS)?;
            sessions::delete_all_devices(tx, account.user, None)?;
            rows::deactivate(tx, account.user, erase || account.erased)?;
            Ok::<_, DeactivateError>(account.user)
        })
        .await?;
    tracing::info!(user_id, erase, "deactivated");
    leave_rooms(hs, user, user_id).await?;
    Ok(())
}

/// Goes on with a job that a crash or an error broke off; false while rooms are left to be left.
pub(crate) async fn go_on(hs: &Homeserver, user_id: &str) -> Result<bool, storage::Error> {
    let id = user_id.to_owned();
    match hs.db.read(move |snap| rows::find(snap, &id)).await? {
        Some(account) => leave_rooms(hs, account.user, &account.user_id).await,
        None => Ok(true),
    }
}

/// Leaves all rooms and refuses all invites; then the job is done. False where some could not be left.
async fn leave_rooms(
    hs: &Homeserver,
    user: UserKey,
    user_id: &str,
) -> Result<bool, storage::Error> {
    let requester = Requester {
        user,
        user_id: user_id.to_owned(),
        // No device: these events are no client's.
        device: DeviceKey(0),
        device_id: String::new(),
        is_admin: false,
        is_guest: false,
        is_suspended: false,
    };
    let mut left_all = true;
    for (room, membership) in hs.db.rooms_of(user).await? {
        if !matches!(
            membership,
            Membership::Join | Membership::Invite | Membership::Knock
        ) {
            continue;
        }
        let Some(room_id) = room_id_of(hs, room).await? else {
            continue;
        };
        if let Err(error) = membership::leave_room(hs, &requester, &room_id, None).await {
            tracing::warn!(room_id, user_id, %error, "a deactivated user could not leave a room");
            left_all = false;
        }
    }
    if left_all {
        let subject = user_id.to_owned();
        hs.db
            .write(move |tx| jobs::finish_named(tx, JOB, &subject))
            .await?;
    }
    Ok(left_all)
}

async fn room_id_of(hs: &Homeserver, room: RoomKey) -> Result<Option<String>, storage::Error> {
    hs.db
        .read(move |snap| storage::rooms::rooms_by_key(snap, &[room]))
        .await
        .map(|mut rooms| rooms.remove(&room).map(|row| row.room_id))
}
