//! Whether a write is a change, by the head of what it is about: for the writer, which then makes it, and for a dry run, which
//! does not.

use rusqlite::{Connection, params};

use super::head::Row;
use crate::gate::{
    Activation, ActivationRefusal, Deletion, Entry, Ordering, Refusal, Standing, Tombstone, Version, Via,
};
use crate::key::AccountKey;

impl Row {
    /// Whether an account JWT is a change.
    pub(super) fn weigh_put(&self, entry: &Entry, via: Via, standing: &Standing) -> Result<bool, Refusal> {
        // It was admitted a moment ago; the operator JWT may be another one by now.
        if !standing.vouches(entry.issuer()) {
            return Err(Refusal::Untrusted(entry.issuer().text()));
        }
        // It is back in the folder that it had left, or was known without its text.
        let is_back = self.removed != 0 || self.row == 0;
        self.weigh(&entry.version(), via, standing).map(|is_newer| is_newer || is_back)
    }

    /// Whether an activation is a change, if its account may have it: see [`has_room`].
    pub(super) fn weigh_activation(&self, activation: &Activation, via: Via) -> Result<bool, Refusal> {
        // Whether its signer counts is asked of its account, and again at every change of that.
        self.weigh(&activation.version(), via, &Standing::default())
    }

    fn weigh(&self, version: &Version, via: Via, standing: &Standing) -> Result<bool, Refusal> {
        match self.held.order(version, via, None, standing) {
            Ordering::Newer => Ok(true),
            Ordering::Same => Ok(false),
            Ordering::Behind | Ordering::Refetch => Err(Refusal::Tie(version.iat)),
            Ordering::Refused(refusal) => Err(refusal),
        }
    }

    /// The head after a delete request. `None`: nothing changes, because this request or a later one has deleted the account.
    pub(super) fn weigh_delete(
        &self,
        key: &AccountKey,
        request: Deletion,
        standing: &Standing,
    ) -> Result<Option<Self>, Refusal> {
        self.held.order_delete(key, &request, standing)?;
        let mut after = self.clone();
        Ok(after.held.delete(request, standing).then_some(after))
    }
}

/// Whether a request may delete anything now. The operator JWT may be another one than when it was admitted.
pub(super) fn may_delete(tombstone: &Tombstone, standing: &Standing) -> Result<(), Refusal> {
    if standing.vouches(tombstone.issuer()) { Ok(()) } else { Err(Refusal::DeleteUntrusted) }
}

/// Whether an account may have an activation next to its others. `limit`: how many it may have.
pub(super) fn has_room(
    connection: &Connection,
    activation: &Activation,
    limit: u64,
) -> rusqlite::Result<Result<(), Refusal>> {
    let account = activation.account();
    let is_listed: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM activation WHERE account = ?1 AND key = ?2)")?
        .query_row(params![account.raw(), activation.id().raw()], |row| row.get(0))?;
    if is_listed {
        return Ok(Ok(()));
    }
    // No more is counted than the answer needs.
    let count: u64 = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM activation WHERE account = ?1 LIMIT ?2)")?
        .query_row(params![account.raw(), limit], |row| row.get(0))?;
    Ok(if count < limit { Ok(()) } else { Err(ActivationRefusal::TooMany { account: *account, limit }.into()) })
}
