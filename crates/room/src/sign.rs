//! Signatures: of events, and of any JSON object.
//!
//! Source: appendices "Signing JSON"; server-server API "Signing events", "Validating hashes and signatures on received
//! events", Matrix v1.19. [`sign_event`] is the one place that signs events.

use std::borrow::Cow;
use std::ops::Deref;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signature, Signer as _, Verifier as _};
use ruma_common::{OwnedServerName, ServerName};

use crate::auth_content::AuthContent;
use crate::canonical::{CanonicalError, Numbers, write_object};
use crate::hash::content_hash;
use crate::json::{Object, Value, parse_object};
use crate::membership::{JoinAuthorised, Membership};
use crate::pdu::{Pdu, PduError};
use crate::redact::write_redacted_unsigned;
use crate::versions::Rules;

/// Signatures are written without padding; some are read with it, or with loose last bits.
const BASE64_LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A server's name with the key it signs by.
#[derive(Clone)]
pub struct ServerKey {
    server: OwnedServerName,
    key_id: String,
    key: ed25519_dalek::SigningKey,
}

/// The public half of an Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key")]
pub struct NotAKey;

impl ServerKey {
    /// The key of `server` made of a seed; `version` is what follows `ed25519:` in its id.
    pub fn from_seed(server: OwnedServerName, version: &str, seed: &[u8; 32]) -> ServerKey {
        ServerKey {
            server,
            key_id: format!("ed25519:{version}"),
            key: ed25519_dalek::SigningKey::from_bytes(seed),
        }
    }

    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The key's id, e.g. `ed25519:a1`.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// Signs bytes as they are and gives the signature in unpadded base64.
    pub fn sign_bytes(&self, bytes: &[u8]) -> String {
        STANDARD_NO_PAD.encode(self.key.sign(bytes).to_bytes())
    }
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The seed stays out of logs.
        f.debug_struct("ServerKey")
            .field("server", &self.server)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// Reads the key from base64, padded or not.
    ///
    /// # Errors
    /// Where it is no base64 of 32 bytes, or no point of the curve.
    pub fn from_base64(text: &str) -> Result<PublicKey, NotAKey> {
        let bytes = BASE64_LENIENT.decode(text).map_err(|_| NotAKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| NotAKey)?;
        ed25519_dalek::VerifyingKey::from_bytes(&bytes)
            .map(PublicKey)
            .map_err(|_| NotAKey)
    }

    /// The key in unpadded base64.
    pub fn to_base64(&self) -> String {
        STANDARD_NO_PAD.encode(self.0.as_bytes())
    }

    /// Whether `signature` (base64) is this key's over `bytes`.
    pub fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = BASE64_LENIENT
            .decode(signature)
            .ok()
            .and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify(bytes, &signature).is_ok())
    }
}

/// Signs a JSON object (not an event) and gives it back with the signature added.
///
/// `unsigned` and signatures of others stay and are not signed.
///
/// # Errors
/// Where the text is no object that has a canonical form.
pub fn sign_json(text: &str, key: &ServerKey) -> Result<String, CanonicalError> {
    let mut object = parse_object(text)?;
    let signature = key.sign_bytes(&signed_bytes(&object)?);
    add_signature(&mut object, key, signature);
    let mut out = String::with_capacity(text.len() + 160);
    write_object(&object, |_| true, Numbers::Strict, &mut out)?;
    Ok(out)
}

/// Why a signature on a JSON object does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    #[error("there is no signature of {signer} by {key_id}")]
    Missing { signer: String, key_id: String },
    #[error("the signature of {signer} by {key_id} does not match")]
    Mismatch { signer: String, key_id: String },
}

/// Checks the signature of `signer` (a server or a user) by the key `key_id` on a JSON object (not an event).
///
/// # Errors
/// [`SignatureError`] where it is missing or does not match.
pub fn verify_json(
    text: &str,
    signer: &str,
    key_id: &str,
    key: &PublicKey,
) -> Result<(), SignatureError> {
    let object = parse_object(text).map_err(CanonicalError::from)?;
    verify_object(&object, signer, key_id, key)
}

pub(crate) fn verify_object(
    object: &Object<'_>,
    signer: &str,
    key_id: &str,
    key: &PublicKey,
) -> Result<(), SignatureError> {
    let told = || (signer.to_owned(), key_id.to_owned());
    let Some(signature) =
        signatures_of(object, signer).and_then(|signatures| signatures.get_str(key_id))
    else {
        let (signer, key_id) = told();
        return Err(SignatureError::Missing { signer, key_id });
    };
    if key.verifies(&signed_bytes(object)?, signature) {
        return Ok(());
    }
    let (signer, key_id) = told();
    Err(SignatureError::Mismatch { signer, key_id })
}

