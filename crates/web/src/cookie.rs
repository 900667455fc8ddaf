//! Cookies: reading one, writing one, and values that only we can have written.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, header};
use sha2::Sha256;

use crate::Site;

/// The value of the cookie `name`.
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Sets a cookie for this site's pages alone: no script reads it, no other site sends it along with a form.
pub fn set(response: &mut Response, site: &Site, name: &str, value: &str, max_age_s: u32) {
    let secure = if site.public_url.starts_with("https://") {
        "; Secure"
    } else {
        ""
    };
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    // Names and values are ours and base64.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// `text` and a proof that we wrote it for `purpose`.
pub fn sign(site: &Site, purpose: &str, text: &str) -> String {
    let proof = mac(site, purpose, text).finalize().into_bytes();
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(text),
        URL_SAFE_NO_PAD.encode(proof)
    )
}

/// The text of a signed value; `None` where somebody else wrote it.
pub fn verify(site: &Site, purpose: &str, signed: &str) -> Option<String> {
    let (text, proof) = signed.split_once('.')?;
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
    mac(site, purpose, &text).verify_slice(&proof).ok()?;
    Some(text)
}

fn mac(site: &Site, purpose: &str, text: &str) -> Hmac<Sha256> {
    // The length of the purpose keeps ("a", "bc") and ("ab", "c") apart.
    let mut mac = Hmac::<Sha256>::new_from_slice(&site.cookie_key)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(&(purpose.len() as u64).to_be_bytes());
    mac.update(purpose.as_bytes());
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegistrationMode;

    fn site(key: u8) -> Site {
        Site {
            server_name: "example.org".into(),
            public_url: "https://example.org".into(),
            registration: RegistrationMode::Token,
            cookie_key: [key; 32],
        }
    }

    #[test]
    fn a_signed_value_is_read_back_and_a_forged_one_is_not() {
        let signed = sign(&site(1), "welcome", "ada");
        assert_eq!(verify(&site(1), "welcome", &signed).as_deref(), Some("ada"));
        assert_eq!(verify(&site(2), "welcome", &signed), None);
        assert_eq!(verify(&site(1), "other", &signed), None);
        assert_eq!(verify(&site(1), "welcome", "YWRh.AAAA"), None);
        assert_eq!(verify(&site(1), "welcome", ""), None);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; kith_x=2; kith=3"),
        );
        assert_eq!(read(&headers, "kith"), Some("3"));
        assert_eq!(read(&headers, "b"), None);
    }
}
