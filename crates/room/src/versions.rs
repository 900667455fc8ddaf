//! Room versions 1 to 12 as data: one [`Rules`] value per version, so no code asks "which version?".
//!
//! Source: room versions, Matrix v1.19, <https://spec.matrix.org/v1.19/rooms/>. Each constant is written as
//! "the version before, except …", as the spec's pages are.

use std::fmt;

use ruma_common::RoomVersionId;

/// All that differs between room versions.
///
/// There is one value per version, made at compile time; get it with [`Rules::of`] or [`Rules::of_name`].
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    /// The version's name as it stands in `m.room.create`, e.g. `"11"`.
    pub name: &'static str,
    /// How an event gets its id.
    pub event_id: EventIdFormat,
    /// How a room gets its id.
    pub room_id: RoomIdFormat,
    /// How conflicting states are resolved.
    pub state_resolution: StateResolution,
    /// Whether canonical JSON is enforced: integers within ±(2⁵³−1) only. From version 6.
    pub strict_json: bool,
    /// Whether a key must have been valid at the event's `origin_server_ts`. From version 5.
    pub enforce_key_validity: bool,
    /// What the redaction algorithm keeps.
    pub redaction: Redaction,
    /// The switches of the authorization rules.
    pub auth: Auth,
}

/// How an event gets its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventIdFormat {
    /// `$opaque:server`, chosen by the sender; `auth_events` and `prev_events` are pairs of id and hashes.
    Chosen,
    /// `$` and the reference hash in standard unpadded base64 (version 3).
    HashStandard,
    /// `$` and the reference hash in URL-safe unpadded base64 (from version 4).
    HashUrlSafe,
}

/// How a room gets its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomIdFormat {
    /// `!opaque:server`, chosen by the creator.
    Chosen,
    /// The id of the create event with `!` for `$` (from version 12): the create event has no `room_id`, and no
    /// event names it in `auth_events`.
    CreateEvent,
}

/// The state resolution algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateResolution {
    /// Version 1's, by depth and SHA-1.
    V1,
    /// Version 2's: power events first, then the mainline.
    V2,
    /// Version 12's: starts empty and adds the conflicted state subgraph.
    V2_1,
}

/// What the redaction algorithm keeps beside the fields common to all versions.
#[derive(Debug, PartialEq, Eq)]
pub struct Redaction {
    /// `aliases` of `m.room.aliases` (until version 5).
    pub keep_aliases: bool,
    /// `allow` of `m.room.join_rules` (from version 8).
    pub keep_join_rules_allow: bool,
    /// `join_authorised_via_users_server` of `m.room.member` (from version 9).
    pub keep_join_authorised: bool,
    /// `origin`, `membership` and `prev_state` at the top level (until version 10).
    pub keep_origin_membership_prev_state: bool,
    /// All of `m.room.create` (from version 11; before, only `creator`).
    pub keep_create_content: bool,
    /// `redacts` in the content of `m.room.redaction` (from version 11).
    pub keep_content_redacts: bool,
    /// `invite` of `m.room.power_levels` (from version 11).
    pub keep_power_levels_invite: bool,
    /// `third_party_invite.signed` of `m.room.member` (from version 11).
    pub keep_third_party_invite_signed: bool,
    /// Whether a redaction names its target in `content.redacts` (from version 11) or at the top level.
    pub redacts_in_content: bool,
}

/// The switches of the authorization rules.
#[derive(Debug, PartialEq, Eq)]
pub struct Auth {
    /// `m.room.redaction` has a rule of its own (versions 1 and 2).
    pub redaction_rule: bool,
    /// `m.room.aliases` has a rule of its own (versions 1 to 5).
    pub aliases_rule: bool,
    /// `notifications` of power levels is guarded like `events` (from version 6).
    pub limit_notifications: bool,
    /// Membership and join rule `knock` exist (from version 7).
    pub knock: bool,
    /// Join rule `restricted` exists (from version 8).
    pub restricted: bool,
    /// Join rule `knock_restricted` exists (from version 10).
    pub knock_restricted: bool,
    /// Power levels must be integers (from version 10; before, strings and floats pass).
    pub integer_power_levels: bool,
    /// The creator is the create event's `sender` (from version 11; before, `content.creator`).
    pub creator_is_sender: bool,
    /// Creators, `additional_creators` among them, have infinite power (from version 12).
    pub creators_have_infinite_power: bool,
}

