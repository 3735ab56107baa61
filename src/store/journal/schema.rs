//! The tables of the journal, and its state row.

use std::sync::LazyLock;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params};

use super::super::{followers, operator};
use super::nats_servers;
use crate::feed::{Chain, Head, Session, SubjectKind};

/// The version of the format. A file of another version is refused.
pub(super) const VERSION: i64 = 10;
/// Marks the file as ours, for `file(1)` and for the check at open.
pub(super) const APPLICATION_ID: i64 = 0x4e41_5331;

/// The column `kind` of `head` and `change`.
impl ToSql for SubjectKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.code().into())
    }
}

/// The ids of texts outside the order are above this, and negative. They rise, because the database packs what it appends: pages
/// of what is put in front of the rest stay half empty.
const BEFORE_LOOSE: i64 = -(1 << 62);

/// Statements that a connection keeps prepared: more than there are, or some would be parsed again at each use.
pub(super) const STATEMENTS: usize = 96;

/// What the journal consists of, besides what [`followers`], [`nats_servers`] and [`operator`] add.
///
/// A change has an `id` of its own, because an order can end and another one begin: the ids of the log of the present session are
/// `base + serial`, and those of the log before are lower. A text that came outside the order has a negative id.
const TABLES: &str = "
CREATE TABLE meta (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    role        TEXT    NOT NULL, -- 'primary', 'mirror' or 'cache'
    session     BLOB,             -- 16 bytes; null: a replica that has not followed a feed
    serial      INTEGER NOT NULL, -- of the last change
    chain       BLOB    NOT NULL, -- 32 bytes, after the last change
    count       INTEGER NOT NULL, -- live accounts
    era         INTEGER NOT NULL, -- counts the orders
    lost        INTEGER NOT NULL, -- upstream may have lost what has a serial up to here; on a primary: that is from when it was
                                  -- a mirror
    since       INTEGER NOT NULL, -- the first of the orders with this session
    reach       INTEGER NOT NULL, -- the latest place in this session of anything here
    base        INTEGER NOT NULL, -- the id of a change of this order is base + serial
    floor       INTEGER NOT NULL, -- the log begins after this serial
    floor_chain BLOB    NOT NULL, -- 32 bytes, at the floor
    confirmed       INTEGER NOT NULL, -- everything is current up to this serial
    confirmed_chain BLOB    NOT NULL, -- 32 bytes, at that serial
    level       INTEGER NOT NULL, -- 1: it was compared with upstream, and is the same up to the serial
    whole       INTEGER NOT NULL, -- 1: every key that upstream has is known
    loose       INTEGER NOT NULL, -- the id that was given last to a text outside the order
    heard       INTEGER NOT NULL, -- when the primary was last heard, unix milliseconds; 0: never
    replica     BLOB              -- 16 bytes: the id of this replica upstream
);
CREATE TABLE change (
    id       INTEGER PRIMARY KEY,
    serial   INTEGER NOT NULL,  -- its place in the order in which it came; 0: unknown
    at       INTEGER NOT NULL,  -- when it was committed, unix milliseconds
    op       INTEGER NOT NULL,  -- 'p' put, 'd' delete, 'r' remove
    kind     INTEGER NOT NULL,  -- 1 account, 2 operator, 3 activation; 0: passed on as it is
    via      TEXT    NOT NULL,  -- the path on which it came to this server
    actor    TEXT,              -- who sent it to this server: its address, and behind a tab its certificate; null: unknown
    key      BLOB,              -- 32 bytes; null for a delete, whose request names the keys
    iat      INTEGER NOT NULL,
    exp      INTEGER NOT NULL,
    identity BLOB    NOT NULL,  -- SHA-256 of the signing input
    issuer   BLOB,              -- 32 bytes of the operator key
    digest   BLOB    NOT NULL,  -- SHA-256 of the body
    chain    BLOB    NOT NULL,  -- empty outside the order
    body     BLOB,              -- null once it is beyond the history
    toggles  BLOB,              -- of each key: 2 bytes of its bucket, and XOR of its leaves before and after
    links    TEXT               -- of an operator JWT: the links before it in its chain, one a line
);
CREATE TABLE head (
    kind        INTEGER NOT NULL,
    key         BLOB    NOT NULL, -- 32 bytes
    row         INTEGER NOT NULL, -- the change with the newest JWT; 0 if its text is not here
    era         INTEGER NOT NULL, -- the order of the places
    serial      INTEGER NOT NULL, -- the place of the newest JWT; 0: unknown, negative: in an earlier order
    iat         INTEGER NOT NULL,
    exp         INTEGER NOT NULL,
    identity    BLOB    NOT NULL,
    issuer      BLOB    NOT NULL, -- empty if there never was a JWT
    digest      BLOB    NOT NULL,
    ties        BLOB    NOT NULL, -- versions replaced at the same iat: identity, 8 bytes of their place
    history     BLOB    NOT NULL, -- changes with earlier versions, 8 bytes each, oldest first
    deleted     INTEGER,          -- iat of the newest delete request
    deleted_row INTEGER NOT NULL, -- the change with it; 0: it is not here
    deleted_issuer BLOB,          -- 32 bytes of the operator key that signed the deletion
    removed     INTEGER NOT NULL, -- the change by which it left a read-only folder or expired; 0: it has not
    marks       BLOB    NOT NULL, -- of each other key that signed: 32 bytes, iat, reach
    leaf        BLOB,             -- of what upstream ordered, if that is something else; empty: nothing. Its first 8 or all 32 bytes
    under       INTEGER NOT NULL, -- the change with what upstream ordered, if that is something else; 0: it is not here
    flags       INTEGER NOT NULL, -- 1: upstream has something older, or nothing; 2: it may have something newer; 4: only the
                                  -- digest of what it has is known; 8: the change that made what it has is not here
    sum         BLOB    NOT NULL, -- 8 bytes over the row
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE VIEW live AS         -- accounts with a JWT that neither was deleted nor left a read-only folder
    SELECT key, row, serial, iat, exp, identity, issuer, digest FROM head
    WHERE kind = 1 AND row <> 0 AND removed = 0 AND (deleted IS NULL OR iat > deleted);
CREATE INDEX expiry ON head (kind, exp) WHERE kind = 1 AND exp > 0;
CREATE INDEX flagged ON head (kind, key, flags) WHERE flags <> 0;
CREATE INDEX textless ON head (kind, key) WHERE row = 0;
CREATE INDEX overlay ON head (kind, key) WHERE leaf IS NOT NULL AND row <> 0;
CREATE INDEX deleted ON head (kind, key) WHERE deleted IS NOT NULL;
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
    era     INTEGER NOT NULL,
    serial  INTEGER NOT NULL,               -- as of which change
    toggles BLOB    NOT NULL                -- what makes it from an empty one
);
CREATE TABLE toggle (                       -- what has become of the tree since, outside the order
    id      INTEGER PRIMARY KEY,
    toggles BLOB    NOT NULL
);
";

