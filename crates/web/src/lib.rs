//! Pages for people: registration, what to do next, a new password, and the sign-in pages that clients fall back to.
//!
//! All pages are plain HTML that works without scripts; scripts add comfort. What the pages need of accounts is the
//! trait [`Accounts`], so that they can be looked at and tested without a server behind them.

mod accounts;
mod address;
mod auth_fallback;
mod cookie;
mod csrf;
mod home;
mod html;
mod login_fallback;
mod password;
mod qr;
mod register;
mod reset;
mod welcome;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::get;

use storage::Random;

pub use accounts::{
    Accounts, FallbackError, Invitation, InvitationProblem, NewAccount, RegisterError, Registered,
    ResetError,
};
pub use password::{Strength, strength};

/// What the pages say about the server.
#[derive(Debug, Clone)]
pub struct Site {
    pub server_name: String,
    /// Without a slash at the end.
    pub public_url: String,
    pub registration: RegistrationMode,
    /// Signs the short-lived cookies; all nodes of one server have the same.
    pub cookie_key: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationMode {
    Token,
    Open,
    Closed,
}

/// State of all handlers.
pub struct Pages<A> {
    site: Arc<Site>,
    accounts: Arc<A>,
    random: Arc<dyn Random>,
}

impl<A> Clone for Pages<A> {
    fn clone(&self) -> Self {
        Pages {
            site: self.site.clone(),
            accounts: self.accounts.clone(),
            random: self.random.clone(),
        }
    }
}

impl<A> Pages<A> {
    fn nonce(&self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.random.fill(&mut nonce);
        nonce
    }
}

impl<A> FromRef<Pages<A>> for Arc<Site> {
    fn from_ref(pages: &Pages<A>) -> Self {
        pages.site.clone()
    }
}

/// A form with two long passwords, percent-encoded, is 4 KiB; nobody needs more.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// All pages.
pub fn router<A: Accounts>(site: Site, accounts: A, random: Arc<dyn Random>) -> Router {
    Router::new()
        .route("/", get(home::show))
        .route(
            "/register",
            get(register::show::<A>).post(register::submit::<A>),
        )
        .route("/welcome", get(welcome::show))
        .route("/reset", get(reset::show::<A>).post(reset::submit::<A>))
        .route("/_matrix/static/client/login/", get(login_fallback::show))
        .route(
            "/_matrix/client/v3/auth/{auth_type}/fallback/web",
            get(auth_fallback::show::<A>).post(auth_fallback::submit::<A>),
        )
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(Pages {
            site: Arc::new(site),
            accounts: Arc::new(accounts),
            random,
        })
}
