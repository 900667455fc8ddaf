//! What the pages need of accounts ([`web::Accounts`]), on the homeserver's verbs.

use std::net::IpAddr;
use std::sync::Arc;

use homeserver::Homeserver;
use homeserver::accounts::names::NameError;
use homeserver::accounts::rate_limits::{self, Counted};
use homeserver::accounts::register::{self, Permit, Registration};
use homeserver::accounts::registration_tokens::{self, TokenError};
use web::{
    FallbackError, Invitation, InvitationProblem, NewAccount, RegisterError, Registered, ResetError,
};

/// The accounts of a homeserver.
pub struct PageAccounts(pub Arc<Homeserver>);

impl web::Accounts for PageAccounts {
    async fn invitation(&self, token: &str) -> Result<Invitation, InvitationProblem> {
        match registration_tokens::check_token(&self.0, token).await {
            Ok(invitation) => Ok(Invitation {
                localpart: invitation.username,
                admin: invitation.is_admin,
            }),
            Err(error) => Err(invitation_problem(error)),
        }
    }

    async fn register(&self, account: NewAccount) -> Result<Registered, RegisterError> {
        rate_limits::take(&self.0, Counted::RegisterFrom(account.client.into())).map_err(
            |error| RegisterError::TooMany {
                retry_after_ms: error.retry_after_ms,
            },
        )?;
        let registration = Registration {
            username: Some(account.localpart),
            password: account.password,
            permit: account.token.map_or(Permit::Open, Permit::Token),
            // People sign in with an app; the page leads them there.
            sign_in: None,
        };
        match register::register(&self.0, registration).await {
            Ok(registered) => Ok(Registered {
                user_id: registered.user_id,
                admin: registered.is_admin,
            }),
            Err(error) => Err(register_error(error)),
        }
    }

    async fn reset_link(&self, _: &str) -> Result<String, ResetError> {
        Err(ResetError::Unknown)
    }

    async fn reset_password(&self, _: &str, _: &str, _: bool) -> Result<String, ResetError> {
        Err(ResetError::Unknown)
    }

    async fn complete_dummy(&self, _: &str) -> Result<(), FallbackError> {
        Err(FallbackError::UnknownSession)
    }

    async fn complete_registration_token(&self, _: &str, _: &str) -> Result<(), FallbackError> {
        Err(FallbackError::UnknownSession)
    }

    async fn complete_password(&self, _: &str, _: &str, _: IpAddr) -> Result<(), FallbackError> {
        Err(FallbackError::UnknownSession)
    }
}

fn register_error(error: register::RegisterError) -> RegisterError {
    use register::RegisterError as Error;
    match error {
        Error::Name(NameError::Reserved) => RegisterError::NameReserved,
        Error::Name(_) => RegisterError::NameInvalid,
        Error::NameTaken => RegisterError::NameTaken,
        Error::Password(_) => RegisterError::PasswordRefused,
        Error::Token(TokenError::OtherName) => RegisterError::NameNotInvited,
        Error::Token(error) => RegisterError::Invitation(invitation_problem(error)),
        Error::Closed => RegisterError::Closed,
        error @ (Error::Device(_) | Error::Stopping(_) | Error::Storage(_)) => {
            tracing::error!(%error, "the registration page could not make an account");
            RegisterError::Unavailable
        }
    }
}

fn invitation_problem(error: TokenError) -> InvitationProblem {
    match error {
        TokenError::Malformed | TokenError::Unknown | TokenError::OtherName => {
            InvitationProblem::Unknown
        }
        TokenError::Used => InvitationProblem::UsedUp,
        TokenError::Expired => InvitationProblem::Expired,
        TokenError::Revoked => InvitationProblem::Revoked,
        TokenError::Storage(error) => {
            tracing::error!(%error, "an invitation could not be looked up");
            InvitationProblem::Unavailable
        }
    }
}
