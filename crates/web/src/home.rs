//! The front page: what this is, and the two ways in.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::{Site, address, html};

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    site: &'a Site,
    element_web: String,
}

pub async fn show(State(site): State<Arc<Site>>) -> Response {
    html::page(
        StatusCode::OK,
        &Home {
            site: &site,
            element_web: address::element_web(&site),
        },
    )
}
