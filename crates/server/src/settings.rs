//! Settings: one typed value, read from a TOML file and overridden by `KITH_…` environment variables.
//!
//! Every setting is declared once, in [`declared`]: key, kind, default, a sentence, an example, and how its
//! text becomes a typed value. The reference page (`docs/settings.md`, `kith settings`) is printed from there.

mod declared;
mod load;
mod reference;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

pub use load::load;
pub use reference::reference_page;
pub use values::{Network, duration_ms};

/// Everything an operator can decide, already checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server_name: String,
    /// As the operator gave it; see [`Settings::public_url`] for the address in force.
    public_url: Option<String>,
    pub data_dir: PathBuf,
    database: Option<Database>,
    pub listen: Vec<Listener>,
    pub trusted_proxies: Vec<Network>,
    pub tls: Tls,
    pub registration: Registration,
    pub federation: Federation,
    pub rooms: Rooms,
    pub appservices: Appservices,
    pub limits: Limits,
    /// Bytes that caches may use, the database's page caches included.
    pub memory_budget: u64,
    pub support: Support,
    pub metrics: Metrics,
    pub log: String,
    pub log_format: LogFormat,
}

/// Where the server's memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    Sqlite(PathBuf),
    /// A `postgres://` URL; holds a password, so it is never logged.
    Postgres(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    pub scheme: Scheme,
    pub address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, Default)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Registration {
    pub mode: RegistrationMode,
    pub shared_secret: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationMode {
    Token,
    Open,
    Closed,
}

#[derive(Debug, Clone)]
pub struct Federation {
    pub enabled: bool,
    pub trusted_ca: Vec<PathBuf>,
    pub allow_private_addresses: bool,
}

#[derive(Debug, Clone)]
pub struct Rooms {
    pub default_version: String,
}

#[derive(Debug, Clone, Default)]
pub struct Appservices {
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Limits {
    pub enabled: bool,
}

/// Shown in `/.well-known/matrix/support`.
#[derive(Debug, Clone, Default)]
pub struct Support {
    pub email: Option<String>,
    pub matrix_id: Option<String>,
    pub page: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Settings {
    /// The address under which people and clients reach this server, without a slash at the end.
    ///
    /// Not set, it is the first listener for a server named `localhost`, and `https://SERVER_NAME` for all
    /// others, since those stand behind a proxy or a certificate more often than not.
    pub fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.clone(),
            None if self.server_name == "localhost" => self.first_listener_url(),
            None => format!("https://{}", self.server_name),
        }
    }

    /// The database in force: as set, or `kith.db` in the data directory.
    pub fn database(&self) -> Database {
        self.database
            .clone()
            .unwrap_or_else(|| Database::Sqlite(self.data_dir.join("kith.db")))
    }

    fn first_listener_url(&self) -> String {
        match self.listen.first() {
            Some(listener) => listener.url(),
            None => "http://127.0.0.1:8008".to_owned(),
        }
    }
}

impl Listener {
    /// The URL a browser on this machine would use: "any address" becomes loopback.
    pub fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        format!(
            "{}://{}",
            self.scheme.name(),
            SocketAddr::new(ip, self.address.port())
        )
    }
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}
