//! Accounts in memory, with one token of each kind.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;

use web::{
    Accounts, FallbackError, Invitation, InvitationProblem, NewAccount, RegisterError, Registered,
    ResetError,
};

#[derive(Default)]
pub struct FakeAccounts {
    names: Mutex<HashSet<String>>,
}

impl Accounts for FakeAccounts {
    async fn invitation(&self, token: &str) -> Result<Invitation, InvitationProblem> {
        match token {
            "friend" => Ok(Invitation {
                localpart: None,
                admin: false,
            }),
            "first-admin" => Ok(Invitation {
                localpart: None,
                admin: true,
            }),
            "for-grace" => Ok(Invitation {
                localpart: Some("grace".into()),
                admin: false,
            }),
            "used" => Err(InvitationProblem::UsedUp),
            "expired" => Err(InvitationProblem::Expired),
            "revoked" => Err(InvitationProblem::Revoked),
            "no-database" => Err(InvitationProblem::Unavailable),
            _ => Err(InvitationProblem::Unknown),
        }
    }

    async fn register(&self, account: NewAccount) -> Result<Registered, RegisterError> {
        let invitation = match &account.token {
            Some(token) => self
                .invitation(token)
                .await
                .map_err(RegisterError::Invitation)?,
            None => Invitation {
                localpart: None,
                admin: false,
            },
        };
        if account.localpart == "taken"
            || !self.names.lock().unwrap().insert(account.localpart.clone())
        {
            return Err(RegisterError::NameTaken);
        }
        match account.localpart.as_str() {
            "bridge_bot" => Err(RegisterError::NameReserved),
            "hasty" => Err(RegisterError::TooMany {
                retry_after_ms: 1500,
            }),
            name => Ok(Registered {
                user_id: format!("@{name}:example.org"),
                admin: invitation.admin,
            }),
        }
    }

    async fn reset_link(&self, token: &str) -> Result<String, ResetError> {
        match token {
            "forgotten" => Ok("@ada:example.org".into()),
            "used" => Err(ResetError::UsedUp),
            "expired" => Err(ResetError::Expired),
            _ => Err(ResetError::Unknown),
        }
    }

    async fn reset_password(&self, token: &str, _: &str, _: bool) -> Result<String, ResetError> {
        self.reset_link(token).await
    }

    async fn complete_dummy(&self, session: &str) -> Result<(), FallbackError> {
        known(session)
    }

    async fn complete_registration_token(
        &self,
        session: &str,
        token: &str,
    ) -> Result<(), FallbackError> {
        known(session)?;
        self.invitation(token)
            .await
            .map(drop)
            .map_err(FallbackError::Invitation)
    }

    async fn complete_password(
        &self,
        session: &str,
        password: &str,
        _: IpAddr,
    ) -> Result<(), FallbackError> {
        known(session)?;
        if password == "teapot river anvil" {
            Ok(())
        } else {
            Err(FallbackError::WrongPassword)
        }
    }
}

fn known(session: &str) -> Result<(), FallbackError> {
    if session == "known" {
        Ok(())
    } else {
        Err(FallbackError::UnknownSession)
    }
}

/// Counts; enough where only difference matters.
pub struct Counting(pub std::sync::atomic::AtomicU8);

impl storage::Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}
