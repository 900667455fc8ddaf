//! PostgreSQL, the engine for several nodes on one database.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::driver::{Connection, Driver, Role, Spelling, replace_placeholders};
use crate::{Error, Position, Row, Value};

/// The channel that tells other nodes that the stream has grown.
pub(crate) const CHANNEL: &str = "kith_stream";

/// Statements sent ahead of their answers in one go: bounds what the server must buffer for us.
const PIPELINE_MAX: usize = 256;

pub(crate) struct Postgres {
    config: Config,
    runtime: Handle,
    notifier: tokio::sync::watch::Sender<i64>,
}

impl Postgres {
    /// Checks the address. `url` is `postgres://user@host/database` or a key-value string.
    pub(crate) fn new(url: &str, runtime: Handle) -> Result<Self, Error> {
        let mut config: Config = url
            .parse()
            .map_err(|e: tokio_postgres::Error| Error::Unavailable(e.to_string()))?;
        config.application_name("kith");
        let (notifier, _) = tokio::sync::watch::channel(0);
        Ok(Self {
            config,
            runtime,
            notifier,
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Sends one `NOTIFY` for all commits since the last, on a connection of its own, outside of any transaction.
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver of a connection ends with the connection, which its owner drops"
    )]
    pub(crate) async fn notify_forever(
        config: Config,
        mut heads: tokio::sync::watch::Receiver<i64>,
    ) {
        while heads.changed().await.is_ok() {
            let Ok((client, connection)) = config.connect(NoTls).await else {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            };
            let driven = tokio::task::spawn(connection);
            loop {
                let head = *heads.borrow_and_update();
                let sent = client
                    .execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &head.to_string()])
                    .await;
                if sent.is_err() || heads.changed().await.is_err() {
                    break;
                }
            }
            driven.abort();
        }
    }

    pub(crate) fn heads(&self) -> tokio::sync::watch::Receiver<i64> {
        self.notifier.subscribe()
    }
}

impl Driver for Postgres {
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver of a connection ends with the connection, which its owner drops"
    )]
    fn connect(&self, _role: Role) -> Result<Box<dyn Connection>, Error> {
        let client = self.runtime.block_on(async {
            let (client, connection) = self.config.connect(NoTls).await.map_err(|e| error(&e))?;
            tokio::task::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "a database connection ended");
                }
            });
            // An acknowledged write is durable, whatever the server's default says.
            client
                .batch_execute("SET synchronous_commit = on; SET standard_conforming_strings = on")
                .await
                .map_err(|e| error(&e))?;
            Ok(client)
        })?;
        Ok(Box::new(PostgresConnection {
            client,
            runtime: self.runtime.clone(),
            statements: HashMap::new(),
            spelling: Spelling::new(spell_statement),
        }))
    }

    fn spell(&self, migration: &str) -> String {
        migration
            .replace("{id}", "BIGINT PRIMARY KEY")
            .replace("{int}", "BIGINT")
            .replace("{bool}", "BOOLEAN")
            .replace("{bytes}", "BYTEA")
            .replace("{text}", "TEXT COLLATE \"C\"")
            .replace("{clustered}", "")
    }

    fn notify(&self, head: Position) {
        self.notifier.send_replace(head.0);
    }
}

fn spell_statement(sql: &str) -> String {
    replace_placeholders(sql, |n| format!("= ANY(${n})"), |n| format!("${n}"))
}

struct PostgresConnection {
    client: Client,
    runtime: Handle,
    statements: HashMap<Arc<str>, Statement>,
    spelling: Spelling,
}

/// Prepared statements kept per connection; the code has a few hundred, generated ones are forgotten.
const STATEMENTS_MAX: usize = 1024;

impl PostgresConnection {
    fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        let sql = self.spelling.of(sql);
        if let Some(statement) = self.statements.get(&sql) {
            return Ok(statement.clone());
        }
        let statement = self
            .runtime
            .block_on(self.client.prepare(&sql))
            .map_err(|e| described(&e, &sql))?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

fn refs(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect()
}

impl Connection for PostgresConnection {
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql)?;
        let rows = self
            .runtime
            .block_on(self.client.query(&statement, &refs(params)))
            .map_err(|e| described(&e, sql))?;
        rows.iter().map(read_row).collect()
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let statement = self.prepare(sql)?;
        self.runtime
            .block_on(self.client.execute(&statement, &refs(params)))
            .map_err(|e| described(&e, sql))
    }

    fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<u64, Error> {
        let statement = self.prepare(sql)?;
        let mut touched = 0;
        for chunk in rows.chunks(PIPELINE_MAX) {
            let bound: Vec<_> = chunk.iter().map(|row| refs(row)).collect();
            let running = bound
                .iter()
                .map(|params| self.client.execute(&statement, params));
            let counts = self
                .runtime
                .block_on(try_join_all(running))
                .map_err(|e| described(&e, sql))?;
            touched += counts.iter().sum::<u64>();
        }
        Ok(touched)
    }

    fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.runtime
            .block_on(self.client.batch_execute(sql))
            .map_err(|e| described(&e, sql))
    }

    fn begin_read(&mut self) -> Result<(), Error> {
        self.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn begin_write(&mut self) -> Result<(), Error> {
        self.batch("BEGIN ISOLATION LEVEL READ COMMITTED")
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.batch("COMMIT")
    }

    fn rollback(&mut self) -> Result<(), Error> {
        self.batch("ROLLBACK")
    }

    fn is_usable(&self) -> bool {
        !self.client.is_closed()
    }
}

