//! Content hashes, reference hashes and the event ids made of them.
//!
//! Source: server-server API, "Calculating the reference hash" and "Calculating the content hash", Matrix v1.19;
//! rooms v3 and v4 "Event IDs".

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::canonical::{CanonicalError, Numbers, write_object};
use crate::json::Object;
use crate::redact::write_redacted_unsigned;
use crate::versions::{EventIdFormat, Rules};

/// The SHA-256 over all of `event` but `unsigned`, `signatures` and `hashes`.
///
/// # Errors
/// Where the event has no canonical form in this room version.
pub fn content_hash(rules: &Rules, event: &Object<'_>) -> Result<[u8; 32], CanonicalError> {
    let hashed = |key: &str| !matches!(key, "unsigned" | "signatures" | "hashes");
    let mut canonical = String::with_capacity(1024);
    write_object(event, hashed, rules.numbers(), &mut canonical)?;
    Ok(Sha256::digest(canonical.as_bytes()).into())
}

/// The SHA-256 over the redacted event without `signatures` (and `unsigned`): the event's identity.
///
/// # Errors
/// Where the event has no canonical form in this room version.
pub fn reference_hash(rules: &Rules, event: &Object<'_>) -> Result<[u8; 32], CanonicalError> {
    let mut canonical = String::with_capacity(1024);
    write_redacted_unsigned(rules, event, &mut canonical)?;
    Ok(Sha256::digest(canonical.as_bytes()).into())
}

/// The event id made of a reference hash, or `None` where events choose their id (versions 1 and 2).
pub fn event_id(rules: &Rules, reference_hash: &[u8; 32]) -> Option<String> {
    match rules.event_id {
        EventIdFormat::Chosen => None,
        EventIdFormat::HashStandard => Some(format!("${}", STANDARD_NO_PAD.encode(reference_hash))),
        EventIdFormat::HashUrlSafe => Some(format!("${}", URL_SAFE_NO_PAD.encode(reference_hash))),
    }
}

impl Rules {
    /// How canonical JSON treats numbers in this version.
    pub fn numbers(&self) -> Numbers {
        if self.strict_json {
            Numbers::Strict
        } else {
            Numbers::Lenient
        }
    }
}
