//! The database of a server: opened once, read in snapshots, written in groups.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use crate::committer::{Committer, GroupWrite, Typed};
use crate::driver::{Driver, Role};
use crate::ids::Allocator;
use crate::memory::Memory;
pub use crate::migrations::Refusal as OpenError;
use crate::migrations::migrate;
use crate::postgres::Postgres;
use crate::readers::Readers;
use crate::sqlite::Sqlite;
use crate::{Clock, Error, Position, Snapshot, Tx, params};

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// A file of the embedded engine.
    Sqlite(PathBuf),
    /// An address of PostgreSQL: `postgres://user@host/database`.
    Postgres(String),
}

impl Engine {
    /// Reads `sqlite:PATH` or `postgres://…`; anything else is none.
    pub fn parse(setting: &str) -> Option<Self> {
        match setting.strip_prefix("sqlite:") {
            Some(path) => Some(Engine::Sqlite(Path::new(path).to_owned())),
            None => (setting.starts_with("postgres://") || setting.starts_with("postgresql://"))
                .then(|| Engine::Postgres(setting.to_owned())),
        }
    }
}

/// How to open a database.
#[derive(Clone)]
pub struct Options {
    pub engine: Engine,
    /// The server's name: a database of another is refused.
    pub server_name: String,
    pub clock: Arc<dyn Clock>,
    /// Bytes for page caches of the embedded engine.
    pub page_cache_bytes: u64,
    /// Called when a write could not be made durable: the process must stop and recover.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Reader threads of SQLite: more than cores, as a read may wait for the disk.
const READERS_SQLITE: usize = 6;

/// Reader connections of PostgreSQL: a read waits for round trips most of its time.
const READERS_POSTGRES: usize = 16;

struct Shared {
    readers: Readers,
    writes: Sender<Box<dyn GroupWrite>>,
    allocator: Allocator,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
    shared: bool,
    node: i64,
    _checkpointer: Option<Sender<()>>,
}

/// A handle to the open database. Cheap to clone. The last one closes it.
#[derive(Clone)]
pub struct Database(Arc<Shared>);

impl Database {
    /// Opens the database, or refuses with a sentence that says what to do, having changed nothing.
    ///
    /// Blocks: call it on a thread that may, within a Tokio runtime.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let mut checkpointer = None;
        let mut postgres = None;
        let (driver, readers, shared): (Arc<dyn Driver>, usize, bool) = match &options.engine {
            Engine::Sqlite(path) => {
                let sqlite = Arc::new(Sqlite::new(path, options.page_cache_bytes)?);
                let (stop, stopped) = channel();
                let background = sqlite.clone();
                std::thread::Builder::new()
                    .name("kith-checkpoint".into())
                    .spawn(move || background.checkpoint_forever(stopped))
                    .map_err(|e| Error::Unavailable(e.to_string()))?;
                checkpointer = Some(stop);
                (sqlite, READERS_SQLITE, false)
            }
            Engine::Postgres(url) => {
                let engine = Arc::new(Postgres::new(url, runtime.clone())?);
                postgres = Some(engine.clone());
                (engine, READERS_POSTGRES, true)
            }
        };
        let mut conn = driver.connect(Role::Writer)?;
        migrate(
            &*driver,
            &mut *conn,
            &options.server_name,
            options.clock.now_ms(),
        )?;
        let head = (Snapshot { conn: &mut *conn }).head()?;
        conn.begin_write()?;
        let node = conn.query(
            "INSERT INTO counters (name, next) VALUES ('server_node', 2)
             ON CONFLICT (name) DO UPDATE SET next = counters.next + 1 RETURNING next",
            params![],
        )?[0]
            .int(0)
            - 1;
        conn.commit()?;
        let readers = Readers::start(driver.clone(), readers)
            .map_err(|e| Error::Unavailable(e.to_string()))?;
        let memory = Arc::new(Memory::new(head));
        let (writes, queue) = channel();
        let committer = Committer {
            driver: driver.clone(),
            memory: memory.clone(),
            clock: options.clock.clone(),
            node,
            shared,
            on_fatal: options.on_fatal,
        };
        std::thread::Builder::new()
            .name("kith-commit".into())
            .spawn(move || committer.run(queue, conn))
            .map_err(|e| Error::Unavailable(e.to_string()))?;
        let database = Self(Arc::new(Shared {
            readers,
            writes,
            allocator: Allocator::default(),
            memory,
            clock: options.clock,
            shared,
            node,
            _checkpointer: checkpointer,
        }));
        if let Some(engine) = postgres {
            database.follow_other_nodes(&engine, &runtime);
        }
        Ok(database)
    }

