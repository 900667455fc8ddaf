//! The content of `m.room.member` as the rules read it.
//!
//! Source: client-server API, "m.room.member", Matrix v1.19.

use std::fmt;

use crate::json::{Object, Value};

/// A user's membership of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Membership {
    Invite,
    Join,
    Knock,
    Leave,
    Ban,
}

impl Membership {
    /// The spec's name, e.g. `"join"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Membership::Invite => "invite",
            Membership::Join => "join",
            Membership::Knock => "knock",
            Membership::Leave => "leave",
            Membership::Ban => "ban",
        }
    }

    /// The membership of that name.
    pub fn from_name(name: &str) -> Option<Membership> {
        match name {
            "invite" => Some(Membership::Invite),
            "join" => Some(Membership::Join),
            "knock" => Some(Membership::Knock),
            "leave" => Some(Membership::Leave),
            "ban" => Some(Membership::Ban),
            _ => None,
        }
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the rules read of an `m.room.member` event's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberContent {
    /// `None` where it is missing, no string, or no membership that the spec knows.
    pub membership: Option<Membership>,
    /// `join_authorised_via_users_server`, where the key is there.
    pub join_authorised: Option<JoinAuthorised>,
    /// `third_party_invite`, where the key is there.
    pub third_party_invite: Option<ThirdPartyInvite>,
}

/// The value of `join_authorised_via_users_server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinAuthorised {
    /// The user whose server vouches that the join meets the room's conditions.
    By(String),
    /// Something else than a string.
    Malformed,
}

/// The value of `third_party_invite`; the signatures in it are read when they are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThirdPartyInvite {
    /// `signed.mxid` and `signed.token`, where both are strings.
    pub signed: Option<Signed>,
}

/// What the identity server signed of a third-party invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The user the invite turned out to be for.
    pub mxid: String,
    /// The state key of the room's `m.room.third_party_invite` event.
    pub token: String,
}

impl MemberContent {
    pub(crate) fn read(content: &Object<'_>) -> MemberContent {
        MemberContent {
            membership: content
                .get_str("membership")
                .and_then(Membership::from_name),
            join_authorised: content.get("join_authorised_via_users_server").map(
                |value| match value {
                    Value::String(user) => JoinAuthorised::By(user.as_ref().to_owned()),
                    _ => JoinAuthorised::Malformed,
                },
            ),
            third_party_invite: content
                .get("third_party_invite")
                .map(|value| ThirdPartyInvite {
                    signed: value
                        .as_object()
                        .and_then(|invite| invite.get("signed"))
                        .and_then(Signed::read),
                }),
        }
    }
}

impl Signed {
    fn read(value: &Value<'_>) -> Option<Signed> {
        let signed = value.as_object()?;
        Some(Signed {
            mxid: signed.get_str("mxid")?.to_owned(),
            token: signed.get_str("token")?.to_owned(),
        })
    }
}
