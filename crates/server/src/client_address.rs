//! Which address a request comes from: the peer's, or what a trusted reverse proxy says in `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::settings::Network;

/// The address that rate limits count for: the last one in the chain of proxies that we do not trust.
///
/// Each proxy appends the address it was called from, so only what stands right of the first untrusted address
/// is known to be true; what stands left of it anyone could have written.
pub fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.ip().to_canonical();
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in forwarded.iter().rev().take(HOPS_MAX) {
        if !trusts(client) {
            break;
        }
        let Some(address) = parse_hop(hop.trim()) else {
            break;
        };
        client = address.to_canonical();
    }
    client
}

/// More proxies than this stand in no real chain; a longer header is an attempt to keep us busy.
const HOPS_MAX: usize = 16;

/// Some proxies append a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    fn check(peer: &str, forwarded: &[&str], trusted: &str, expected: &str) {
        let settings = settings::load(
            None,
            std::iter::once(("KITH_TRUSTED_PROXIES".to_owned(), trusted.to_owned())),
        )
        .unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let client = client_address(peer.parse().unwrap(), &headers, &settings.trusted_proxies);
        assert_eq!(client, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        check(
            "203.0.113.9:1",
            &["198.51.100.1"],
            "10.0.0.0/8",
            "203.0.113.9",
        );
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        check(
            "10.0.0.1:1",
            &["198.51.100.1"],
            "10.0.0.0/8",
            "198.51.100.1",
        );
        check(
            "10.0.0.1:1",
            &["6.6.6.6, 198.51.100.1"],
            "10.0.0.0/8",
            "198.51.100.1",
        );
        check(
            "10.0.0.1:1",
            &["6.6.6.6", "198.51.100.1, 10.0.0.2"],
            "10.0.0.0/8",
            "198.51.100.1",
        );
        check(
            "[::ffff:10.0.0.1]:1",
            &["[2001:db8::1]:77"],
            "10.0.0.0/8",
            "2001:db8::1",
        );
    }

    #[test]
    fn rubbish_in_the_header_leaves_the_last_known_address() {
        check("10.0.0.1:1", &["unknown"], "10.0.0.0/8", "10.0.0.1");
        check(
            "10.0.0.1:1",
            &["198.51.100.1, , 10.0.0.2"],
            "10.0.0.0/8",
            "10.0.0.2",
        );
    }
}
