//! How one setting's text becomes a typed value, with a sentence where it cannot.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::{Database, Listener, LogFormat, RegistrationMode, Scheme};

/// A range of addresses, `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(&network.octets(), &address.octets(), self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_prefix(&network.octets(), &address.octets(), self.prefix)
            }
            _ => false,
        }
    }
}

fn same_prefix(left: &[u8], right: &[u8], bits: u8) -> bool {
    let whole = usize::from(bits / 8);
    let rest = bits % 8;
    if left[..whole] != right[..whole] {
        return false;
    }
    rest == 0 || (left[whole] ^ right[whole]) >> (8 - rest) == 0
}

pub fn network(text: &str) -> Result<Network, String> {
    let not_a_network = || format!("`{text}` is not an address or a range such as 10.0.0.0/8");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| not_a_network())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| not_a_network())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(bits);
    if prefix > bits {
        return Err(not_a_network());
    }
    Ok(Network {
        address: address.to_canonical(),
        prefix,
    })
}

/// A server name by the spec's grammar (appendices, "Server name"): host, and a port where it is not the default.
pub fn server_name(text: &str) -> Result<String, String> {
    if text.len() > SERVER_NAME_BYTES_MAX {
        return Err(format!(
            "the name is longer than {SERVER_NAME_BYTES_MAX} bytes"
        ));
    }
    if text.contains("://") {
        return Err(format!(
            "`{text}` is a URL; give the bare name, such as example.org"
        ));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!(
            "`{text}` has capital letters; server names are written small"
        ));
    }
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    let port_ok =
        port.is_none_or(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    let host_ok = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        }
    };
    if host_ok && port_ok {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a server name such as example.org"))
    }
}

/// User ids hold the name and may have 255 bytes (appendices, "User identifiers"); this leaves room for a localpart.
const SERVER_NAME_BYTES_MAX: usize = 230;

pub fn http_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest)
            if !rest.trim_matches('/').is_empty()
                && !rest.contains(['?', '#', ' ', '"', '<', '>']) =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!(
            "`{text}` is not an address such as https://chat.example.org"
        )),
    }
}

pub fn database(text: &str) -> Result<Database, String> {
    if let Some(path) = text.strip_prefix("sqlite:")
        && !path.is_empty()
    {
        return Ok(Database::Sqlite(PathBuf::from(path)));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Database::Postgres(text.to_owned()));
    }
    // The text is not repeated: it may hold a password.
    Err("the value is neither `sqlite:PATH` nor a `postgres://` URL".to_owned())
}

pub fn listener(text: &str) -> Result<Listener, String> {
    let (scheme, rest) = if let Some(rest) = text.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else if let Some(rest) = text.strip_prefix("https://") {
        (Scheme::Https, rest)
    } else {
        return Err(format!("`{text}` does not start with http:// or https://"));
    };
    Ok(Listener {
        scheme,
        address: socket_address(rest.trim_end_matches('/'))?,
    })
}

pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:")
        && let Ok(port) = port.parse()
    {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not ADDRESS:PORT with an IP address, such as 0.0.0.0:8008 or [::]:8008"
        )
    })
}

pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// A number of bytes: `268435456`, `256 MiB`, `1 GiB`.
pub fn byte_count(text: &str) -> Result<u64, String> {
    let not_a_size = || format!("`{text}` is not a size such as 256 MiB");
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits_end].parse().map_err(|_| not_a_size())?;
    let shift = match text[digits_end..].trim() {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(not_a_size()),
    };
    number.checked_mul(1 << shift).ok_or_else(not_a_size)
}

pub fn registration_mode(text: &str) -> Result<RegistrationMode, String> {
    match text {
        "token" => Ok(RegistrationMode::Token),
        "open" => Ok(RegistrationMode::Open),
        "closed" => Ok(RegistrationMode::Closed),
        _ => Err(format!("`{text}` is none of token, open, closed")),
    }
}

pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither text nor json")),
    }
}

pub fn room_version(text: &str) -> Result<String, String> {
    let known = text
        .parse::<u8>()
        .is_ok_and(|version| (1..=12).contains(&version));
    if known {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a room version from 1 to 12"))
    }
}

pub fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| {
            format!("`{text}` is not a log filter such as info or info,storage=debug: {error}")
        })
}

/// A span of time: `90s`, `30m`, `12h`, `7d`, `2w`; in milliseconds.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let not_a_duration = || format!("`{text}` is not a time such as 12h, 7d or 2w");
    let unit_ms: u64 = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        Some('w') => 604_800_000,
        _ => return Err(not_a_duration()),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| not_a_duration())?;
    match number.checked_mul(unit_ms) {
        Some(0) | None => Err(not_a_duration()),
        Some(ms) => Ok(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let ten = network("10.0.0.0/8").unwrap();
        assert!(ten.contains("10.9.8.7".parse().unwrap()));
        assert!(ten.contains("::ffff:10.9.8.7".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        let half = network("192.168.0.128/25").unwrap();
        assert!(half.contains("192.168.0.200".parse().unwrap()));
        assert!(!half.contains("192.168.0.5".parse().unwrap()));
        assert!(network("::1").unwrap().contains("::1".parse().unwrap()));
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_server_name_follows_the_grammar() {
        for good in [
            "localhost",
            "example.org",
            "a.b:8448",
            "[::1]:8448",
            "[::1]",
            "1.2.3.4",
        ] {
            assert_eq!(server_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "Example.org",
            "https://example.org",
            "a b",
            "a:",
            "a:port",
            "[zz]",
            "a/b",
            "ü.de",
        ] {
            assert!(server_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(byte_count("256 MiB"), Ok(256 << 20));
        assert_eq!(byte_count("1GiB"), Ok(1 << 30));
        assert!(byte_count("many").is_err());
        assert_eq!(duration_ms("7d"), Ok(604_800_000));
        assert!(duration_ms("7").is_err());
        assert!(duration_ms("0d").is_err());
        assert!(duration_ms("7é").is_err());
    }
}
