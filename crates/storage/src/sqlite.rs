//! SQLite, the embedded engine: bundled, WAL, `synchronous=FULL`, one writer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags, ToSql, ffi};

use crate::driver::{Connection, Driver, Role, Spelling, replace_placeholders};
use crate::{Error, Position, Row, Value};

/// How large a write-ahead log may grow before the checkpointer insists on emptying it.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// From this size on the checkpointer copies the log into the database, as readers allow.
const WAL_BYTES_PASSIVE: u64 = 4 << 20;

pub(crate) struct Sqlite {
    path: PathBuf,
    cache_kib: u64,
    /// Held while the server runs, so that two processes never share one file.
    _lock: File,
}

impl Sqlite {
    /// Takes the lock file beside the database. Opens no database yet.
    pub(crate) fn new(path: &Path, cache_bytes: u64) -> Result<Self, Error> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = File::create(&lock_path)
            .map_err(|e| Error::Unavailable(format!("{}: {e}", path.display())))?;
        lock.try_lock().map_err(|_| {
            Error::Unavailable(format!(
                "{} is in use by another Kith process",
                path.display()
            ))
        })?;
        Ok(Self {
            path: path.to_owned(),
            cache_kib: cache_bytes / 1024,
            _lock: lock,
        })
    }

    /// Copies the write-ahead log into the database on a thread of its own, so that no commit pays for it.
    pub(crate) fn checkpoint_forever(&self, stop: std::sync::mpsc::Receiver<()>) {
        let Ok(conn) = rusqlite::Connection::open(&self.path) else {
            return;
        };
        let mut wal = self.path.as_os_str().to_owned();
        wal.push("-wal");
        // Wakes each 200 ms: at 25,000 events a second the log grows by less than its bound between two looks.
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
            stop.recv_timeout(Duration::from_millis(200))
        {
            let bytes = std::fs::metadata(&wal).map_or(0, |meta| meta.len());
            let mode = match bytes {
                b if b > WAL_BYTES_MAX => "TRUNCATE",
                b if b > WAL_BYTES_PASSIVE => "PASSIVE",
                _ => continue,
            };
            if let Err(error) =
                conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
            {
                tracing::debug!(%error, "checkpoint put off");
            }
        }
    }
}

impl Driver for Sqlite {
    fn connect(&self, role: Role) -> Result<Box<dyn Connection>, Error> {
        let conn = rusqlite::Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|e| error(&e))?;
        conn.set_prepared_statement_cache_capacity(512);
        conn.busy_timeout(Duration::from_secs(10))
            .map_err(|e| error(&e))?;
        rusqlite::vtab::array::load_module(&conn).map_err(|e| error(&e))?;
        // Writer and readers share the page budget: half to the writer, the rest to be split among readers.
        let cache_kib = if role == Role::Writer {
            self.cache_kib / 2
        } else {
            self.cache_kib / 8
        };
        let pragmas = format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;
             PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF; PRAGMA cache_size=-{cache_kib};"
        );
        conn.execute_batch(&pragmas).map_err(|e| error(&e))?;
        if role == Role::Reader {
            conn.execute_batch("PRAGMA query_only=ON")
                .map_err(|e| error(&e))?;
        }
        Ok(Box::new(SqliteConnection {
            conn,
            spelling: Spelling::new(spell_statement),
        }))
    }

    fn spell(&self, migration: &str) -> String {
        migration
            .replace("{id}", "INTEGER PRIMARY KEY")
            .replace("{int}", "INTEGER")
            .replace("{bool}", "INTEGER")
            .replace("{bytes}", "BLOB")
            .replace("{text}", "TEXT")
            .replace("{clustered}", "WITHOUT ROWID")
    }

    fn notify(&self, _: Position) {}
}

fn spell_statement(sql: &str) -> String {
    replace_placeholders(
        sql,
        |n| format!("IN (SELECT value FROM rarray(?{n}))"),
        |n| format!("?{n}"),
    )
}

struct SqliteConnection {
    conn: rusqlite::Connection,
    spelling: Spelling,
}

