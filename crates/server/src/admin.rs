//! What `kith token` and `kith user` do. A running server does it for the command line (see [`socket`]); without one
//! the command line does it on the database itself.

pub mod socket;
mod tokens;
mod users;

use std::sync::Arc;

use homeserver::Homeserver;
use serde::{Deserialize, Serialize};

use crate::cli::{NewToken, TokenVerb, UserVerb};

/// One verb with its arguments, as it goes over the socket: a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    NewToken {
        uses: Option<u32>,
        expires_in_ms: Option<u64>,
        username: Option<String>,
        admin: bool,
    },
    ListTokens,
    RevokeToken {
        token: String,
    },
    ListUsers,
    MakeAdmin {
        user: String,
    },
    Deactivate {
        user: String,
        erase: bool,
    },
    ResetLink {
        user: String,
    },
}

/// What the person at the command line reads: a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// For standard output.
    Done(String),
    /// Why it was not done, and what to do.
    Refused(String),
}

impl From<TokenVerb> for Request {
    fn from(verb: TokenVerb) -> Self {
        match verb {
            TokenVerb::New(NewToken {
                uses,
                expires,
                username,
                admin,
            }) => Request::NewToken {
                uses,
                expires_in_ms: expires,
                username,
                admin,
            },
            TokenVerb::List => Request::ListTokens,
            TokenVerb::Revoke { token } => Request::RevokeToken { token },
        }
    }
}

impl From<UserVerb> for Request {
    fn from(verb: UserVerb) -> Self {
        match verb {
            UserVerb::List => Request::ListUsers,
            UserVerb::MakeAdmin { user } => Request::MakeAdmin { user },
            UserVerb::Deactivate { user, erase } => Request::Deactivate { user, erase },
            UserVerb::ResetLink { user } => Request::ResetLink { user },
        }
    }
}

/// Does it.
pub async fn run(hs: &Arc<Homeserver>, request: Request) -> Answer {
    let done = match request {
        Request::NewToken {
            uses,
            expires_in_ms,
            username,
            admin,
        } => tokens::new(hs, uses, expires_in_ms, username, admin).await,
        Request::ListTokens => tokens::list(hs).await,
        Request::RevokeToken { token } => tokens::revoke(hs, &token).await,
        Request::ListUsers => users::list(hs).await,
        Request::MakeAdmin { user } => users::make_admin(hs, &user).await,
        Request::Deactivate { user, erase } => users::deactivate(hs, &user, erase).await,
        Request::ResetLink { user } => users::reset_link(hs, &user).await,
    };
    match done {
        Ok(text) => Answer::Done(text),
        Err(sentence) => Answer::Refused(sentence),
    }
}

pub use tokens::invitation_link;

/// A span of time as people say it, rounded to its largest unit.
fn in_words(ms: u64) -> String {
    let (number, unit) = match ms / 1000 {
        s if s >= 2 * 86_400 => (s / 86_400, "days"),
        s if s >= 2 * 3600 => (s / 3600, "hours"),
        s if s >= 120 => (s / 60, "minutes"),
        s => (s, "seconds"),
    };
    format!("{number} {unit}")
}