const V1: Rules = Rules {
    name: "1",
    event_id: EventIdFormat::Chosen,
    room_id: RoomIdFormat::Chosen,
    state_resolution: StateResolution::V1,
    strict_json: false,
    enforce_key_validity: false,
    redaction: REDACTION_V1,
    auth: AUTH_V1,
};
const V2: Rules = Rules {
    name: "2",
    state_resolution: StateResolution::V2,
    ..V1
};
const V3: Rules = Rules {
    name: "3",
    event_id: EventIdFormat::HashStandard,
    auth: AUTH_V3,
    ..V2
};
const V4: Rules = Rules {
    name: "4",
    event_id: EventIdFormat::HashUrlSafe,
    ..V3
};
const V5: Rules = Rules {
    name: "5",
    enforce_key_validity: true,
    ..V4
};
const V6: Rules = Rules {
    name: "6",
    strict_json: true,
    redaction: REDACTION_V6,
    auth: AUTH_V6,
    ..V5
};
const V7: Rules = Rules {
    name: "7",
    auth: AUTH_V7,
    ..V6
};
const V8: Rules = Rules {
    name: "8",
    redaction: REDACTION_V8,
    auth: AUTH_V8,
    ..V7
};
const V9: Rules = Rules {
    name: "9",
    redaction: REDACTION_V9,
    ..V8
};
const V10: Rules = Rules {
    name: "10",
    auth: AUTH_V10,
    ..V9
};
const V11: Rules = Rules {
    name: "11",
    redaction: REDACTION_V11,
    auth: AUTH_V11,
    ..V10
};
const V12: Rules = Rules {
    name: "12",
    room_id: RoomIdFormat::CreateEvent,
    state_resolution: StateResolution::V2_1,
    auth: AUTH_V12,
    ..V11
};

const REDACTION_V1: Redaction = Redaction {
    keep_aliases: true,
    keep_join_rules_allow: false,
    keep_join_authorised: false,
    keep_origin_membership_prev_state: true,
    keep_create_content: false,
    keep_content_redacts: false,
    keep_power_levels_invite: false,
    keep_third_party_invite_signed: false,
    redacts_in_content: false,
};
const REDACTION_V6: Redaction = Redaction {
    keep_aliases: false,
    ..REDACTION_V1
};
const REDACTION_V8: Redaction = Redaction {
    keep_join_rules_allow: true,
    ..REDACTION_V6
};
const REDACTION_V9: Redaction = Redaction {
    keep_join_authorised: true,
    ..REDACTION_V8
};
const REDACTION_V11: Redaction = Redaction {
    keep_origin_membership_prev_state: false,
    keep_create_content: true,
    keep_content_redacts: true,
    keep_power_levels_invite: true,
    keep_third_party_invite_signed: true,
    redacts_in_content: true,
    ..REDACTION_V9
};

const AUTH_V1: Auth = Auth {
    redaction_rule: true,
    aliases_rule: true,
    limit_notifications: false,
    knock: false,
    restricted: false,
    knock_restricted: false,
    integer_power_levels: false,
    creator_is_sender: false,
    creators_have_infinite_power: false,
};
const AUTH_V3: Auth = Auth {
    redaction_rule: false,
    ..AUTH_V1
};
const AUTH_V6: Auth = Auth {
    aliases_rule: false,
    limit_notifications: true,
    ..AUTH_V3
};
const AUTH_V7: Auth = Auth {
    knock: true,
    ..AUTH_V6
};
const AUTH_V8: Auth = Auth {
    restricted: true,
    ..AUTH_V7
};
const AUTH_V10: Auth = Auth {
    knock_restricted: true,
    integer_power_levels: true,
    ..AUTH_V8
};
const AUTH_V11: Auth = Auth {
    creator_is_sender: true,
    ..AUTH_V10
};
const AUTH_V12: Auth = Auth {
    creators_have_infinite_power: true,
    ..AUTH_V11
};

static ALL: [Rules; 12] = [V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12];

