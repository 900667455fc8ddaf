//! User-interactive authentication for any endpoint: client-server API v1.19, "User-Interactive Authentication API".
//!
//! Every flow here has one stage, so a request is either allowed or told which stages there are.

use std::net::IpAddr;

use homeserver::Requester;
use homeserver::accounts::interactive_auth::{
    self as sessions, DUMMY, PASSWORD, REGISTRATION_TOKEN, SessionError, StageError,
};
use homeserver::accounts::registration_tokens::{self, TokenError};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::login::{RawIdentifier, identifier_of};
use crate::{ApiError, State};

/// The member `auth` of a request's body.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AuthBody {
    #[serde(rename = "type")]
    pub stage: Option<String>,
    pub session: Option<String>,
    pub password: Option<String>,
    /// A registration token.
    pub token: Option<String>,
    #[serde(flatten)]
    pub identifier: RawIdentifier,
}

/// Reads the member `auth`, telling a wrong shape.
pub fn auth_body(auth: Option<&Value>) -> Result<AuthBody, ApiError> {
    match auth {
        None | Some(Value::Null) => Ok(AuthBody::default()),
        Some(auth) => serde_json::from_value(auth.clone())
            .map_err(|error| ApiError::bad_json(format!("`auth` has the wrong shape: {error}."))),
    }
}

/// Lets the request go on, or answers 401 with what is asked of the client: its user's password.
///
/// `endpoint` names the request with all of its parts that must stay the same, as `DELETE devices/ABC`.
pub async fn require(
    state: &State,
    requester: &Requester,
    auth: Option<&Value>,
    endpoint: &str,
) -> Result<(), ApiError> {
    require_from(state, requester, auth, endpoint, None).await
}

/// Like [`require`], and counts attempts by the client's address too.
pub async fn require_from(
    state: &State,
    requester: &Requester,
    auth: Option<&Value>,
    endpoint: &str,
    address: Option<IpAddr>,
) -> Result<(), ApiError> {
    let auth = auth_body(auth)?;
    let asked = Asked {
        state,
        requester: Some(requester),
        stages: &[PASSWORD],
        endpoint,
        address,
    };
    asked.settle(&auth).await.map(drop)
}

/// What a completed stage allows a registration by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    Password,
    Dummy,
    RegistrationToken(String),
}

/// Lets a registration go on by one of these stages.
pub(crate) async fn require_for_registration(
    state: &State,
    auth: &AuthBody,
    stages: &[&'static str],
) -> Result<Passed, ApiError> {
    let asked = Asked {
        state,
        requester: None,
        stages,
        endpoint: "POST register",
        address: None,
    };
    asked.settle(auth).await
}

/// One request that must be authenticated: each of the stages alone allows it.
struct Asked<'a> {
    state: &'a State,
    requester: Option<&'a Requester>,
    stages: &'a [&'static str],
    endpoint: &'a str,
    address: Option<IpAddr>,
}

