//! Accounts over HTTP, on both engines: registration, sign-in, devices, user-interactive authentication, discovery.

#[path = "accounts/discovery.rs"]
mod discovery;
#[path = "accounts/limits.rs"]
mod limits;
#[path = "accounts/own_account.rs"]
mod own_account;
#[path = "accounts/registration.rs"]
mod registration;
#[path = "accounts/sessions.rs"]
mod sessions;
#[path = "accounts/shared_secret.rs"]
mod shared_secret;
#[path = "accounts/standing.rs"]
mod standing;

use serde_json::{Value, json};
use testkit::{Client, Server};

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const DEVICES: &str = "/_matrix/client/v3/devices";

/// Status and error code.
fn refusal(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["errcode"].as_str().unwrap_or_default())
}

/// The body of a login by password.
fn password_login(user: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    })
}

/// The `auth` that a user's password makes.
fn password_auth(client: &Client, session: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": client.user_id },
        "password": Server::PASSWORD,
        "session": session,
    })
}

/// The session of a 401 that asks for authentication.
fn session_of(answer: &(u16, Value)) -> String {
    assert_eq!(answer.0, 401, "{}", answer.1);
    answer.1["session"].as_str().expect("a session").to_owned()
}
