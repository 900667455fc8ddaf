//! What to do after registration: the app, the server's address, the QR code. Who has just registered is in a signed
//! cookie of a quarter of an hour; without it the page says the same without a name.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{Registered, Site, address, cookie, html, qr};

const COOKIE: &str = "kith_welcome";
const PURPOSE: &str = "welcome";
const MAX_AGE_S: u32 = 15 * 60;

#[derive(Serialize, Deserialize)]
struct Account {
    user_id: String,
    localpart: String,
    admin: bool,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome<'a> {
    site: &'a Site,
    account: Option<Account>,
    loopback: bool,
    element_web: String,
    element_mobile: String,
    qr: String,
}

pub async fn show(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let account: Option<Account> = cookie::read(&headers, COOKIE)
        .and_then(|value| cookie::verify(&site, PURPOSE, value))
        .and_then(|json| serde_json::from_str(&json).ok());
    let element_mobile = address::element_mobile(
        &site,
        account.as_ref().map(|account| account.user_id.as_str()),
    );
    html::page(
        StatusCode::OK,
        &Welcome {
            site: &site,
            loopback: address::is_loopback(&site.public_url),
            element_web: address::element_web(&site),
            qr: qr::svg(&element_mobile),
            element_mobile,
            account,
        },
    )
}

/// Leads there from an accepted registration.
pub fn redirect(site: &Site, registered: &Registered) -> Response {
    let localpart = registered
        .user_id
        .trim_start_matches('@')
        .split(':')
        .next()
        .unwrap_or_default();
    let account = Account {
        user_id: registered.user_id.clone(),
        localpart: localpart.to_owned(),
        admin: registered.admin,
    };
    let mut response = html::see_other("/welcome");
    // Three plain fields always serialize; without the cookie the page still helps.
    let json = serde_json::to_string(&account).unwrap_or_default();
    cookie::set(
        &mut response,
        site,
        COOKIE,
        &cookie::sign(site, PURPOSE, &json),
        MAX_AGE_S,
    );
    response
}
