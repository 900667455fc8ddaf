//! The group commit: one transaction under way on a node while the next group gathers.
//!
//! Within a group: the changes' rows without position, then `stream_head` raised by the group's size, then the rows
//! with positions, then the commit. Readers of this node see the group's stream rows applied before anybody is answered.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::append::Appends;
use crate::driver::{Connection, Driver, Role, Snapshot};
use crate::memory::Memory;
use crate::{Clock, Error, Kind, Position, Row, StreamRow, Topic, Value, params, stream};

/// A group's size: beyond it the wait for its commit outweighs what sharing a sync saves.
const GROUP_MAX: usize = 256;

/// A group's bytes: bounds how long readers of PostgreSQL wait for the stream's head.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// How often a group is repeated when another node wins a race.
const CONFLICTS_MAX: usize = 8;

/// How long a lost database is asked for the outcome of a commit before its callers hear of the loss.
const RECONNECTS_MAX: usize = 60;

/// One caller's write, waiting for its group.
pub(crate) trait GroupWrite: Send {
    /// Runs the caller's closure. May be called again when the group is repeated. False: undo it, the caller knows why.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells the caller. Called once, after the commit or its failure.
    fn finish(self: Box<Self>, outcome: Result<Vec<Position>, Error>);
    /// About how many bytes it will write.
    fn bytes(&self) -> usize;
}

/// A row that waits for its position, and what is to be written with it.
struct Placed {
    write: usize,
    topic: Topic,
    kind: Kind,
    reference: i64,
    value: i64,
    #[expect(clippy::type_complexity, reason = "one closure, named here alone")]
    then: Option<Box<dyn FnOnce(&mut Snapshot<'_>, Position) -> Result<(), Error> + Send>>,
}

/// What the writes of one group have gathered.
#[derive(Default)]
pub(crate) struct Group {
    placed: Vec<Placed>,
    pub(crate) appends: Appends,
}

/// A write within a group's transaction. Reads through it see what the group wrote before.
pub struct Tx<'a> {
    snapshot: Snapshot<'a>,
    pub(crate) group: &'a mut Group,
    write: usize,
    now_ms: u64,
    savepoint: bool,
    failure: Option<Error>,
    shared: bool,
}

impl<'a> Deref for Tx<'a> {
    type Target = Snapshot<'a>;
    fn deref(&self) -> &Snapshot<'a> {
        &self.snapshot
    }
}

impl<'a> DerefMut for Tx<'a> {
    fn deref_mut(&mut self) -> &mut Snapshot<'a> {
        &mut self.snapshot
    }
}

impl Tx<'_> {
    /// The time at which the group began, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether several nodes may share the database.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The number of this write within its group.
    pub(crate) fn write_number(&self) -> usize {
        self.write
    }

    /// Runs a statement and gives its rows.
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.guard()?;
        let outcome = self.snapshot.conn.query(sql, params);
        self.note(outcome)
    }

    /// The first row of an answer, if there is one.
    pub fn query_one(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>, Error> {
        let mut rows = self.query(sql, params)?;
        Ok(if rows.is_empty() {
            None
        } else {
            Some(rows.swap_remove(0))
        })
    }

    /// Runs a statement; how many rows it touched.
    pub fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.guard()?;
        let outcome = self.snapshot.conn.execute(sql, params);
        self.note(outcome)
    }

    /// Runs one statement for many rows; how many rows were touched in sum.
    pub fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.guard()?;
        let outcome = self.snapshot.conn.execute_many(sql, rows);
        self.note(outcome)
    }

    /// Adds a row to the stream. Its position is known only at the end of the group: rows that carry it are written by `then`.
    pub fn publish_with(
        &mut self,
        topic: Topic,
        kind: Kind,
        reference: i64,
        value: i64,
        then: impl FnOnce(&mut Snapshot<'_>, Position) -> Result<(), Error> + Send + 'static,
    ) {
        let then = Some(Box::new(then) as _);
        self.group.placed.push(Placed {
            write: self.write,
            topic,
            kind,
            reference,
            value,
            then,
        });
    }

    /// Adds a row to the stream that nothing else refers to.
    pub fn publish(&mut self, topic: Topic, kind: Kind, reference: i64, value: i64) {
        self.group.placed.push(Placed {
            write: self.write,
            topic,
            kind,
            reference,
            value,
            then: None,
        });
    }

    /// Writes before the first statement of a change go under a savepoint, so that it can fail alone.
    fn guard(&mut self) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            // After a failed statement only the end of the savepoint is left (PostgreSQL refuses all others).
            return Err(failure.clone());
        }
        if !self.savepoint {
            self.snapshot.conn.batch("SAVEPOINT change")?;
            self.savepoint = true;
        }
        Ok(())
    }

    fn note<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &outcome {
            self.failure.get_or_insert_with(|| error.clone());
        }
        outcome
    }
}

