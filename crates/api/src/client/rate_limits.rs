//! Rate limits and what else accounts refuse, as clients are told: client-server API v1.19, "Rate limiting".

use homeserver::accounts::passwords::{Stopping, WeakPassword};
use homeserver::accounts::rate_limits::TooMany;
use http::StatusCode;

use crate::ApiError;

impl From<TooMany> for ApiError {
    fn from(error: TooMany) -> Self {
        ApiError::limit_exceeded(error.retry_after_ms)
    }
}

impl From<Stopping> for ApiError {
    fn from(_: Stopping) -> Self {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "M_UNKNOWN",
            "The server is stopping. Try again soon.",
        )
    }
}

impl From<WeakPassword> for ApiError {
    fn from(error: WeakPassword) -> Self {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "M_WEAK_PASSWORD",
            format!("Choose another password: {error}."),
        )
    }
}