impl Rules {
    /// The rules of all versions we know, in order from 1 to 12.
    pub fn all() -> &'static [Rules] {
        &ALL
    }

    /// The rules of `version`, or `None` where we do not know it.
    pub fn of(version: &RoomVersionId) -> Option<&'static Rules> {
        Self::of_name(version.as_str())
    }

    /// The rules of the version called `name` (`"1"` to `"12"`), or `None` where we do not know it.
    pub fn of_name(name: &str) -> Option<&'static Rules> {
        ALL.iter().find(|rules| rules.name == name)
    }

    /// The version's id in ruma's type.
    pub fn version(&self) -> RoomVersionId {
        RoomVersionId::try_from(self.name).unwrap_or(RoomVersionId::V12)
    }

    /// Whether events choose their id (versions 1 and 2) rather than being named by their hash.
    pub fn events_choose_their_id(&self) -> bool {
        self.event_id == EventIdFormat::Chosen
    }

    /// Whether the room's id is the create event's (from version 12).
    pub fn room_id_is_create_event(&self) -> bool {
        self.room_id == RoomIdFormat::CreateEvent
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room version {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::room_version_rules as ruma;

    use super::*;

    fn versions() -> impl Iterator<Item = (&'static Rules, ruma::RoomVersionRules)> {
        Rules::all()
            .iter()
            .map(|rules| (rules, rules.version().rules().expect("a stable version")))
    }

    #[test]
    fn a_version_is_found_by_its_name_and_no_other() {
        for rules in Rules::all() {
            assert_eq!(Rules::of_name(rules.name), Some(rules));
            assert_eq!(Rules::of(&rules.version()), Some(rules));
        }
        for unknown in ["0", "13", "", "01", "org.matrix.msc2870"] {
            assert_eq!(Rules::of_name(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_switch_of_every_version_agrees_with_the_vocabulary_crate() {
        for (ours, theirs) in versions() {
            let (auth, redaction) = (&theirs.authorization, &theirs.redaction);
            assert_eq!(
                ours.auth.redaction_rule, auth.special_case_room_redaction,
                "{ours}"
            );
            assert_eq!(
                ours.auth.aliases_rule, auth.special_case_room_aliases,
                "{ours}"
            );
            assert_eq!(ours.strict_json, auth.strict_canonical_json, "{ours}");
            assert_eq!(
                ours.auth.limit_notifications, auth.limit_notifications_power_levels,
                "{ours}"
            );
            assert_eq!(ours.auth.knock, auth.knocking, "{ours}");
            assert_eq!(ours.auth.restricted, auth.restricted_join_rule, "{ours}");
            assert_eq!(
                ours.auth.knock_restricted, auth.knock_restricted_join_rule,
                "{ours}"
            );
            assert_eq!(
                ours.auth.integer_power_levels, auth.integer_power_levels,
                "{ours}"
            );
            assert_eq!(
                ours.auth.creator_is_sender, auth.use_room_create_sender,
                "{ours}"
            );
            assert_eq!(
                ours.auth.creators_have_infinite_power, auth.explicitly_privilege_room_creators,
                "{ours}"
            );
            assert_eq!(
                ours.room_id_is_create_event(),
                auth.room_create_event_id_as_room_id,
                "{ours}"
            );
            assert_eq!(
                ours.enforce_key_validity, theirs.enforce_key_validity,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_aliases, redaction.keep_room_aliases_aliases,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_join_rules_allow, redaction.keep_room_join_rules_allow,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_join_authorised,
                redaction.keep_room_member_join_authorised_via_users_server,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_origin_membership_prev_state,
                redaction.keep_origin_membership_prev_state,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_create_content, redaction.keep_room_create_content,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_content_redacts, redaction.keep_room_redaction_redacts,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_power_levels_invite, redaction.keep_room_power_levels_invite,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.keep_third_party_invite_signed,
                redaction.keep_room_member_third_party_invite_signed,
                "{ours}"
            );
            assert_eq!(
                ours.redaction.redacts_in_content, redaction.content_field_redacts,
                "{ours}"
            );
            assert_eq!(
                ours.events_choose_their_id(),
                theirs.event_format.require_event_id,
                "{ours}"
            );
        }
    }
}
