//! The seam between the SQL that is written once and the two engines that run it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Error, Position, Row, Value, params};

/// A database engine: opens connections. One implementation per engine.
pub(crate) trait Driver: Send + Sync {
    /// Opens a connection that the committer, a reader thread or a migration owns.
    fn connect(&self, role: Role) -> Result<Box<dyn Connection>, Error>;

    /// Replaces the column types and table options of a migration (`{id}`, `{bytes}` …) by this engine's.
    fn spell(&self, migration: &str) -> String;

    /// Called after each commit, outside of it, so that other nodes learn of it. Speed, never truth.
    fn notify(&self, head: Position);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// One connection, owned by one thread.
pub(crate) trait Connection: Send {
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error>;
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error>;
    /// Runs one statement for many rows: a prepared loop, or pipelined. The sum of the rows touched.
    fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error>;
    /// Runs statements without parameters, separated by `;`.
    fn batch(&mut self, sql: &str) -> Result<(), Error>;
    /// Starts a transaction that reads one snapshot and writes nothing.
    fn begin_read(&mut self) -> Result<(), Error>;
    /// Starts a transaction that writes.
    fn begin_write(&mut self) -> Result<(), Error>;
    /// Commits: `Ok` means durable. [`Error::Unavailable`] means that the outcome is unknown.
    fn commit(&mut self) -> Result<(), Error>;
    fn rollback(&mut self) -> Result<(), Error>;
    /// Whether the connection can be used again after an error.
    fn is_usable(&self) -> bool;
}

/// One short, consistent view of the database.
pub struct Snapshot<'a> {
    pub(crate) conn: &'a mut dyn Connection,
}

impl Snapshot<'_> {
    /// Runs a statement and gives its rows.
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.conn.query(sql, params)
    }

    /// The first row of an answer, if there is one.
    pub fn query_one(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>, Error> {
        let mut rows = self.conn.query(sql, params)?;
        Ok(if rows.is_empty() {
            None
        } else {
            Some(rows.swap_remove(0))
        })
    }

    /// The newest position that this snapshot contains.
    pub fn head(&mut self) -> Result<Position, Error> {
        let rows = self
            .conn
            .query("SELECT position FROM stream_head WHERE id = 1", params![])?;
        Ok(Position(rows[0].int(0)))
    }
}

/// Translates our placeholders (`$1`, `$1[]`) into an engine's, once per statement text.
pub(crate) struct Spelling {
    known: HashMap<String, Arc<str>>,
    spell: fn(&str) -> String,
}

/// How many statement texts are remembered: far more than the code has, so that only generated ones are forgotten.
const SPELLINGS_MAX: usize = 4096;

impl Spelling {
    pub(crate) fn new(spell: fn(&str) -> String) -> Self {
        Self {
            known: HashMap::new(),
            spell,
        }
    }

    pub(crate) fn of(&mut self, sql: &str) -> Arc<str> {
        if let Some(spelt) = self.known.get(sql) {
            return spelt.clone();
        }
        if self.known.len() >= SPELLINGS_MAX {
            self.known.clear();
        }
        let spelt: Arc<str> = (self.spell)(sql).into();
        self.known.insert(sql.to_owned(), spelt.clone());
        spelt
    }
}

/// Calls `list` for each `IN ($n[])` and `plain` for each other `$n`, and keeps the rest of the text.
pub(crate) fn replace_placeholders(
    sql: &str,
    list: fn(&str) -> String,
    plain: fn(&str) -> String,
) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        let digits = rest[at + 1..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let number = &rest[at + 1..at + 1 + digits];
        let after = &rest[at + 1 + digits..];
        let before = &rest[..at];
        if let (Some(head), Some(tail)) = (before.strip_suffix("IN ("), after.strip_prefix("[])")) {
            out.push_str(head);
            out.push_str(&list(number));
            rest = tail;
        } else {
            out.push_str(before);
            out.push_str(&plain(number));
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
