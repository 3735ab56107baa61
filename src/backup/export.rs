//! Reads the accounts of a journal that this process does not own, one after another.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::feed::SubjectKind;
use crate::gate::operator::{Arrival, admit};
use crate::gate::{Entry, OperatorRefusal, Trust};
use crate::key::AccountKey;
use crate::store::journal::lacking::Lacking;
use crate::store::journal::{change, open, schema};
use crate::store::{StoreError, operator};

/// An account of a journal, as an export gets it.
#[derive(Debug, Clone)]
pub enum Exported {
    /// An account's JWT.
    Account(Arc<Entry>),
    /// The text of an account's JWT is damaged.
    Damaged(AccountKey),
    /// An account was deleted by a request of this time, unix seconds.
    Deleted(AccountKey, i64),
}

/// Reads the accounts of the journal at `path`: first the deleted ones, then, in the order of their keys, those whose signers
/// the operator vouches for. All are as of one moment, and expired ones are included. It ends when `take` returns false. A
/// server may be writing the journal.
///
/// Fails if it is the journal of a replica that may lack accounts. The operator JWT is the configured one if it may take the place of the journal's, else the journal's.
pub fn export(
    path: &Path,
    configured: Option<Arc<Trust>>,
    arrival: &Arrival,
    mut take: impl FnMut(Exported) -> bool,
) -> Result<Option<Arc<Trust>>, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let connection = open::open_foreign(path)?;
    connection.execute_batch("BEGIN").map_err(sqlite)?;
    let meta = schema::meta(&connection).map_err(sqlite)?;
    if let Some(why) = Lacking::find(&connection, &meta).map_err(sqlite)?.accounts() {
        return Err(StoreError::unusable(path, incomplete(why)));
    }
    let kept = operator::load(&connection).map_err(sqlite)?;
    let trust = match (kept, configured) {
        (Some(kept), Some(configured)) => match admit(&kept, &configured, arrival) {
            Ok(Some(next)) => Some(next.in_force().clone()),
            Err(OperatorRefusal::Other { .. }) => Some(configured),
            Ok(None) | Err(_) => Some(kept.in_force().clone()),
        },
        (kept, configured) => configured.or_else(|| kept.map(|kept| kept.in_force().clone())),
    };
    each(&connection, trust.as_deref(), &mut take).map_err(sqlite)?;
    Ok(trust)
}

/// Says that a journal may lack something, and what to do.
pub(crate) fn incomplete(why: &str) -> String {
    format!(
        "{why}: do this at its primary, or at a mirror that is in sync; if the primary is lost, see `promote --help`"
    )
}

fn each(
    connection: &Connection,
    trust: Option<&Trust>,
    take: &mut impl FnMut(Exported) -> bool,
) -> rusqlite::Result<()> {
    let mut deleted = connection.prepare(
        "SELECT key, deleted FROM head INDEXED BY deleted WHERE kind = ?1 AND deleted IS NOT NULL AND (issuer = x'' OR iat <= deleted)",
    )?;
    let mut rows = deleted.query(params![SubjectKind::Account])?;
    while let Some(row) = rows.next()? {
        if !take(Exported::Deleted(AccountKey::from_raw(row.get(0)?), row.get(1)?)) {
            return Ok(());
        }
    }
    let mut live = connection.prepare(
        "SELECT l.key, l.iat, l.exp, l.identity, l.issuer, l.digest, coalesce(c.body, x'')
         FROM live l LEFT JOIN change c ON c.id = l.row ORDER BY l.key",
    )?;
    let mut rows = live.query([])?;
    while let Some(row) = rows.next()? {
        let found = match Entry::reopen(change::record(row)?) {
            Ok(entry) if trust.is_some_and(|trust| !trust.vouches(&entry.issuer().text())) => continue,
            Ok(entry) => Exported::Account(Arc::new(entry)),
            Err(damaged) => Exported::Damaged(damaged.0),
        };
        if !take(found) {
            return Ok(());
        }
    }
    Ok(())
}
