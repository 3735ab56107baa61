//! The rows of `seen` and `copy`, and the sums by which a damaged one is known.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::super::marks;
use crate::gate::{Deletion, Held, Identity, Position, Standing, Tie, Version};
use crate::key::{AccountKey, Kind, PublicKey};

/// Bytes of a tie: identity, session, serial.
const TIE: usize = 56;

/// What was seen of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What upstream gave. Nothing older is accepted.
    pub held: Held,
    /// A later version that is served and that upstream did not give: it was heard over NATS, or found on disk.
    pub heard: Option<Version>,
    /// The request that deleted it last, if it is known.
    pub deleted_by: Option<Identity>,
    /// Whether it left the read-only folder that the primary serves.
    pub removed: bool,
    /// Whether a comparison found something older at the primary, or nothing.
    pub ahead: bool,
}

impl Seen {
    /// The newest version.
    pub fn newest(&self) -> Option<&Version> {
        self.heard.as_ref().or(self.held.version())
    }

    /// Whether the operator signed anything that was seen of it.
    pub fn is_known(&self) -> bool {
        self.newest().is_some() || self.held.deleted().is_some()
    }

    /// Whether there is a version, and no deletion covers it. It may still be withheld.
    pub fn is_live(&self) -> bool {
        self.heard.is_some() || self.held.is_live()
    }

    /// The same, and it did not leave the read-only folder.
    pub fn is_served(&self) -> bool {
        self.is_live() && !self.removed
    }

    /// What it must not roll back from, whatever the source.
    pub fn as_one(&self, standing: &Standing) -> Held {
        let mut held = self.held.clone();
        if let Some(heard) = self.heard {
            held.put(heard, None, standing);
        }
        held
    }
}

/// A JWT that is kept, as it arrived. It has to pass the gate again before it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The account.
    pub key: AccountKey,
    /// The JWT.
    pub jwt: Bytes,
    /// Where its primary committed it, if that is known.
    pub at: Option<Position>,
    /// The stretch of feed in which it was confirmed; 0: none.
    pub stretch: u64,
    /// When the primary last confirmed it, unix milliseconds.
    pub confirmed: i64,
}

/// What was read of a row.
#[derive(Debug)]
pub(super) enum RowRead<T> {
    Sound(T),
    /// The row differs from what was written.
    Damaged,
}

/// The first bytes of a SHA-256 over fields, each after its length.
#[derive(Clone, Default)]
pub(super) struct RowSum(Sha256);

impl RowSum {
    pub(super) fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn number(self, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.field(&number.to_be_bytes()),
            None => self.field(&[]),
        }
    }

    pub(super) fn optional(self, bytes: Option<&[u8]>) -> Self {
        self.field(bytes.unwrap_or_default())
    }

    pub(super) fn finish(self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(self.0.finalize());
        [a, b, c, d, e, f, g, h]
    }
}

pub(super) fn slice<const N: usize>(bytes: Option<&[u8; N]>) -> Option<&[u8]> {
    bytes.map(|bytes| &bytes[..])
}

/// The columns of `seen` after the key.
#[derive(Debug, PartialEq, Eq)]
struct Columns {
    iat: Option<i64>,
    identity: Option<[u8; 32]>,
    issuer: Option<[u8; 32]>,
    session: Option<[u8; 16]>,
    serial: Option<u64>,
    ties: Vec<u8>,
    marks: Vec<u8>,
    deleted: Option<i64>,
    deleted_issuer: Option<[u8; 32]>,
    deleted_by: Option<Identity>,
    removed: bool,
    ahead: bool,
    heard: Option<i64>,
    heard_identity: Option<[u8; 32]>,
    heard_issuer: Option<[u8; 32]>,
}

impl Columns {
    fn of(seen: &Seen) -> Self {
        let (version, at, deleted) = (seen.held.version(), seen.held.position(), seen.held.deleted());
        Self {
            iat: version.map(|version| version.iat),
            identity: version.map(|version| version.identity),
            issuer: version.map(|version| *version.issuer.raw()),
            session: at.map(|at| at.session),
            serial: at.map(|at| at.serial),
            ties: seen.held.ties().iter().flat_map(write_tie).collect(),
            marks: marks::write(seen.held.marks()),
            deleted: deleted.map(|deleted| deleted.iat),
            deleted_issuer: deleted.map(|deleted| *deleted.issuer.raw()),
            deleted_by: seen.deleted_by,
            removed: seen.removed,
            ahead: seen.ahead,
            heard: seen.heard.map(|heard| heard.iat),
            heard_identity: seen.heard.map(|heard| heard.identity),
            heard_issuer: seen.heard.map(|heard| *heard.issuer.raw()),
        }
    }

