//! Decides events of our own: draft, sign, authorise, and gather everything that the one append writes.

use std::collections::HashMap;
use std::sync::Arc;

use room::auth::authorize;
use room::client_format::stripped;
use room::draft::{Draft, DraftError};
use room::json::parse_object;
use room::pdu::Pdu;
use room::relations::{Relation, may_replace, relations};
use room::state::RoomState;
use ruma_common::{OwnedEventId, OwnedUserId};
use storage::append::{
    CurrentChange, NewEvent, NewMember, NewRelation, NewStateKey, NewTransaction, Placement,
    RoomChange, encode_event_id,
};
use storage::events::EventRow;
use storage::rooms::{EventStanding, Membership};
use storage::{EventKey, UserKey};

use super::head::{Extremity, Head, Name, StateEvent, parse_stored};
use super::lane::Ids;
use super::send::{SendError, Sent};
use crate::Homeserver;
use crate::push_rules::{self, Verdict};

/// The local user who makes events.
#[derive(Debug, Clone)]
pub struct Sender {
    pub key: UserKey,
    pub user_id: OwnedUserId,
}

/// An event that a local user wants to make.
#[derive(Debug, Clone)]
pub struct LocalEvent {
    pub event_type: String,
    /// `Some` for a state event.
    pub state_key: Option<String>,
    /// The content: a JSON object.
    pub content: String,
    /// What a redaction redacts.
    pub redacts: Option<OwnedEventId>,
    /// The member whom a membership event is about, interned.
    pub target: Option<UserKey>,
    /// Whether that member lives here.
    pub target_is_local: bool,
    pub transaction: Option<NewTransaction>,
    /// `origin_server_ts`; now unless an application service says otherwise.
    pub ts: Option<u64>,
}

impl LocalEvent {
    /// A message event.
    pub fn message(event_type: &str, content: String) -> Self {
        Self {
            event_type: event_type.to_owned(),
            state_key: None,
            content,
            redacts: None,
            target: None,
            target_is_local: false,
            transaction: None,
            ts: None,
        }
    }

    /// A state event that is about no member.
    pub fn state(event_type: &str, state_key: &str, content: String) -> Self {
        Self {
            state_key: Some(state_key.to_owned()),
            ..Self::message(event_type, content)
        }
    }

    /// A membership event.
    pub fn member(user_id: &str, user: UserKey, is_local: bool, content: String) -> Self {
        Self {
            target: Some(user),
            target_is_local: is_local,
            ..Self::state("m.room.member", user_id, content)
        }
    }
}

/// A decided change and what its events became.
pub struct Decision {
    pub change: RoomChange,
    pub sent: Vec<Sent>,
}

/// The state that an event's decision looks at, so that it can be loaded before.
pub fn names_for(sender: &Sender, event: &LocalEvent) -> Vec<Name> {
    let name = |event_type: &str, state_key: &str| (event_type.to_owned(), state_key.to_owned());
    let mut names = vec![
        name("m.room.create", ""),
        name("m.room.power_levels", ""),
        name("m.room.member", sender.user_id.as_str()),
    ];
    let Some(state_key) = &event.state_key else {
        return names;
    };
    names.push(name(&event.event_type, state_key));
    if event.event_type != "m.room.member" {
        return names;
    }
    names.push(name("m.room.join_rules", ""));
    let content = parse_object(&event.content).unwrap_or_default();
    if let Some(voucher) = content.get_str("join_authorised_via_users_server") {
        names.push(name("m.room.member", voucher));
    }
    let signed = content
        .get("third_party_invite")
        .and_then(|invite| invite.as_object()?.get("signed")?.as_object());
    if let Some(token) = signed.and_then(|signed| signed.get_str("token")) {
        names.push(name("m.room.third_party_invite", token));
    }
    // What an invited or knocking user is shown of the room.
    names.extend(STRIPPED.iter().map(|event_type| name(event_type, "")));
    names
}

/// State that invited and knocking users see: client-server API v1.19, "Stripped state".
const STRIPPED: [&str; 7] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
];

