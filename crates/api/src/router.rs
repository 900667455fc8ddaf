//! Every route, listed once, in spec order; what is not listed answers `M_UNRECOGNIZED`.

use axum::Router;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, on};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use crate::{ApiError, State, client, legacy_paths};

/// One endpoint: method, path with `{variables}`, handler.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    handler: MethodRouter<State>,
}

/// Lists an endpoint.
pub fn route<H, T>(method: Method, path: &'static str, handler: H) -> Route
where
    H: Handler<T, State>,
    T: 'static,
{
    let filter = axum::routing::MethodFilter::try_from(method.clone())
        .unwrap_or_else(|_| panic!("{method} is not a method that a route can have"));
    Route {
        method,
        path,
        handler: on(filter, handler),
    }
}

/// Method and path of every endpoint that is served: the table in `docs/` and the tests read it.
pub fn endpoints() -> Vec<(Method, &'static str)> {
    routes()
        .into_iter()
        .map(|route| (route.method, route.path))
        .collect()
}

fn routes() -> Vec<Route> {
    client::routes()
}

/// All that programs call. Unknown paths answer 404 and wrong methods 405, both `M_UNRECOGNIZED`: clients probe so.
pub fn router(state: State) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    let todays = router
        .fallback(async || ApiError::unrecognized())
        .method_not_allowed_fallback(async || {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "M_UNRECOGNIZED",
                "This endpoint has no such method.",
            )
        })
        .with_state(state);
    let by_todays_path = todays.clone();
    todays
        .fallback(move |request| legacy_paths::answer(by_todays_path, request))
        .layer(axum::middleware::from_fn(cross_origin))
}

/// Web browsers' cross-origin rules: client-server API v1.19, "Web Browser Clients".
async fn cross_origin(
    request: Request<axum::body::Body>,
    next: axum::middleware::Next,
) -> Response {
    // An OPTIONS request is answered without its handler, and without authentication.
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    allow_all_origins(response.headers_mut());
    response
}

fn allow_all_origins(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization, If-Match"),
    );
}
