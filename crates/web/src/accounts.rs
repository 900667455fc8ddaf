//! What the pages need of accounts, in their own words. The server implements it on the homeserver's verbs.

use std::net::IpAddr;

/// Accounts, as the pages see them.
pub trait Accounts: Send + Sync + 'static {
    /// What an invitation (a registration token) is good for, without using it up.
    fn invitation(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<Invitation, InvitationProblem>> + Send;

    /// Makes an account, and uses the invitation up in the same step.
    fn register(
        &self,
        account: NewAccount,
    ) -> impl Future<Output = Result<Registered, RegisterError>> + Send;

    /// The user id whose password a reset link can change.
    fn reset_link(&self, token: &str) -> impl Future<Output = Result<String, ResetError>> + Send;

    /// Changes the password and uses the link up in the same step.
    fn reset_password(
        &self,
        token: &str,
        password: &str,
        sign_out_devices: bool,
    ) -> impl Future<Output = Result<String, ResetError>> + Send;

    /// Completes the stage `m.login.dummy` of a user-interactive session.
    fn complete_dummy(
        &self,
        session: &str,
    ) -> impl Future<Output = Result<(), FallbackError>> + Send;

    /// Completes the stage `m.login.registration_token` of a user-interactive session.
    fn complete_registration_token(
        &self,
        session: &str,
        token: &str,
    ) -> impl Future<Output = Result<(), FallbackError>> + Send;

    /// Completes the stage `m.login.password` of a user-interactive session, for the user whose session it is.
    fn complete_password(
        &self,
        session: &str,
        password: &str,
        client: IpAddr,
    ) -> impl Future<Output = Result<(), FallbackError>> + Send;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The one localpart it is for, where it is for one.
    pub localpart: Option<String>,
    /// Whoever uses it becomes an administrator.
    pub admin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationProblem {
    Unknown,
    UsedUp,
    Expired,
    Revoked,
    /// The server cannot tell at the moment.
    Unavailable,
}

#[derive(Debug, Clone)]
pub struct NewAccount {
    /// `None` only where registration is open.
    pub token: Option<String>,
    pub localpart: String,
    pub password: String,
    pub client: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub user_id: String,
    pub admin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterError {
    Invitation(InvitationProblem),
    NameTaken,
    NameInvalid,
    NameReserved,
    /// The invitation is for another name.
    NameNotInvited,
    PasswordRefused,
    /// Too many attempts from this address or for this name.
    TooMany {
        retry_after_ms: u64,
    },
    Closed,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetError {
    Unknown,
    UsedUp,
    Expired,
    PasswordRefused,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallbackError {
    UnknownSession,
    /// The session has no such stage.
    WrongStage,
    Invitation(InvitationProblem),
    WrongPassword,
    TooMany {
        retry_after_ms: u64,
    },
    Unavailable,
}