    fn seen(&self) -> Seen {
        let signer = |raw| PublicKey::from_raw(Kind::Operator, raw);
        let version = |iat: Option<i64>, identity: Option<Identity>, issuer: Option<[u8; 32]>| {
            Some(Version { iat: iat?, identity: identity?, issuer: signer(issuer?) })
        };
        let heard = version(self.heard, self.heard_identity, self.heard_issuer);
        let version = version(self.iat, self.identity, self.issuer);
        let at = self.session.zip(self.serial).map(|(session, serial)| Position { session, serial });
        let ties = self.ties.as_chunks::<TIE>().0.iter().map(read_tie).collect();
        let deleted =
            self.deleted.zip(self.deleted_issuer).map(|(iat, issuer)| Deletion { iat, issuer: signer(issuer) });
        let held = Held::restore_placed(version, at, ties, deleted, marks::read(&self.marks));
        Seen { held, heard, deleted_by: self.deleted_by, removed: self.removed, ahead: self.ahead }
    }

    /// What a row of format 1 says, which did not tell what upstream gave from what was heard. Only upstream gives places.
    fn seen_1(&self) -> Seen {
        let Seen { held, .. } = self.seen();
        let heard = held.version().filter(|_| held.is_live() && !self.removed && held.position().is_none()).copied();
        let held = match heard {
            Some(_) => Held::restore(None, Vec::new(), held.deleted().copied(), held.marks().to_vec()),
            None => held,
        };
        Seen { held, heard, deleted_by: self.deleted_by, removed: self.removed, ahead: self.ahead }
    }

    /// The sum of a row, and the one that it had in format 1.
    fn sums(&self, key: &[u8; 32]) -> ([u8; 8], [u8; 8]) {
        let of_1 = RowSum::default()
            .field(key)
            .number(self.iat)
            .optional(slice(self.identity.as_ref()))
            .optional(slice(self.issuer.as_ref()))
            .optional(slice(self.session.as_ref()))
            .number(self.serial.map(u64::cast_signed))
            .field(&self.ties)
            .field(&self.marks)
            .number(self.deleted)
            .optional(slice(self.deleted_issuer.as_ref()))
            .optional(slice(self.deleted_by.as_ref()))
            .field(&[u8::from(self.removed), u8::from(self.ahead)]);
        let sum = of_1
            .clone()
            .number(self.heard)
            .optional(slice(self.heard_identity.as_ref()))
            .optional(slice(self.heard_issuer.as_ref()));
        (sum.finish(), of_1.finish())
    }
}

fn write_tie(tie: &Tie) -> [u8; TIE] {
    let mut bytes = [0; TIE];
    bytes[..32].copy_from_slice(&tie.identity);
    if let Some(at) = tie.at {
        bytes[32..48].copy_from_slice(&at.session);
        bytes[48..].copy_from_slice(&at.serial.to_be_bytes());
    }
    bytes
}

fn read_tie(bytes: &[u8; TIE]) -> Tie {
    let (mut identity, mut session, mut serial) = ([0; 32], [0; 16], [0; 8]);
    identity.copy_from_slice(&bytes[..32]);
    session.copy_from_slice(&bytes[32..48]);
    serial.copy_from_slice(&bytes[48..]);
    let serial = u64::from_be_bytes(serial);
    Tie { identity, at: (serial != 0).then_some(Position { session, serial }) }
}

/// The columns of `seen`, in the order of [`read_seen`].
pub(super) const SEEN: &str = "key, iat, identity, issuer, session, serial, ties, marks, deleted, deleted_issuer, \
                               deleted_by, removed, ahead, heard, heard_identity, heard_issuer, sum";

pub(super) fn read_seen(row: &Row) -> rusqlite::Result<RowRead<(AccountKey, Seen)>> {
    let columns = || -> rusqlite::Result<([u8; 32], Columns, [u8; 8])> {
        let columns = Columns {
            iat: row.get(1)?,
            identity: row.get(2)?,
            issuer: row.get(3)?,
            session: row.get(4)?,
            serial: row.get(5)?,
            ties: row.get(6)?,
            marks: row.get(7)?,
            deleted: row.get(8)?,
            deleted_issuer: row.get(9)?,
            deleted_by: row.get(10)?,
            removed: row.get(11)?,
            ahead: row.get(12)?,
            heard: row.get(13)?,
            heard_identity: row.get(14)?,
            heard_issuer: row.get(15)?,
        };
        Ok((row.get(0)?, columns, row.get(16)?))
    };
    // A value of another type is damage as well.
    let Ok((key, columns, sum)) = columns() else { return Ok(RowRead::Damaged) };
    let seen = match columns.sums(&key) {
        (now, _) if now == sum => columns.seen(),
        (_, before) if before == sum && columns.heard.is_none() => columns.seen_1(),
        _ => return Ok(RowRead::Damaged),
    };
    Ok(RowRead::Sound((AccountKey::from_raw(key), seen)))
}