fn read_row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(row.len());
    for (index, column) in row.columns().iter().enumerate() {
        let value = match *column.type_() {
            Type::INT8 => row.get::<_, Option<i64>>(index).map(Value::Int),
            Type::INT4 => row
                .get::<_, Option<i32>>(index)
                .map(|v| Value::Int(v.into())),
            Type::BOOL => row.get::<_, Option<bool>>(index).map(Value::Bool),
            Type::TEXT | Type::VARCHAR | Type::NAME => {
                row.get::<_, Option<String>>(index).map(Value::Text)
            }
            Type::BYTEA => row.get::<_, Option<Vec<u8>>>(index).map(Value::Bytes),
            ref other => {
                return Err(Error::Engine(format!(
                    "column {} has type {other}",
                    column.name()
                )));
            }
        };
        values.push(value.unwrap_or(Value::Null));
    }
    Ok(Row(values))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Value::Int(value) if *ty == Type::BOOL => (*value != 0).to_sql(ty, out),
            Value::Int(value) => value.to_sql(ty, out),
            Value::Bool(value) => value.to_sql(ty, out),
            Value::Text(value) => value.to_sql(ty, out),
            Value::Bytes(value) => value.to_sql(ty, out),
            Value::Ints(values) => values.to_sql(ty, out),
            Value::Texts(values) => values.to_sql(ty, out),
            Value::BytesList(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn described(failure: &tokio_postgres::Error, sql: &str) -> Error {
    match error(failure) {
        Error::Engine(message) => Error::Engine(format!("{message} in: {sql}")),
        other => other,
    }
}

/// What a failure of PostgreSQL means for the caller, by its SQLSTATE class.
pub(crate) fn error(failure: &tokio_postgres::Error) -> Error {
    let Some(db) = failure.as_db_error() else {
        let cause = failure
            .source()
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        return if failure.is_closed() || failure.source().is_some_and(|s| s.is::<std::io::Error>())
        {
            Error::Unavailable(format!("{failure}{cause}"))
        } else {
            Error::Engine(format!("{failure}{cause}"))
        };
    };
    let message = format!("{}: {}", db.code().code(), db.message());
    match db.code().code() {
        "40001" | "40P01" => Error::Conflict(message),
        "23505" => Error::Duplicate(message),
        "53100" => Error::DiskFull,
        "XX001" | "XX002" => Error::Corrupt(message),
        code if code.starts_with("08") || code.starts_with("57P") => Error::Unavailable(message),
        code if code.starts_with("53") => Error::Unavailable(message),
        _ => Error::Engine(message),
    }
}

/// Calls `changed` when another node says that the stream has grown, and once a second in any case, until it
/// answers false.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver of a connection ends with the connection, which its owner drops"
)]
pub(crate) async fn listen_forever<F, W>(config: Config, changed: F)
where
    F: Fn() -> W,
    W: Future<Output = bool>,
{
    // The slow poll: notifications are speed, never truth.
    const POLL: std::time::Duration = std::time::Duration::from_secs(1);
    loop {
        let Ok((client, mut connection)) = config.connect(NoTls).await else {
            tokio::time::sleep(POLL).await;
            continue;
        };
        let (wake, mut woken) = tokio::sync::mpsc::channel::<()>(1);
        let driven = tokio::task::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|cx| connection.poll_message(cx)).await
            {
                if matches!(message, tokio_postgres::AsyncMessage::Notification(_)) {
                    // Full means that a look is due already.
                    let _ = wake.try_send(());
                }
            }
        });
        let listening = client
            .batch_execute(&format!("LISTEN {CHANNEL}"))
            .await
            .is_ok();
        while listening && !driven.is_finished() {
            let _ = tokio::time::timeout(POLL, woken.recv()).await;
            if !changed().await {
                driven.abort();
                return;
            }
        }
        driven.abort();
    }
}