/// Adds the content hash to an event, and the signature over its redacted form. The one function that signs events.
///
/// # Errors
/// Where the event has no canonical form.
pub fn sign_event(
    rules: &Rules,
    event: &mut Object<'_>,
    key: &ServerKey,
) -> Result<(), CanonicalError> {
    let hash = STANDARD_NO_PAD.encode(content_hash(rules, event)?);
    let hashes = Object::from_iter([(Cow::Borrowed("sha256"), Value::String(hash.into()))]);
    event.insert("hashes", Value::Object(hashes));
    cosign_event(rules, event, key)
}

/// Adds our signature to an event that has its hash: where another server made it (an invite, a restricted join).
///
/// # Errors
/// Where the event has no canonical form.
pub fn cosign_event(
    rules: &Rules,
    event: &mut Object<'_>,
    key: &ServerKey,
) -> Result<(), CanonicalError> {
    let mut signed = String::with_capacity(1024);
    write_redacted_unsigned(rules, event, &mut signed)?;
    let signature = key.sign_bytes(signed.as_bytes());
    add_signature(event, key, signature);
    Ok(())
}

impl Pdu {
    /// This event with our signature added; its id stays.
    ///
    /// # Errors
    /// [`PduError`] where the signature makes it too large.
    pub fn cosigned(&self, key: &ServerKey) -> Result<Pdu, PduError> {
        let mut event = self.object();
        cosign_event(self.rules(), &mut event, key)?;
        Pdu::from_object(self.rules(), event, Some(self.event_id().to_owned()))
    }
}

/// An event whose signatures and content hash were checked. Only [`verify`] (or our own signing) makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    pdu: Pdu,
}

impl Verified {
    /// An event that we have just signed.
    pub(crate) fn by_us(pdu: Pdu) -> Verified {
        Verified { pdu }
    }

    pub fn pdu(&self) -> &Pdu {
        &self.pdu
    }

    pub fn into_pdu(self) -> Pdu {
        self.pdu
    }
}

impl Deref for Verified {
    type Target = Pdu;

    fn deref(&self) -> &Pdu {
        &self.pdu
    }
}

/// What is known of a server's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKey {
    pub key: PublicKey,
    /// Until when (in milliseconds since 1970) it is valid; asked from room version 5 on.
    pub valid_until_ts: i64,
}

/// Where [`verify`] gets keys from.
pub trait Keys {
    /// The key of `server` called `key_id`, where it is known.
    fn key(&self, server: &ServerName, key_id: &str) -> Option<KnownKey>;
}

impl<F: Fn(&ServerName, &str) -> Option<KnownKey>> Keys for F {
    fn key(&self, server: &ServerName, key_id: &str) -> Option<KnownKey> {
        self(server, key_id)
    }
}

/// Why an event's signatures do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// None of the keys a server signed by is known. Get these keys and verify again.
    #[error("keys of {} servers are not known", .0.len())]
    MissingKeys(Vec<MissingKeys>),
    #[error("{0} has not signed the event")]
    NotSigned(OwnedServerName),
    #[error("the signature of {0} does not match")]
    WrongSignature(OwnedServerName),
    #[error("the keys that {0} signed by were not valid when the event was sent")]
    ExpiredKey(OwnedServerName),
    #[error("the event has no content hash")]
    NoContentHash,
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// The keys a server signed by, none of them known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKeys {
    pub server: OwnedServerName,
    pub key_ids: Vec<String>,
}

/// Checks an event's signatures, then its content hash. Where only the hash is wrong, the event was redacted on its
/// way, and its redacted form is what counts.
///
/// # Errors
/// [`VerifyError`]: the event is to be dropped, or (`MissingKeys`) verified again with more keys.
pub fn verify(pdu: Pdu, keys: &dyn Keys) -> Result<Verified, VerifyError> {
    let event = pdu.object();
    let mut signed = String::with_capacity(1024);
    write_redacted_unsigned(pdu.rules(), &event, &mut signed)?;
    let mut missing = Vec::new();
    for server in required_signers(&pdu) {
        match check_signatures(&pdu, &event, signed.as_bytes(), server, keys) {
            Err(VerifyError::MissingKeys(more)) => missing.extend(more),
            checked => checked?,
        }
    }
    if !missing.is_empty() {
        return Err(VerifyError::MissingKeys(missing));
    }
    let stated = event
        .get("hashes")
        .and_then(Value::as_object)
        .and_then(|hashes| hashes.get_str("sha256"));
    let stated = stated.ok_or(VerifyError::NoContentHash)?;
    let matches = BASE64_LENIENT.decode(stated).ok().is_some_and(|stated| {
        // An event that has no canonical form was never parsed.
        content_hash(pdu.rules(), &event).is_ok_and(|computed| stated == computed)
    });
    if matches {
        Ok(Verified { pdu })
    } else {
        Ok(Verified {
            pdu: pdu.redacted(),
        })
    }
}

