//! Leases: which node does a piece of work, by the database's clock, fenced by an epoch.

use crate::{Database, Error, params};

/// A lease that this node holds. Work done under it is written only while its epoch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub epoch: i64,
}

impl Database {
    /// Takes or renews a lease for `for_ms`; none while another node holds it.
    pub async fn lease(&self, name: &str, for_ms: u64) -> Result<Option<Lease>, Error> {
        let (name, node) = (name.to_owned(), self.node());
        self.write(move |tx| {
            let now_ms = database_now_ms(tx)?;
            let row = tx.query_one(
                "INSERT INTO leases (name, epoch, holder, until_ms) VALUES ($1, 1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET
                     epoch = CASE WHEN leases.holder = excluded.holder THEN leases.epoch ELSE leases.epoch + 1 END,
                     holder = excluded.holder, until_ms = excluded.until_ms
                 WHERE leases.holder = excluded.holder OR leases.until_ms < $4
                 RETURNING epoch",
                params![&name, node, now_ms + for_ms as i64, now_ms],
            )?;
            Ok(row.map(|row| Lease { name: name.clone(), epoch: row.int(0) }))
        })
        .await
    }
}

/// The database's clock: one for all nodes, so that a node whose own clock is wrong fences nobody.
fn database_now_ms(tx: &mut crate::Tx<'_>) -> Result<i64, Error> {
    if !tx.is_shared() {
        return Ok(tx.now_ms() as i64);
    }
    let row = tx.query(
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        params![],
    )?;
    Ok(row[0].int(0))
}