/// Loads the events of the room that these relate to or redact, by id.
pub async fn load_related(
    hs: &Homeserver,
    head: &Head,
    events: &[LocalEvent],
) -> Result<HashMap<String, EventRow>, SendError> {
    let mut ids: Vec<String> = Vec::new();
    for event in events {
        ids.extend(event.redacts.as_ref().map(|id| id.to_string()));
        ids.extend(
            relations(&event.content)
                .relation
                .map(|relation| relation.event_id.to_string()),
        );
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let room = head.room;
    let found = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            storage::events::by_id(snap, &ids)
        })
        .await?;
    Ok(found
        .into_iter()
        .filter(|(_, row)| row.room == room)
        .collect())
}

/// Whom each of these events notifies.
pub async fn verdicts(
    hs: &Homeserver,
    head: &Head,
    sender: &Sender,
    events: &[LocalEvent],
) -> Result<Vec<Verdict>, storage::Error> {
    let room = push_rules::Room {
        key: head.room,
        room_id: head.room_id.as_str(),
        joined_members: head.joined_members,
        sender: sender.key,
        sender_id: sender.user_id.as_str(),
        power: room::push::Power::of(head, sender.user_id.as_str()),
    };
    let events: Vec<_> = events
        .iter()
        .map(|event| push_rules::Event {
            event_type: &event.event_type,
            state_key: event.state_key.as_deref(),
            content: &event.content,
        })
        .collect();
    push_rules::evaluate_for_room(hs, &room, &events).await
}

/// Decides events one on top of the other. On success the head holds them as if they were committed.
pub fn decide(
    hs: &Homeserver,
    head: &mut Head,
    sender: &Sender,
    events: &[LocalEvent],
    related: &HashMap<String, EventRow>,
    verdicts: &[Verdict],
    ids: Ids,
) -> Result<Decision, SendError> {
    let mut change = RoomChange {
        room: head.room,
        base: head.version,
        create: None,
        events: Vec::with_capacity(events.len()),
        state_keys: Vec::new(),
        states: Vec::new(),
        nodes: Vec::new(),
        rooted: Vec::new(),
        current: Vec::new(),
        members: Vec::new(),
        extremities: Vec::new(),
        state: head.state.id,
        depth: head.depth,
        joined_members: head.joined_members,
        invited_members: head.invited_members,
        standing: head.standing,
        summary: Arc::from(Vec::new()),
        gaps: Vec::new(),
    };
    let mut sent = Vec::with_capacity(events.len());
    let mut nodes = ids.nodes.into_iter();
    let events = events.iter().zip(verdicts);
    for (((event, verdict), key), state) in events.zip(ids.events).zip(ids.states) {
        let key = EventKey(key);
        let pdu = draft(hs, head, sender, event)?;
        authorize(&pdu, head).map_err(SendError::Forbidden)?;
        if pdu.event_type() == "m.room.create" {
            // From room version 12 on the create event makes the room's id.
            head.room_id = pdu.room_id().to_owned();
        }
        let state_before = head.state.id;
        let was = event
            .target
            .and_then(|_| head.membership(event.state_key.as_deref().unwrap_or_default()));
        let state_no = match &event.state_key {
            None => None,
            Some(state_key) => {
                let name = (event.event_type.clone(), state_key.clone());
                Some(enter_state(
                    head,
                    &mut change,
                    name,
                    key,
                    &pdu,
                    state,
                    &mut nodes,
                )?)
            }
        };
        if let Some(user) = event.target {
            let member = member_row(
                head,
                &pdu,
                user,
                event.target_is_local,
                sender,
                change.events.len(),
            );
            head.count(was, -1);
            head.count(Some(member.membership), 1);
            change.members.push(member);
        }
        head.depth = pdu.depth();
        head.extremities = vec![Extremity {
            key,
            event_id: pdu.event_id().to_owned(),
            state_after: head.state.id.unwrap_or_default(),
        }];
        let origin_server_ts = pdu.origin_server_ts();
        let row = Row {
            key,
            sender: sender.key,
            state_no,
            state_before,
            verdict,
        };
        change
            .events
            .push(new_event(head, event, &pdu, row, related));
        sent.push(Sent {
            event_id: pdu.event_id().to_owned(),
            key,
            origin_server_ts,
        });
    }
    head.version += 1;
    change.extremities = head
        .extremities
        .iter()
        .map(|end| (end.key, end.state_after))
        .collect();
    change.state = head.state.id;
    change.depth = head.depth;
    change.joined_members = head.joined_members;
    change.invited_members = head.invited_members;
    change.standing = head.standing;
    change.summary = Arc::from(head.summary.to_json());
    Ok(Decision { change, sent })
}

