//! The server's address as people meet it: in links that open apps, and whether others can reach it at all.

use std::net::IpAddr;

use crate::Site;

/// Opens Element Web at its sign-in. Today's Element Web lets no link choose the server (its makers fear phishing), so
/// the pages show the address to type in as well; older ones fill it in.
pub fn element_web(site: &Site) -> String {
    format!(
        "https://app.element.io/#/login?hs_url={}",
        escape(&site.public_url)
    )
}

/// Opens Element X with the server, and the name where it is known, filled in; without the app it leads to the stores.
/// `hs_url` is what Element Classic reads from the same link.
pub fn element_mobile(site: &Site, user_id: Option<&str>) -> String {
    let provider = site
        .public_url
        .strip_prefix("https://")
        .unwrap_or(&site.public_url);
    let hint = user_id.map_or(String::new(), |id| {
        format!("&login_hint=mxid:{}", escape(id))
    });
    format!(
        "https://mobile.element.io/element/?account_provider={}&hs_url={}{hint}",
        escape(provider),
        escape(&site.public_url)
    )
}

/// Whether only this machine reaches the public address.
pub fn is_loopback(public_url: &str) -> bool {
    let rest = public_url
        .split_once("://")
        .map_or(public_url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegistrationMode;

    #[test]
    fn loopback_is_known_in_all_its_forms() {
        for url in [
            "http://127.0.0.1:8008",
            "http://localhost",
            "http://[::1]:8008",
            "https://kith.localhost/x",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://example.org",
            "http://192.168.1.2:8008",
            "https://localhost.example.org",
            "http://[fd00::1]",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn links_carry_the_server_and_the_name() {
        let site = Site {
            server_name: "example.org".into(),
            public_url: "https://chat.example.org".into(),
            registration: RegistrationMode::Token,
            cookie_key: [0; 32],
        };
        assert_eq!(
            element_mobile(&site, Some("@ada/l:example.org")),
            "https://mobile.element.io/element/?account_provider=chat.example.org&hs_url=https:%2F%2Fchat.example.org&login_hint=mxid:@ada%2Fl:example.org"
        );
        assert_eq!(
            element_web(&site),
            "https://app.element.io/#/login?hs_url=https:%2F%2Fchat.example.org"
        );
    }
}