impl Connection for SqliteConnection {
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let sql = self.spelling.of(sql);
        let mut statement = self
            .conn
            .prepare_cached(&sql)
            .map_err(|e| described(&e, &sql))?;
        let columns = statement.column_count();
        let mut rows = statement
            .query(rusqlite::params_from_iter(params.iter().map(Bound)))
            .map_err(|e| described(&e, &sql))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|e| described(&e, &sql))? {
            let mut values = Vec::with_capacity(columns);
            for column in 0..columns {
                values.push(read_value(row.get_ref_unwrap(column)));
            }
            out.push(Row(values));
        }
        Ok(out)
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let sql = self.spelling.of(sql);
        let mut statement = self
            .conn
            .prepare_cached(&sql)
            .map_err(|e| described(&e, &sql))?;
        let touched = statement
            .execute(rusqlite::params_from_iter(params.iter().map(Bound)))
            .map_err(|e| described(&e, &sql))?;
        Ok(touched as u64)
    }

    fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        let sql = self.spelling.of(sql);
        let mut statement = self
            .conn
            .prepare_cached(&sql)
            .map_err(|e| described(&e, &sql))?;
        let mut touched = 0;
        for row in rows {
            touched += statement
                .execute(rusqlite::params_from_iter(row.iter().map(Bound)))
                .map_err(|e| described(&e, &sql))?;
        }
        Ok(touched as u64)
    }

    fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.conn.execute_batch(sql).map_err(|e| described(&e, sql))
    }

    fn begin_read(&mut self) -> Result<(), Error> {
        self.execute("BEGIN", &[]).map(drop)
    }

    fn begin_write(&mut self) -> Result<(), Error> {
        self.execute("BEGIN IMMEDIATE", &[]).map(drop)
    }

    fn commit(&mut self) -> Result<(), Error> {
        match self.conn.execute_batch("COMMIT") {
            Ok(()) => Ok(()),
            // A commit that failed for lack of space was undone as a whole; any other failed write or sync
            // leaves the file's content unknown.
            Err(failure) => match error(&failure) {
                full @ Error::DiskFull => Err(full),
                other => Err(Error::Fatal(other.to_string())),
            },
        }
    }

    fn rollback(&mut self) -> Result<(), Error> {
        if self.conn.is_autocommit() {
            return Ok(()); // Some errors end the transaction themselves.
        }
        self.conn.execute_batch("ROLLBACK").map_err(|e| error(&e))
    }

    fn is_usable(&self) -> bool {
        true
    }
}

fn read_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Int(value as i64),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Bytes(value.to_owned()),
    }
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::Value as Owned;
        fn array<T: Clone>(values: &[T], make: fn(T) -> Owned) -> ToSqlOutput<'static> {
            ToSqlOutput::from_rc(
                Rc::new(values.iter().cloned().map(make).collect::<Vec<Owned>>()),
                c"rarray",
            )
        }
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Value::Bool(value) => ToSqlOutput::Borrowed(ValueRef::Integer((*value).into())),
            Value::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Value::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            Value::Ints(values) => array(values, Owned::Integer),
            Value::Texts(values) => array(values, Owned::Text),
            Value::BytesList(values) => array(values, Owned::Blob),
        })
    }
}

fn described(failure: &rusqlite::Error, sql: &str) -> Error {
    match error(failure) {
        Error::Engine(message) => Error::Engine(format!("{message} in: {sql}")),
        other => other,
    }
}

/// What a failure of SQLite means for the caller.
pub(crate) fn error(failure: &rusqlite::Error) -> Error {
    let message = failure.to_string();
    let rusqlite::Error::SqliteFailure(code, _) = failure else {
        return Error::Engine(message);
    };
    match code.code {
        ErrorCode::DiskFull => Error::DiskFull,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Conflict(message),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Corrupt(message),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
            Error::Unavailable(message)
        }
        ErrorCode::SystemIoFailure => match code.extended_code {
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_WRITE => {
                Error::Fatal(message)
            }
            _ => Error::Unavailable(message),
        },
        ErrorCode::ConstraintViolation => match code.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                Error::Duplicate(message)
            }
            _ => Error::Engine(message),
        },
        _ => Error::Engine(message),
    }
}
