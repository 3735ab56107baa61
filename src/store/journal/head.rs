//! The rows of `head`: what is remembered of each key, on whose grounds every change is decided.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::marks;
use super::schema::LogPlace;
use super::signers::Live;
use crate::feed::digest::{Leaf, LeafState};
use crate::feed::{Subject, SubjectKind};
use crate::gate::{Deletion, Digest, Held, Position, Tie, Version};
use crate::key::{Kind, PublicKey};

/// What [`read`] reads.
const COLUMNS: &str = "key, row, era, serial, iat, exp, identity, issuer, digest, ties, history, deleted, deleted_row,
                       deleted_issuer, removed, marks, leaf, under, flags, sum";
/// Bytes of a tie: identity and serial.
const TIE: usize = 40;

/// Stands for the change by which a key left, if that change is not here. No change has this id.
pub(super) const NO_CHANGE: i64 = i64::MIN;

/// What is said of a row that is not as it was written.
const WRONG_SUM: &str = "the sum of a row does not fit it";
/// Upstream has something older, or nothing, and is not expected to bring this.
const AHEAD: u8 = 1;
/// Upstream may have something newer that could not be applied.
const DOUBTED: u8 = 2;
/// Something is served although only a digest is known of what upstream ordered.
const UNSURE: u8 = 4;
/// What upstream ordered cannot be told to others, because the change that made it is not here.
const LOST: u8 = 8;

/// A row of `head`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// The change with the newest JWT; 0: its text is not here.
    pub(super) row: i64,
    pub(super) held: Held,
    pub(super) digest: Digest,
    pub(super) exp: i64,
    /// Changes with earlier versions, the oldest first.
    pub(super) history: Vec<i64>,
    /// The change with the request that deleted it; 0: it is not here.
    pub(super) deleted_row: i64,
    /// The change by which it left: an account a read-only folder, an activation because it had expired. 0: it has not.
    pub(super) removed: i64,
    /// What upstream ordered, if that is something else than what is held here.
    pub(super) ordered: Option<Ordered>,
    /// Whether upstream has something older, or nothing.
    pub(super) is_ahead: bool,
    /// Whether upstream may have something newer that could not be applied.
    pub(super) is_doubted: bool,
}

/// What upstream ordered of a key of which something else is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ordered {
    /// Its leaf; `None`: upstream has nothing. Of a key whose state is not here, only the first 8 bytes are known.
    pub(super) leaf: Option<Leaf>,
    /// The change with its text; 0: it is not here.
    pub(super) under: i64,
}

impl Row {
    /// The version that is live, if one is.
    pub(super) fn live(&self) -> Option<Version> {
        self.held.version().filter(|_| self.is_live()).copied()
    }

    /// Whether there is a text, no deletion covers it, and it did not leave.
    pub(super) fn is_live(&self) -> bool {
        self.held.is_live() && self.removed == 0 && self.row != 0
    }

    /// What of it is counted.
    pub(super) fn counted(&self) -> Option<Live> {
        self.live().map(|version| Live { issuer: version.issuer, digest: self.digest, exp: self.exp })
    }

    /// The leaf of what is held here.
    pub(super) fn own_leaf(&self, key: &Subject) -> Option<Leaf> {
        Leaf::standing(key, &self.held, self.removed != 0)
    }

    /// The leaf of the key in the digest tree: of what was ordered. On a primary a head without a change has none: it is only
    /// remembered, to reject what is older.
    pub(super) fn leaf(&self, key: &Subject) -> Option<Leaf> {
        match &self.ordered {
            Some(ordered) => ordered.leaf,
            None => self.own_leaf(key),
        }
    }

    /// The change that made the state that was ordered; 0: its text is not here.
    pub(super) fn made_by(&self) -> i64 {
        match (&self.ordered, self.held.deleted()) {
            (Some(ordered), _) => ordered.under,
            (None, Some(_)) if !self.held.is_live() => self.deleted_row,
            _ if self.removed != 0 => self.removed,
            _ => self.row,
        }
    }

    /// Whether an account is served, and it is not known whether that is later than what upstream ordered, because only a
    /// digest of that is known. It may be a deletion.
    pub(super) fn is_unsure(&self, key: &Subject) -> bool {
        self.is_opaque() && !self.is_ahead && self.is_live() && key.kind() == SubjectKind::Account
    }

    /// Whether the change that made what was ordered is not here, and only upstream has it. Keys of which no text or no delete
    /// request is here are found without that.
    pub(super) fn is_lost(&self, key: &Subject) -> bool {
        let is_deleted = self.held.deleted().is_some() && !self.held.is_live();
        let is_textless = self.row == 0 && self.removed == 0 && !is_deleted;
        let is_requestless = is_deleted && self.deleted_row == 0;
        // A head does not point to the operator's JWT, and what it is unsure of it is in doubt about.
        let is_found = is_textless || is_requestless || self.is_unsure(key) || key.kind() == SubjectKind::Operator;
        !is_found && matches!(self.made_by(), 0 | NO_CHANGE) && self.leaf(key).is_some()
    }

