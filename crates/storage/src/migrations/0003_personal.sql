-- What belongs to one user, or is gone soon: account data, filters, profiles, receipts, typing, presence, pushers,
-- OpenID tokens. Push rules are account data of type `m.push_rules`.
-- Deleted: `typing` rows when they end, `openid_tokens` an hour after they were made, `pushers` with their device or by
-- their owner; the rest with its account or room. Rows per user or per (room, user) are replaced, so they do not grow
-- with traffic.

-- room: 0 for global account data. A deleted type leaves its row, so that clients learn of it.
CREATE TABLE account_data (
    user_key {int} NOT NULL,
    room {int} NOT NULL,
    type {bytes} NOT NULL,
    content {bytes} NOT NULL,
    deleted {bool} NOT NULL,
    position {int} NOT NULL,
    PRIMARY KEY (user_key, room, type)
) {clustered};
CREATE INDEX account_data_position ON account_data (user_key, position);

-- Who has push rules of their own, and since when: a node that evaluates events asks what changed since it last looked.
CREATE TABLE push_rules (user_key {id}, position {int} NOT NULL);
CREATE INDEX push_rules_position ON push_rules (position);

CREATE TABLE filters (
    user_key {int} NOT NULL,
    filter_id {int} NOT NULL,
    body {bytes} NOT NULL,
    PRIMARY KEY (user_key, filter_id)
) {clustered};

-- One row a field; value is JSON.
CREATE TABLE profiles (
    user_key {int} NOT NULL,
    field {bytes} NOT NULL,
    value {bytes} NOT NULL,
    PRIMARY KEY (user_key, field)
) {clustered};

-- kind: 0 m.read, 1 m.read.private. thread: empty for none, `main`, or the id of the thread's root.
-- event: the event's row; (place, seq): where it stands, so that a receipt never moves backwards.
CREATE TABLE receipts (
    room {int} NOT NULL,
    user_key {int} NOT NULL,
    kind {int} NOT NULL,
    thread {bytes} NOT NULL,
    event {int} NOT NULL,
    event_id {bytes} NOT NULL,
    ts {int} NOT NULL,
    place {int} NOT NULL,
    seq {int} NOT NULL,
    position {int} NOT NULL,
    PRIMARY KEY (room, user_key, kind, thread)
) {clustered};
CREATE INDEX receipts_position ON receipts (room, position);

CREATE TABLE typing (
    room {int} NOT NULL,
    user_key {int} NOT NULL,
    until_ms {int} NOT NULL,
    PRIMARY KEY (room, user_key)
) {clustered};
CREATE INDEX typing_until ON typing (until_ms);

-- When who types in a room last changed: kept, as typing that ended must reach those who saw it begin.
CREATE TABLE typing_rooms (room {id}, position {int} NOT NULL);

-- presence: 0 offline, 1 unavailable, 2 online. active_ms: last act of the user. seen_ms: last sign of a client.
CREATE TABLE presence (
    user_key {id},
    presence {int} NOT NULL,
    status_msg {bytes},
    active_ms {int} NOT NULL,
    seen_ms {int} NOT NULL,
    position {int} NOT NULL
);
CREATE INDEX presence_position ON presence (position);
CREATE INDEX presence_seen ON presence (seen_ms) WHERE presence > 0;

-- body: the pusher as the client set it, JSON.
CREATE TABLE pushers (
    user_key {int} NOT NULL,
    app_id {bytes} NOT NULL,
    pushkey {bytes} NOT NULL,
    device {int} NOT NULL,
    body {bytes} NOT NULL,
    PRIMARY KEY (user_key, app_id, pushkey)
) {clustered};
CREATE INDEX pushers_key ON pushers (app_id, pushkey);
CREATE INDEX pushers_device ON pushers (device);

-- hash: SHA-256 of the token.
CREATE TABLE openid_tokens (hash {bytes} NOT NULL PRIMARY KEY, user_key {int} NOT NULL, until_ms {int} NOT NULL) {clustered};
CREATE INDEX openid_tokens_until ON openid_tokens (until_ms);
