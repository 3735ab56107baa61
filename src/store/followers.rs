//! The replicas that follow a server, as its database remembers them: its journal.
//!
//! These rows are no part of the history: no change and no sum depends on them.

use rusqlite::{Connection, Row, params};

use crate::feed::{Chain, Head, Session};

/// The id of a replica: 16 random bytes.
pub type FollowerId = [u8; 16];

/// A replica, as it was last heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// Its id.
    pub id: FollowerId,
    /// Its name for people.
    pub name: String,
    /// How much it holds: `cache` or `mirror`.
    pub mode: String,
    /// The version of its program.
    pub version: String,
    /// The IP address that it came from.
    pub address: String,
    /// Whether its id outlives its process.
    pub is_lasting: bool,
    /// The position up to which it and its followers are current; `None`: unknown.
    pub position: Option<Head>,
    /// The number of its followers.
    pub below: u64,
    /// Whether it said goodbye.
    pub is_leaving: bool,
    /// When it was last heard, unix milliseconds.
    pub heard: i64,
}

/// A replica to remember, or (`None`) to forget.
pub type FollowerChange = (FollowerId, Option<Follower>);

pub(super) const TABLE: &str = "
CREATE TABLE follower (         -- the replicas that follow this server
    id       BLOB PRIMARY KEY,  -- 16 bytes
    name     TEXT    NOT NULL,
    mode     TEXT    NOT NULL,  -- 'cache' or 'mirror'
    version  TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    lasting  INTEGER NOT NULL,  -- 1: the id outlives the replica's process
    session  BLOB,              -- 16 bytes: the journal that it follows; null if it follows none
    serial   INTEGER NOT NULL,  -- up to where it and those behind it are current
    chain    BLOB,              -- 32 bytes, after that change
    below    INTEGER NOT NULL,  -- replicas behind it
    leaving  INTEGER NOT NULL,  -- 1: it said goodbye
    heard    INTEGER NOT NULL   -- unix milliseconds
) WITHOUT ROWID;
";

/// All of them. Blocks for a query.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Follower>> {
    let mut statement = connection.prepare(
        "SELECT id, name, mode, version, address, lasting, session, serial, chain, below, leaving, heard FROM follower",
    )?;
    statement.query_map([], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Follower> {
    let (session, chain): (Option<[u8; 16]>, Option<[u8; 32]>) = (row.get(6)?, row.get(8)?);
    let serial = row.get(7)?;
    Ok(Follower {
        id: row.get(0)?,
        name: row.get(1)?,
        mode: row.get(2)?,
        version: row.get(3)?,
        address: row.get(4)?,
        is_lasting: row.get(5)?,
        position: session.zip(chain).map(|(session, chain)| Head {
            session: Session(session),
            serial,
            chain: Chain(chain),
        }),
        below: row.get(9)?,
        is_leaving: row.get(10)?,
        heard: row.get(11)?,
    })
}

/// Remembers and forgets, within the transaction that is open.
pub(super) fn save(connection: &Connection, changes: &[FollowerChange]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO follower
         (id, name, mode, version, address, lasting, session, serial, chain, below, leaving, heard)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let mut drop = connection.prepare_cached("DELETE FROM follower WHERE id = ?1")?;
    for (id, follower) in changes {
        let Some(follower) = follower else {
            drop.execute([id])?;
            continue;
        };
        put.execute(params![
            id,
            follower.name,
            follower.mode,
            follower.version,
            follower.address,
            follower.is_lasting,
            follower.position.map(|position| position.session.0),
            follower.position.map_or(0, |position| position.serial),
            follower.position.map(|position| position.chain.0),
            follower.below,
            follower.is_leaving,
            follower.heard,
        ])?;
    }
    Ok(())
}
