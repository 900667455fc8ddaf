-- Rooms, events, states and members.
-- Deleted: with their room, by a purge; `client_transactions` after a day; `extremities` when built upon;
-- `states` and `state_nodes` by mark and sweep of their room.

-- standing: 0 joining, 1 partial, 2 joined, 3 left. version counts changes, for optimistic writes.
CREATE TABLE rooms (
    id {id},
    room_id {text} NOT NULL UNIQUE,
    room_version {text} NOT NULL,
    version {int} NOT NULL,
    standing {int} NOT NULL,
    state {int},
    tally {int} NOT NULL,
    last_place {int} NOT NULL,
    depth {int} NOT NULL,
    joined_members {int} NOT NULL,
    invited_members {int} NOT NULL,
    summary {bytes} NOT NULL,
    published {bool} NOT NULL,
    created_ms {int} NOT NULL
);
CREATE INDEX rooms_published ON rooms (joined_members) WHERE published;

-- event_id: one tag byte and the hash (1 URL-safe, 2 standard base64), or the id's text (room versions 1 and 2).
-- standing: 0 accepted, 1 soft_failed, 2 rejected, 3 outlier. Only accepted events have a place.
-- thread: the root of the thread that the event belongs to. replaces: the event that it edits.
CREATE TABLE events (
    id {id},
    room {int} NOT NULL,
    event_id {bytes} NOT NULL UNIQUE,
    type {bytes} NOT NULL,
    sender {int} NOT NULL,
    state_no {int},
    ts {int} NOT NULL,
    depth {int} NOT NULL,
    standing {int} NOT NULL,
    position {int} NOT NULL,
    place {int},
    seq {int},
    state_before {int},
    thread {int},
    replaces {int},
    redacted_by {int},
    tally {int} NOT NULL,
    body {bytes} NOT NULL
);
CREATE UNIQUE INDEX events_place ON events (room, place, seq) WHERE place IS NOT NULL;
CREATE INDEX events_ts ON events (room, ts) WHERE place IS NOT NULL;
CREATE INDEX events_thread ON events (thread, place, seq) WHERE thread IS NOT NULL;
-- Who wrote how much in a thread, without a look at the events.
CREATE INDEX events_thread_sender ON events (thread, sender, place)
    WHERE thread IS NOT NULL AND redacted_by IS NULL AND place IS NOT NULL;

CREATE TABLE auth_edges (event {int} NOT NULL, auth {int} NOT NULL, PRIMARY KEY (event, auth)) {clustered};

-- What relates to what: by the parent's id, as the child may come first. kind: the rel_type; key: a reaction's key.
CREATE TABLE relations (
    parent {bytes} NOT NULL,
    child {int} NOT NULL,
    room {int} NOT NULL,
    kind {bytes} NOT NULL,
    type {bytes} NOT NULL,
    sender {int} NOT NULL,
    key {bytes},
    place {int},
    seq {int},
    PRIMARY KEY (parent, child)
) {clustered};
-- Thousands of reactions must not slow down the look for one edit.
CREATE INDEX relations_kind ON relations (parent, kind, place, seq);

-- Redactions whose target may not be here yet, or that the target's room version must judge again.
CREATE TABLE redactions (target {bytes} NOT NULL, redaction {int} NOT NULL, PRIMARY KEY (target, redaction)) {clustered};

CREATE TABLE extremities (
    room {int} NOT NULL,
    event {int} NOT NULL,
    state_after {int} NOT NULL,
    PRIMARY KEY (room, event)
) {clustered};

-- Holes in the graph that lie before a place: an event named by prev_events that is not here.
CREATE TABLE gaps (
    room {int} NOT NULL,
    place {int} NOT NULL,
    seq {int} NOT NULL,
    missing {bytes} NOT NULL,
    attempts {int} NOT NULL,
    PRIMARY KEY (room, place, seq, missing)
) {clustered};

-- A state is a root, or its parent and one entry. slots: see states.rs.
CREATE TABLE states (
    id {id},
    room {int} NOT NULL,
    parent {int},
    state_no {int},
    event {int},
    root {int},
    height {int} NOT NULL,
    chain {int} NOT NULL
);
CREATE TABLE state_nodes (id {id}, slots {bytes} NOT NULL);

CREATE TABLE state_keys (
    room {int} NOT NULL,
    state_no {int} NOT NULL,
    type {bytes} NOT NULL,
    state_key {bytes} NOT NULL,
    PRIMARY KEY (room, state_no)
) {clustered};
CREATE UNIQUE INDEX state_keys_name ON state_keys (room, type, state_key);

CREATE TABLE current_state (
    room {int} NOT NULL,
    state_no {int} NOT NULL,
    event {int} NOT NULL,
    PRIMARY KEY (room, state_no)
) {clustered};

-- One row per change of the current state. event: null where the key left the state. state: the state after it.
CREATE TABLE state_log (
    room {int} NOT NULL,
    position {int} NOT NULL,
    state_no {int} NOT NULL,
    event {int},
    state {int} NOT NULL,
    PRIMARY KEY (room, position, state_no)
) {clustered};

-- membership: 0 leave, 1 invite, 2 knock, 3 join, 4 ban. stripped: the state an invited or knocking user may see.
-- sender: who made the membership event. joined_position: where the present or last join began.
CREATE TABLE members (
    room {int} NOT NULL,
    user_key {int} NOT NULL,
    membership {int} NOT NULL,
    event {int} NOT NULL,
    position {int} NOT NULL,
    sender {int} NOT NULL,
    displayname {bytes},
    avatar_url {bytes},
    forgotten {bool} NOT NULL,
    stripped {bytes},
    PRIMARY KEY (room, user_key)
) {clustered};
CREATE INDEX members_user ON members (user_key, position);

-- Live threads: how many notifying events, and the newest one.
CREATE TABLE threads (
    room {int} NOT NULL,
    root {int} NOT NULL,
    tally {int} NOT NULL,
    replies {int} NOT NULL,
    last_event {int} NOT NULL,
    last_place {int} NOT NULL,
    PRIMARY KEY (room, root)
) {clustered};
CREATE INDEX threads_last ON threads (room, last_place);

-- What differs from a timeline's tally for one user. thread: the root, or 0 for the main timeline.
-- notify: +1 where only this user is notified, -1 where all but this user are; highlight: 1 for a mention.
CREATE TABLE exceptions (
    user_key {int} NOT NULL,
    room {int} NOT NULL,
    thread {int} NOT NULL,
    place {int} NOT NULL,
    event {int} NOT NULL,
    notify {int} NOT NULL,
    highlight {int} NOT NULL,
    PRIMARY KEY (user_key, room, thread, place, event)
) {clustered};

-- Answers to client transactions: endpoint is the method and path with its parameters, answer the body that was given.
CREATE TABLE client_transactions (
    device {int} NOT NULL,
    endpoint {bytes} NOT NULL,
    transaction_id {bytes} NOT NULL,
    event {int} NOT NULL,
    answer {bytes} NOT NULL,
    at_ms {int} NOT NULL,
    PRIMARY KEY (device, endpoint, transaction_id)
) {clustered};
CREATE INDEX client_transactions_event ON client_transactions (event);
CREATE INDEX client_transactions_at ON client_transactions (at_ms);

CREATE TABLE aliases (alias {text} NOT NULL PRIMARY KEY, room {int} NOT NULL, creator {int} NOT NULL) {clustered};
CREATE INDEX aliases_room ON aliases (room);
