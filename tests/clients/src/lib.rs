//! People with Matrix clients, for end-to-end tests of a running server: who they are ([`person`]), the
//! devices they sign in on ([`device`]), the rooms they talk in ([`chat`]) and how they verify each other
//! ([`verification`]). Which server, the environment says ([`server`]).

// The futures of the SDK nest deeper than the default allows.
#![recursion_limit = "256"]

use std::{future::Future, time::Duration};

pub mod chat;
pub mod device;
pub mod person;
pub mod server;
pub mod verification;

/// How long a story waits for what must happen. Far more than it takes (milliseconds), so that a loaded
/// machine fails no story; far less than the long-poll of clients would hide (30 s is matrix-sdk's).
pub const PATIENCE: Duration = Duration::from_secs(25);

/// Waits for what the future waits for; past [`PATIENCE`] the story fails, naming what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("did not happen within {} s: {what}", PATIENCE.as_secs()),
    }
}
