//! What a homeserver has: its name, keys, database, clock, randomness and settings.

use std::sync::Arc;

use room::sign::ServerKey;
use storage::{Clock, Database, DeviceKey, Random, UserKey};

use crate::Settings;
use crate::accounts::Accounts;
use crate::presence::Noted;
use crate::push_rules::Audiences;
use crate::rooms::lane::Lanes;

/// The capabilities that behaviours use. Shared by all requests.
pub struct Homeserver {
    /// The server name: the part of ids after the colon.
    pub server_name: String,
    /// The server's name with the key that signs its events and requests.
    pub server_key: ServerKey,
    pub db: Database,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub settings: Settings,
    pub accounts: Accounts,
    /// What was last noted of who is there.
    pub presence: Noted,
    /// Whose push rules an event is evaluated by.
    pub push_rules: Audiences,
    /// Where events of our own are decided, room by room.
    pub lanes: Lanes,
}

impl Homeserver {
    /// A homeserver of what it is given; what it keeps in memory starts empty.
    pub fn new(
        server_key: ServerKey,
        db: Database,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: Settings,
    ) -> Self {
        let server_name = server_key.server().to_string();
        Self {
            server_name,
            server_key,
            db,
            clock,
            random,
            settings,
            accounts: Accounts::default(),
            presence: Noted::default(),
            push_rules: Audiences::default(),
            lanes: Lanes::default(),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A string of `length` unpredictable letters and digits (about 5.95 bits each).
    pub fn random_string(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut out = String::with_capacity(length);
        let mut bytes = [0; 64];
        while out.len() < length {
            self.random.fill(&mut bytes);
            // Bytes past the largest multiple of 62 are passed over, so that each letter is equally likely.
            let letters = bytes
                .iter()
                .filter(|byte| **byte < 248)
                .map(|byte| ALPHABET[usize::from(byte % 62)]);
            out.extend(letters.take(length - out.len()).map(char::from));
        }
        out
    }

    /// Whether a user id belongs to this server.
    pub fn is_local(&self, user_id: &str) -> bool {
        user_id
            .split_once(':')
            .is_some_and(|(_, name)| name == self.server_name)
    }
}

/// Who makes a request: an account of this server, signed in on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    pub user: UserKey,
    pub user_id: String,
    pub device: DeviceKey,
    pub device_id: String,
    pub is_admin: bool,
    pub is_guest: bool,
    /// Can read, but not speak (client-server API v1.19, "Account suspension").
    pub is_suspended: bool,
}
