//! What the pages need of accounts ([`web::Accounts`]), on the homeserver's verbs.

use std::net::IpAddr;
use std::sync::Arc;

use homeserver::Homeserver;
use homeserver::accounts::interactive_auth::{self, StageError};
use homeserver::accounts::names::NameError;
use homeserver::accounts::password_reset;
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

    async fn reset_link(&self, token: &str) -> Result<String, ResetError> {
        password_reset::check_reset_token(&self.0, token)
            .await
            .map_err(reset_error)
    }

    async fn reset_password(
        &self,
        token: &str,
        password: &str,
        sign_out_devices: bool,
    ) -> Result<String, ResetError> {
        password_reset::choose_password(&self.0, token, password, sign_out_devices)
            .await
            .map_err(reset_error)
    }

    async fn complete_dummy(&self, session: &str) -> Result<(), FallbackError> {
        interactive_auth::complete_dummy(&self.0, session)
            .await
            .map_err(fallback_error)
    }

    async fn complete_registration_token(
        &self,
        session: &str,
        token: &str,
    ) -> Result<(), FallbackError> {
        interactive_auth::complete_registration_token(&self.0, session, token)
            .await
            .map_err(fallback_error)
    }

    async fn complete_password(
        &self,
        session: &str,
        password: &str,
        client: IpAddr,
    ) -> Result<(), FallbackError> {
        interactive_auth::complete_password(&self.0, session, password, Some(client))
            .await
            .map_err(fallback_error)
    }
}

fn reset_error(error: password_reset::ResetError) -> ResetError {
    use password_reset::ResetError as Error;
    match error {
        Error::Unknown => ResetError::Unknown,
        Error::Used => ResetError::UsedUp,
        Error::Expired => ResetError::Expired,
        Error::Password(_) => ResetError::PasswordRefused,
        error @ (Error::Stopping(_) | Error::Storage(_)) => {
            tracing::error!(%error, "the page for a new password could not go on");
            ResetError::Unavailable
        }
    }
}

fn fallback_error(error: StageError) -> FallbackError {
    match error {
        StageError::Session(_) => FallbackError::UnknownSession,
        StageError::NoSuchStage => FallbackError::WrongStage,
        StageError::WrongPassword => FallbackError::WrongPassword,
        StageError::Token(error) => FallbackError::Invitation(invitation_problem(error)),
        StageError::TooMany(error) => FallbackError::TooMany {
            retry_after_ms: error.retry_after_ms,
        },
        error @ (StageError::Storage(_) | StageError::Stopping) => {
            tracing::error!(%error, "a page of user-interactive authentication could not go on");
            FallbackError::Unavailable
        }
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
