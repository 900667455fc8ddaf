//! The one place where settings are declared. The reference page is printed from this table, in this order.

use std::path::PathBuf;

use super::values;
use super::{
    Appservices, Federation, Limits, LogFormat, Metrics, Registration, RegistrationMode, Rooms,
    Settings, Support, Tls,
};

/// One setting.
pub struct Declared {
    /// Dotted, as in TOML: `registration.mode` is `mode` in the table `[registration]`.
    pub key: &'static str,
    pub kind: Kind,
    /// The text of the default; empty: not set. In words between parentheses where another setting decides it.
    pub default: &'static str,
    pub sentence: &'static str,
    pub example: &'static str,
    /// Puts one checked value into the settings. Lists call it once per item.
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Text that must not be logged; `<key>_file` names a file to read it from instead.
    Secret,
    Path,
    Flag,
    /// A TOML array, or text with commas.
    List,
    OneOf(&'static [&'static str]),
}

pub const DECLARED: &[Declared] = &[
    Declared {
        key: "server_name",
        kind: Kind::Text,
        default: "localhost",
        sentence: "The name behind the colon in user ids (`@ada:example.org`); it can never change once people have registered.",
        example: "example.org",
        set: |s, text| put(&mut s.server_name, values::server_name(text)),
    },
    Declared {
        key: "public_url",
        kind: Kind::Text,
        default: "(the first listener for `localhost`, else `https://` and the server name)",
        sentence: "The address under which people and clients reach this server; invite links and `/.well-known/matrix/client` carry it.",
        example: "https://chat.example.org",
        set: |s, text| put(&mut s.public_url, values::http_url(text).map(Some)),
    },
    Declared {
        key: "data_dir",
        kind: Kind::Path,
        default: "./kith-data",
        sentence: "The directory for the signing key, the admin socket, media and the embedded database; it is made where it is missing.",
        example: "/var/lib/kith",
        set: |s, text| put(&mut s.data_dir, Ok(PathBuf::from(text))),
    },
    Declared {
        key: "database",
        kind: Kind::Secret,
        default: "(`sqlite:` and `kith.db` in the data directory)",
        sentence: "Where everything is kept: `sqlite:PATH` for the embedded database, or a `postgres://` URL to run several servers on one database.",
        example: "postgres://kith:password@db.internal/kith",
        set: |s, text| put(&mut s.database, values::database(text).map(Some)),
    },
    Declared {
        key: "listen",
        kind: Kind::List,
        default: "http://127.0.0.1:8008",
        sentence: "The addresses to serve on, each `http://ADDRESS:PORT` or `https://ADDRESS:PORT`; port 0 takes a free one.",
        example: "https://0.0.0.0:443,https://0.0.0.0:8448",
        set: |s, text| push(&mut s.listen, values::listener(text)),
    },
    Declared {
        key: "trusted_proxies",
        kind: Kind::List,
        default: "127.0.0.0/8,::1",
        sentence: "Reverse proxies whose `X-Forwarded-For` header is believed when rate limits need the client's address.",
        example: "127.0.0.1,10.0.0.0/8",
        set: |s, text| push(&mut s.trusted_proxies, values::network(text)),
    },
    Declared {
        key: "tls.certificate",
        kind: Kind::Path,
        default: "",
        sentence: "The certificate chain (PEM) for `https://` listeners; a changed file is taken up without a restart.",
        example: "/etc/letsencrypt/live/example.org/fullchain.pem",
        set: |s, text| put(&mut s.tls.certificate, path(text)),
    },
    Declared {
        key: "tls.private_key",
        kind: Kind::Path,
        default: "",
        sentence: "The private key (PEM) of that certificate.",
        example: "/etc/letsencrypt/live/example.org/privkey.pem",
        set: |s, text| put(&mut s.tls.private_key, path(text)),
    },
    Declared {
        key: "registration.mode",
        kind: Kind::OneOf(&["token", "open", "closed"]),
        default: "token",
        sentence: "Who may make an account: whoever holds a link from `kith token new`, everyone, or nobody.",
        example: "closed",
        set: |s, text| put(&mut s.registration.mode, values::registration_mode(text)),
    },
    Declared {
        key: "registration.shared_secret",
        kind: Kind::Secret,
        default: "",
        sentence: "Turns on `/_synapse/admin/v1/register`, where programs that know this secret make accounts; bridges' installers and test suites use it.",
        example: "a long random text",
        set: |s, text| put(&mut s.registration.shared_secret, Ok(Some(text.to_owned()))),
    },
    Declared {
        key: "federation.enabled",
        kind: Kind::Flag,
        default: "true",
        sentence: "Whether this server talks to other Matrix servers.",
        example: "false",
        set: |s, text| put(&mut s.federation.enabled, values::yes_or_no(text)),
    },
    Declared {
        key: "federation.trusted_ca",
        kind: Kind::List,
        default: "",
        sentence: "Certificate authorities (PEM files) to trust for other servers, besides the system's.",
        example: "/etc/kith/lab-ca.pem",
        set: |s, text| push(&mut s.federation.trusted_ca, Ok(PathBuf::from(text))),
    },
    Declared {
        key: "federation.allow_private_addresses",
        kind: Kind::Flag,
        default: "false",
        sentence: "Lets this server connect to private and loopback addresses when others name them; only for servers in one closed network.",
        example: "true",
        set: |s, text| {
            put(
                &mut s.federation.allow_private_addresses,
                values::yes_or_no(text),
            )
        },
    },
    Declared {
        key: "rooms.default_version",
        kind: Kind::Text,
        default: "12",
        sentence: "The room version of new rooms whose maker names none.",
        example: "11",
        set: |s, text| put(&mut s.rooms.default_version, values::room_version(text)),
    },
    Declared {
        key: "appservices.directory",
        kind: Kind::Path,
        default: "",
        sentence: "A directory of registration files (`*.yaml`) of bridges and bots.",
        example: "/etc/kith/appservices",
        set: |s, text| put(&mut s.appservices.directory, path(text)),
    },
    Declared {
        key: "limits.enabled",
        kind: Kind::Flag,
        default: "true",
        sentence: "Whether people and addresses that ask too often are slowed down; turn it off for load tests alone.",
        example: "false",
        set: |s, text| put(&mut s.limits.enabled, values::yes_or_no(text)),
    },
    Declared {
        key: "memory_budget",
        kind: Kind::Text,
        default: "256 MiB",
        sentence: "How much memory caches may use, those of the embedded database included.",
        example: "1 GiB",
        set: |s, text| put(&mut s.memory_budget, values::byte_count(text)),
    },
    Declared {
        key: "support.email",
        kind: Kind::Text,
        default: "",
        sentence: "An address to write to about this server, shown in `/.well-known/matrix/support`.",
        example: "help@example.org",
        set: |s, text| put(&mut s.support.email, text_value(text)),
    },
    Declared {
        key: "support.matrix_id",
        kind: Kind::Text,
        default: "",
        sentence: "The Matrix id of the administrator, shown in `/.well-known/matrix/support`.",
        example: "@ada:example.org",
        set: |s, text| put(&mut s.support.matrix_id, text_value(text)),
    },
    Declared {
        key: "support.page",
        kind: Kind::Text,
        default: "",
        sentence: "A page with help about this server, shown in `/.well-known/matrix/support`.",
        example: "https://example.org/help",
        set: |s, text| put(&mut s.support.page, values::http_url(text).map(Some)),
    },
    Declared {
        key: "metrics.listen",
        kind: Kind::Text,
        default: "",
        sentence: "An `ADDRESS:PORT` that serves Prometheus metrics at `/metrics`, and nothing else; keep it private.",
        example: "127.0.0.1:9108",
        set: |s, text| {
            put(
                &mut s.metrics.listen,
                values::socket_address(text).map(Some),
            )
        },
    },
    Declared {
        key: "log",
        kind: Kind::Text,
        default: "info",
        sentence: "What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels per part.",
        example: "info,storage=debug",
        set: |s, text| put(&mut s.log, values::log_filter(text)),
    },
    Declared {
        key: "log_format",
        kind: Kind::OneOf(&["text", "json"]),
        default: "text",
        sentence: "Lines for people, or one JSON object per line for a log collector.",
        example: "json",
        set: |s, text| put(&mut s.log_format, values::log_format(text)),
    },
];

