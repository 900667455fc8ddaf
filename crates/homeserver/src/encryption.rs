//! End-to-end encryption, the server's side: it keeps and passes on keys and messages that it cannot read.
//! Client-server API v1.19, "End-to-End Encryption" and "Send-to-Device messaging".

pub mod claim_keys;
pub mod cross_signing;
pub mod key_backup;
pub mod key_changes;
pub mod query_keys;
pub mod send_to_device;
pub mod signatures;
mod signed_json;
pub mod upload_keys;

/// The server of a user id; none where it is no user id that any server could have.
fn server_of(user_id: &str) -> Option<&str> {
    // Longer ids are nobody's: appendices, "User identifiers".
    const BYTES_MAX: usize = 255;
    let (_, server) = user_id.strip_prefix('@')?.split_once(':')?;
    let whole = user_id.len() <= BYTES_MAX && !user_id.contains('\0');
    (whole && ruma_common::ServerName::parse(server).is_ok()).then_some(server)
}
