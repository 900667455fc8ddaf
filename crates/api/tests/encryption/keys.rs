//! Keys that sign, as clients hold them.

use room::canonical::{Numbers, canonicalize};
use room::sign::ServerKey;
use serde_json::{Value, json};

/// An ed25519 key. A server's key signs as well as a device's: only the names differ.
pub struct SigningKey {
    key: ServerKey,
    name: String,
}

impl SigningKey {
    /// A key of its own for each number, named by its public key, as cross-signing keys are.
    pub fn new(number: u8) -> Self {
        let key = ServerKey::from_seed("test.example".try_into().unwrap(), "x", &[number; 32]);
        let name = key.public().to_base64();
        Self { key, name }
    }

    /// The same key by another name: a device id.
    pub fn named(self, name: &str) -> Self {
        let name = name.to_owned();
        Self { name, ..self }
    }

    pub fn public(&self) -> String {
        self.key.public().to_base64()
    }

    pub fn id(&self) -> String {
        format!("ed25519:{}", self.name)
    }

    pub fn sign(&self, bytes: &[u8]) -> String {
        self.key.sign_bytes(bytes)
    }
}

/// The object with a signature of the user by this key added.
pub fn signed(mut object: Value, user_id: &str, key: &SigningKey) -> Value {
    let mut bare = object.clone();
    let members = bare.as_object_mut().unwrap();
    members.remove("signatures");
    members.remove("unsigned");
    let bytes = canonicalize(&bare.to_string(), Numbers::Strict).unwrap();
    if object["signatures"].is_null() {
        object["signatures"] = json!({});
    }
    if object["signatures"][user_id].is_null() {
        object["signatures"][user_id] = json!({});
    }
    object["signatures"][user_id][key.id()] = json!(key.sign(bytes.as_bytes()));
    object
}