/// The settings of a server to which nobody said anything. The table's defaults are applied on top, so the
/// values here show nowhere.
pub fn blank() -> Settings {
    Settings {
        server_name: String::new(),
        public_url: None,
        data_dir: PathBuf::new(),
        database: None,
        listen: Vec::new(),
        trusted_proxies: Vec::new(),
        tls: Tls::default(),
        registration: Registration {
            mode: RegistrationMode::Closed,
            shared_secret: None,
        },
        federation: Federation {
            enabled: false,
            trusted_ca: Vec::new(),
            allow_private_addresses: false,
        },
        rooms: Rooms {
            default_version: String::new(),
        },
        appservices: Appservices::default(),
        limits: Limits { enabled: true },
        memory_budget: 0,
        support: Support::default(),
        metrics: Metrics::default(),
        log: String::new(),
        log_format: LogFormat::Text,
    }
}

impl Declared {
    /// The default as text that `set` accepts; `None` where there is none, or where another setting decides it.
    pub fn default_text(&self) -> Option<&'static str> {
        (!self.default.is_empty() && !self.default.starts_with('(')).then_some(self.default)
    }

    /// `registration.mode` is `KITH_REGISTRATION__MODE`.
    pub fn variable(&self) -> String {
        format!("KITH_{}", self.key.replace('.', "__").to_uppercase())
    }
}

fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

fn push<T>(field: &mut Vec<T>, value: Result<T, String>) -> Result<(), String> {
    field.push(value?);
    Ok(())
}

fn path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok(Some(PathBuf::from(text)))
}

fn text_value(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.to_owned()))
}
