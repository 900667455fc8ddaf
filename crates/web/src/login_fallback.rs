//! The sign-in page for clients that know no login type of ours: `GET /_matrix/static/client/login/` (client-server
//! API, v1.19, "Login Fallback"). It signs in by password through the client API and hands the answer to
//! `window.matrixLogin.onLogin`. Unlike the other pages it cannot work without scripts: the hand-over is one.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use crate::{Site, html};

#[derive(Deserialize)]
pub struct Wishes {
    /// The device to sign in as, where the client has one.
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
}

#[derive(Template)]
#[template(path = "login_fallback.html")]
struct Login<'a> {
    site: &'a Site,
    device_id: &'a str,
    initial_device_display_name: &'a str,
}

pub async fn show(State(site): State<Arc<Site>>, Query(wishes): Query<Wishes>) -> Response {
    let page = Login {
        site: &site,
        device_id: wishes.device_id.as_deref().unwrap_or_default(),
        initial_device_display_name: wishes
            .initial_device_display_name
            .as_deref()
            .unwrap_or_default(),
    };
    html::page(StatusCode::OK, &page)
}