    /// Whether only a digest is known of what upstream ordered.
    pub(super) fn is_opaque(&self) -> bool {
        self.ordered.is_some_and(|ordered| ordered.leaf.is_some() && ordered.under == 0)
    }

    /// Notes that upstream has nothing later than what is held, and does not bring what is held either. That does not make it
    /// later than something of which only a digest is known.
    pub(super) fn note_ahead(&mut self, is_ahead: bool) {
        self.is_ahead = is_ahead && self.ordered.is_some() && (self.is_ahead || !self.is_opaque());
        self.is_doubted = false;
    }

    /// Whether only upstream can tell if what is here is what it has.
    pub(super) fn must_ask(&self, key: &Subject) -> bool {
        self.is_doubted || self.is_unsure(key)
    }

    /// Notes what upstream ordered, next to what is held.
    pub(super) fn set_ordered(&mut self, key: &Subject, leaf: Option<Leaf>, under: i64) {
        self.ordered = (leaf != self.own_leaf(key)).then_some(Ordered { leaf, under });
    }

    /// Notes that upstream ordered what is held.
    pub(super) fn is_level(&mut self) {
        (self.ordered, self.is_ahead, self.is_doubted) = (None, false, false);
    }

    /// Whether something is held that upstream, as far as is known, has not ordered.
    pub(super) fn is_overlay(&self, subject: &Subject) -> bool {
        self.ordered.is_some() && !self.is_unsure(subject)
    }

    /// The changes that it needs.
    pub(super) fn pointers(&self) -> impl Iterator<Item = i64> {
        let under = self.ordered.map_or(0, |ordered| ordered.under);
        [self.row, self.deleted_row, self.removed, under].into_iter().chain(self.history.iter().copied())
    }

    /// Whether it needs a change.
    pub(super) fn points_to(&self, id: i64) -> bool {
        self.pointers().any(|pointer| pointer == id)
    }

    fn flags(&self, key: &Subject) -> u8 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let (is_unsure, is_lost) = (flag(self.is_unsure(key), UNSURE), flag(self.is_lost(key), LOST));
        flag(self.is_ahead, AHEAD) | flag(self.is_doubted, DOUBTED) | is_unsure | is_lost
    }

    /// Whether the feed keeps current what is served of the key.
    pub(super) const fn is_ordered(&self) -> bool {
        self.ordered.is_none() && !self.is_doubted
    }
}

/// What was read of a row.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// It is as it was written.
    Sound(T),
    /// It differs from what was written.
    Damaged,
}

/// Loads the row of one key. A damaged one is an error.
pub(super) fn load(connection: &Connection, log: &LogPlace, subject: &Subject) -> rusqlite::Result<Option<Row>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM head WHERE kind = ?1 AND key = ?2"))?
        .query_row(params![subject.kind(), subject.raw()], |row| read(subject.kind(), log, row))
        .optional()?;
    match found {
        None => Ok(None),
        Some(Found::Sound((key, row))) if key == *subject => Ok(Some(row)),
        Some(_) => Err(damaged()),
    }
}

/// A row that is not as it was written.
pub(super) fn damaged() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(WRONG_SUM.to_owned()))
}

/// Whether an error is that of a row that is not as it was written.
pub(super) fn is_sum_wrong(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(_, Some(text)) if text == WRONG_SUM)
}

/// Reads the rows of a kind whose keys are not less than `from`, in the order of keys, for as long as `take` wants more. A
/// damaged row is an error.
pub(super) fn each_from(
    connection: &Connection,
    log: &LogPlace,
    kind: SubjectKind,
    from: &[u8],
    mut take: impl FnMut(Subject, Row) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    each_found(connection, log, kind, (from, None), |found| match found {
        Found::Sound((key, row)) => take(key, row),
        Found::Damaged => Err(damaged()),
    })
}

/// Reads the rows of a kind whose keys are in a range, sound or not.
pub(super) fn each_found(
    connection: &Connection,
    log: &LogPlace,
    kind: SubjectKind,
    (from, before): (&[u8], Option<&[u8]>),
    mut take: impl FnMut(Found<(Subject, Row)>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM head WHERE kind = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key"
    ))?;
    let mut rows = statement.query(params![kind, from, before])?;
    while let Some(row) = rows.next()? {
        if !take(read(kind, log, row)?)? {
            break;
        }
    }
    Ok(())
}