    /// Reads one short snapshot. Never held while a socket waits.
    pub async fn read<T, E>(
        &self,
        read: impl FnOnce(&mut Snapshot<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.0.readers.submit(Box::new(move |snapshot| {
            let outcome = match snapshot {
                Ok(snapshot) => read(snapshot),
                Err(error) => Err(error.into()),
            };
            let _ = reply.send(outcome);
        }));
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Joins a group commit: `Ok` means durable, `Err` that nothing of it was written.
    ///
    /// The closure may run more than once, so it must only read its captures. It reads before it writes, and returns
    /// an error of the caller's own type to undo what it wrote. A statement that fails fails the whole change.
    pub async fn write<T, E>(
        &self,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write_placed(0, write).await.map(|(value, _)| value)
    }

    /// Like [`Database::write`], and gives the positions of what the change published, in order.
    /// `bytes` is about how much it writes, so that groups stay bounded.
    pub async fn write_placed<T, E>(
        &self,
        bytes: usize,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, Vec<Position>), E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.submit(bytes, write).await
    }

    /// Like [`Database::write_placed`], but the write is queued at once, not when the future is first polled: writes
    /// are committed in the order of these calls.
    pub fn submit<T, E, W>(
        &self,
        bytes: usize,
        write: W,
    ) -> impl Future<Output = Result<(T, Vec<Position>), E>> + Send + use<T, E, W>
    where
        W: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let write = Typed {
            run: write,
            bytes,
            result: None,
            reply,
        };
        let queued = self.0.writes.send(Box::new(write)).is_ok();
        async move {
            if !queued {
                return Err(Error::Closed.into());
            }
            answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
        }
    }

    /// What is held in memory of who is in which room, and who waits.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.0.memory
    }

    /// The clock that the database was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Whether several nodes may share this database.
    pub fn is_shared(&self) -> bool {
        self.0.shared
    }

    /// How many reads were asked for since the start: what should be served from memory can be seen not to read.
    pub fn reads(&self) -> u64 {
        self.0.readers.submitted()
    }

    /// The number of this node: new at each start.
    pub fn node(&self) -> i64 {
        self.0.node
    }

    pub(crate) fn allocator(&self) -> &Allocator {
        &self.0.allocator
    }

    /// The newest position that this node may show: all up to it is applied to its caches.
    ///
    /// While several nodes share the database this asks for the head first, so that what one node has acknowledged
    /// every node shows.
    pub async fn head(&self) -> Result<Position, Error> {
        if self.0.shared {
            self.catch_up().await?;
        }
        Ok(self.0.memory.head())
    }

    /// Applies what other nodes have committed.
    async fn catch_up(&self) -> Result<(), Error> {
        let memory = self.0.memory.clone();
        self.read(move |snapshot| memory.catch_up(snapshot)).await
    }

    fn follow_other_nodes(&self, engine: &Arc<Postgres>, runtime: &tokio::runtime::Handle) {
        let (config, heads) = (engine.config().clone(), engine.heads());
        runtime.spawn(Postgres::notify_forever(config.clone(), heads));
        let weak = Arc::downgrade(&self.0);
        runtime.spawn(crate::postgres::listen_forever(config, move || {
            let weak = weak.clone();
            async move {
                let Some(shared) = weak.upgrade() else {
                    return false;
                };
                if let Err(error) = Database(shared).catch_up().await {
                    tracing::warn!(%error, "could not read what other nodes wrote");
                }
                true
            }
        }));
    }
}
