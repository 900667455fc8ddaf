//! Ends requests whose body stops arriving, so that stalled uploads cannot hold connections for ever.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// A phone that changes from wifi to mobile pauses for some seconds; nothing honest pauses this long.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A request body that fails once nothing has arrived for [`STALL_MAX`].
pub struct SlowBodyGuard {
    body: Incoming,
    stall: Pin<Box<Sleep>>,
}

impl SlowBodyGuard {
    /// Bodies that are empty from the start need no timer.
    pub fn new(body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(SlowBodyGuard {
            body,
            stall: Box::pin(tokio::time::sleep(STALL_MAX)),
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("no more of the request's body arrived for {} s", STALL_MAX.as_secs())]
    Stalled,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl HttpBody for SlowBodyGuard {
    type Data = Bytes;
    type Error = BodyError;

    #[expect(
        clippy::disallowed_methods,
        reason = "a socket's time-out runs in real time"
    )]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.stall.as_mut().reset(Instant::now() + STALL_MAX);
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Poll::Pending => self
                .stall
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(BodyError::Stalled))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
