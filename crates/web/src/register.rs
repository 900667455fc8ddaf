//! Registration: the page behind an invitation link. One form; what is wrong is said beside its field, and what was
//! typed stays.

use std::net::SocketAddr;

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::password::{self, Strength};
use crate::{
    Accounts, Invitation, InvitationProblem, NewAccount, Pages, RegisterError, RegistrationMode,
    Site, csrf, html, welcome,
};

#[derive(Deserialize)]
pub struct Link {
    token: Option<String>,
}

/// What the form sends. Missing fields count as empty, so that the answer is a page and not a protocol error.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Entries {
    csrf: String,
    token: Option<String>,
    username: String,
    password: String,
    repeat: String,
}

/// The fields and what is wrong with them.
#[derive(Default)]
struct FormState {
    username: String,
    password: String,
    repeat: String,
    username_error: Option<String>,
    password_error: Option<&'static str>,
    repeat_error: Option<&'static str>,
    general_error: Option<&'static str>,
}

impl FormState {
    fn has_errors(&self) -> bool {
        self.username_error.is_some()
            || self.password_error.is_some()
            || self.repeat_error.is_some()
            || self.general_error.is_some()
    }
}

#[derive(Template)]
#[template(path = "register.html")]
struct Register<'a> {
    site: &'a Site,
    csrf: &'a str,
    token: Option<&'a str>,
    invited: bool,
    admin: bool,
    /// The invitation is for one name, which cannot be changed.
    pinned: bool,
    form: FormState,
}

#[derive(Template)]
#[template(path = "token.html")]
struct AskForToken<'a> {
    site: &'a Site,
}

