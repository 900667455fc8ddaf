//! Joining, leaving, inviting, knocking, kicking, banning and forgetting: client-server API v1.19, "Room membership".

use ruma_common::OwnedUserId;
use serde_json::{Map, Value, json};
use storage::rooms::{MemberRow, Membership, RoomRow};
use storage::{Kind, RoomKey, Topic, UserKey, params};

use super::decide::LocalEvent;
use super::lane::send_events;
use super::send::{SendError, Sent, find_room, intern_user, room_key, sender_of};
use super::summary::RoomSummary;
use crate::{Homeserver, Requester};

/// What a user does to another's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Invite,
    Kick,
    Ban,
    Unban,
}

/// Other servers are reached by federation, which the rooms of this server do not use yet.
pub(super) fn unreachable(_user_id: &str) -> SendError {
    SendError::Refused("users and rooms of other servers cannot be reached from this server")
}

/// A user's row in a room.
pub async fn member(
    hs: &Homeserver,
    room: RoomKey,
    user: UserKey,
) -> Result<Option<MemberRow>, storage::Error> {
    hs.db
        .read(move |snap| storage::rooms::member(snap, room, user))
        .await
}

/// The content of a requester's own join or knock: what the client gave, and the profile.
pub async fn join_content(
    hs: &Homeserver,
    requester: &Requester,
    extra: Map<String, Value>,
) -> Result<Value, storage::Error> {
    let (displayname, avatar_url) = profile_of(hs, requester.user).await?;
    let mut content = extra;
    content.insert("membership".into(), "join".into());
    for (key, value) in [("displayname", displayname), ("avatar_url", avatar_url)] {
        if let Some(value) = value {
            content.insert(key.into(), value.into());
        }
    }
    Ok(Value::Object(content))
}

