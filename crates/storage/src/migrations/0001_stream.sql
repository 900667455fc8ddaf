-- The server's own rows: whose database this is, the stream, ids, nodes, leases, followers, jobs.
-- Deleted: `stream` rows after 7 days, `nodes` and `leases` rows a day after their last sign of life, `jobs` rows when done.

CREATE TABLE server (id {id}, name {text} NOT NULL, created_ms {int} NOT NULL);

CREATE TABLE stream_head (id {id}, position {int} NOT NULL);
INSERT INTO stream_head (id, position) VALUES (1, 0);

CREATE TABLE stream (
    position {id},
    topic {int} NOT NULL,
    topic_id {int} NOT NULL,
    kind {int} NOT NULL,
    reference {int} NOT NULL,
    value {int} NOT NULL,
    at_ms {int} NOT NULL
);

CREATE TABLE counters (name {text} NOT NULL PRIMARY KEY, next {int} NOT NULL) {clustered};

CREATE TABLE nodes (id {id}, epoch {int} NOT NULL, last_group {int} NOT NULL, seen_ms {int} NOT NULL);

CREATE TABLE leases (
    name {text} NOT NULL PRIMARY KEY,
    epoch {int} NOT NULL,
    holder {int} NOT NULL,
    until_ms {int} NOT NULL
) {clustered};

CREATE TABLE followers (name {text} NOT NULL PRIMARY KEY, position {int} NOT NULL, epoch {int} NOT NULL) {clustered};

CREATE TABLE jobs (
    id {id},
    kind {text} NOT NULL,
    subject {text} NOT NULL,
    body {bytes} NOT NULL,
    due_ms {int} NOT NULL,
    attempts {int} NOT NULL,
    UNIQUE (kind, subject)
);
CREATE INDEX jobs_due ON jobs (due_ms);

-- Interned user ids, local and remote. Kept for ever: events refer to them.
CREATE TABLE users (id {id}, user_id {text} NOT NULL UNIQUE);