fn draft(
    hs: &Homeserver,
    head: &Head,
    sender: &Sender,
    event: &LocalEvent,
) -> Result<Pdu, SendError> {
    let prev_events: Vec<OwnedEventId> = head
        .extremities
        .iter()
        .take(room::pdu::PREV_EVENTS_MAX)
        .map(|extremity| extremity.event_id.clone())
        .collect();
    let draft = Draft {
        rules: head.rules,
        room_id: &head.room_id,
        sender: &sender.user_id,
        event_type: &event.event_type,
        state_key: event.state_key.as_deref(),
        content: &event.content,
        redacts: event.redacts.as_deref(),
        prev_events: &prev_events,
        depth: head.depth.saturating_add(1).min(DEPTH_MAX),
        origin_server_ts: event.ts.unwrap_or_else(|| hs.now_ms()) as i64,
    };
    draft
        .sign(head, &hs.server_key)
        .map(room::sign::Verified::into_pdu)
        .map_err(|error| match error {
            DraftError::Format(room::pdu::PduError::TooLarge(bytes)) => {
                SendError::TooLarge { bytes }
            }
            error => SendError::Malformed(error),
        })
}

/// The greatest depth that canonical JSON can hold; a peer may have driven the room there.
const DEPTH_MAX: i64 = (1 << 53) - 1;

/// Makes the event current for its name: number, state row, log entry, summary.
fn enter_state(
    head: &mut Head,
    change: &mut RoomChange,
    name: Name,
    key: EventKey,
    pdu: &Pdu,
    state: i64,
    nodes: &mut impl Iterator<Item = i64>,
) -> Result<storage::StateNo, SendError> {
    let no = match head.number(&name) {
        Some(no) => no,
        None => {
            let no = head.add_number(name.clone());
            change.state_keys.push(NewStateKey {
                no,
                event_type: name.0.clone(),
                state_key: name.1.clone(),
            });
            no
        }
    };
    let held = head.take_nodes();
    let mut short = false;
    let new = head.state.push(state, no, Some(key), &held, || {
        nodes.next().unwrap_or_else(|| {
            short = true;
            0
        })
    });
    head.hold_nodes(held);
    if short {
        // Invariant of `nodes_for`; were it broken, nothing is written and the lane starts anew.
        return Err(SendError::HeadMoved);
    }
    head.hold_nodes(new.nodes.iter().map(|node| (node.id, node.slots)));
    change.states.extend(new.states);
    change.nodes.extend(new.nodes);
    change.rooted.extend(new.rooted);
    change.current.push(CurrentChange {
        no,
        event: Some(key),
        at: change.events.len(),
        state,
    });
    head.summary.apply(pdu);
    head.set_event(
        name,
        StateEvent {
            key,
            pdu: Arc::new(pdu.clone()),
        },
    );
    Ok(no)
}

/// The membership that a member event gives; a malformed one counts as having left.
pub fn membership_of(pdu: &Pdu) -> Membership {
    let content = parse_object(pdu.content()).unwrap_or_default();
    content
        .get_str("membership")
        .and_then(Membership::parse)
        .unwrap_or(Membership::Leave)
}

