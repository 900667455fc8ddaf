//! The server under test, as the environment names it.
//!
//! - `KITH_TEST_URL`: its base URL;
//! - `KITH_TEST_REGISTRATION_TOKEN`: a registration token for many uses (`m.login.registration_token`), or else
//!   `KITH_TEST_SECRET`: its shared secret for `POST /_synapse/admin/v1/register`;
//! - `KITH_TEST_RESTART`: a command that kills it (SIGKILL) and starts it again on the same data; may be unset.

use std::env;

/// A server that runs, with an open way to register.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) url: String,
    pub(crate) registration: Registration,
    restart: Option<String>,
}

/// How test users come to be.
#[derive(Clone, Debug)]
pub(crate) enum Registration {
    Token(String),
    SharedSecret(String),
}

impl Server {
    /// The server that the environment names; panics with what to set where it names none.
    pub fn under_test() -> Self {
        let var = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let registration = var("KITH_TEST_REGISTRATION_TOKEN")
            .map(Registration::Token)
            .or_else(|| var("KITH_TEST_SECRET").map(Registration::SharedSecret))
            .expect("set KITH_TEST_REGISTRATION_TOKEN or KITH_TEST_SECRET (or run ./test clients)");
        Self {
            url: var("KITH_TEST_URL").expect("set KITH_TEST_URL (or run ./test clients)"),
            registration,
            restart: var("KITH_TEST_RESTART"),
        }
    }

    /// Whether [`Server::kill_and_restart`] can.
    pub fn is_ours_to_kill(&self) -> bool {
        self.restart.is_some()
    }

    /// Ends the server without a warning and starts it again; returns when it is healthy.
    pub async fn kill_and_restart(&self) {
        let restart = self.restart.as_ref().expect("KITH_TEST_RESTART is set");
        let status = tokio::process::Command::new(restart).status().await;
        let status = status.unwrap_or_else(|error| panic!("{restart} does not run: {error}"));
        assert!(status.success(), "the server did not come back: {status}");
    }
}