/// The first row that is not as it was written, by its kind and key. `None`: there is none.
pub(crate) fn find_damage(
    connection: &Connection,
    log: &LogPlace,
) -> rusqlite::Result<Option<(SubjectKind, Option<[u8; 32]>)>> {
    for kind in SubjectKind::ALL {
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM head WHERE kind = ?1 ORDER BY key"))?;
        let mut rows = statement.query([kind])?;
        while let Some(row) = rows.next()? {
            if let Found::Damaged = read(kind, log, row)? {
                return Ok(Some((kind, row.get(0).ok())));
            }
        }
    }
    Ok(None)
}

/// Writes the row of a key.
pub(super) fn save(connection: &Connection, log: &LogPlace, subject: &Subject, row: &Row) -> rusqlite::Result<()> {
    let columns = Columns::of(log, subject, row);
    connection
        .prepare_cached(
            "INSERT INTO head (kind, key, row, era, serial, iat, exp, identity, issuer, digest, ties, history, deleted,
                               deleted_row, deleted_issuer, removed, marks, leaf, under, flags, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
             ON CONFLICT (kind, key) DO UPDATE SET
                 row = ?3, era = ?4, serial = ?5, iat = ?6, exp = ?7, identity = ?8, issuer = ?9, digest = ?10, ties = ?11,
                 history = ?12, deleted = ?13, deleted_row = ?14, deleted_issuer = ?15, removed = ?16, marks = ?17,
                 leaf = ?18, under = ?19, flags = ?20, sum = ?21",
        )?
        .execute(params![
            subject.kind(),
            subject.raw(),
            columns.row,
            columns.era,
            columns.serial,
            columns.iat,
            columns.exp,
            columns.identity,
            columns.issuer,
            columns.digest,
            columns.ties,
            columns.history,
            columns.deleted,
            columns.deleted_row,
            columns.deleted_issuer,
            columns.removed,
            columns.marks,
            columns.leaf,
            columns.under,
            columns.flags,
            columns.sum(subject),
        ])
        .map(drop)
}

/// A row as the table has it, its key and sum aside.
#[derive(Debug)]
struct Columns {
    row: i64,
    era: i64,
    serial: i64,
    iat: i64,
    exp: i64,
    identity: Vec<u8>,
    issuer: Vec<u8>,
    digest: Digest,
    ties: Vec<u8>,
    history: Vec<u8>,
    deleted: Option<i64>,
    deleted_row: i64,
    deleted_issuer: Option<[u8; 32]>,
    removed: i64,
    marks: Vec<u8>,
    leaf: Option<Vec<u8>>,
    under: i64,
    flags: u8,
}

impl Columns {
    fn of(log: &LogPlace, key: &Subject, row: &Row) -> Self {
        let (version, deleted) = (row.held.version(), row.held.deleted());
        let serial = |at: Option<Position>| at.map_or(0, |at| write_place(log, at));
        let mut ties = Vec::with_capacity(row.held.ties().len() * TIE);
        for tie in row.held.ties() {
            ties.extend_from_slice(&tie.identity);
            ties.extend_from_slice(&serial(tie.at).to_be_bytes());
        }
        Self {
            row: row.row,
            era: log.era,
            serial: serial(row.held.position()),
            iat: version.map_or(0, |version| version.iat),
            exp: row.exp,
            identity: version.map(|version| version.identity.to_vec()).unwrap_or_default(),
            issuer: version.map(|version| version.issuer.raw().to_vec()).unwrap_or_default(),
            digest: row.digest,
            ties,
            history: row.history.iter().flat_map(|row| row.to_be_bytes()).collect(),
            deleted: deleted.map(|deleted| deleted.iat),
            deleted_row: row.deleted_row,
            deleted_issuer: deleted.map(|deleted| *deleted.issuer.raw()),
            removed: row.removed,
            marks: marks::write(row.held.marks()),
            leaf: row.ordered.map(|ordered| ordered.leaf.map(leaf_bytes).unwrap_or_default()),
            under: row.ordered.map_or(0, |ordered| ordered.under),
            flags: row.flags(key),
        }
    }

