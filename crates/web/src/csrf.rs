//! Keeps other sites from sending our forms in a visitor's name: the form repeats a secret from a cookie that other
//! sites can neither read nor set ("double submit").
//!
//! An `Origin` check alone would not do: with `Referrer-Policy: no-referrer` browsers send `Origin: null`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

use crate::Site;
use crate::cookie;

const COOKIE: &str = "kith_form";
const PURPOSE: &str = "form";
/// A form may lie open overnight.
const MAX_AGE_S: u32 = 24 * 3600;

/// The secret to put into a form, and into the cookie of its page.
#[derive(Debug, Clone)]
pub struct Secret(String);

impl Secret {
    /// The visitor's secret, kept over several open pages, or a new one made from `nonce`.
    pub fn of(site: &Site, headers: &HeaderMap, nonce: [u8; 16]) -> Self {
        match cookie::read(headers, COOKIE) {
            Some(value) if cookie::verify(site, PURPOSE, value).is_some() => {
                Secret(value.to_owned())
            }
            _ => Secret(cookie::sign(site, PURPOSE, &URL_SAFE_NO_PAD.encode(nonce))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn set_cookie(&self, site: &Site, response: &mut Response) {
        cookie::set(response, site, COOKIE, &self.0, MAX_AGE_S);
    }
}

/// Whether the form came from our own page in this browser.
pub fn came_from_us(site: &Site, headers: &HeaderMap, in_form: &str) -> bool {
    let cross_site = headers
        .get("sec-fetch-site")
        .is_some_and(|value| value == "cross-site");
    let same = cookie::read(headers, COOKIE) == Some(in_form);
    !cross_site && same && cookie::verify(site, PURPOSE, in_form).is_some()
}
