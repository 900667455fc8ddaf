//! Who may see which event: history visibility.
//!
//! Source: client-server API "Room history visibility", Matrix v1.19.

use crate::json::parse_object;
use crate::membership::Membership;
use crate::pdu::Pdu;

/// The value of `m.room.history_visibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HistoryVisibility {
    /// Anyone, member or not.
    WorldReadable,
    /// Members see all, from before their time too. What a room has that says nothing, or nothing known.
    #[default]
    Shared,
    /// Members see what was sent since they were invited.
    Invited,
    /// Members see what was sent since they joined.
    Joined,
}

/// An event, as far as seeing it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The room's visibility in the state before the event.
    pub visibility: HistoryVisibility,
    /// The viewer's membership in the state before the event.
    pub membership: Option<Membership>,
    /// Where the event is itself `m.room.history_visibility`: what it sets.
    pub sets_visibility: Option<HistoryVisibility>,
    /// Where the event is the viewer's own `m.room.member`: what it sets.
    pub sets_membership: Option<Membership>,
    /// Whether the viewer joined at any time after the event (or is joined now, having joined after it).
    pub joined_since: bool,
}

impl HistoryVisibility {
    /// The visibility of that name; what is not known counts as `shared`.
    pub fn from_name(name: &str) -> HistoryVisibility {
        match name {
            "world_readable" => HistoryVisibility::WorldReadable,
            "invited" => HistoryVisibility::Invited,
            "joined" => HistoryVisibility::Joined,
            _ => HistoryVisibility::Shared,
        }
    }

    /// The spec's name.
    pub fn as_str(self) -> &'static str {
        match self {
            HistoryVisibility::WorldReadable => "world_readable",
            HistoryVisibility::Shared => "shared",
            HistoryVisibility::Invited => "invited",
            HistoryVisibility::Joined => "joined",
        }
    }

    /// What an `m.room.history_visibility` event sets.
    pub fn of(pdu: &Pdu) -> HistoryVisibility {
        let content = parse_object(pdu.content()).unwrap_or_default();
        content
            .get_str("history_visibility")
            .map(Self::from_name)
            .unwrap_or_default()
    }
}

/// Whether a viewer may see an event.
///
/// For a change of visibility, and for the viewer's own change of membership, it is enough that the state before *or*
/// after the event lets them see it.
pub fn can_see(sight: &Sight) -> bool {
    let visibilities = [Some(sight.visibility), sight.sets_visibility];
    let memberships = [Some(sight.membership), sight.sets_membership.map(Some)];
    visibilities.into_iter().flatten().any(|visibility| {
        memberships
            .into_iter()
            .flatten()
            .any(|membership| allows(visibility, membership, sight.joined_since))
    })
}

fn allows(
    visibility: HistoryVisibility,
    membership: Option<Membership>,
    joined_since: bool,
) -> bool {
    match visibility {
        HistoryVisibility::WorldReadable => true,
        _ if membership == Some(Membership::Join) => true,
        HistoryVisibility::Shared => joined_since,
        HistoryVisibility::Invited => membership == Some(Membership::Invite),
        HistoryVisibility::Joined => false,
    }
}

#[cfg(test)]
mod tests {
    use super::HistoryVisibility::{Invited, Joined, Shared, WorldReadable};
    use super::*;

    fn sight(
        visibility: HistoryVisibility,
        membership: Option<Membership>,
        joined_since: bool,
    ) -> Sight {
        Sight {
            visibility,
            membership,
            sets_visibility: None,
            sets_membership: None,
            joined_since,
        }
    }

    #[test]
    fn each_visibility_by_each_membership() {
        let memberships = [
            None,
            Some(Membership::Invite),
            Some(Membership::Join),
            Some(Membership::Leave),
            Some(Membership::Ban),
        ];
        // For each visibility: who of the above sees the event without, and with, a later join.
        let table = [
            (WorldReadable, [true; 5], [true; 5]),
            (Shared, [false, false, true, false, false], [true; 5]),
            (
                Invited,
                [false, true, true, false, false],
                [false, true, true, false, false],
            ),
            (
                Joined,
                [false, false, true, false, false],
                [false, false, true, false, false],
            ),
        ];
        for (visibility, never_joined, joined_since) in table {
            for (at, membership) in memberships.into_iter().enumerate() {
                assert_eq!(
                    can_see(&sight(visibility, membership, false)),
                    never_joined[at],
                    "{visibility:?} {membership:?}"
                );
                assert_eq!(
                    can_see(&sight(visibility, membership, true)),
                    joined_since[at],
                    "{visibility:?} {membership:?}"
                );
            }
        }
    }

    #[test]
    fn a_kicked_user_sees_the_kick_but_nothing_after_it() {
        let kick = Sight {
            sets_membership: Some(Membership::Leave),
            ..sight(Joined, Some(Membership::Join), false)
        };
        assert!(can_see(&kick));
        assert!(!can_see(&sight(Joined, Some(Membership::Leave), false)));
    }

    #[test]
    fn a_user_sees_their_own_join() {
        assert!(can_see(&Sight {
            sets_membership: Some(Membership::Join),
            ..sight(Joined, None, false)
        }));
    }

    #[test]
    fn a_change_of_visibility_is_seen_by_who_sees_before_or_after() {
        for (before, after) in [(WorldReadable, Joined), (Joined, WorldReadable)] {
            assert!(can_see(&Sight {
                sets_visibility: Some(after),
                ..sight(before, None, false)
            }));
        }
    }

    #[test]
    fn an_unknown_visibility_is_shared() {
        for name in ["", "Shared", "public"] {
            assert_eq!(HistoryVisibility::from_name(name), Shared);
        }
    }
}
