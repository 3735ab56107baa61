//! What the store of a replica may lack. `backup`, `restore`, `promote` and `export` ask here.

use rusqlite::Connection;

use super::schema::{Meta, Role};
use crate::feed::SubjectKind;
use crate::key::AccountKey;

/// What the store of a replica may lack.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    /// Why it may lack anything.
    state: Option<&'static str>,
    /// Of so many keys, the primary may have had something else.
    doubted: u64,
    /// Accounts of which the text of the newest version is not here.
    pub(super) missing: Vec<AccountKey>,
    /// Deleted accounts whose delete request is not here.
    pub(super) unproven: Vec<AccountKey>,
}

impl Lacking {
    /// Looks what a store lacks. A primary lacks nothing that another server has.
    pub(crate) fn find(connection: &Connection, meta: &Meta) -> rusqlite::Result<Self> {
        if meta.role == Role::Primary {
            return Ok(Self::default());
        }
        let keys = |index: &str, condition: &str| -> rusqlite::Result<Vec<AccountKey>> {
            connection
                .prepare(&format!(
                    "SELECT key FROM head INDEXED BY {index} WHERE kind = ?1 AND {condition} ORDER BY key"
                ))?
                .query_map([SubjectKind::Account], |row| Ok(AccountKey::from_raw(row.get(0)?)))?
                .collect()
        };
        Ok(Self {
            state: meta.lacks(),
            doubted: meta.doubted,
            missing: keys(
                "textless",
                "row = 0 AND removed = 0 AND coalesce(length(leaf), length(issuer)) > 0 AND (deleted IS NULL OR iat > deleted)",
            )?,
            unproven: keys("deleted", "deleted_row = 0 AND deleted IS NOT NULL AND (issuer = x'' OR iat <= deleted)")?,
        })
    }

    /// Why it may lack accounts. `None`: it has all.
    pub(crate) fn accounts(&self) -> Option<&'static str> {
        let missing = "the mirror had not yet received the JWT of each account that its primary held";
        self.state.or((!self.missing.is_empty()).then_some(missing))
    }

    /// What is in the way besides the accounts that are listed.
    pub(super) fn other(&self) -> Vec<String> {
        let doubted = (self.doubted > 0).then(|| {
            format!("of {} accounts, the primary may have had something else than what the mirror served", self.doubted)
        });
        self.state.map(str::to_owned).into_iter().chain(doubted).collect()
    }

    /// Why it is not whole: the first reason. `None`: nothing is missing.
    pub(crate) fn why(&self) -> Option<String> {
        let unproven = "the mirror had not yet received the delete request of each account that its primary deleted";
        let unproven = (!self.unproven.is_empty()).then_some(unproven);
        self.accounts().or(unproven).map(str::to_owned).or_else(|| self.other().into_iter().next())
    }
}
