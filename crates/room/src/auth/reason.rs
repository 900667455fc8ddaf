//! Why the authorization rules reject an event, each reason a sentence.

use ruma_common::{OwnedEventId, OwnedRoomId};

use crate::auth_content::MalformedPowerLevels;
use crate::power_levels::PowersError;

/// Why an event is not allowed. The numbers are those of room version 12's rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    // 1: m.room.create
    #[error("the create event must be the first of its room")]
    CreateHasPrevEvents,
    #[error("the create event must have no room id, as it makes it")]
    CreateHasRoomId,
    #[error("the room id must be of the server that creates the room")]
    CreateOfOtherServer,
    #[error("room version {0} is not known")]
    UnknownRoomVersion(String),
    #[error("the create event must name the creator")]
    CreateHasNoCreator,
    #[error("`additional_creators` must be a list of user ids")]
    MalformedAdditionalCreators,
    // 2 and 3: the room and auth_events
    #[error("the room {0} has no accepted create event")]
    NoSuchRoom(OwnedRoomId),
    #[error("two auth events stand for the same state: {0}")]
    DuplicateAuthEvent(OwnedEventId),
    #[error("the auth event {0} has no bearing on this event")]
    UnexpectedAuthEvent(OwnedEventId),
    #[error("the auth event {0} was rejected")]
    RejectedAuthEvent(OwnedEventId),
    #[error("the auth event {0} is of another room")]
    AuthEventOfOtherRoom(OwnedEventId),
    #[error("there is no create event")]
    NoCreateEvent,
    // 4: m.federate
    #[error("users of other servers can't take part in this room")]
    NotFederated,
    // m.room.aliases (until version 5)
    #[error("aliases are the state of the server that has them")]
    AliasesOfOtherServer,
    // 5: m.room.member
    #[error("a membership must be the state of a user")]
    MemberWithoutStateKey,
    #[error("the membership is missing or unknown")]
    UnknownMembership,
    #[error("`join_authorised_via_users_server` must be a user id")]
    MalformedJoinAuthorised,
    #[error("nobody can join or knock for another")]
    NotForAnother,
    #[error("the user is banned")]
    Banned,
    #[error("the user is not invited")]
    NotInvited,
    #[error("nobody with the power to invite vouches for the join")]
    JoinNotAuthorised,
    #[error("the join rule does not let anyone join")]
    JoinRuleForbids,
    #[error("the third-party invite is not complete")]
    MalformedThirdPartyInvite,
    #[error("the third-party invite is for another user")]
    ThirdPartyInviteForOther,
    #[error("there is no such third-party invite in the room")]
    NoThirdPartyInvite,
    #[error("the third-party invite was made by someone else")]
    ThirdPartyInviteByOther,
    #[error("the third-party invite is not signed by a key it names")]
    ThirdPartyInviteNotSigned,
    #[error("the user has joined already")]
    AlreadyJoined,
    #[error("the user is neither in the room nor invited to it")]
    NothingToLeave,
    #[error("the join rule does not let anyone knock")]
    KnockNotAllowed,
    #[error("who is joined, invited or banned can't knock")]
    KnockNotNeeded,
    // 6 to 9
    #[error("the sender is not in the room")]
    SenderNotJoined,
    #[error("the sender lacks the power to {0}")]
    LacksPower(Deed),
    #[error("the state of a user can be set by that user only")]
    StateOfAnotherUser,
    // 10: m.room.power_levels
    #[error(transparent)]
    MalformedPowerLevels(#[from] MalformedPowerLevels),
    #[error("creators have power above all and stand in no power levels")]
    CreatorInPowerLevels,
    #[error("the sender can't change `{0}`, which is above its own power")]
    LevelAboveOwn(String),
    #[error("the sender can't set `{0}` above its own power")]
    NewLevelAboveOwn(String),
    #[error("the sender can't change the power of {0}, who has as much")]
    UserOfSamePower(String),
    // m.room.redaction (versions 1 and 2)
    #[error("the sender can't redact events of other servers")]
    RedactionOfOtherServer,
    /// The event is not of the room it was offered to.
    #[error("the event is of the room {0}")]
    OtherRoom(OwnedRoomId),
}

/// What takes power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Invite,
    Kick,
    Ban,
    Unban,
    /// Sending an event of its type.
    Send,
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Deed::Invite => "invite",
            Deed::Kick => "kick this user",
            Deed::Ban => "ban this user",
            Deed::Unban => "unban this user",
            Deed::Send => "send such an event",
        })
    }
}

impl From<PowersError> for Reason {
    fn from(error: PowersError) -> Self {
        match error {
            PowersError::NoCreateEvent => Reason::NoCreateEvent,
            PowersError::Malformed(malformed) => Reason::MalformedPowerLevels(malformed),
        }
    }
}
