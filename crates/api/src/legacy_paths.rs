//! Paths from before the specification had versions of its own: `/_matrix/client/r0/…` means `/_matrix/client/v3/…`.
//!
//! Old clients and bots still call them; the endpoints are the same (client-server API v1.1, "API Versions").

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, Uri};
use tower::ServiceExt;

use crate::ApiError;

/// Answers what no route matched: by the route of today's path, if it is an old one.
pub(crate) async fn answer(router: Router, mut request: Request<Body>) -> Response {
    let Some(uri) = todays_path(request.uri()) else {
        return ApiError::unrecognized().into_response();
    };
    *request.uri_mut() = uri;
    let Ok(response) = router.oneshot(request).await;
    response
}

fn todays_path(uri: &Uri) -> Option<Uri> {
    let rest = uri
        .path_and_query()?
        .as_str()
        .strip_prefix("/_matrix/client/r0/")?;
    format!("/_matrix/client/v3/{rest}").parse().ok()
}
