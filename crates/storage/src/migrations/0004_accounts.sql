-- Accounts of this server, their devices and what signs them in. Secrets are kept as SHA-256 hashes only.
-- Deleted: devices and tokens at sign-out; expired tokens, login tokens and stages a day after their expiry, registration
-- and reset tokens 90 days after their end (storage::accounts_expiry). `accounts` rows are kept for ever: a name that was somebody's
-- must never become somebody else's.

-- password: an Argon2id string (PHC format), none where the account has no password.
CREATE TABLE accounts (
    user_key {id},
    password {text},
    created_ms {int} NOT NULL,
    is_admin {bool} NOT NULL,
    is_guest {bool} NOT NULL,
    locked {bool} NOT NULL,
    suspended {bool} NOT NULL,
    deactivated {bool} NOT NULL,
    erased {bool} NOT NULL
);

-- E-mail addresses and phone numbers that were proven to belong to an account.
CREATE TABLE threepids (
    medium {bytes} NOT NULL,
    address {bytes} NOT NULL,
    user_key {int} NOT NULL,
    validated_ms {int} NOT NULL,
    added_ms {int} NOT NULL,
    PRIMARY KEY (medium, address)
) {clustered};
CREATE INDEX threepids_user ON threepids (user_key);

-- device_id and display_name are chosen by clients.
CREATE TABLE devices (
    id {id},
    user_key {int} NOT NULL,
    device_id {bytes} NOT NULL,
    display_name {bytes},
    created_ms {int} NOT NULL,
    last_seen_ms {int} NOT NULL,
    last_seen_ip {text}
);
CREATE UNIQUE INDEX devices_name ON devices (user_key, device_id);

-- expires_ms: null where the token is good until sign-out. confirms: the refresh token that the first use ends.
CREATE TABLE access_tokens (
    hash {bytes} NOT NULL PRIMARY KEY,
    user_key {int} NOT NULL,
    device {int} NOT NULL,
    created_ms {int} NOT NULL,
    expires_ms {int},
    confirms {bytes}
) {clustered};
CREATE INDEX access_tokens_device ON access_tokens (device);

-- replaces: the refresh token from which it was made, until one of its successors was used.
CREATE TABLE refresh_tokens (
    hash {bytes} NOT NULL PRIMARY KEY,
    user_key {int} NOT NULL,
    device {int} NOT NULL,
    created_ms {int} NOT NULL,
    replaces {bytes}
) {clustered};
CREATE INDEX refresh_tokens_device ON refresh_tokens (device);

-- uses_max, expires_ms, username: null where there is no such bound. hint: the token's beginning, for people who list them.
CREATE TABLE registration_tokens (
    hash {bytes} NOT NULL PRIMARY KEY,
    hint {text} NOT NULL,
    uses_max {int},
    uses {int} NOT NULL,
    expires_ms {int},
    username {text},
    is_admin {bool} NOT NULL,
    revoked_ms {int},
    last_used_ms {int},
    created_ms {int} NOT NULL
) {clustered};

-- Short-lived tokens of /login/get_token (kind 0) and links for a forgotten password (kind 1), each good once.
CREATE TABLE single_use_tokens (
    hash {bytes} NOT NULL PRIMARY KEY,
    kind {int} NOT NULL,
    user_key {int} NOT NULL,
    expires_ms {int} NOT NULL,
    used_ms {int}
) {clustered};
CREATE INDEX single_use_tokens_user ON single_use_tokens (user_key);

-- Stages of user-interactive authentication that were completed outside of the request that needs them.
-- detail: what a stage leaves for that request (the registration token to redeem).
CREATE TABLE interactive_auth_stages (
    session {bytes} NOT NULL,
    stage {text} NOT NULL,
    detail {bytes},
    expires_ms {int} NOT NULL,
    PRIMARY KEY (session, stage)
) {clustered};
CREATE INDEX interactive_auth_stages_end ON interactive_auth_stages (expires_ms);
