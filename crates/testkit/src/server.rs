//! A homeserver in this process.

use std::net::SocketAddr;
use std::ops::AsyncFn;
use std::sync::Arc;

use axum::Router;
use homeserver::accounts::register::{Permit, Registration, register};
use homeserver::accounts::sessions::SignIn;
use homeserver::{Homeserver, RegistrationMode, Settings, Support};
use room::sign::ServerKey;
use storage::{Database, Options};
use tokio::task::JoinSet;

use crate::database::Scratch;
use crate::{Client, Engine, FakeClock, SeededRandom};

/// A server of its own for one test. Its database goes with it.
pub struct Server {
    pub hs: Arc<Homeserver>,
    pub router: Router,
    pub clock: Arc<FakeClock>,
    pub engine: Engine,
    listeners: JoinSet<()>,
    // Dropped last: after everything that uses the database.
    _scratch: Scratch,
}

/// Runs a test on every engine that is at hand, each time on a fresh server.
pub async fn start_each(test: impl AsyncFn(Server)) {
    start_each_with(|_| {}, test).await;
}

/// Like [`start_each`], with settings that differ from [`Server::settings`].
pub async fn start_each_with(change: impl Fn(&mut Settings), test: impl AsyncFn(Server)) {
    for engine in Engine::available() {
        test(Server::start_with(engine, &change).await).await;
    }
}

impl Server {
    pub const NAME: &'static str = "test.example";

    /// The password of everybody that [`Server::register`] makes.
    pub const PASSWORD: &'static str = "correct horse battery";

    /// What a server under test starts with: anybody may register, limits are off.
    pub fn settings() -> Settings {
        Settings {
            registration: RegistrationMode::Open,
            limits: false,
            ..homeserver_defaults()
        }
    }

    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, |_| {}).await
    }

    /// Starts a server with changed settings.
    pub async fn start_with(engine: Engine, change: impl Fn(&mut Settings)) -> Self {
        let scratch = Scratch::make(engine);
        let clock = Arc::new(FakeClock::default());
        let options = Options {
            engine: scratch.engine(),
            server_name: Self::NAME.into(),
            clock: clock.clone(),
            page_cache_bytes: 8 << 20,
            on_fatal: Arc::new(|error| panic!("the database failed: {error}")),
        };
        let db = tokio::task::spawn_blocking(move || Database::open(options))
            .await
            .expect("opening does not panic")
            .expect("a fresh database opens");
        let mut settings = Self::settings();
        change(&mut settings);
        let name = Self::NAME.try_into().expect("a server name");
        let hs = Arc::new(Homeserver::new(
            ServerKey::from_seed(name, "test", &[7; 32]),
            db,
            clock.clone(),
            Arc::new(SeededRandom::new(1)),
            settings,
        ));
        Self {
            router: api::router(api::State::new(hs.clone())),
            hs,
            clock,
            engine,
            listeners: JoinSet::new(),
            _scratch: scratch,
        }
    }

    /// Serves on a free port of the loopback interface too; the base URL, without a slash at its end.
    pub async fn listen(&mut self) -> String {
        let socket = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let router = self.router.clone();
        self.listeners.spawn(async move {
            axum::serve(socket, router).await.expect("serving goes on");
        });
        format!("http://{address}")
    }

    /// A client that is not signed in.
    pub fn anonymous(&self) -> Client {
        Client {
            router: self.router.clone(),
            user_id: String::new(),
            device_id: String::new(),
            access_token: String::new(),
            address: None,
        }
    }

    /// A new user, signed in on a device named after it (`ALICE`), with the password [`Server::PASSWORD`].
    pub async fn register(&self, localpart: &str) -> Client {
        self.register_as(localpart, false).await
    }

    /// Like [`Server::register`]: an administrator.
    pub async fn register_admin(&self, localpart: &str) -> Client {
        self.register_as(localpart, true).await
    }

    async fn register_as(&self, localpart: &str, make_admin: bool) -> Client {
        let registration = Registration {
            username: Some(localpart.to_owned()),
            password: Self::PASSWORD.into(),
            permit: Permit::Administrator { make_admin },
            sign_in: Some(SignIn {
                device_id: Some(localpart.to_ascii_uppercase()),
                ..SignIn::default()
            }),
        };
        let registered = register(&self.hs, registration)
            .await
            .expect("a new name can be registered");
        let session = registered.session.expect("a device was signed in");
        Client {
            user_id: session.user_id,
            device_id: session.device_id,
            access_token: session.access_token,
            ..self.anonymous()
        }
    }
}

fn homeserver_defaults() -> Settings {
    Settings {
        public_url: format!("https://{}", Server::NAME),
        registration: RegistrationMode::Token,
        registration_shared_secret: None,
        default_room_version: "12".into(),
        limits: true,
        memory_budget_bytes: 64 << 20,
        support: Support::default(),
    }
}
