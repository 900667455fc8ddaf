//! `kith serve`: opens everything, prints what a person needs to know, serves until told to stop, and stops cleanly.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use homeserver::Homeserver;
use http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use storage::Database;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use web::Site;

use crate::capabilities::SystemRandom;
use crate::listeners::{self, Serving};
use crate::page_accounts::PageAccounts;
use crate::settings::{Listener, RegistrationMode, Scheme, Settings};
use crate::signing_key::SigningKey;
use crate::tls::Certificate;
use crate::{admin, background, data_dir, first_run, opened, signing_key, telemetry};

/// All that runs must be done this long after a stop was asked for; service managers kill after 10 s and more.
const STOP: Duration = Duration::from_secs(9);

/// Health checks of container engines give up after some seconds; the answer must come before.
const HEALTH_PATIENCE: Duration = Duration::from_secs(3);

pub async fn serve(mut settings: Settings) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let metrics = telemetry::start_metrics()?;
    let _claimed = data_dir::claim(&settings.data_dir)?;
    let sockets = bind_all(&settings).await?;
    // Port 0 has become a real one, which links must carry.
    settings.listen = sockets.iter().map(|(listener, _)| *listener).collect();
    let signing_key = signing_key::load_or_make(&settings.data_dir, &SystemRandom)?;
    let homeserver = opened::open(&settings, signing_key.clone()).await?;
    let admin_socket = admin::socket::bind(&settings.data_dir)?;
    let router = router(&settings, homeserver.clone(), &signing_key);

    // True once the server shall stop. Long-polls, jobs and listeners watch it.
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let acceptor = start_tls(&settings, &mut tasks, &stopping)?;
    let trusted_proxies: Arc<[_]> = settings.trusted_proxies.clone().into();
    for (listener, socket) in sockets {
        let serving = Serving {
            tls: (listener.scheme == Scheme::Https)
                .then(|| acceptor.clone())
                .flatten(),
            router: router.clone(),
            trusted_proxies: trusted_proxies.clone(),
            socket,
        };
        tracing::info!("listening on {}", listener.url());
        tasks.spawn(serving.run(stopping.clone()));
    }
    if let Some(address) = settings.metrics.listen {
        let socket = listeners::bind(address, "KITH_METRICS__LISTEN").await?;
        tracing::info!(
            "metrics on http://{}/metrics",
            socket.local_addr().unwrap_or(address)
        );
        let serving = Serving {
            tls: None,
            router: metrics_router(metrics.clone()),
            trusted_proxies: [].into(),
            socket,
        };
        tasks.spawn(serving.run(stopping.clone()));
    }
    tasks.spawn(keep_metrics_small(metrics, stopping.clone()));
    tasks.spawn(admin::socket::serve(
        admin_socket,
        homeserver.clone(),
        stopping.clone(),
    ));
    background::start(&mut tasks, &homeserver, &stopping);
    greet(&homeserver).await?;
    tracing::info!(
        server_name = settings.server_name,
        "Kith is ready at {}",
        settings.public_url()
    );

    let name = signals.wait().await;
    tracing::info!("{name}: finishing what is in flight, then stopping");
    stop.send_replace(true);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP, drained).await.is_err() {
        tracing::warn!("some work did not stop in time; it resumes at the next start");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn bind_all(settings: &Settings) -> anyhow::Result<Vec<(Listener, tokio::net::TcpListener)>> {
    let mut sockets = Vec::new();
    for listener in &settings.listen {
        let socket = listeners::bind(listener.address, "KITH_LISTEN").await?;
        let address = socket
            .local_addr()
            .context("a fresh socket has no address")?;
        sockets.push((
            Listener {
                address,
                ..*listener
            },
            socket,
        ));
    }
    Ok(sockets)
}

fn start_tls(
    settings: &Settings,
    tasks: &mut JoinSet<()>,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(certificate), Some(private_key)) =
        (&settings.tls.certificate, &settings.tls.private_key)
    else {
        return Ok(None);
    };
    let certificate = Certificate::load(certificate, private_key)?;
    let acceptor = TlsAcceptor::from(certificate.server_config()?);
    tasks.spawn(certificate.follow_changes(stopping.clone()));
    Ok(Some(acceptor))
}

/// Everything that listeners serve.
fn router(settings: &Settings, homeserver: Arc<Homeserver>, signing_key: &SigningKey) -> Router {
    let site = Site {
        server_name: homeserver.server_name.clone(),
        public_url: homeserver.settings.public_url.clone(),
        registration: match settings.registration.mode {
            RegistrationMode::Token => web::RegistrationMode::Token,
            RegistrationMode::Open => web::RegistrationMode::Open,
            RegistrationMode::Closed => web::RegistrationMode::Closed,
        },
        cookie_key: signing_key.derive(b"kith web cookies"),
    };
    let pages = web::router(
        site,
        PageAccounts(homeserver.clone()),
        homeserver.random.clone(),
    );
    let database = homeserver.db.clone();
    api::router(api::State::new(homeserver))
        .merge(pages)
        .route("/health", get(move || health(database.clone())))
        .layer(axum::middleware::from_fn(telemetry::observe))
}

/// At the very first start, and then never again, prints the link that makes the administrator.
async fn greet(homeserver: &Homeserver) -> anyhow::Result<()> {
    if !first_run::is_first(homeserver).await? {
        return Ok(());
    }
    let link = first_run::admin_invitation(homeserver).await?;
    let text = format!(
        "\nWelcome to Kith. Open this link to make your account, which will be the administrator's:\n\n    {link}\n\n\
         It works once and is shown only now. `kith token new --admin` makes another.\n\n"
    );
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot print the first invitation")
}

/// 200 while requests can be served: the database answers.
async fn health(database: Database) -> (StatusCode, &'static str) {
    match tokio::time::timeout(HEALTH_PATIENCE, database.head()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n"),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        ),
    }
}

fn metrics_router(metrics: PrometheusHandle) -> Router {
    Router::new().route(
        "/metrics",
        get(move || std::future::ready(metrics.render())),
    )
}

/// Histograms gather samples until somebody reads them; without a reader this does.
async fn keep_metrics_small(metrics: PrometheusHandle, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => metrics.run_upkeep(),
        }
    }
}

/// The two signals that ask for a clean stop.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first. Whoever is in a hurry sends a second, which ends the process at once.
    async fn wait(mut self) -> &'static str {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "owned by the process, which ends with it"
        )]
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            std::process::exit(1);
        });
        name
    }
}