fn member_row(
    head: &Head,
    pdu: &Pdu,
    user: UserKey,
    local: bool,
    sender: &Sender,
    at: usize,
) -> NewMember {
    let membership = membership_of(pdu);
    let content = parse_object(pdu.content()).unwrap_or_default();
    let shown = matches!(membership, Membership::Invite | Membership::Knock);
    NewMember {
        user,
        local,
        membership,
        at,
        sender: sender.key,
        displayname: content.get_str("displayname").map(str::to_owned),
        avatar_url: content.get_str("avatar_url").map(str::to_owned),
        stripped: (shown && local).then(|| stripped_state(head, pdu, sender.user_id.as_str())),
    }
}

/// The room as an invited or knocking user sees it: a JSON array of stripped events, the membership event last.
fn stripped_state(head: &Head, member: &Pdu, sender: &str) -> Vec<u8> {
    let mut shown: Vec<String> = STRIPPED
        .iter()
        .filter_map(|event_type| head.get(event_type, ""))
        .map(stripped)
        .collect();
    if member.state_key() != Some(sender) {
        shown.extend(head.get("m.room.member", sender).map(stripped));
    }
    shown.push(stripped(member));
    format!("[{}]", shown.join(",")).into_bytes()
}

/// What storage gives an event beside its own fields.
struct Row<'a> {
    key: EventKey,
    sender: UserKey,
    state_no: Option<storage::StateNo>,
    state_before: Option<i64>,
    verdict: &'a Verdict,
}

fn new_event(
    head: &Head,
    event: &LocalEvent,
    pdu: &Pdu,
    row: Row<'_>,
    related: &HashMap<String, EventRow>,
) -> NewEvent {
    let relation = relations(pdu.content()).relation;
    let parent = relation
        .as_ref()
        .and_then(|relation| related.get(relation.event_id.as_str()));
    let redacted = event.redacts.as_ref().map(|target| {
        let row = related.get(target.as_str());
        (encode_event_id(target.as_str()), row.map(|row| row.key))
    });
    NewEvent {
        key: row.key,
        event_id: encode_event_id(pdu.event_id().as_str()),
        event_type: event.event_type.clone(),
        sender: row.sender,
        state_no: row.state_no,
        ts: pdu.origin_server_ts(),
        depth: pdu.depth(),
        standing: EventStanding::Accepted,
        placement: Placement::Live,
        state_before: row.state_before,
        auth: auth_keys(head, pdu),
        thread: relation
            .as_ref()
            .and_then(|relation| thread_of(relation, parent)),
        replaces: relation
            .as_ref()
            .and_then(|relation| replaced(head, relation, parent, pdu)),
        relation: relation.map(|relation| NewRelation {
            parent: encode_event_id(relation.event_id.as_str()),
            rel_type: relation.rel_type,
            key: relation.key,
        }),
        redacts: redacted,
        notifies: row.verdict.notifies,
        exceptions: row.verdict.exceptions.clone(),
        transaction: event.transaction.clone(),
        body: Arc::from(pdu.json().as_bytes()),
    }
}

/// The events that authorise a state event.
fn auth_keys(head: &Head, pdu: &Pdu) -> Vec<EventKey> {
    if !pdu.is_state() {
        return Vec::new();
    }
    let named = |name: &(&'static str, &str)| head.event(name.0, name.1).map(|event| event.key);
    room::auth::selection::auth_event_keys_of(pdu)
        .iter()
        .filter_map(named)
        .collect()
}

/// The thread that an event is on: the one it names, or that of the event it relates to.
fn thread_of(relation: &Relation, parent: Option<&EventRow>) -> Option<EventKey> {
    let parent = parent?;
    match relation.thread_root() {
        // A thread can't start from an event that is in one already.
        Some(_) => Some(parent.thread.unwrap_or(parent.key)),
        None => parent.thread,
    }
}

fn replaced(
    head: &Head,
    relation: &Relation,
    parent: Option<&EventRow>,
    pdu: &Pdu,
) -> Option<EventKey> {
    relation.replaces()?;
    let original = parse_stored(head.rules, parent?.clone())?;
    may_replace(&original, pdu).then_some(parent?.key)
}
