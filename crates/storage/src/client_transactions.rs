//! Answers to client transactions that make no event: client-server API v1.19, "Transaction identifiers".
//!
//! The answer is written by the transaction that does the work, so that a repeated request is answered, not done again.
//! Those that send events are written by the append.

use crate::{DeviceKey, Error, Snapshot, Tx, params};

/// The answer that was given to a transaction, if it was done.
///
/// `endpoint` is the method and path with its variables; transaction ids are unique within it and the device.
pub fn find(
    snap: &mut Snapshot<'_>,
    device: DeviceKey,
    endpoint: &str,
    transaction_id: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let row = snap.query_one(
        "SELECT answer FROM client_transactions WHERE device = $1 AND endpoint = $2 AND transaction_id = $3",
        params![device, endpoint.as_bytes(), transaction_id.as_bytes()],
    )?;
    Ok(row.map(|row| row.bytes(0)))
}

/// Keeps the answer. The caller has found none in the same transaction.
pub fn insert(
    tx: &mut Tx<'_>,
    device: DeviceKey,
    endpoint: &str,
    transaction_id: &str,
    answer: &[u8],
) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO client_transactions (device, endpoint, transaction_id, event, answer, at_ms)
         VALUES ($1, $2, $3, 0, $4, $5)",
        params![
            device,
            endpoint.as_bytes(),
            transaction_id.as_bytes(),
            answer,
            now_ms
        ],
    )
    .map(drop)
}
