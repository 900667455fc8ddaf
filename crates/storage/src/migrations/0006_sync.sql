-- What syncs look for: where a user itself last spoke in a room (unread counts begin there), and sliding connections.
-- Deleted: `connections` with their device, the oldest ones of a device beyond 8, and 30 days after they were last saved.

CREATE INDEX events_sender ON events (sender, room, place) WHERE place IS NOT NULL;

-- state: what the connection was told, as the `sync` crate writes it. Saved now and then; a loss costs a repetition.
CREATE TABLE connections (
    device {int} NOT NULL,
    conn_id {bytes} NOT NULL,
    id {text} NOT NULL,
    number {int} NOT NULL,
    position {int} NOT NULL,
    state {bytes} NOT NULL,
    saved_ms {int} NOT NULL,
    PRIMARY KEY (device, conn_id)
) {clustered};
CREATE INDEX connections_saved ON connections (saved_ms);
