//! A database for one test, gone with it.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// Which engine a server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    /// The one that `KITH_TEST_POSTGRES` names.
    Postgres,
}

impl Engine {
    /// The engines that can be tested here.
    pub fn available() -> Vec<Self> {
        match std::env::var_os("KITH_TEST_POSTGRES") {
            Some(_) => vec![Engine::Sqlite, Engine::Postgres],
            None => {
                eprintln!("skipped on PostgreSQL: KITH_TEST_POSTGRES is not set");
                vec![Engine::Sqlite]
            }
        }
    }
}

/// A fresh database. Dropped, it is removed.
pub(crate) enum Scratch {
    Sqlite(TempDir),
    Postgres { admin_url: String, name: String },
}

impl Scratch {
    pub(crate) fn make(engine: Engine) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        match engine {
            Engine::Sqlite => Scratch::Sqlite(directory().expect("a temporary directory")),
            Engine::Postgres => {
                let admin_url = std::env::var("KITH_TEST_POSTGRES")
                    .expect("KITH_TEST_POSTGRES names a PostgreSQL for tests");
                let number = NUMBER.fetch_add(1, Ordering::SeqCst);
                let name = format!("kith_test_{}_{number}", std::process::id());
                psql(&admin_url, &format!("CREATE DATABASE {name}"));
                Scratch::Postgres { admin_url, name }
            }
        }
    }

    pub(crate) fn engine(&self) -> storage::Engine {
        match self {
            Scratch::Sqlite(dir) => storage::Engine::Sqlite(dir.path().join("kith.db")),
            Scratch::Postgres { admin_url, name } => {
                storage::Engine::Postgres(with_database(admin_url, name))
            }
        }
    }
}

/// In memory where the machine has such a place: these tests ask nothing of the disk, and would wait for its syncs.
fn directory() -> std::io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// The same address with another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let server = address
        .rsplit_once('/')
        .map_or(address, |(server, _)| server);
    let question = if options.is_empty() { "" } else { "?" };
    format!("{server}/{name}{question}{options}")
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Scratch::Postgres { admin_url, name } = self {
            psql(
                admin_url,
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            );
        }
    }
}

/// Only `storage` may speak to a database, and it makes none: PostgreSQL's own client does.
fn psql(url: &str, sql: &str) {
    let outcome = Command::new("psql")
        .args(["--quiet", "--no-psqlrc", url, "--command", sql])
        .output()
        .expect("psql can be run");
    if !outcome.status.success() && !std::thread::panicking() {
        panic!("{sql}: {}", String::from_utf8_lossy(&outcome.stderr));
    }
}
