//! Profiles: client-server API v1.19, "Profiles".

use serde_json::{Map, Value};
use storage::profiles::{self, Profile};
use storage::rooms::{Membership, memberships_after};
use storage::{DeviceKey, Tx, UserKey, accounts, jobs};

use crate::rooms::membership::refresh_member_profile;
use crate::rooms::send::SendError;
use crate::{Homeserver, Requester};

/// All of a profile as JSON: the spec's bound.
pub const PROFILE_BYTES_MAX: usize = 64 << 10;

/// A field's name: the spec's bound.
pub const FIELD_BYTES_MAX: usize = 255;

/// A display name is in every one of its user's membership events, so it is kept short.
pub const DISPLAYNAME_CHARS_MAX: usize = 256;

/// A media id is short; so is an address that holds one.
pub const AVATAR_URL_BYTES_MAX: usize = 1_000;

/// The kind of the job that shows a new name or picture in all rooms; its subject is the user's id.
pub const JOB: &str = "profile";

/// Why a profile was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("the field's name has more than {FIELD_BYTES_MAX} bytes")]
    FieldTooLong,
    #[error(
        "a field's name has small letters, digits, `-`, `_` and `.`, and begins with a letter; `m.` is the spec's"
    )]
    BadField,
    #[error("the profile would have more than {PROFILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("a display name is text of at most {DISPLAYNAME_CHARS_MAX} characters")]
    BadDisplayname,
    #[error(
        "an avatar is an address that begins with mxc://, of at most {AVATAR_URL_BYTES_MAX} bytes"
    )]
    BadAvatar,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The profile of a local user as a JSON object. None: there is no such account.
pub async fn profile(
    hs: &Homeserver,
    user_id: &str,
) -> Result<Option<Map<String, Value>>, storage::Error> {
    let user_id = user_id.to_owned();
    hs.db
        .read(move |snap| {
            let Some(account) =
                accounts::find(snap, &user_id)?.filter(|account| !account.deactivated)
            else {
                return Ok(None);
            };
            let profile = profiles::get(snap, account.user)?;
            let fields = profile
                .into_iter()
                .filter_map(|(field, value)| Some((field, serde_json::from_slice(&value).ok()?)));
            Ok(Some(fields.collect()))
        })
        .await
}

/// Sets a field of the requester's profile. A new name or picture is shown in the user's rooms soon after.
pub async fn put_field(
    hs: &Homeserver,
    requester: &Requester,
    field: &str,
    value: Value,
) -> Result<(), ProfileError> {
    check_name(field)?;
    let empty = value.is_null() || value == "";
    match field {
        "displayname" | "avatar_url" if empty => return delete_field(hs, requester, field).await,
        "displayname" => check_displayname(&value)?,
        "avatar_url" => check_avatar(&value)?,
        _ => {}
    }
    let (user, user_id) = (requester.user, requester.user_id.clone());
    let (field, value) = (field.to_owned(), value.to_string().into_bytes());
    hs.db
        .write(move |tx| {
            let mut profile = profiles::get(tx, user)?;
            if profile.insert(field.clone(), value.clone()).as_ref() == Some(&value) {
                return Ok(());
            }
            if bytes(&profile) > PROFILE_BYTES_MAX {
                return Err(ProfileError::TooLarge);
            }
            profiles::put(tx, user, &field, &value)?;
            Ok(show_in_rooms(tx, &user_id, &field)?)
        })
        .await
}

/// Deletes a field of the requester's profile. Deleting what is not there is no error.
pub async fn delete_field(
    hs: &Homeserver,
    requester: &Requester,
    field: &str,
) -> Result<(), ProfileError> {
    check_name(field)?;
    let (user, user_id, field) = (requester.user, requester.user_id.clone(), field.to_owned());
    hs.db
        .write(move |tx| {
            if profiles::delete(tx, user, &field)? {
                show_in_rooms(tx, &user_id, &field)?;
            }
            Ok(())
        })
        .await
}

/// Writes the job that shows the change in rooms, where they show it.
fn show_in_rooms(tx: &mut Tx<'_>, user_id: &str, field: &str) -> Result<(), storage::Error> {
    if matches!(field, "displayname" | "avatar_url") {
        let now_ms = tx.now_ms();
        jobs::put_job(tx, JOB, user_id, b"", now_ms)?;
    }
    Ok(())
}

/// Shows a user's name and picture in all rooms that it is joined to: the work of the job [`JOB`].
///
/// Rooms that show them already are passed over, so it may be cut short and repeated.
///
/// # Errors
/// What passes by itself: storage, or a room that is too busy. Rooms that refuse are passed over.
pub async fn propagate(hs: &Homeserver, user_id: &str) -> Result<(), SendError> {
    let name = user_id.to_owned();
    let found = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            let Some(account) = accounts::find(snap, &name)?.filter(|account| !account.deactivated)
            else {
                return Ok(None);
            };
            let profile = profiles::get(snap, account.user)?;
            Ok(Some((
                account.user,
                profile,
                memberships_after(snap, account.user, i64::MIN)?,
            )))
        })
        .await?;
    let Some((user, profile, memberships)) = found else {
        return Ok(());
    };
    let shown = |field| {
        let value: Value = serde_json::from_slice(profile.get(field)?).ok()?;
        value.as_str().map(str::to_owned)
    };
    let (displayname, avatar_url) = (shown("displayname"), shown("avatar_url"));
    let requester = in_the_name_of(user, user_id);
    for row in memberships {
        let shows = row.displayname == displayname && row.avatar_url == avatar_url;
        if row.membership != Membership::Join || shows {
            continue;
        }
        match refresh_member_profile(hs, &requester, row.room).await {
            Err(error @ (SendError::Busy | SendError::HeadMoved | SendError::Storage(_))) => {
                return Err(error);
            }
            Err(error) => {
                tracing::debug!(%error, user_id, room = row.room.0, "a room keeps the old profile")
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// The user as who acts, on no device.
fn in_the_name_of(user: UserKey, user_id: &str) -> Requester {
    Requester {
        user,
        user_id: user_id.to_owned(),
        device: DeviceKey(0),
        device_id: String::new(),
        is_admin: false,
        is_guest: false,
        is_suspended: false,
    }
}

/// About as many bytes as the profile has as a JSON object.
fn bytes(profile: &Profile) -> usize {
    let fields = profile
        .iter()
        .map(|(field, value)| field.len() + value.len() + 4);
    fields.sum::<usize>() + 1
}

/// Appendices, "Common Namespaced Identifier Grammar".
fn check_name(field: &str) -> Result<(), ProfileError> {
    if field.len() > FIELD_BYTES_MAX {
        return Err(ProfileError::FieldTooLong);
    }
    let first = field.starts_with(|first: char| first.is_ascii_lowercase());
    let rest = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    if first && field.bytes().all(rest) {
        Ok(())
    } else {
        Err(ProfileError::BadField)
    }
}

fn check_displayname(value: &Value) -> Result<(), ProfileError> {
    let fits = |name: &str| name.chars().count() <= DISPLAYNAME_CHARS_MAX;
    match value.as_str().is_some_and(fits) {
        true => Ok(()),
        false => Err(ProfileError::BadDisplayname),
    }
}

fn check_avatar(value: &Value) -> Result<(), ProfileError> {
    let fits = |url: &str| url.starts_with("mxc://") && url.len() <= AVATAR_URL_BYTES_MAX;
    match value.as_str().is_some_and(fits) {
        true => Ok(()),
        false => Err(ProfileError::BadAvatar),
    }
}
