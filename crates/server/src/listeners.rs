//! Sockets: binding them with an answer to "why not", and serving HTTP/1.1 and HTTP/2 on each connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{ClientAddress, Stopping};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::client_address::client_address;
use crate::settings::Network;
use crate::slow_body::SlowBodyGuard;

/// A connection that has sent no complete request head for this long is closed; it also bounds how long an
/// idle HTTP/1.1 connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A TLS handshake takes some round trips; slower ones are stalling.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A client needs a handful of streams at once (two long-polls, some media); a browser opens at most 100.
const STREAMS_MAX: u32 = 128;
/// Each connection costs memory and a file descriptor; past this many, new ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// How long requests in flight may take to finish after a stop was asked for. The whole stop takes under 10 s.
const DRAIN: Duration = Duration::from_secs(7);
/// After a failed accept (out of file descriptors, mostly) the next try waits, or the loop would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "port {port} on {ip} is already in use. Stop the program that uses it (`ss -ltnp` shows it; it may be another Kith), \
         or serve elsewhere: {setting}=…:{next}"
    )]
    InUse {
        ip: std::net::IpAddr,
        port: u16,
        next: u16,
        setting: &'static str,
    },
    #[error(
        "this user may not open port {port} (ports below 1024 are reserved). Use a higher port behind a proxy, \
         or allow it: `setcap cap_net_bind_service=+ep` on the kith program"
    )]
    NotAllowed { port: u16 },
    #[error("{0} is not an address of this machine; 0.0.0.0 means all of them ({1})")]
    NotOurs(SocketAddr, &'static str),
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, std::io::Error),
}

/// Opens the socket. `setting` is the variable to name when it cannot.
pub async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => BindError::InUse {
                ip: address.ip(),
                port: address.port(),
                next: address.port().checked_add(1).unwrap_or(8008),
                setting,
            },
            std::io::ErrorKind::PermissionDenied => BindError::NotAllowed {
                port: address.port(),
            },
            std::io::ErrorKind::AddrNotAvailable => BindError::NotOurs(address, setting),
            _ => BindError::Other(address, error),
        })
}

/// A bound listener and what is said on it.
pub struct Serving {
    pub socket: TcpListener,
    pub tls: Option<TlsAcceptor>,
    pub router: Router,
    pub trusted_proxies: Arc<[Network]>,
}

impl Serving {
    /// Serves until `shutdown`, then lets what is in flight finish, for [`DRAIN`] at most.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                _ = shutdown.wait_for(|down| *down) => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let connection = self.connection(stream, peer, graceful.watcher(), &shutdown);
            #[expect(
                clippy::disallowed_methods,
                reason = "owned by this listener: the watcher counts it until it ends"
            )]
            // It ends with its connection, which the watcher above ends at shutdown.
            tokio::spawn(async move {
                connection.await;
                drop(place);
            });
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests did not finish in time and are cut off");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        shutdown: &watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let requests = Requests {
            router: self.router.clone(),
            peer,
            trusted_proxies: self.trusted_proxies.clone(),
            stopping: Stopping::new(shutdown.clone()),
        };
        let tls = self.tls.clone();
        async move {
            // Without it, small answers wait for the acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else {
                return requests.serve(stream, watcher).await;
            };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => requests.serve(stream, watcher).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        }
    }
}

/// What the requests of one connection have in common.
struct Requests {
    router: Router,
    peer: SocketAddr,
    trusted_proxies: Arc<[Network]>,
    stopping: Stopping,
}

impl Requests {
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        watcher: Watcher,
    ) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(STREAMS_MAX);
        let peer = self.peer;
        let service = service_fn(move |request| self.answer(request));
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, error = &*error, "the connection broke");
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
        let client = client_address(self.peer, request.headers(), &self.trusted_proxies);
        let port = self.peer.port();
        let stopping = self.stopping.clone();
        let router = self.router.clone();
        async move {
            let mut request = request.map(SlowBodyGuard::around);
            // The API and the pages each have their own way to ask for the client's address.
            request.extensions_mut().insert(ClientAddress(client));
            request
                .extensions_mut()
                .insert(ConnectInfo(SocketAddr::new(client, port)));
            request.extensions_mut().insert(stopping);
            // A panic ends its request, not the other requests of an HTTP/2 connection.
            match std::panic::AssertUnwindSafe(router.oneshot(request))
                .catch_unwind()
                .await
            {
                Ok(answer) => answer,
                Err(_) => Ok(broken()),
            }
        }
    }
}

/// The answer to a request whose handler panicked; the panic itself is in the log.
fn broken() -> Response<Body> {
    let mut response = Response::new(Body::from("Something went wrong inside the server."));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
