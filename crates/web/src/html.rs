//! How pages leave: the headers that keep them safe, the style and scripts inside them, and pages that only say
//! what is wrong.

use std::sync::LazyLock;

use askama::Template;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::Site;
use crate::password::COMMON_WORDS;

pub const STYLE: &str = include_str!("style.css");
pub const COPY_SCRIPT: &str = include_str!("copy.js");
pub const LOGIN_SCRIPT: &str = include_str!("login_fallback.js");
pub const DONE_SCRIPT: &str = include_str!("auth_done.js");

/// The strength script with the word list of [`crate::password`] inside, so that both judge alike.
pub static PASSWORD_SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let words = COMMON_WORDS
        .iter()
        .map(|word| format!("{word:?}"))
        .collect::<Vec<_>>()
        .join(",");
    include_str!("password.js").replace("\"COMMON_WORDS\"", &words)
});

/// Lets in our own style and scripts, named by their hashes, and nothing else at all. `connect-src` is for the
/// sign-in fallback, which calls the client API.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let scripts = [
        PASSWORD_SCRIPT.as_str(),
        COPY_SCRIPT,
        LOGIN_SCRIPT,
        DONE_SCRIPT,
    ]
    .map(hash_source)
    .join(" ");
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {scripts}; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
        hash_source(STYLE)
    );
    // Hashes in base64 and ASCII words: always a valid header.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

fn hash_source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// A page as an answer. Never cached: pages carry invitations and names.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    let Ok(body) = template.render() else {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The page could not be made.",
        )
            .into_response();
    };
    (status, safe_headers(), body).into_response()
}

/// A redirect after a form was accepted, so that reloading the page sends nothing again.
pub fn see_other(path: &'static str) -> Response {
    let mut headers = safe_headers();
    headers.insert(header::LOCATION, HeaderValue::from_static(path));
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn safe_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        CONTENT_SECURITY_POLICY.clone(),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

/// A page that says what is wrong and what to do about it.
#[derive(Template)]
#[template(path = "problem.html")]
pub struct Problem<'a> {
    pub site: &'a Site,
    pub heading: &'a str,
    pub sentence: &'a str,
    pub advice: &'a str,
    pub link: Option<Link>,
}

pub struct Link {
    pub address: String,
    pub text: &'static str,
}

impl Problem<'_> {
    pub fn answer(&self, status: StatusCode) -> Response {
        page(status, self)
    }
}

/// Said where the database does not answer.
pub fn unavailable(site: &Site) -> Response {
    Problem {
        site,
        heading: "Just a moment",
        sentence: "The server cannot do this right now.",
        advice: "Please try again in a minute. If it stays like this, tell the person who runs the server.",
        link: None,
    }
    .answer(StatusCode::SERVICE_UNAVAILABLE)
}

pub fn too_many(site: &Site, retry_after_ms: u64) -> Response {
    let seconds = retry_after_ms.div_ceil(1000).max(1);
    let mut response = Problem {
        site,
        heading: "A little slower, please",
        sentence: "There were too many attempts from here in a short time.",
        advice: "Wait a minute, then go back and try again.",
        link: None,
    }
    .answer(StatusCode::TOO_MANY_REQUESTS);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