    /// The first bytes of a SHA-256 over all of it.
    fn sum(&self, subject: &Subject) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update([
            subject.kind().code(),
            self.flags,
            u8::from(self.deleted.is_some()),
            u8::from(self.leaf.is_some()),
        ]);
        hash.update(subject.raw());
        for number in [
            self.row,
            self.era,
            self.serial,
            self.iat,
            self.exp,
            self.deleted.unwrap_or(0),
            self.deleted_row,
            self.removed,
            self.under,
        ] {
            hash.update(number.to_be_bytes());
        }
        hash.update(self.digest);
        for bytes in [
            &self.identity[..],
            &self.issuer,
            &self.ties,
            &self.history,
            self.deleted_issuer.as_ref().map_or(&[][..], |issuer| &issuer[..]),
            &self.marks,
            self.leaf.as_deref().unwrap_or_default(),
        ] {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d, e, f, g, h]
    }

    /// `None`: a blob has not the length that it must have.
    fn row(&self, kind: SubjectKind, log: &LogPlace) -> Option<Row> {
        let of = if kind == SubjectKind::Activation { Kind::Account } else { Kind::Operator };
        let signer = |raw| PublicKey::from_raw(of, raw);
        let place = |serial: i64| read_place(log, self.era, serial);
        let version = match (<[u8; 32]>::try_from(&*self.issuer), <[u8; 32]>::try_from(&*self.identity)) {
            (Ok(issuer), Ok(identity)) => Some(Version { iat: self.iat, identity, issuer: signer(issuer) }),
            _ => None,
        };
        let mut ties = Vec::with_capacity(self.ties.len() / TIE);
        for tie in self.ties.as_chunks::<TIE>().0 {
            let (identity, serial) = (tie.first_chunk::<32>()?, tie.last_chunk::<8>()?);
            ties.push(Tie { identity: *identity, at: place(i64::from_be_bytes(*serial)) });
        }
        let deleted =
            self.deleted.zip(self.deleted_issuer).map(|(iat, issuer)| Deletion { iat, issuer: signer(issuer) });
        let held = Held::restore_placed(version, place(self.serial), ties, deleted, marks::read(&self.marks));
        let held = if log.has_ties_of(self.serial) { held } else { held.without_all_ties() };
        let leaf = match self.leaf.as_deref() {
            None => None,
            Some([]) => Some(None),
            Some(bytes) => Some(Some(read_leaf(bytes)?)),
        };
        Some(Row {
            row: self.row,
            held,
            digest: self.digest,
            exp: self.exp,
            history: self.history.as_chunks::<8>().0.iter().map(|row| i64::from_be_bytes(*row)).collect(),
            deleted_row: self.deleted_row,
            removed: self.removed,
            ordered: leaf.map(|leaf| Ordered { leaf, under: self.under }),
            is_ahead: self.flags & AHEAD != 0,
            is_doubted: self.flags & DOUBTED != 0,
        })
    }
}

fn read(kind: SubjectKind, log: &LogPlace, row: &rusqlite::Row<'_>) -> rusqlite::Result<Found<(Subject, Row)>> {
    let columns = || -> rusqlite::Result<([u8; 32], Columns, [u8; 8])> {
        let columns = Columns {
            row: row.get(1)?,
            era: row.get(2)?,
            serial: row.get(3)?,
            iat: row.get(4)?,
            exp: row.get(5)?,
            identity: row.get(6)?,
            issuer: row.get(7)?,
            digest: row.get(8)?,
            ties: row.get(9)?,
            history: row.get(10)?,
            deleted: row.get(11)?,
            deleted_row: row.get(12)?,
            deleted_issuer: row.get(13)?,
            removed: row.get(14)?,
            marks: row.get(15)?,
            leaf: row.get(16)?,
            under: row.get(17)?,
            flags: row.get(18)?,
        };
        Ok((row.get(0)?, columns, row.get(19)?))
    };
    // A value of another type is damage as well.
    let Ok((key, columns, sum)) = columns() else { return Ok(Found::Damaged) };
    let subject = Subject::from_raw(kind, key);
    Ok(match columns.row(kind, log) {
        Some(row) if columns.sum(&subject) == sum => Found::Sound((subject, row)),
        _ => Found::Damaged,
    })
}

/// A place as a number: of an earlier order it is negative, because nothing can be compared with it any more.
fn write_place(log: &LogPlace, at: Position) -> i64 {
    let serial = at.serial.cast_signed();
    if at.session == log.session.0 { serial } else { serial.saturating_neg() }
}

/// Reads a place back that was written in `era`; 0: none. One of an earlier order has a session of zeros.
fn read_place(log: &LogPlace, era: i64, serial: i64) -> Option<Position> {
    let is_present = log.has_place(era, serial);
    let session = if is_present { log.session.0 } else { [0; 16] };
    (serial != 0).then_some(Position { session, serial: serial.unsigned_abs() })
}

/// A leaf of which only the first 8 bytes are known is stored so.
fn leaf_bytes(leaf: Leaf) -> Vec<u8> {
    if leaf.0[8..].iter().all(|byte| *byte == 0) { leaf.0[..8].to_vec() } else { leaf.0.to_vec() }
}

fn read_leaf(bytes: &[u8]) -> Option<Leaf> {
    let mut leaf = [0; 32];
    match bytes.len() {
        8 | 32 => leaf[..bytes.len()].copy_from_slice(bytes),
        _ => return None,
    }
    Some(Leaf(leaf))
}

/// The leaf of a key that holds a version.
pub(super) fn leaf_of(subject: &Subject, version: &crate::gate::Identity) -> Leaf {
    Leaf::of(subject, &LeafState::Held(*version))
}
