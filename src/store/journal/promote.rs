//! Makes the store of a mirror that of a primary: it begins a session of its own, and writes from then on.
//!
//! What the mirror served before its upstream had ordered it becomes an ordinary change.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::error::StoreError;
use super::change::record;
use super::digests::{Digests, ToggleSet};
use super::head::{self, NO_CHANGE, Row};
use super::lacking::Lacking;
use super::open;
use super::schema::{Meta, Role};
use super::signers::{Signers, Tally};
use super::transaction::{Record, Transaction};
use super::upstream::Touched;
use crate::clock;
use crate::feed::digest::Toggle;
use crate::feed::{Content, Head, Session, Subject, SubjectKind};
use crate::gate::{Activation, Digest, Entry, OperatorChain, Standing, Tombstone, Via};
use crate::key::AccountKey;

/// The path that the changes record.
const VIA: Via = Via::Promotion;

/// What a promotion found, and made.
#[derive(Debug)]
pub struct Promoted {
    /// The position of the primary.
    pub head: Head,
    /// Accounts with a JWT.
    pub accounts: u64,
    /// Of these, how many are withheld.
    pub withheld: u64,
    /// Requests that deleted something.
    pub deletions: u64,
    /// Activations.
    pub activations: u64,
    /// Accounts of which the text of the newest version is not here.
    pub missing: Vec<AccountKey>,
    /// Deleted accounts whose delete request is not here.
    pub unproven: Vec<AccountKey>,
    /// What else is in the way.
    pub other: Vec<String>,
}

impl Promoted {
    /// Whether nothing is missing.
    pub const fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.unproven.is_empty() && self.other.is_empty()
    }
}

/// Promotes the store at `path`, which no other process uses, and trusts `standing` from then on. `decide` says whether to
/// go on with what was found; if not, nothing is changed. `cursor`: something that follows the journal, and how many changes
/// before the end it continues. `history`: earlier versions that are kept of each account.
pub fn promote(
    path: &Path,
    standing: &Standing,
    history: usize,
    cursor: (&str, u64),
    decide: impl FnOnce(&Promoted) -> bool,
) -> Result<Promoted, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let connection = open::open_as_it_is(path)?;
    let meta = open::load_meta(&connection, path)?;
    if meta.role == Role::Primary {
        return Err(StoreError::unusable(path, "it is a primary's already"));
    }
    let promote = || -> rusqlite::Result<Promoted> {
        let transaction = connection.unchecked_transaction()?;
        // No comparison runs beside it.
        let touched = Touched::default();
        let mut promotion = Promotion::begin(&transaction, meta, standing, history, &touched)?;
        let mut found = promotion.look()?;
        promotion.order_overlays()?;
        match standing.chain() {
            Some(chain) => promotion.operator(chain)?,
            None => promotion.no_operator()?,
        }
        (found.head, found.accounts) = promotion.finish(cursor)?;
        if decide(&found) {
            transaction.commit()?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(found)
    };
    promote().map_err(sqlite)
}

struct Promotion<'c> {
    transaction: Transaction<'c>,
    signers: Signers,
    digests: Digests,
}

impl<'c> Promotion<'c> {
    fn begin(
        connection: &'c Connection,
        meta: Meta,
        standing: &Standing,
        history: usize,
        touched: &'c Touched,
    ) -> rusqlite::Result<Self> {
        let (signers, digests) = (Signers::load(connection)?, Digests::load(connection, &meta)?);
        let standing = Arc::new(standing.clone());
        let transaction = Transaction::begin(connection, meta, history, standing, Tally::new(0), touched);
        Ok(Self { transaction, signers, digests })
    }

    /// Finds what is missing.
    fn look(&self) -> rusqlite::Result<Promoted> {
        let (connection, meta) = (self.transaction.connection, &self.transaction.meta);
        let lacking = Lacking::find(connection, meta)?;
        let other = lacking.other();
        let count = |query: &str| connection.query_row(query, [], |row| row.get(0));
        let withheld = self.signers.keys.iter().filter(|(key, _)| !self.transaction.standing.vouches(key));
        Ok(Promoted {
            head: meta.head,
            accounts: meta.count,
            withheld: withheld.map(|(_, signed)| signed.accounts).sum(),
            deletions: count(
                "SELECT count(DISTINCT deleted_row) FROM head INDEXED BY deleted WHERE kind = 1 AND deleted IS NOT NULL AND deleted_row <> 0 AND (issuer = x'' OR iat <= deleted)",
            )?,
            activations: count("SELECT count(DISTINCT key) FROM activation")?,
            missing: lacking.missing,
            unproven: lacking.unproven,
            other,
        })
    }