/// The servers whose signatures an event must bear: its sender's, unless it is an invite by third-party identifier; the
/// one in its id (versions 1 and 2); the one that vouches for a restricted join (from version 8).
pub fn required_signers(pdu: &Pdu) -> Vec<&ServerName> {
    let member = match pdu.auth_content() {
        AuthContent::Member(member) => Some(member),
        _ => None,
    };
    let mut servers = Vec::with_capacity(2);
    let by_third_party = member.is_some_and(|member| {
        member.membership == Some(Membership::Invite) && member.third_party_invite.is_some()
    });
    if !by_third_party {
        servers.push(pdu.sender_server());
    }
    if pdu.rules().events_choose_their_id() {
        servers.extend(pdu.event_id().server_name());
    }
    if pdu.rules().auth.restricted
        && let Some(member) = member
        && member.membership == Some(Membership::Join)
        && let Some(JoinAuthorised::By(user)) = &member.join_authorised
        && let Ok(user) = <&ruma_common::UserId>::try_from(user.as_str())
    {
        servers.push(user.server_name());
    }
    servers.dedup();
    servers
}

fn check_signatures(
    pdu: &Pdu,
    event: &Object<'_>,
    signed: &[u8],
    server: &ServerName,
    keys: &dyn Keys,
) -> Result<(), VerifyError> {
    let not_signed = || VerifyError::NotSigned(server.to_owned());
    let signatures = signatures_of(event, server.as_str()).ok_or_else(not_signed)?;
    let ed25519 = || {
        signatures
            .iter()
            .filter(|(key_id, _)| key_id.starts_with("ed25519:"))
            .take(SIGNATURES_MAX)
    };
    if ed25519().next().is_none() {
        return Err(not_signed());
    }
    let (mut valid, mut expired) = (0, 0);
    for (key_id, signature) in ed25519() {
        let Some(known) = keys.key(server, key_id) else {
            continue;
        };
        if pdu.rules().enforce_key_validity && known.valid_until_ts < pdu.origin_server_ts() {
            expired += 1;
            continue;
        }
        if !signature
            .as_str()
            .is_some_and(|signature| known.key.verifies(signed, signature))
        {
            return Err(VerifyError::WrongSignature(server.to_owned()));
        }
        valid += 1;
    }
    match (valid, expired) {
        (0, 0) => Err(VerifyError::MissingKeys(vec![MissingKeys {
            server: server.to_owned(),
            key_ids: ed25519().map(|(key_id, _)| key_id.to_owned()).collect(),
        }])),
        (0, _) => Err(VerifyError::ExpiredKey(server.to_owned())),
        _ => Ok(()),
    }
}

/// Of one server's signatures on an event at most this many are looked at: a server has one or two keys, and each
/// check costs some 50 µs.
const SIGNATURES_MAX: usize = 8;

fn signatures_of<'e, 'a>(object: &'e Object<'a>, signer: &str) -> Option<&'e Object<'a>> {
    object
        .get("signatures")?
        .as_object()?
        .get(signer)?
        .as_object()
}

fn signed_bytes(object: &Object<'_>) -> Result<Vec<u8>, CanonicalError> {
    let mut out = String::with_capacity(1024);
    write_object(
        object,
        |key| !matches!(key, "signatures" | "unsigned"),
        Numbers::Strict,
        &mut out,
    )?;
    Ok(out.into_bytes())
}

fn add_signature(object: &mut Object<'_>, key: &ServerKey, signature: String) {
    let mut signatures = match object.remove("signatures") {
        Some(Value::Object(signatures)) => signatures,
        _ => Object::default(),
    };
    let mut own = match signatures.remove(key.server.as_str()) {
        Some(Value::Object(own)) => own,
        _ => Object::default(),
    };
    own.insert(key.key_id.clone(), Value::String(signature.into()));
    signatures.insert(key.server.as_str().to_owned(), Value::Object(own));
    object.insert("signatures", Value::Object(signatures));
}
