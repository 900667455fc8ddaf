//! A new password, by a link that the administrator made (`kith user reset-link`).

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::register::{check_passwords, is_token};
use crate::{Accounts, Pages, ResetError, Site, csrf, html};

#[derive(Deserialize)]
pub struct Link {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Entries {
    csrf: String,
    token: String,
    password: String,
    repeat: String,
    /// `yes` where the box is ticked; browsers leave it out otherwise.
    sign_out: Option<String>,
}

#[derive(Default)]
struct FormState {
    password: String,
    repeat: String,
    password_error: Option<&'static str>,
    repeat_error: Option<&'static str>,
    general_error: Option<&'static str>,
}

impl FormState {
    fn has_errors(&self) -> bool {
        self.password_error.is_some() || self.repeat_error.is_some() || self.general_error.is_some()
    }
}

#[derive(Template)]
#[template(path = "reset.html")]
struct Reset<'a> {
    site: &'a Site,
    csrf: &'a str,
    token: &'a str,
    user_id: &'a str,
    form: FormState,
}

pub async fn show<A: Accounts>(
    State(pages): State<Pages<A>>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Response {
    match pages.account_of(&link.token).await {
        Ok(user_id) => pages.reset_form(
            &headers,
            &link.token,
            &user_id,
            FormState::default(),
            StatusCode::OK,
        ),
        Err(error) => reset_problem(&pages.site, error),
    }
}

pub async fn submit<A: Accounts>(
    State(pages): State<Pages<A>>,
    headers: HeaderMap,
    Form(entries): Form<Entries>,
) -> Response {
    let user_id = match pages.account_of(&entries.token).await {
        Ok(user_id) => user_id,
        Err(error) => return reset_problem(&pages.site, error),
    };
    let localpart = user_id
        .trim_start_matches('@')
        .split(':')
        .next()
        .unwrap_or_default();
    let (password_error, repeat_error) =
        check_passwords(&entries.password, &entries.repeat, localpart);
    let general_error = (!csrf::came_from_us(&pages.site, &headers, &entries.csrf)).then_some(
        "Please press the button once more. (Your browser must allow cookies for this page.)",
    );
    let form = FormState {
        password: entries.password.clone(),
        repeat: entries.repeat,
        password_error,
        repeat_error,
        general_error,
    };
    if form.has_errors() {
        return pages.reset_form(
            &headers,
            &entries.token,
            &user_id,
            form,
            StatusCode::UNPROCESSABLE_ENTITY,
        );
    }
    match pages
        .accounts
        .reset_password(
            &entries.token,
            &entries.password,
            entries.sign_out.is_some(),
        )
        .await
    {
        Ok(_) => done(&pages.site),
        Err(error) => reset_problem(&pages.site, error),
    }
}

impl<A: Accounts> Pages<A> {
    async fn account_of(&self, token: &str) -> Result<String, ResetError> {
        if token.is_empty() || !is_token(token) {
            return Err(ResetError::Unknown);
        }
        self.accounts.reset_link(token).await
    }

    fn reset_form(
        &self,
        headers: &HeaderMap,
        token: &str,
        user_id: &str,
        form: FormState,
        status: StatusCode,
    ) -> Response {
        let secret = csrf::Secret::of(&self.site, headers, self.nonce());
        let page = Reset {
            site: &self.site,
            csrf: secret.as_str(),
            token,
            user_id,
            form,
        };
        let mut response = html::page(status, &page);
        secret.set_cookie(&self.site, &mut response);
        response
    }
}

fn done(site: &Site) -> Response {
    html::Problem {
        site,
        heading: "Your new password is saved",
        sentence: "From now on, sign in with it.",
        advice: "If your app was signed out, open it and sign in again.",
        link: Some(html::Link {
            address: "/welcome".to_owned(),
            text: "How to sign in",
        }),
    }
    .answer(StatusCode::OK)
}

fn reset_problem(site: &Site, error: ResetError) -> Response {
    let (status, heading, sentence) = match error {
        ResetError::Unknown => (
            StatusCode::NOT_FOUND,
            "We do not know this link",
            "Perhaps a part of it got lost when it was copied.",
        ),
        ResetError::UsedUp => (
            StatusCode::GONE,
            "This link has been used",
            "A new password was already chosen with it.",
        ),
        ResetError::Expired => (
            StatusCode::GONE,
            "This link has expired",
            "Links for a new password work for a short time only.",
        ),
        ResetError::PasswordRefused => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "This password cannot be used",
            "Please go back and choose another one.",
        ),
        ResetError::Unavailable => return html::unavailable(site),
    };
    html::Problem {
        site,
        heading,
        sentence,
        advice: "If you need a new link, ask the person who runs this server.",
        link: None,
    }
    .answer(status)
}