impl Snapshot<'_> {
    /// For rows written with a position (see [`Tx::publish_with`]): runs a statement; how many rows it touched.
    pub fn write(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.conn.execute(sql, params)
    }

    /// Like [`Snapshot::write`], one statement for many rows.
    pub fn write_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.conn.execute_many(sql, rows)
    }
}

pub(crate) struct Committer {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Arc<dyn Clock>,
    /// This node's row; its last group tells after a lost connection whether a commit happened.
    pub(crate) node: i64,
    /// Whether other nodes may share the database.
    pub(crate) shared: bool,
    pub(crate) on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Why a group did not commit.
enum Failed {
    /// Run the group again.
    Again(Error),
    /// A write made the whole transaction fail: run each alone to find which.
    Split(Error),
    /// Nobody's write happened.
    All(Error),
}

impl Committer {
    /// Commits groups until the queue is closed.
    pub(crate) fn run(self, writes: Receiver<Box<dyn GroupWrite>>, mut conn: Box<dyn Connection>) {
        let mut last_group = 0;
        while let Ok(first) = writes.recv() {
            let mut group = VecDeque::from([first]);
            let mut bytes = group[0].bytes();
            while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                match writes.try_recv() {
                    Ok(write) => {
                        bytes += write.bytes();
                        group.push_back(write);
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            if let Err(fatal) = self.commit(&mut conn, group.into(), &mut last_group) {
                (self.on_fatal)(&fatal.to_string());
                // Nothing more is acknowledged: whoever waits hears that the database is closed.
                while let Ok(write) = writes.recv() {
                    write.finish(Err(Error::Closed));
                }
                return;
            }
        }
    }

    /// Commits one group and answers everybody in it. An error ends the committer.
    fn commit(
        &self,
        conn: &mut Box<dyn Connection>,
        mut writes: Vec<Box<dyn GroupWrite>>,
        last_group: &mut i64,
    ) -> Result<(), Error> {
        let mut conflicts = 0;
        loop {
            *last_group += 1;
            let failed = match self.attempt(conn, &mut writes, *last_group) {
                Ok((kept, rows)) => {
                    self.memory.apply(&mut **conn, &rows);
                    if let Some(newest) = rows.last() {
                        self.driver.notify(newest.position);
                    }
                    for (write, positions) in writes.into_iter().zip(kept) {
                        write.finish(Ok(positions));
                    }
                    return Ok(());
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Again(_) if conflicts < CONFLICTS_MAX => conflicts += 1,
                Failed::Split(_) if writes.len() > 1 => {
                    for write in writes {
                        self.commit(conn, vec![write], last_group)?;
                    }
                    return Ok(());
                }
                Failed::Again(error) | Failed::Split(error) | Failed::All(error) => {
                    for write in writes {
                        write.finish(Err(error.clone()));
                    }
                    return if matches!(error, Error::Fatal(_)) {
                        Err(error)
                    } else {
                        Ok(())
                    };
                }
            }
        }
    }

    /// One transaction. On success: the positions of each write, in order, and the stream's new rows.
    fn attempt(
        &self,
        conn: &mut Box<dyn Connection>,
        writes: &mut [Box<dyn GroupWrite>],
        group_number: i64,
    ) -> Result<(Vec<Vec<Position>>, Vec<StreamRow>), Failed> {
        if !conn.is_usable() {
            *conn = self.driver.connect(Role::Writer).map_err(Failed::All)?;
        }
        conn.begin_write().map_err(undone)?;
        let gathered = self.gather(&mut **conn, writes, group_number);
        let (positions, rows) = match gathered {
            Ok(done) => done,
            Err(failed) => {
                if conn.rollback().is_err() && !self.shared {
                    return Err(Failed::All(Error::Fatal(
                        "a transaction could not be undone".into(),
                    )));
                }
                return Err(failed);
            }
        };
        match conn.commit() {
            Ok(()) => Ok((positions, rows)),
            Err(Error::Unavailable(why)) if self.shared => match self.outcome(conn, group_number) {
                Some(true) => Ok((positions, rows)),
                Some(false) => Err(Failed::Again(Error::Unavailable(why))),
                None => Err(Failed::All(Error::Unavailable(why))),
            },
            Err(error) => {
                let _ = conn.rollback();
                Err(undone(error))
            }
        }
    }

    fn gather(
        &self,
        conn: &mut dyn Connection,
        writes: &mut [Box<dyn GroupWrite>],
        group_number: i64,
    ) -> Result<(Vec<Vec<Position>>, Vec<StreamRow>), Failed> {
        let now_ms = self.clock.now_ms();
        let mut group = Group::default();
        for (number, write) in writes.iter_mut().enumerate() {
            let (placed, mark) = (group.placed.len(), group.appends.mark());
            let mut tx = Tx {
                snapshot: Snapshot { conn: &mut *conn },
                group: &mut group,
                write: number,
                now_ms,
                savepoint: false,
                failure: None,
                shared: self.shared,
            };
            let keep = write.run(&mut tx);
            let (savepoint, failure) = (tx.savepoint, tx.failure);
            match failure {
                Some(error @ (Error::Conflict(_) | Error::Unavailable(_))) => {
                    return Err(undone(error));
                }
                Some(error @ (Error::DiskFull | Error::Fatal(_) | Error::Corrupt(_))) => {
                    return Err(Failed::All(error));
                }
                _ => {}
            }
            if !keep {
                group.placed.truncate(placed);
                group.appends.rewind(mark);
            }
            if savepoint {
                let end = if keep {
                    "RELEASE SAVEPOINT change"
                } else {
                    "ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change"
                };
                conn.batch(end).map_err(undone)?;
            }
        }
        self.place(conn, group, writes.len(), group_number, now_ms)
            .map_err(undone)
    }

    /// Raises the head and writes everything that carries a position.
    fn place(
        &self,
        conn: &mut dyn Connection,
        group: Group,
        writes: usize,
        group_number: i64,
        now_ms: u64,
    ) -> Result<(Vec<Vec<Position>>, Vec<StreamRow>), Error> {
        let mut positions = vec![Vec::new(); writes];
        let mut rows = Vec::new();
        let appends = group.appends.flush_unplaced(conn)?;
        let count = group.placed.len() + appends.positions();
        if self.shared {
            // A missing row would make the next lost connection undecidable, so it is made, not only updated.
            conn.execute(
                "INSERT INTO nodes (id, epoch, last_group, seen_ms) VALUES ($1, 0, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET last_group = excluded.last_group, seen_ms = excluded.seen_ms",
                params![self.node, group_number, now_ms],
            )?;
        }
        if count > 0 {
            let head = conn.query(
                "UPDATE stream_head SET position = position + $1 WHERE id = 1 RETURNING position",
                params![count],
            )?[0]
                .int(0);
            let mut next = head - count as i64 + 1;
            appends.flush_placed(conn, &mut next, &mut rows, &mut positions)?;
            for placed in group.placed {
                let position = Position(next);
                next += 1;
                if let Some(then) = placed.then {
                    then(&mut Snapshot { conn: &mut *conn }, position)?;
                }
                positions[placed.write].push(position);
                let Placed {
                    topic,
                    kind,
                    reference,
                    value,
                    ..
                } = placed;
                rows.push(StreamRow {
                    position,
                    topic,
                    kind,
                    reference,
                    value,
                });
            }
            let columns: Vec<_> = rows.iter().map(|row| row.columns(now_ms)).collect();
            conn.execute_many(stream::INSERT, &columns)?;
        }
        Ok((positions, rows))
    }

    /// After a connection was lost in `COMMIT`: did it happen? None when the database stays away.
    #[expect(
        clippy::disallowed_methods,
        reason = "a database that is away sends no event to wait for"
    )]
    fn outcome(&self, conn: &mut Box<dyn Connection>, group_number: i64) -> Option<bool> {
        for _ in 0..RECONNECTS_MAX {
            if let Ok(mut open) = self.driver.connect(Role::Writer)
                && let Ok(rows) = open.query(
                    "SELECT last_group FROM nodes WHERE id = $1",
                    params![self.node],
                )
            {
                *conn = open;
                return Some(rows.first().is_some_and(|row| row.int(0) == group_number));
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        None
    }
}

/// What an error of a whole transaction means for its group.
fn undone(error: Error) -> Failed {
    match error {
        Error::Conflict(_) => Failed::Again(error),
        Error::DiskFull
        | Error::Fatal(_)
        | Error::Corrupt(_)
        | Error::Unavailable(_)
        | Error::Closed => Failed::All(error),
        Error::Duplicate(_) | Error::Engine(_) | Error::Overloaded => Failed::Split(error),
    }
}

/// A typed write: the caller's closure and the channel on which it waits.
pub(crate) struct Typed<T, E, F> {
    pub(crate) run: F,
    pub(crate) bytes: usize,
    pub(crate) result: Option<Result<T, E>>,
    pub(crate) reply: tokio::sync::oneshot::Sender<Result<(T, Vec<Position>), E>>,
}

impl<T, E, F> GroupWrite for Typed<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        // A closure that panics must not take the committer with it: its change fails, the others go on.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.run)(tx)));
        let outcome =
            outcome.unwrap_or_else(|_| Err(Error::Engine("a write panicked".into()).into()));
        // A failed statement fails its change, even where the closure did not look.
        let outcome = match (&tx.failure, outcome) {
            (Some(failure), Ok(_)) => Err(failure.clone().into()),
            (_, outcome) => outcome,
        };
        let keep = outcome.is_ok();
        self.result = Some(outcome);
        keep
    }

    fn finish(self: Box<Self>, outcome: Result<Vec<Position>, Error>) {
        let answer = match (self.result, outcome) {
            // The change was undone for a reason of its own, whatever became of its group.
            (Some(Err(refusal)), Ok(_)) => Err(refusal),
            (Some(Ok(value)), Ok(positions)) => Ok((value, positions)),
            (_, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Err(Error::Closed.into()),
        };
        // Nobody waits any more when a request was dropped; the change is durable all the same.
        let _ = self.reply.send(answer);
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}