pub(super) fn load_seen(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<RowRead<Seen>>> {
    connection
        .prepare_cached(&format!("SELECT {SEEN} FROM seen WHERE key = ?1"))?
        .query_row([key.raw()], |row| {
            Ok(match read_seen(row)? {
                RowRead::Sound((found, seen)) if found == *key => RowRead::Sound(seen),
                _ => RowRead::Damaged,
            })
        })
        .optional()
}

pub(super) fn save_seen(connection: &Connection, key: &AccountKey, seen: &Seen) -> rusqlite::Result<()> {
    let columns = Columns::of(seen);
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO seen ({SEEN})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
        ))?
        .execute(params![
            key.raw(),
            columns.iat,
            columns.identity,
            columns.issuer,
            columns.session,
            columns.serial,
            columns.ties,
            columns.marks,
            columns.deleted,
            columns.deleted_issuer,
            columns.deleted_by,
            columns.removed,
            columns.ahead,
            columns.heard,
            columns.heard_identity,
            columns.heard_issuer,
            columns.sums(key.raw()).0,
        ])
        .map(drop)
}

/// The sum that a row had in format 1.
#[cfg(test)]
pub(super) fn sum_in_format_1(key: &AccountKey, seen: &Seen) -> [u8; 8] {
    Columns::of(seen).sums(key.raw()).1
}

/// The columns of `copy`, in the order of [`read_copy`].
pub(super) const COPY: &str = "key, jwt, session, serial, stretch, confirmed, sum";

fn sum_of(copy: &Copy) -> [u8; 8] {
    RowSum::default()
        .field(copy.key.raw())
        .field(&copy.jwt)
        .optional(slice(copy.at.as_ref().map(|at| &at.session)))
        .number(copy.at.map(|at| at.serial.cast_signed()))
        .number(Some(copy.stretch.cast_signed()))
        .number(Some(copy.confirmed))
        .finish()
}

pub(super) fn read_copy(row: &Row) -> rusqlite::Result<RowRead<Copy>> {
    let copy = || -> rusqlite::Result<(Copy, [u8; 8])> {
        let jwt: Vec<u8> = row.get(1)?;
        let (session, serial): (Option<[u8; 16]>, Option<u64>) = (row.get(2)?, row.get(3)?);
        let copy = Copy {
            key: AccountKey::from_raw(row.get(0)?),
            jwt: jwt.into(),
            at: session.zip(serial).map(|(session, serial)| Position { session, serial }),
            stretch: row.get(4)?,
            confirmed: row.get(5)?,
        };
        Ok((copy, row.get(6)?))
    };
    Ok(match copy() {
        Ok((copy, sum)) if sum_of(&copy) == sum => RowRead::Sound(copy),
        _ => RowRead::Damaged,
    })
}

pub(super) fn load_copy(connection: &Connection, key: &AccountKey) -> rusqlite::Result<Option<RowRead<Copy>>> {
    connection
        .prepare_cached(&format!("SELECT {COPY} FROM copy WHERE key = ?1"))?
        .query_row([key.raw()], |row| {
            Ok(match read_copy(row)? {
                RowRead::Sound(copy) if copy.key == *key => RowRead::Sound(copy),
                _ => RowRead::Damaged,
            })
        })
        .optional()
}

pub(super) fn save_copy(connection: &Connection, copy: &Copy) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO copy (key, jwt, session, serial, stretch, confirmed, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (key) DO UPDATE SET jwt = ?2, session = ?3, serial = ?4, stretch = ?5, confirmed = ?6, sum = ?7",
        )?
        .execute(params![
            copy.key.raw(),
            &copy.jwt[..],
            copy.at.map(|at| at.session),
            copy.at.map(|at| at.serial),
            copy.stretch,
            copy.confirmed,
            sum_of(copy),
        ])
        .map(drop)
}

pub(super) fn drop_copy(connection: &Connection, key: &AccountKey) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM copy WHERE key = ?1")?.execute([key.raw()]).map(drop)
}

/// Reads what was seen from a key on, in the order of keys, for as long as `each` wants more.
pub(super) fn each_seen(
    connection: &Connection,
    from: &[u8],
    mut each: impl FnMut(RowRead<(AccountKey, Seen)>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!("SELECT {SEEN} FROM seen WHERE key >= ?1 ORDER BY key"))?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        if !each(read_seen(row)?)? {
            break;
        }
    }
    Ok(())
}
