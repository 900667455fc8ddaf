//! Builds a homeserver from settings: opens the database and puts the capabilities together.

use std::sync::Arc;

use anyhow::Context;
use homeserver::Homeserver;
use room::sign::ServerKey;
use ruma_common::OwnedServerName;
use storage::{Clock, Database, Engine, Options};

use crate::capabilities::{SystemClock, SystemRandom};
use crate::settings::{self, Settings};
use crate::signing_key::SigningKey;

/// What service managers read as "try again": the cause may be gone after a restart (sysexits.h, `EX_TEMPFAIL`).
const EXIT_TRY_AGAIN: i32 = 75;

/// The share of the memory budget that goes to the embedded database's page caches; the rest is for our own caches.
const PAGE_CACHE_SHARE: u64 = 2;

/// Opens the database and gives the homeserver that lives on it.
pub async fn open(settings: &Settings, signing_key: SigningKey) -> anyhow::Result<Arc<Homeserver>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = Options {
        engine: engine(settings),
        server_name: settings.server_name.clone(),
        clock: clock.clone(),
        page_cache_bytes: settings.memory_budget / PAGE_CACHE_SHARE,
        on_fatal: Arc::new(stop_at_once),
    };
    let db = tokio::task::spawn_blocking(|| Database::open(options))
        .await
        .context("opening the database broke off")??;
    let server_name = OwnedServerName::try_from(settings.server_name.as_str())
        .with_context(|| format!("{} is not a server name", settings.server_name))?;
    let server_key = ServerKey::from_seed(server_name, &signing_key.key_id, &signing_key.seed);
    let random = Arc::new(SystemRandom);
    Ok(Arc::new(Homeserver::new(
        server_key,
        db,
        clock,
        random,
        behaviour(settings),
    )))
}

fn engine(settings: &Settings) -> Engine {
    match settings.database() {
        settings::Database::Sqlite(path) => Engine::Sqlite(path),
        settings::Database::Postgres(url) => Engine::Postgres(url),
    }
}

/// The part of the settings on which behaviours depend.
fn behaviour(settings: &Settings) -> homeserver::Settings {
    homeserver::Settings {
        public_url: settings.public_url(),
        registration: match settings.registration.mode {
            settings::RegistrationMode::Token => homeserver::RegistrationMode::Token,
            settings::RegistrationMode::Open => homeserver::RegistrationMode::Open,
            settings::RegistrationMode::Closed => homeserver::RegistrationMode::Closed,
        },
        registration_shared_secret: settings.registration.shared_secret.clone(),
        default_room_version: settings.rooms.default_version.clone(),
        limits: settings.limits.enabled,
        memory_budget_bytes: settings.memory_budget - settings.memory_budget / PAGE_CACHE_SHARE,
        support: homeserver::Support {
            email: settings.support.email.clone(),
            matrix_id: settings.support.matrix_id.clone(),
            page: settings.support.page.clone(),
        },
    }
}

/// A write may or may not be on disk: whoever goes on from here could acknowledge what is lost. The next start
/// recovers what is there.
fn stop_at_once(reason: &str) {
    tracing::error!(
        reason,
        "a write could not be made durable; stopping, so that nothing false is acknowledged"
    );
    std::process::exit(EXIT_TRY_AGAIN);
}
