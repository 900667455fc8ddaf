//! The server's signing key: made at the first start, kept in the data directory as `signing.key`.
//!
//! One line, `ed25519 <key id> <seed>`, the seed as unpadded base64: the form other homeservers use too, so a
//! key can move with its server. Whoever reads it can speak as this server, hence mode 0600.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use storage::Random;

#[derive(Clone)]
pub struct SigningKey {
    /// Without the algorithm: `k1a2b3c4` of `ed25519:k1a2b3c4`.
    pub key_id: String,
    pub seed: [u8; 32],
}

impl SigningKey {
    /// Another secret, for `purpose`: nobody learns the one from the other, and all nodes with this key have the same.
    pub fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.seed)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(purpose);
        mac.finalize().into_bytes().into()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    #[error("cannot read or write the signing key {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{path} is not a signing key (one line, `ed25519 KEY_ID SEED`); put back the right file from a backup. \
         Only if this server never spoke to others may you remove it and get a new one"
    )]
    Malformed { path: PathBuf },
    #[error("{path} can be read by others on this machine; run `chmod 600 {path}` and start again")]
    ReadableByOthers { path: PathBuf },
}

/// Reads the key of `data_dir`, or makes it where there is none.
pub fn load_or_make(data_dir: &Path, random: &impl Random) -> Result<SigningKey, SigningKeyError> {
    let path = data_dir.join("signing.key");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            refuse_readable_by_others(&path)?;
            parse(&text).ok_or(SigningKeyError::Malformed { path })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path, random),
        Err(source) => Err(SigningKeyError::Io { path, source }),
    }
}

fn refuse_readable_by_others(path: &Path) -> Result<(), SigningKeyError> {
    let mode = std::fs::metadata(path)
        .map_err(|source| SigningKeyError::Io {
            path: path.to_owned(),
            source,
        })?
        .permissions()
        .mode();
    if mode & 0o007 != 0 {
        Err(SigningKeyError::ReadableByOthers {
            path: path.to_owned(),
        })
    } else {
        Ok(())
    }
}

fn parse(text: &str) -> Option<SigningKey> {
    let mut words = text.split_whitespace();
    let (Some("ed25519"), Some(key_id), Some(seed), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let id_ok = key_id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let seed = STANDARD_NO_PAD
        .decode(seed.trim_end_matches('='))
        .ok()?
        .try_into()
        .ok()?;
    id_ok.then(|| SigningKey {
        key_id: key_id.to_owned(),
        seed,
    })
}

fn make(path: &Path, random: &impl Random) -> Result<SigningKey, SigningKeyError> {
    let mut seed = [0; 32];
    random.fill(&mut seed);
    let mut id = [0; 4];
    random.fill(&mut id);
    let key = SigningKey {
        key_id: format!("k{:08x}", u32::from_be_bytes(id)),
        seed,
    };
    write_once(
        path,
        &format!("ed25519 {} {}\n", key.key_id, STANDARD_NO_PAD.encode(seed)),
    )
    .map_err(|source| SigningKeyError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(key)
}

/// All of the file or none of it is there after a crash, and an existing key is never replaced.
fn write_once(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension("key.partial");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::hard_link(&partial, path)?;
    std::fs::remove_file(&partial)?;
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that count up.
    struct Counting;

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = i as u8;
            }
        }
    }

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let made = load_or_make(directory.path(), &Counting).unwrap();
        let text = std::fs::read_to_string(directory.path().join("signing.key")).unwrap();
        assert!(text.starts_with("ed25519 k00010203 AAECAwQ"), "{text}");
        let read = load_or_make(directory.path(), &crate::capabilities::SystemRandom).unwrap();
        assert_eq!((made.key_id, made.seed), (read.key_id, read.seed));
        let mode = std::fs::metadata(directory.path().join("signing.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_or_open_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing.key");
        std::fs::write(&path, "ed25519 a_b short\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            load_or_make(directory.path(), &Counting),
            Err(SigningKeyError::Malformed { .. })
        ));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            load_or_make(directory.path(), &Counting),
            Err(SigningKeyError::ReadableByOthers { .. })
        ));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "ed25519 a_b short\n"
        );
    }
}
