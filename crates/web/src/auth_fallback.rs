//! Steps of user-interactive authentication as pages, for clients that do not know them:
//! `/_matrix/client/v3/auth/{authType}/fallback/web` (client-server API, v1.19, "Fallback").

use std::net::SocketAddr;

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::register::is_token;
use crate::{Accounts, FallbackError, InvitationProblem, Pages, Site, csrf, html};

#[derive(Deserialize)]
pub struct Session {
    #[serde(default)]
    session: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Entries {
    csrf: String,
    session: String,
    /// The password or the registration token.
    answer: String,
}

/// The steps that have a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Dummy,
    RegistrationToken,
    Password,
}

impl Step {
    fn of(auth_type: &str) -> Option<Self> {
        match auth_type {
            "m.login.dummy" => Some(Step::Dummy),
            "m.login.registration_token" => Some(Step::RegistrationToken),
            "m.login.password" => Some(Step::Password),
            _ => None,
        }
    }
}

#[derive(Template)]
#[template(path = "auth_fallback.html")]
struct Ask<'a> {
    site: &'a Site,
    csrf: &'a str,
    session: &'a str,
    step: Step,
    answer: &'a str,
    error: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "auth_done.html")]
struct Done<'a> {
    site: &'a Site,
}

pub async fn show<A: Accounts>(
    State(pages): State<Pages<A>>,
    Path(auth_type): Path<String>,
    Query(session): Query<Session>,
    headers: HeaderMap,
) -> Response {
    let Some(step) = Step::of(&auth_type) else {
        return unknown_step(&pages.site);
    };
    if session.session.is_empty() {
        return unknown_session(&pages.site);
    }
    pages.ask(&headers, step, &session.session, "", None)
}

pub async fn submit<A: Accounts>(
    State(pages): State<Pages<A>>,
    Path(auth_type): Path<String>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(entries): Form<Entries>,
) -> Response {
    let Some(step) = Step::of(&auth_type) else {
        return unknown_step(&pages.site);
    };
    if !csrf::came_from_us(&pages.site, &headers, &entries.csrf) {
        let error =
            "Please press the button once more. (Your browser must allow cookies for this page.)";
        return pages.ask(
            &headers,
            step,
            &entries.session,
            &entries.answer,
            Some(error),
        );
    }
    let answer = entries.answer.trim();
    let done = match step {
        Step::Dummy => pages.accounts.complete_dummy(&entries.session).await,
        Step::RegistrationToken if !is_token(answer) => {
            Err(FallbackError::Invitation(InvitationProblem::Unknown))
        }
        Step::RegistrationToken => {
            pages
                .accounts
                .complete_registration_token(&entries.session, answer)
                .await
        }
        Step::Password => {
            pages
                .accounts
                .complete_password(&entries.session, &entries.answer, client.ip())
                .await
        }
    };
    let error = match done {
        Ok(()) => return html::page(StatusCode::OK, &Done { site: &pages.site }),
        Err(FallbackError::UnknownSession | FallbackError::WrongStage) => {
            return unknown_session(&pages.site);
        }
        Err(FallbackError::TooMany { retry_after_ms }) => {
            return html::too_many(&pages.site, retry_after_ms);
        }
        Err(
            FallbackError::Unavailable | FallbackError::Invitation(InvitationProblem::Unavailable),
        ) => {
            return html::unavailable(&pages.site);
        }
        Err(FallbackError::WrongPassword) => "This password is not right.",
        Err(FallbackError::Invitation(InvitationProblem::Unknown)) => {
            "We do not know this invitation code."
        }
        Err(FallbackError::Invitation(InvitationProblem::UsedUp)) => {
            "This invitation has been used."
        }
        Err(FallbackError::Invitation(InvitationProblem::Expired)) => {
            "This invitation has expired."
        }
        Err(FallbackError::Invitation(InvitationProblem::Revoked)) => {
            "This invitation was taken back."
        }
    };
    pages.ask(
        &headers,
        step,
        &entries.session,
        &entries.answer,
        Some(error),
    )
}

impl<A: Accounts> Pages<A> {
    fn ask(
        &self,
        headers: &HeaderMap,
        step: Step,
        session: &str,
        answer: &str,
        error: Option<&'static str>,
    ) -> Response {
        let secret = csrf::Secret::of(&self.site, headers, self.nonce());
        // A wrong password is not shown again; a code is, since one letter of it may be wrong.
        let answer = if step == Step::RegistrationToken {
            answer
        } else {
            ""
        };
        let page = Ask {
            site: &self.site,
            csrf: secret.as_str(),
            session,
            step,
            answer,
            error,
        };
        let status = if error.is_some() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        };
        let mut response = html::page(status, &page);
        secret.set_cookie(&self.site, &mut response);
        response
    }
}

fn unknown_step(site: &Site) -> Response {
    html::Problem {
        site,
        heading: "There is no page for this step",
        sentence: "Your app asked for a way to confirm who you are that this server does not have.",
        advice: "Please go back to the app and choose another way.",
        link: None,
    }
    .answer(StatusCode::NOT_FOUND)
}

fn unknown_session(site: &Site) -> Response {
    html::Problem {
        site,
        heading: "This step is over",
        sentence: "What your app wanted to do has been finished, or took too long.",
        advice: "Please go back to the app and start again.",
        link: None,
    }
    .answer(StatusCode::BAD_REQUEST)
}
