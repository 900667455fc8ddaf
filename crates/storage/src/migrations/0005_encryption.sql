-- End-to-end encryption: device keys, one-time and fallback keys, cross-signing, device lists, messages to devices,
-- key backups. What the server is given to pass on, and can read none of.
-- Deleted: with their device or user; one-time keys when claimed; `claimed_keys` 30 days after the claim; `to_device`
-- rows when the device has acknowledged them; `outbox` rows when the other server has them, or after 30 days;
-- `key_backup_sessions` of a store that is in `key_backup_waste`, in slices. `device_lists` keeps one row a user.

-- body: the device keys as uploaded, without `unsigned`. device: null for a device of another server.
CREATE TABLE device_keys (
    user_key {int} NOT NULL,
    device_id {bytes} NOT NULL,
    device {int},
    body {bytes} NOT NULL,
    PRIMARY KEY (user_key, device_id)
) {clustered};
CREATE INDEX device_keys_device ON device_keys (device);

-- seq: the order of upload, over all devices.
CREATE TABLE one_time_keys (
    device {int} NOT NULL,
    algorithm {bytes} NOT NULL,
    seq {int} NOT NULL,
    key_id {bytes} NOT NULL,
    body {bytes} NOT NULL,
    PRIMARY KEY (device, algorithm, seq)
) {clustered};
CREATE UNIQUE INDEX one_time_keys_id ON one_time_keys (device, algorithm, key_id);

-- Keys that were given out: an upload that is repeated, as its answer was lost, must not bring them back.
CREATE TABLE claimed_keys (
    device {int} NOT NULL,
    algorithm {bytes} NOT NULL,
    key_id {bytes} NOT NULL,
    body {bytes} NOT NULL,
    at_ms {int} NOT NULL,
    PRIMARY KEY (device, algorithm, key_id)
) {clustered};
CREATE INDEX claimed_keys_at ON claimed_keys (at_ms);

CREATE TABLE fallback_keys (
    device {int} NOT NULL,
    algorithm {bytes} NOT NULL,
    key_id {bytes} NOT NULL,
    body {bytes} NOT NULL,
    used {bool} NOT NULL,
    PRIMARY KEY (device, algorithm)
) {clustered};

-- position: when the one-time or fallback keys of a device last changed.
CREATE TABLE key_counts (device {id}, position {int} NOT NULL);

-- kind: 0 master, 1 self_signing, 2 user_signing.
CREATE TABLE cross_signing_keys (
    user_key {int} NOT NULL,
    kind {int} NOT NULL,
    public_key {bytes} NOT NULL,
    body {bytes} NOT NULL,
    PRIMARY KEY (user_key, kind)
) {clustered};

-- target: a device id, or a master key in unpadded base64. position: when a user signed another user's key, else 0.
CREATE TABLE key_signatures (
    target_user {int} NOT NULL,
    target {bytes} NOT NULL,
    signer {int} NOT NULL,
    key_id {bytes} NOT NULL,
    signature {bytes} NOT NULL,
    position {int} NOT NULL,
    PRIMARY KEY (target_user, target, signer, key_id)
) {clustered};
CREATE INDEX key_signatures_signer ON key_signatures (signer, position);

-- position: when the keys of a user that others can see last changed.
CREATE TABLE device_lists (user_key {id}, position {int} NOT NULL);
CREATE INDEX device_lists_position ON device_lists (position);

-- began: the position at which the present membership began, which a changed name leaves alone.
ALTER TABLE members ADD COLUMN began {int} NOT NULL DEFAULT 0;
UPDATE members SET began = position;
CREATE INDEX members_began ON members (room, began);

CREATE TABLE to_device (
    device {int} NOT NULL,
    position {int} NOT NULL,
    body {bytes} NOT NULL,
    PRIMARY KEY (device, position)
) {clustered};

-- What waits for another server. kind: the EDU type.
CREATE TABLE outbox (
    id {id},
    destination {text} NOT NULL,
    kind {text} NOT NULL,
    content {bytes} NOT NULL,
    at_ms {int} NOT NULL
);
CREATE INDEX outbox_destination ON outbox (destination, id);
CREATE INDEX outbox_at ON outbox (at_ms);

-- Versions of a user are 1, 2, 3 …; the newest row stays when it is deleted, so that its number is never used again.
-- store: which sessions are the version's. etag counts their changes.
CREATE TABLE key_backups (
    user_key {int} NOT NULL,
    version {int} NOT NULL,
    deleted {bool} NOT NULL,
    algorithm {bytes} NOT NULL,
    auth_data {bytes} NOT NULL,
    store {int} NOT NULL,
    etag {int} NOT NULL,
    sessions {int} NOT NULL,
    PRIMARY KEY (user_key, version)
) {clustered};

CREATE TABLE key_backup_sessions (
    store {int} NOT NULL,
    room_id {bytes} NOT NULL,
    session_id {bytes} NOT NULL,
    first_message_index {int} NOT NULL,
    forwarded_count {int} NOT NULL,
    is_verified {bool} NOT NULL,
    session_data {bytes} NOT NULL,
    PRIMARY KEY (store, session_id, room_id)
) {clustered};
CREATE INDEX key_backup_sessions_room ON key_backup_sessions (store, room_id, session_id);

CREATE TABLE key_backup_waste (store {id});
