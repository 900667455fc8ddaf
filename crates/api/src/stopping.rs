//! Lets long-polls answer at once when the server is about to stop, so that a restart cuts nobody off.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::sync::watch;

/// Tells when the server is about to stop. Put into the request by the listener.
#[derive(Debug, Clone)]
pub struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// `stopping` turns true once, at the stop.
    pub fn new(stopping: watch::Receiver<bool>) -> Self {
        Stopping(Some(stopping))
    }

    /// Waits for the stop; for ever where nobody stops this server.
    pub async fn begins(&mut self) {
        match &mut self.0 {
            // A sender that is gone means that the server is past stopping.
            Some(stopping) => drop(stopping.wait_for(|stopping| *stopping).await),
            None => std::future::pending().await,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        // Tests call the router without a listener.
        let never = Stopping(None);
        Ok(parts.extensions.get::<Stopping>().cloned().unwrap_or(never))
    }
}
