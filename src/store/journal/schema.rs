//! The tables, their formats, and what leads from one format to the next.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension as _, ToSql};

use super::super::{followers, operator};
use super::nats_servers;
use crate::feed::{Chain, Head, Session, SubjectKind};
use crate::gate::Replaced;

/// The version that this program writes. It only moves forward: an older journal is migrated, a newer one rejected.
pub(super) const VERSION: i64 = 7;
/// Marks the file as ours, for `file(1)` and for the check at open.
pub(super) const APPLICATION_ID: i64 = 0x4e41_5331;

/// The column `kind` of `head` and `change`.
impl ToSql for SubjectKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.code().into())
    }
}

/// Statements that a connection keeps prepared: more than there are, or some would be parsed again at each use.
pub(super) const STATEMENTS: usize = 64;

/// Format 4, from which every journal starts. Those before it were never released.
pub(super) const TABLES: &str = "
CREATE TABLE meta (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    session BLOB    NOT NULL,  -- 16 bytes
    serial  INTEGER NOT NULL,  -- of the last change
    chain   BLOB    NOT NULL,  -- 32 bytes, after the last change
    count   INTEGER NOT NULL   -- live accounts
);
CREATE TABLE change (
    serial   INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,  -- unix milliseconds
    op       INTEGER NOT NULL,  -- 'p' put, 'd' delete
    kind     INTEGER NOT NULL,  -- 1 account, 2 operator, 3 activation
    via      TEXT    NOT NULL,
    key      BLOB,              -- 32 bytes; null for a delete, whose request names the keys
    iat      INTEGER NOT NULL,
    exp      INTEGER NOT NULL,
    identity BLOB    NOT NULL,  -- SHA-256 of the signing input
    issuer   BLOB,              -- 32 bytes of the operator key
    digest   BLOB    NOT NULL,  -- SHA-256 of the body
    chain    BLOB    NOT NULL,
    body     BLOB,              -- null once it is beyond the history
    toggles  BLOB               -- of each key: 2 bytes of its bucket, and XOR of its leaves before and after
);
CREATE TABLE head (
    kind           INTEGER NOT NULL,
    key            BLOB    NOT NULL,  -- 32 bytes
    serial         INTEGER NOT NULL,  -- the change with the newest JWT; 0 if there never was one, or not here
    iat            INTEGER NOT NULL,
    exp            INTEGER NOT NULL,
    identity       BLOB    NOT NULL,
    issuer         BLOB    NOT NULL,  -- empty if there never was a JWT
    digest         BLOB    NOT NULL,
    ties           BLOB    NOT NULL,  -- identities replaced at the same iat, 32 bytes each
    history        BLOB    NOT NULL,  -- serials of kept earlier versions, 8 bytes each, oldest first
    deleted        INTEGER,           -- iat of the newest delete request
    deleted_serial INTEGER,
    deleted_issuer BLOB,              -- 32 bytes of the operator key that signed the deletion
    removed        INTEGER NOT NULL DEFAULT 0,   -- serial of the change by which it left a read-only folder
    marks          BLOB    NOT NULL DEFAULT x'', -- of each other key that signed: 32 bytes, iat, reach
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE VIEW live AS         -- accounts with a JWT that neither was deleted nor left a read-only folder
    SELECT key, serial, iat, exp, identity, issuer, digest FROM head
    WHERE kind = 1 AND serial <> 0 AND removed = 0 AND (deleted IS NULL OR iat > deleted);
CREATE INDEX expiry ON head (kind, exp) WHERE kind = 1 AND exp > 0;
CREATE TABLE cursor (
    name   TEXT PRIMARY KEY,
    serial INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE withdrawn (
    issuer BLOB PRIMARY KEY,  -- 32 bytes of an operator key that is no longer listed
    at     INTEGER NOT NULL   -- iat of the operator JWT that left it out
) WITHOUT ROWID;
CREATE TABLE signer (
    issuer   BLOB PRIMARY KEY,  -- 32 bytes of an operator key
    accounts INTEGER NOT NULL,  -- live accounts whose JWT it signed
    sum      BLOB    NOT NULL   -- 32 bytes: XOR of the digests of those JWTs
) WITHOUT ROWID;
CREATE TABLE activation (     -- those whose text is kept
    account BLOB NOT NULL,    -- 32 bytes of the account that vouches
    key     BLOB NOT NULL,    -- 32 bytes of the hash
    PRIMARY KEY (account, key)
) WITHOUT ROWID;
CREATE INDEX activation_key ON activation (key);
CREATE TABLE digest (                       -- the digest tree
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    serial  INTEGER NOT NULL,               -- as of which change
    toggles BLOB    NOT NULL                -- what makes it from an empty one
);
";
/// The format of [`TABLES`].
pub(super) const FIRST: i64 = 4;

/// From format 4 to 5: the operator JWTs in force are a chain. Before, there was one, which the identity key had signed.
const FORMAT_5: &str = "
ALTER TABLE change ADD COLUMN links TEXT; -- of an operator JWT: the links before it in its chain, one a line
";

/// What leads from one format to the next.
pub(super) struct Migration {
    pub(super) tables: &'static str,
    /// Fills in what SQL cannot compute.
    pub(super) fill: fn(&Connection) -> rusqlite::Result<()>,
}

/// From format 4 to 5, and so on.
pub(super) const MIGRATIONS: [Migration; 3] = [
    Migration { tables: FORMAT_5, fill: fill_5 },
    // From format 5 to 6.
    Migration { tables: followers::TABLE, fill: |_| Ok(()) },
    // From format 6 to 7.
    Migration { tables: nats_servers::TABLE, fill: |_| Ok(()) },
];

/// Makes the chain of what there was.
fn fill_5(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(operator::TABLES)?;
    let Some((jwt, iat, ties)) = newest_operator(connection)? else { return Ok(()) };
    let replaced: Vec<_> =
        ties.as_chunks::<32>().0.iter().map(|identity| Replaced { iat, identity: *identity }).collect();
    connection.execute("UPDATE head SET ties = x'' WHERE kind = ?1", [SubjectKind::Operator])?;
    operator::write(connection, "identity", [&*jwt], &replaced)
}

/// Of a journal before format 5: the operator JWT in force, its `iat`, and what it replaced at that time.
pub(super) fn newest_operator(connection: &Connection) -> rusqlite::Result<Option<(String, i64, Vec<u8>)>> {
    connection
        .query_row(
            "SELECT CAST(c.body AS TEXT), h.iat, h.ties FROM head h JOIN change c ON c.serial = h.serial
             WHERE h.kind = ?1 ORDER BY h.serial DESC LIMIT 1",
            [SubjectKind::Operator],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
}

/// The row of `meta`.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) head: Head,
    pub(crate) count: u64,
}

/// The journal's position.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    connection.query_row("SELECT session, serial, chain FROM meta WHERE id = 1", [], |row| {
        Ok(Head { session: Session(row.get(0)?), serial: row.get(1)?, chain: Chain(row.get(2)?) })
    })
}