/// The display name and avatar that a local user shows.
async fn profile_of(
    hs: &Homeserver,
    user: UserKey,
) -> Result<(Option<String>, Option<String>), storage::Error> {
    let profile = hs
        .db
        .read(move |snap| storage::profiles::get(snap, user))
        .await?;
    let text = |field: &str| {
        let value: Value = serde_json::from_slice(profile.get(field)?).ok()?;
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Ok((text("displayname"), text("avatar_url")))
}

/// Joins a room by its id. Who is joined already stays so.
pub async fn join_room(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    reason: Option<&str>,
    third_party_signed: Option<Value>,
) -> Result<(), SendError> {
    let room = find_room(hs, room_id)
        .await?
        .ok_or(SendError::UnknownRoom)?;
    let mine = member(hs, room.key, requester.user)
        .await?
        .map(|row| row.membership);
    if mine == Some(Membership::Join) {
        return Ok(());
    }
    let mut extra = Map::new();
    if let Some(reason) = reason {
        extra.insert("reason".into(), reason.into());
    }
    if let Some(signed) = third_party_signed {
        extra.insert("third_party_invite".into(), json!({ "signed": signed }));
    }
    if mine != Some(Membership::Invite)
        && let Some(voucher) = voucher(hs, requester, &room).await?
    {
        extra.insert("join_authorised_via_users_server".into(), voucher.into());
    }
    let content = join_content(hs, requester, extra).await?;
    own_membership(hs, requester, room.key, content)
        .await
        .map(drop)
}

/// Knocks on a room.
pub async fn knock_room(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    reason: Option<&str>,
) -> Result<(), SendError> {
    let room = room_key(hs, room_id).await?;
    let mut content = join_content(hs, requester, Map::new()).await?;
    content["membership"] = "knock".into();
    if let Some(reason) = reason {
        content["reason"] = reason.into();
    }
    own_membership(hs, requester, room, content).await.map(drop)
}

/// Leaves a room, or refuses an invite, or takes back a knock.
pub async fn leave_room(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    reason: Option<&str>,
) -> Result<(), SendError> {
    let room = room_key(hs, room_id).await?;
    let mine = member(hs, room, requester.user)
        .await?
        .map(|row| row.membership);
    if mine == Some(Membership::Leave) {
        return Ok(());
    }
    let mut content = json!({ "membership": "leave" });
    if let Some(reason) = reason {
        content["reason"] = reason.into();
    }
    own_membership(hs, requester, room, content).await.map(drop)
}

/// Makes a membership event of the requester about the requester.
async fn own_membership(
    hs: &Homeserver,
    requester: &Requester,
    room: RoomKey,
    content: Value,
) -> Result<Sent, SendError> {
    let sender = sender_of(requester)?;
    let event = LocalEvent::member(
        &requester.user_id,
        requester.user,
        true,
        content.to_string(),
    );
    let mut sent = send_events(hs, room, &sender, &[event]).await?;
    sent.pop().ok_or(SendError::UnknownRoom)
}

/// Invites, kicks, bans or unbans another user.
pub async fn set_membership(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    target: &OwnedUserId,
    deed: Deed,
    reason: Option<&str>,
) -> Result<(), SendError> {
    let room = room_key(hs, room_id).await?;
    let is_local = hs.is_local(target.as_str());
    if deed == Deed::Invite && !is_local {
        return Err(unreachable(target.as_str()));
    }
    let user = intern_user(hs, target.as_str()).await?;
    let theirs = member(hs, room, user).await?.map(|row| row.membership);
    match deed {
        Deed::Kick
            if !matches!(
                theirs,
                Some(Membership::Join | Membership::Invite | Membership::Knock)
            ) =>
        {
            return Err(SendError::Refused("the user is not in the room"));
        }
        Deed::Unban if theirs != Some(Membership::Ban) => {
            return Err(SendError::Refused("the user is not banned"));
        }
        _ => {}
    }
    let mut content = match deed {
        Deed::Invite => json!({ "membership": "invite" }),
        Deed::Kick | Deed::Unban => json!({ "membership": "leave" }),
        Deed::Ban => json!({ "membership": "ban" }),
    };
    if deed == Deed::Invite {
        let (displayname, avatar_url) = profile_of(hs, user).await?;
        for (key, value) in [("displayname", displayname), ("avatar_url", avatar_url)] {
            if let Some(value) = value {
                content[key] = value.into();
            }
        }
    }
    if let Some(reason) = reason {
        content["reason"] = reason.into();
    }
    let event = LocalEvent::member(target.as_str(), user, is_local, content.to_string());
    send_events(hs, room, &sender_of(requester)?, &[event])
        .await
        .map(drop)
}

/// Sends a membership event with a content of the client's own (`PUT …/state/m.room.member/{userId}`).
pub async fn put_membership(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    target: &OwnedUserId,
    content: String,
) -> Result<Sent, SendError> {
    let room = room_key(hs, room_id).await?;
    let user = intern_user(hs, target.as_str()).await?;
    let event = LocalEvent::member(target.as_str(), user, hs.is_local(target.as_str()), content);
    let mut sent = send_events(hs, room, &sender_of(requester)?, &[event]).await?;
    sent.pop().ok_or(SendError::UnknownRoom)
}

/// Shows a profile change in one room: sends the requester's membership again with the new name and picture.
pub async fn refresh_member_profile(
    hs: &Homeserver,
    requester: &Requester,
    room: RoomKey,
) -> Result<(), SendError> {
    let mine = member(hs, room, requester.user).await?;
    if mine.is_none_or(|row| row.membership != Membership::Join) {
        return Ok(());
    }
    let content = join_content(hs, requester, Map::new()).await?;
    own_membership(hs, requester, room, content).await.map(drop)
}

/// Why a room was not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error("leave the room first")]
    StillIn,
    #[error("you never were in this room")]
    NeverIn,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Takes a room that was left out of the user's lists and history.
pub async fn forget_room(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
) -> Result<(), ForgetError> {
    let room = find_room(hs, room_id)
        .await?
        .ok_or(ForgetError::NeverIn)?
        .key;
    let user = requester.user;
    hs.db
        .write(move |tx| {
            let row = tx
                .query_one(
                    "SELECT membership FROM members WHERE room = $1 AND user_key = $2 AND NOT forgotten",
                    params![room, user],
                )?
                .ok_or(ForgetError::NeverIn)?;
            let membership = Membership::from_int(row.int(0));
            if !matches!(membership, Membership::Leave | Membership::Ban) {
                return Err(ForgetError::StillIn);
            }
            tx.execute("UPDATE members SET forgotten = TRUE WHERE room = $1 AND user_key = $2", params![room, user])?;
            tx.publish(Topic::User(user), Kind::Membership, room.0, membership.to_int());
            Ok(())
        })
        .await
}

/// For a restricted room: a member with the power to invite, in whose name this server vouches that the requester is
/// in one of the rooms that the join rule names. None where the rule asks for no voucher, or nobody can give it.
async fn voucher(
    hs: &Homeserver,
    requester: &Requester,
    room: &RoomRow,
) -> Result<Option<String>, SendError> {
    let rule = RoomSummary::from_json(&room.summary)
        .join_rule
        .unwrap_or_default();
    if !matches!(rule.as_str(), "restricted" | "knock_restricted") {
        return Ok(None);
    }
    let key = room.key;
    let (rules_event, levels, create, members) = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            Ok((
                storage::events::current_state_event(snap, key, "m.room.join_rules", "")?,
                storage::events::current_state_event(snap, key, "m.room.power_levels", "")?,
                storage::events::current_state_event(snap, key, "m.room.create", "")?,
                joined_user_ids(snap, key)?,
            ))
        })
        .await?;
    let Some(allowed) = rules_event.map(|row| allowed_rooms(&row.body)) else {
        return Ok(None);
    };
    let joined = hs.db.rooms_of(requester.user).await?;
    let rows = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            let mut keys = Vec::new();
            for room_id in &allowed {
                keys.extend(storage::rooms::find_room(snap, room_id)?.map(|row| row.key));
            }
            Ok(keys)
        })
        .await?;
    if !rows
        .iter()
        .any(|key| joined.get(key) == Some(&Membership::Join))
    {
        return Ok(None);
    }
    let Some(rules) = room::versions::Rules::of_name(&room.room_version) else {
        return Ok(None);
    };
    let parse = |row: Option<storage::events::EventRow>| {
        row.and_then(|row| super::head::parse_stored(rules, row))
    };
    let (Some(create), levels) = (parse(create), parse(levels)) else {
        return Ok(None);
    };
    let Ok(powers) = room::power_levels::Powers::new(&create, levels.as_deref()) else {
        return Ok(None);
    };
    Ok(members
        .into_iter()
        .find(|user_id| hs.is_local(user_id) && powers.can_invite(user_id)))
}

/// Rooms that a join rule may name: bounds what one join costs.
const ALLOWED_ROOMS_MAX: usize = 50;

/// The rooms whose members a restricted join rule lets in.
fn allowed_rooms(body: &[u8]) -> Vec<String> {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let allow = event["content"]["allow"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    allow
        .iter()
        .filter(|condition| condition["type"] == "m.room_membership")
        .filter_map(|condition| condition["room_id"].as_str().map(str::to_owned))
        .take(ALLOWED_ROOMS_MAX)
        .collect()
}

fn joined_user_ids(
    snap: &mut storage::Snapshot<'_>,
    room: RoomKey,
) -> Result<Vec<String>, storage::Error> {
    let rows = snap.query(
        "SELECT u.user_id FROM members m JOIN users u ON u.id = m.user_key
         WHERE m.room = $1 AND m.membership = $2 ORDER BY m.user_key",
        params![room, Membership::Join],
    )?;
    Ok(rows.iter().map(|row| row.text(0)).collect())
}
