//! Ends requests whose body stops arriving, so that stalled uploads cannot hold connections for ever.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A phone that changes from wifi to mobile pauses for some seconds; nothing honest pauses this long.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A request body that fails once nothing has arrived for [`STALL_MAX`].
pub struct SlowBodyGuard<B> {
    body: B,
    patience: Duration,
    stall: Pin<Box<Sleep>>,
}

impl<B> SlowBodyGuard<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// Bodies that are empty from the start need no timer.
    pub fn around(body: B) -> Body {
        Self::with_patience(body, STALL_MAX)
    }

    fn with_patience(body: B, patience: Duration) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(SlowBodyGuard {
            body,
            patience,
            stall: Box::pin(tokio::time::sleep(patience)),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no more of the request's body arrived for a while")]
pub struct Stalled;

impl<B> HttpBody for SlowBodyGuard<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    #[expect(
        clippy::disallowed_methods,
        reason = "a socket's time-out runs in real time"
    )]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let deadline = Instant::now() + self.patience;
                self.stall.as_mut().reset(deadline);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self
                .stall
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(Stalled.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one piece, then nothing more, and never ends.
    struct Stuck(Option<Bytes>);

    impl HttpBody for Stuck {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            match self.0.take() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_stops_arriving_ends_its_request() {
        let stuck = Stuck(Some(Bytes::from_static(b"half a")));
        let body = SlowBodyGuard::with_patience(stuck, Duration::from_millis(10));
        let error = axum::body::to_bytes(body, 1000).await.unwrap_err();
        assert!(
            error.to_string().contains("no more of the request"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_whole_body_passes() {
        let body = SlowBodyGuard::around(Body::from("all of it"));
        assert_eq!(axum::body::to_bytes(body, 1000).await.unwrap(), "all of it");
    }
}