pub async fn show<A: Accounts>(
    State(pages): State<Pages<A>>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Response {
    let admission = match pages.admission(link.token).await {
        Ok(admission) => admission,
        Err(refusal) => return refusal,
    };
    let username = admission.pinned().unwrap_or_default().to_owned();
    pages.form(
        &admission,
        &headers,
        FormState {
            username,
            ..FormState::default()
        },
        StatusCode::OK,
    )
}

pub async fn submit<A: Accounts>(
    State(pages): State<Pages<A>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(entries): Form<Entries>,
) -> Response {
    let admission = match pages.admission(entries.token.clone()).await {
        Ok(admission) => admission,
        Err(refusal) => return refusal,
    };
    let localpart = match admission.pinned() {
        Some(pinned) => pinned.to_owned(),
        None => localpart(&entries.username, &pages.site.server_name),
    };
    let mut form = check_entries(&localpart, &entries);
    if !csrf::came_from_us(&pages.site, &headers, &entries.csrf) {
        form.general_error = Some(
            "Please press the button once more. (Your browser must allow cookies for this page.)",
        );
    }
    if form.has_errors() {
        return pages.form(&admission, &headers, form, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let account = NewAccount {
        token: admission.token.clone(),
        localpart,
        password: entries.password,
        client: client.ip(),
    };
    match pages.accounts.register(account).await {
        Ok(registered) => welcome::redirect(&pages.site, &registered),
        Err(error) => pages.refused(&admission, &headers, form, error),
    }
}

/// That somebody may see the form, and why.
struct Admission {
    token: Option<String>,
    invitation: Option<Invitation>,
}

impl Admission {
    fn pinned(&self) -> Option<&str> {
        self.invitation.as_ref()?.localpart.as_deref()
    }
}

impl<A: Accounts> Pages<A> {
    /// Whether the visitor may register at all; the refusal is a page.
    async fn admission(&self, token: Option<String>) -> Result<Admission, Response> {
        let token = token
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let Some(token) = token else {
            return match self.site.registration {
                RegistrationMode::Open => Ok(Admission {
                    token: None,
                    invitation: None,
                }),
                RegistrationMode::Token => Err(html::page(
                    StatusCode::OK,
                    &AskForToken { site: &self.site },
                )),
                RegistrationMode::Closed => Err(closed(&self.site)),
            };
        };
        if self.site.registration == RegistrationMode::Closed {
            return Err(closed(&self.site));
        }
        if !is_token(&token) {
            return Err(malformed(&self.site));
        }
        match self.accounts.invitation(&token).await {
            Ok(invitation) => Ok(Admission {
                token: Some(token),
                invitation: Some(invitation),
            }),
            Err(problem) => Err(invitation_problem(&self.site, problem)),
        }
    }

    fn form(
        &self,
        admission: &Admission,
        headers: &HeaderMap,
        form: FormState,
        status: StatusCode,
    ) -> Response {
        let secret = csrf::Secret::of(&self.site, headers, self.nonce());
        let page = Register {
            site: &self.site,
            csrf: secret.as_str(),
            token: admission.token.as_deref(),
            invited: admission.invitation.is_some(),
            admin: admission
                .invitation
                .as_ref()
                .is_some_and(|invitation| invitation.admin),
            pinned: admission.pinned().is_some(),
            form,
        };
        let mut response = html::page(status, &page);
        secret.set_cookie(&self.site, &mut response);
        response
    }

    /// The form again with the homeserver's reason, or a page where no entry could help.
    fn refused(
        &self,
        admission: &Admission,
        headers: &HeaderMap,
        mut form: FormState,
        error: RegisterError,
    ) -> Response {
        let name = &form.username;
        match error {
            RegisterError::NameTaken => {
                form.username_error = Some(format!(
                    "Somebody is already called “{name}” here. Please choose another name."
                ));
            }
            RegisterError::NameInvalid => form.username_error = Some(NAME_RULE.to_owned()),
            RegisterError::NameReserved => {
                form.username_error = Some(format!(
                    "The name “{name}” is kept for programs. Please choose another one."
                ));
            }
            RegisterError::NameNotInvited => {
                form.username_error = Some("This invitation is for another name.".to_owned());
            }
            RegisterError::PasswordRefused => form.password_error = Some(PASSWORD_WEAK),
            RegisterError::Invitation(problem) => return invitation_problem(&self.site, problem),
            RegisterError::TooMany { retry_after_ms } => {
                return html::too_many(&self.site, retry_after_ms);
            }
            RegisterError::Closed => return closed(&self.site),
            RegisterError::Unavailable => return html::unavailable(&self.site),
        }
        self.form(admission, headers, form, StatusCode::UNPROCESSABLE_ENTITY)
    }
}

const NAME_RULE: &str =
    "Please use only small letters (a to z), digits, and these signs: . _ = - / +";
const PASSWORD_WEAK: &str = "This password is too easy to guess. Make it longer, or take three or four words that have nothing to do with each other.";

/// People write `@Ada:example.org` as well as `Ada`; capital letters are made small, since names have none.
fn localpart(typed: &str, server_name: &str) -> String {
    let name = typed.trim();
    let name = name.strip_prefix('@').unwrap_or(name);
    let name = name
        .strip_suffix(server_name)
        .and_then(|rest| rest.strip_suffix(':'))
        .unwrap_or(name);
    name.to_ascii_lowercase()
}

/// What can be said without asking the homeserver.
fn check_entries(localpart: &str, entries: &Entries) -> FormState {
    let mut form = FormState {
        username: localpart.to_owned(),
        password: entries.password.clone(),
        repeat: entries.repeat.clone(),
        ..FormState::default()
    };
    if localpart.is_empty() {
        form.username_error = Some("Please choose a name.".to_owned());
    } else if !localpart
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._=-/+".contains(&b))
    {
        form.username_error = Some(NAME_RULE.to_owned());
    }
    (form.password_error, form.repeat_error) =
        check_passwords(&entries.password, &entries.repeat, localpart);
    form
}

/// The same rules for a first and for a new password: the error of the password, and of its repetition.
pub fn check_passwords(
    password: &str,
    repeat: &str,
    localpart: &str,
) -> (Option<&'static str>, Option<&'static str>) {
    let password_error = if password.is_empty() {
        Some("Please choose a password.")
    } else if password.chars().count() < password::CHARACTERS_MIN {
        Some("This password is too short. It needs at least 8 characters.")
    } else if password.len() > password::BYTES_MAX {
        Some("This password is too long. 512 letters are the most that fit.")
    } else if password::strength(password, localpart) == Strength::Weak {
        Some(PASSWORD_WEAK)
    } else {
        None
    };
    let repeat_error = (password_error.is_none() && password != repeat)
        .then_some("The two passwords are not the same. Please type it again.");
    (password_error, repeat_error)
}

/// The grammar of registration tokens (client-server API, v1.19, "Token-authenticated registration").
pub fn is_token(token: &str) -> bool {
    token.len() <= 64
        && token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
}

fn malformed(site: &Site) -> Response {
    html::Problem {
        site,
        heading: "This link is not complete",
        sentence: "The invitation code in it cannot be right. Perhaps a part got lost when it was copied.",
        advice: "Open the link again from the message you got, or ask your friend to send it once more.",
        link: None,
    }
    .answer(StatusCode::BAD_REQUEST)
}

fn closed(site: &Site) -> Response {
    html::Problem {
        site,
        heading: "No new accounts at the moment",
        sentence: "The person who runs this server has closed registration.",
        advice: "If you expected to get an account, please ask them.",
        link: None,
    }
    .answer(StatusCode::FORBIDDEN)
}

/// Each way in which an invitation fails, in a person's words.
pub fn invitation_problem(site: &Site, problem: InvitationProblem) -> Response {
    let (status, heading, sentence, advice) = match problem {
        InvitationProblem::Unknown => (
            StatusCode::NOT_FOUND,
            "We do not know this invitation",
            "No invitation with this code was made here.",
            "Please look whether the link is complete, or ask your friend to send it once more.",
        ),
        InvitationProblem::UsedUp => (
            StatusCode::GONE,
            "This invitation has been used",
            "An account was already made with it, and it does not work twice.",
            "If that was you, simply sign in. If not, ask your friend for a new invitation.",
        ),
        InvitationProblem::Expired => (
            StatusCode::GONE,
            "This invitation has expired",
            "It was meant for a certain time, and that time is over.",
            "Ask your friend for a new one; it takes them a moment.",
        ),
        InvitationProblem::Revoked => (
            StatusCode::GONE,
            "This invitation was taken back",
            "The person who made it has withdrawn it.",
            "If you think that is a mistake, please ask them.",
        ),
        InvitationProblem::Unavailable => return html::unavailable(site),
    };
    let link = (problem == InvitationProblem::UsedUp).then(|| html::Link {
        address: "/welcome".to_owned(),
        text: "How to sign in",
    });
    html::Problem {
        site,
        heading,
        sentence,
        advice,
        link,
    }
    .answer(status)
}
