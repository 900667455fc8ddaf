//! The settings that behaviours depend on. They are declared, read and documented in `server`.

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationMode {
    /// With a registration token.
    Token,
    /// Anybody.
    Open,
    /// Nobody.
    Closed,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients reach this server, without a trailing slash.
    pub public_url: String,
    pub registration: RegistrationMode,
    /// The secret of `/_synapse/admin/v1/register`; none turns it off.
    pub registration_shared_secret: Option<String>,
    /// The version of new rooms, "12" unless set.
    pub default_room_version: String,
    /// Whether rate limits apply.
    pub limits: bool,
    /// Bytes that caches may take, database page caches included.
    pub memory_budget_bytes: u64,
    pub support: Support,
}

/// Whom to ask about this server, as `/.well-known/matrix/support` says.
#[derive(Debug, Clone, Default)]
pub struct Support {
    pub email: Option<String>,
    pub matrix_id: Option<String>,
    pub page: Option<String>,
}