/// Makes the tables in an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    for tables in [TABLES, operator::TABLES, followers::TABLE, nats_servers::TABLE] {
        connection.execute_batch(tables)?;
    }
    connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}"))
}

/// The names of all tables, views and indexes, and of their columns. A bit of such a name that changed would be found by the
/// first statement that has it, which may come late.
pub(super) fn parts(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(
            "SELECT type || ' ' || name || ' ' || tbl_name FROM sqlite_schema
             UNION ALL SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
             ORDER BY 1",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// What [`parts`] returns at least of a journal that is as it was made.
pub(super) static EXPECTED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let made = Connection::open_in_memory().and_then(|connection| {
        create(&connection)?;
        parts(&connection)
    });
    made.unwrap_or_default()
});

/// What decides about the order of a journal's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Itself.
    Primary,
    /// The feed of an upstream server, all of which is kept.
    Mirror,
    /// The same, and the texts are kept of what was asked for.
    Cache,
}

impl Role {
    /// The name in the state row.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Mirror => "mirror",
            Self::Cache => "cache",
        }
    }

    /// The role of a [`Role::label`].
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Primary, Self::Mirror, Self::Cache].into_iter().find(|role| role.label() == label)
    }
}

/// The row of `meta`.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) role: Role,
    /// The position. A replica that has not followed a feed has a session of zeros.
    pub(crate) head: Head,
    pub(crate) count: u64,
    /// Where the log of this order is.
    pub(crate) log: LogPlace,
    /// Up to where everything is current.
    pub(crate) confirmed: (u64, Chain),
    /// Whether it was compared with upstream since this order began.
    pub(crate) is_level: bool,
    /// Whether every key that upstream has is known.
    pub(crate) is_whole: bool,
    /// The id that was given last to a text outside the order.
    pub(crate) loose: i64,
    /// Keys of which upstream has something older, or nothing. Counted at open.
    pub(crate) ahead: u64,
    /// Keys of which upstream may have something newer. Counted at open.
    pub(crate) doubted: u64,
}

impl Meta {
    /// Why it may lack something that its primary has, by its state row. `None`: it does not.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        match self.role {
            Role::Primary => None,
            Role::Cache => Some("it is a cache's, which holds only what was asked for"),
            Role::Mirror if !self.log.has_session() => Some("it has received nothing yet"),
            Role::Mirror if !self.is_level => Some("the mirror had not yet received everything that its primary held"),
            Role::Mirror => None,
        }
    }

    /// Writes the state row.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { role, head, count, log, confirmed, is_level, is_whole, loose, .. } = self;
        connection
            .prepare_cached(
                "UPDATE meta SET role = ?1, session = ?2, serial = ?3, chain = ?4, count = ?5, era = ?6, base = ?7,
                                 floor = ?8, floor_chain = ?9, confirmed = ?10, confirmed_chain = ?11, level = ?12,
                                 whole = ?13, loose = ?14, since = ?15,
                                 lost = ?16, reach = ?17
                 WHERE id = 1",
            )?
            .execute(params![
                role.label(),
                log.has_session().then_some(head.session.0),
                head.serial,
                head.chain.0,
                count,
                log.era,
                log.base,
                log.floor.0,
                log.floor.1.0,
                confirmed.0,
                confirmed.1.0,
                is_level,
                is_whole,
                loose,
                log.since,
                log.lost,
                log.reach,
            ])
            .map(drop)
    }
}

