//! Migrations: forward only, each in one transaction, each file saying what, why, and when its rows are deleted.

use crate::driver::{Connection, Driver};
use crate::{Error, params};

/// In order; a file's number is its place here. Never changed once released, only added to.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_stream", include_str!("migrations/0001_stream.sql")),
    ("0002_rooms", include_str!("migrations/0002_rooms.sql")),
    (
        "0003_personal",
        include_str!("migrations/0003_personal.sql"),
    ),
    (
        "0004_accounts",
        include_str!("migrations/0004_accounts.sql"),
    ),
    (
        "0005_encryption",
        include_str!("migrations/0005_encryption.sql"),
    ),
    ("0006_sync", include_str!("migrations/0006_sync.sql")),
];

/// Why a database is not used. Nothing in it was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    #[error(
        "this database was written by a newer Kith (schema {found}, this program knows {known}): start the newer program, or restore a backup made with this one"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "this database belongs to the server {found}, the settings name {wanted}: a server's name can never change; point `database` or `data_dir` elsewhere, or set `server_name` to {found}"
    )]
    OtherServer { found: String, wanted: String },
    #[error("the database file is damaged ({0}): restore the last backup; nothing was changed")]
    Damaged(String),
    #[error(transparent)]
    Storage(#[from] Error),
}

/// Looks without writing: is this database ours, and not from the future? Then brings its schema up to date.
pub(crate) fn migrate(
    driver: &dyn Driver,
    conn: &mut dyn Connection,
    name: &str,
    now_ms: u64,
) -> Result<(), Refusal> {
    let found = inspect(conn, name).map_err(|refusal| match refusal {
        Refusal::Storage(Error::Corrupt(message)) => Refusal::Damaged(message),
        other => other,
    })?;
    for (number, (_, sql)) in MIGRATIONS.iter().enumerate().skip(found) {
        conn.begin_write()?;
        let done = conn.batch(&driver.spell(sql)).and_then(|()| {
            conn.execute("UPDATE kith_schema SET version = $1", params![number + 1])
                .map(drop)
        });
        match done {
            Ok(()) => conn.commit()?,
            Err(error) => {
                conn.rollback()?;
                return Err(error.into());
            }
        }
    }
    if found == 0 {
        conn.begin_write()?;
        conn.execute(
            "INSERT INTO server (id, name, created_ms) VALUES (1, $1, $2)",
            params![name, now_ms],
        )?;
        conn.commit()?;
    }
    Ok(())
}

/// How many migrations the database has. Makes the table that counts them in an empty database.
fn inspect(conn: &mut dyn Connection, name: &str) -> Result<usize, Refusal> {
    let version = match conn.query("SELECT version FROM kith_schema", params![]) {
        Ok(rows) => rows.first().map_or(0, |row| row.int(0)),
        Err(Error::Engine(_)) => {
            conn.begin_write()?;
            conn.batch("CREATE TABLE kith_schema (version BIGINT NOT NULL); INSERT INTO kith_schema VALUES (0);")?;
            conn.commit()?;
            0
        }
        Err(error) => return Err(error.into()),
    };
    let known = MIGRATIONS.len() as i64;
    if version > known {
        return Err(Refusal::Newer {
            found: version,
            known,
        });
    }
    if version > 0 {
        let rows = conn.query("SELECT name FROM server WHERE id = 1", params![])?;
        if let Some(found) = rows
            .first()
            .map(|row| row.text(0))
            .filter(|found| found != name)
        {
            return Err(Refusal::OtherServer {
                found,
                wanted: name.to_owned(),
            });
        }
    }
    Ok(usize::try_from(version).unwrap_or_default())
}
