//! The nats-servers that a primary knows: which of them have to answer after a restart, and how far each was compared with
//! the journal.

use rusqlite::{Connection, params};

/// A nats-server, as it was last known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    /// Its id: the public key that it makes at every start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its cluster; empty if it has none.
    pub cluster: String,
    /// The host that it is configured with.
    pub host: String,
    /// Its release.
    pub version: String,
    /// Up to this change it was compared.
    pub compared: u64,
    /// When that was written down, unix milliseconds.
    pub noted: i64,
    /// Whether it was gone without a word.
    pub is_gone: bool,
}

/// A nats-server to remember, or (`None`) to forget.
pub type NatsServerChange = (String, Option<NatsServer>);

pub(super) const TABLE: &str = "
CREATE TABLE nats_server (      -- the nats-servers that are known
    id       TEXT PRIMARY KEY,
    name     TEXT    NOT NULL,
    cluster  TEXT    NOT NULL,
    host     TEXT    NOT NULL,
    version  TEXT    NOT NULL,
    compared INTEGER NOT NULL,  -- up to this change it was compared
    noted    INTEGER NOT NULL,  -- unix milliseconds
    gone     INTEGER NOT NULL   -- 1: it was gone without a word
) WITHOUT ROWID;
";

/// Remembers and forgets, within the transaction that is open.
pub(super) fn save(connection: &Connection, changes: &[NatsServerChange]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO nats_server (id, name, cluster, host, version, compared, noted, gone)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut drop = connection.prepare_cached("DELETE FROM nats_server WHERE id = ?1")?;
    for (id, server) in changes {
        match server {
            Some(NatsServer { name, cluster, host, version, compared, noted, is_gone, .. }) => {
                put.execute(params![id, name, cluster, host, version, compared, noted, is_gone])?
            }
            None => drop.execute([id])?,
        };
    }
    Ok(())
}

/// All of them. Blocks for a query.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<NatsServer>> {
    let mut statement =
        connection.prepare("SELECT id, name, cluster, host, version, compared, noted, gone FROM nats_server")?;
    let servers = statement.query_map([], |row| {
        Ok(NatsServer {
            id: row.get(0)?,
            name: row.get(1)?,
            cluster: row.get(2)?,
            host: row.get(3)?,
            version: row.get(4)?,
            compared: row.get(5)?,
            noted: row.get(6)?,
            is_gone: row.get(7)?,
        })
    })?;
    servers.collect()
}