/// Where in the table the log of the present order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogPlace {
    /// The session of the order; zeros if none is followed.
    pub(crate) session: Session,
    pub(crate) era: i64,
    /// The first of the orders with this session.
    pub(crate) since: i64,
    /// Serials of this session up to here may be of a history that upstream has lost. Those of a primary are from when it was a mirror.
    pub(crate) lost: u64,
    /// The latest place in this session of anything here. An answer of upstream may be later than what the feed has brought.
    pub(crate) reach: u64,
    pub(crate) base: i64,
    /// The log begins after this serial, with this chain value.
    pub(crate) floor: (u64, Chain),
}

impl LogPlace {
    /// Whether a place that was written in an order is one of this session.
    pub(crate) fn has_place(&self, era: i64, serial: i64) -> bool {
        serial > 0 && era >= self.since && self.has_session()
    }

    /// Whether upstream may have lost what had this place of its session. It says nothing of what is known to be ordered.
    pub(crate) const fn may_be_lost(&self, serial: u64) -> bool {
        serial <= self.lost
    }

    /// Whether a primary knows what was replaced in the second of a JWT with this place. What it has from the time when it was a
    /// mirror may have come by a comparison.
    pub(super) const fn has_ties_of(&self, serial: i64) -> bool {
        self.lost == 0 || serial > self.lost.cast_signed()
    }

    /// The id of a change of this order.
    pub(crate) const fn id(&self, serial: u64) -> i64 {
        self.base.saturating_add(serial.cast_signed())
    }

    /// The order that is followed; 0: none.
    pub(crate) fn followed(&self) -> u64 {
        if self.has_session() { self.era.unsigned_abs() } else { 0 }
    }

    /// Whether a feed is followed, or owned.
    pub(crate) fn has_session(&self) -> bool {
        self.session != Session([0; 16])
    }
}

/// Counts the keys with a flag.
pub(super) fn count_flagged(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection.query_row(
        "SELECT count(*) FILTER (WHERE flags & 1), count(*) FILTER (WHERE flags & 6) FROM head INDEXED BY flagged WHERE flags <> 0",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Reads the state row. Flagged keys are not counted.
pub(crate) fn meta(connection: &Connection) -> rusqlite::Result<Meta> {
    connection
        .prepare_cached(
            "SELECT role, session, serial, chain, count, era, base, floor, floor_chain, confirmed, confirmed_chain, level,
                    whole, loose, since, lost, reach
             FROM meta WHERE id = 1",
        )?
        .query_row([], |row| {
            let session = Session(row.get::<_, Option<[u8; 16]>>(1)?.unwrap_or_default());
            let role = Role::from_label(row.get_ref(0)?.as_str()?);
            Ok(Meta {
                role: role.ok_or_else(|| rusqlite::Error::InvalidColumnType(0, "role".into(), rusqlite::types::Type::Text))?,
                head: Head { session, serial: row.get(2)?, chain: Chain(row.get(3)?) },
                count: row.get(4)?,
                log: LogPlace { session, era: row.get(5)?,
                    since: row.get(14)?,
                    lost: row.get(15)?,
                    reach: row.get(16)?, base: row.get(6)?, floor: (row.get(7)?, Chain(row.get(8)?)) },
                confirmed: (row.get(9)?, Chain(row.get(10)?)),
                is_level: row.get(11)?,
                is_whole: row.get(12)?,
                loose: row.get(13)?,
                ahead: 0,
                doubted: 0,
            })
        })
}

/// Writes the first state row.
pub(super) fn begin(connection: &Connection, role: Role) -> rusqlite::Result<()> {
    let session = (role == Role::Primary).then(|| Session::random().0);
    connection
        .execute(
            "INSERT INTO meta (id, role, session, serial, chain, count, era, base, floor, floor_chain, confirmed,
                               confirmed_chain, level, whole, loose, heard, since, lost, reach)
             VALUES (1, ?1, ?2, 0, ?3, 0, 1, 0, 0, ?3, 0, ?3, ?4, ?4, ?5, 0, 1, 0, 0)",
            (role.label(), session, Chain::default().0, role == Role::Primary, BEFORE_LOOSE),
        )
        .map(drop)
}

/// The journal's position.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    meta(connection).map(|meta| meta.head)
}