impl Asked<'_> {
    async fn settle(&self, auth: &AuthBody) -> Result<Passed, ApiError> {
        let hs = &self.state.hs;
        let user = self.requester.map(|requester| requester.user);
        if let Some(session) = &auth.session {
            sessions::check(hs, session, user, self.endpoint).map_err(unusable_session)?;
        }
        match (&auth.stage, &auth.session) {
            (Some(stage), _) => self.attempt(stage, auth).await,
            (None, Some(session)) => self.completed_elsewhere(session).await,
            (None, None) => Err(self.ask(None, None)),
        }
    }

    /// A stage that the request itself carries. Without a session it is one that was just opened, as every flow is one stage.
    async fn attempt(&self, stage: &str, auth: &AuthBody) -> Result<Passed, ApiError> {
        if !self.stages.contains(&stage) {
            return Err(self.ask(
                auth.session.as_deref(),
                Some((
                    "M_UNRECOGNIZED",
                    "This stage is in none of the flows.".into(),
                )),
            ));
        }
        match stage {
            PASSWORD => self.attempt_password(auth).await,
            REGISTRATION_TOKEN => self.attempt_token(auth).await,
            // What is completed by being named still needs the session that it was asked in.
            DUMMY => Ok(Passed::Dummy),
            _ => Err(self.ask(auth.session.as_deref(), None)),
        }
    }

    async fn attempt_password(&self, auth: &AuthBody) -> Result<Passed, ApiError> {
        let Some(requester) = self.requester else {
            return Err(self.ask(auth.session.as_deref(), None));
        };
        let password = auth
            .password
            .as_deref()
            .ok_or_else(|| ApiError::missing_param("`auth` has no `password`."))?;
        // The identifier may be left out, but must not name somebody else.
        if let Some(identifier) = identifier_of(&auth.identifier)? {
            let named =
                homeserver::accounts::login::find_account(&self.state.hs, &identifier).await?;
            if named.is_some_and(|account| account.user != requester.user) {
                return Err(self.ask(
                    auth.session.as_deref(),
                    Some((
                        "M_FORBIDDEN",
                        "This is another user than the one signed in.".into(),
                    )),
                ));
            }
        }
        let checked =
            sessions::check_password_of(&self.state.hs, requester.user, password, self.address)
                .await;
        match checked {
            Ok(()) => Ok(Passed::Password),
            Err(StageError::WrongPassword) => Err(self.ask(
                auth.session.as_deref(),
                Some(("M_FORBIDDEN", "The password is wrong.".into())),
            )),
            Err(error) => Err(stage_error(error)),
        }
    }

    async fn attempt_token(&self, auth: &AuthBody) -> Result<Passed, ApiError> {
        let token = auth
            .token
            .as_deref()
            .ok_or_else(|| ApiError::missing_param("`auth` has no `token`."))?;
        match registration_tokens::check_token(&self.state.hs, token).await {
            Ok(_) => Ok(Passed::RegistrationToken(token.to_owned())),
            Err(TokenError::Storage(error)) => Err(error.into()),
            Err(error) => Err(self.ask(
                auth.session.as_deref(),
                Some((
                    "M_FORBIDDEN",
                    format!("The registration token was not accepted: {error}."),
                )),
            )),
        }
    }

    async fn completed_elsewhere(&self, session: &str) -> Result<Passed, ApiError> {
        let completed = sessions::completed(&self.state.hs, session).await?;
        let fitting = completed
            .into_iter()
            .find(|stage| self.stages.contains(&stage.stage.as_str()));
        let Some(stage) = fitting else {
            return Err(self.ask(Some(session), None));
        };
        sessions::end(&self.state.hs, session).await?;
        match stage.stage.as_str() {
            PASSWORD => Ok(Passed::Password),
            REGISTRATION_TOKEN => {
                let token = stage.detail.unwrap_or_default();
                Ok(Passed::RegistrationToken(
                    String::from_utf8(token).unwrap_or_default(),
                ))
            }
            _ => Ok(Passed::Dummy),
        }
    }

    /// The 401 that says what may be done, in a new session or the one that is under way.
    fn ask(&self, session: Option<&str>, wrong: Option<(&'static str, String)>) -> ApiError {
        let user = self.requester.map(|requester| requester.user);
        let session = session.map_or_else(
            || sessions::open(&self.state.hs, user, self.endpoint),
            str::to_owned,
        );
        let flows: Vec<_> = self
            .stages
            .iter()
            .map(|stage| json!({ "stages": [stage] }))
            .collect();
        let mut body = Map::new();
        body.insert("flows".into(), flows.into());
        body.insert("params".into(), json!({}));
        body.insert("session".into(), session.into());
        let mut answer = ApiError::without_code(StatusCode::UNAUTHORIZED, body);
        if let Some((errcode, error)) = wrong {
            answer.errcode = errcode;
            answer.error = error;
            answer = answer.with("completed", json!([]));
        }
        answer
    }
}

fn unusable_session(error: SessionError) -> ApiError {
    match error {
        SessionError::Unknown => ApiError::invalid_param(
            "There is no such authentication session, or it has expired. Send the request without `auth` to start again.",
        ),
        SessionError::OtherRequest => {
            ApiError::forbidden("This authentication session was opened for another request.")
        }
    }
}

fn stage_error(error: StageError) -> ApiError {
    match error {
        StageError::Session(error) => unusable_session(error),
        StageError::NoSuchStage => ApiError::invalid_param("The session has no such stage."),
        StageError::WrongPassword => ApiError::forbidden("The password is wrong."),
        StageError::Token(error) => {
            ApiError::forbidden(format!("The registration token was not accepted: {error}."))
        }
        StageError::TooMany(error) => error.into(),
        StageError::Storage(error) => error.into(),
        StageError::Stopping => homeserver::accounts::passwords::Stopping.into(),
    }
}