    /// Gives what upstream had not ordered a place in the order.
    fn order_overlays(&mut self) -> rusqlite::Result<()> {
        let (connection, log) = (self.transaction.connection, self.transaction.meta.log);
        let mut overlays = Vec::new();
        for kind in [SubjectKind::Account, SubjectKind::Activation] {
            let keys: Vec<[u8; 32]> = connection
                // Each part has an index, because a mirror has few of them among many.
                .prepare(
                    "SELECT key FROM head INDEXED BY overlay WHERE kind = ?1 AND leaf IS NOT NULL AND row <> 0
                     UNION SELECT key FROM head INDEXED BY textless WHERE kind = ?1 AND leaf IS NOT NULL AND row = 0
                     UNION SELECT key FROM head INDEXED BY flagged WHERE kind = ?1 AND flags <> 0 ORDER BY key",
                )?
                .query_map([kind], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            overlays.extend(keys.into_iter().map(|key| Subject::from_raw(kind, key)));
        }
        let mut requests = Vec::new();
        for subject in overlays {
            let Some(row) = head::load(connection, &log, &subject)? else { continue };
            match &subject {
                Subject::Account(_) if row.is_live() => self.order_account(&subject, &row)?,
                Subject::Account(_) if !row.held.is_live() && row.deleted_row != 0 => {
                    requests.push((row.deleted_row, subject, row));
                }
                Subject::Account(_) if row.removed != 0 && row.held.version().is_some() => {
                    self.order_removal(&subject, &row)?;
                }
                Subject::Activation(_) if row.row != 0 && row.removed == 0 => self.order_activation(&subject, &row)?,
                _ => self.settle(&subject, &row, Row { ordered: None, ..row.clone() })?,
            }
        }
        requests.sort_by_key(|(request, ..)| *request);
        for same in requests.chunk_by(|one, other| one.0 == other.0) {
            self.order_request(same)?;
        }
        Ok(())
    }

    fn order_account(&mut self, subject: &Subject, row: &Row) -> rusqlite::Result<()> {
        let found = self
            .transaction
            .connection
            .prepare_cached(
                "SELECT key, iat, exp, identity, issuer, digest, body FROM change WHERE id = ?1 AND body IS NOT NULL",
            )?
            .query_row([row.row], record)
            .optional()?;
        // A damaged text is pushed again by whoever has it.
        let Some(entry) = found.and_then(|record| Entry::reopen(record).ok()) else {
            return self.settle(subject, row, Row { row: 0, ordered: None, ..row.clone() });
        };
        let mut now = row.clone();
        now.is_level();
        let toggle = Toggle::between(subject, row.leaf(subject), now.leaf(subject));
        let entry = Arc::new(entry);
        let id = self
            .transaction
            .append(Content::Put(entry.clone()), Record::of_entry(&entry, VIA, clock::unix_millis(), &[toggle]))?;
        self.transaction.drop_body(row.row)?;
        now.row = id;
        self.transaction.settle(subject, row, &now, None)
    }

    /// An account that left a read-only folder, with a version that was served early.
    fn order_removal(&mut self, subject: &Subject, row: &Row) -> rusqlite::Result<()> {
        let (Subject::Account(key), Some(version)) = (subject, row.held.version()) else { return Ok(()) };
        let mut now = row.clone();
        now.is_level();
        let toggle = Toggle::between(subject, row.leaf(subject), now.leaf(subject));
        now.removed = self.transaction.append(
            Content::Removed { key: *key, digest: row.digest, identity: Some(version.identity) },
            Record::of_removal(
                subject,
                (&version.identity, version.iat),
                &row.digest,
                VIA,
                clock::unix_millis(),
                &[toggle],
            ),
        )?;
        self.transaction.settle(subject, row, &now, None)
    }

    fn order_activation(&mut self, subject: &Subject, row: &Row) -> rusqlite::Result<()> {
        let body: Option<Vec<u8>> = self
            .transaction
            .connection
            .prepare_cached("SELECT body FROM change WHERE id = ?1")?
            .query_row([row.row], |found| found.get(0))
            .optional()?
            .flatten();
        let Some(activation) = body.and_then(|body| Activation::reopen(&body, &row.digest)) else {
            return self.settle(subject, row, Row { row: 0, ordered: None, ..row.clone() });
        };
        let mut now = row.clone();
        now.is_level();
        let toggle = Toggle::between(subject, row.leaf(subject), now.leaf(subject));
        let activation = Arc::new(activation);
        now.row = self.transaction.append(
            Content::Activation(activation.clone()),
            Record::of_activation(&activation, VIA, clock::unix_millis(), &[toggle]),
        )?;
        self.transaction.drop_body(row.row)?;
        self.transaction.settle(subject, row, &now, None)
    }

    /// A request that deleted these accounts, whatever upstream had of them.
    fn order_request(&mut self, of: &[(i64, Subject, Row)]) -> rusqlite::Result<()> {
        let Some((request, ..)) = of.first() else { return Ok(()) };
        let body: Option<Vec<u8>> = self
            .transaction
            .connection
            .prepare_cached("SELECT body FROM change WHERE id = ?1")?
            .query_row([request], |found| found.get(0))
            .optional()?
            .flatten();
        let Some(tombstone) = body.and_then(|body| Tombstone::reopen(body.into())) else { return Ok(()) };
        let tombstone = Arc::new(tombstone);
        let toggles: Vec<Toggle> = of
            .iter()
            .map(|(_, subject, row)| Toggle::between(subject, row.leaf(subject), row.own_leaf(subject)))
            .collect();
        let digest: Digest = Sha256::digest(tombstone.request()).into();
        let id = self.transaction.append(
            Content::Delete(tombstone.clone()),
            Record::of_delete(&tombstone, VIA, clock::unix_millis(), &toggles, &digest),
        )?;
        for (_, subject, row) in of {
            let mut now = Row { deleted_row: id, ..row.clone() };
            now.is_level();
            self.transaction.settle(subject, row, &now, None)?;
        }
        Ok(())
    }

    /// What has no text here is remembered, and no change stands for it.
    fn settle(&mut self, subject: &Subject, before: &Row, mut now: Row) -> rusqlite::Result<()> {
        (now.is_ahead, now.is_doubted) = (false, false);
        if matches!(now.made_by(), 0 | NO_CHANGE) {
            now.set_ordered(subject, None, 0);
        }
        if let Subject::Account(_) = subject {
            self.transaction.count(before.counted(), now.counted());
        }
        self.transaction.settle_loose(subject, before, &now, None)
    }

    fn operator(&mut self, chain: &Arc<OperatorChain>) -> rusqlite::Result<()> {
        self.transaction.set_operator(chain, VIA, clock::unix_millis()).map(drop)
    }

    /// Without an operator in force, none is listed.
    fn no_operator(&mut self) -> rusqlite::Result<()> {
        let toggles = self.transaction.clear_operators()?;
        self.transaction.loose_toggles.extend(toggles);
        Ok(())
    }

    fn finish(mut self, (name, but): (&str, u64)) -> rusqlite::Result<(Head, u64)> {
        let meta = &mut self.transaction.meta;
        let session = Session::random();
        (meta.head.session, meta.log.session) = (session, session);
        (meta.role, meta.is_level, meta.is_whole) = (Role::Primary, true, true);
        meta.confirmed = (meta.head.serial, meta.head.chain);
        // What was replaced before is not known of each account.
        meta.log.lost = meta.head.serial;
        let connection = self.transaction.connection;
        let continues = meta.head.serial.saturating_sub(but).max(meta.log.floor.0);
        connection.execute("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)", params![name, continues])?;
        connection.execute("UPDATE meta SET replica = NULL", [])?;
        let signers = self.signers.after(&self.transaction.tally);
        self.transaction.write_meta(&signers)?;
        let Transaction { meta, toggles, loose_toggles, .. } = self.transaction;
        let toggles = ToggleSet { logged: toggles, loose: loose_toggles };
        self.digests.save_when_due(connection, &meta, &toggles, true)?;
        Ok((meta.head, meta.count))
    }
}
