//! Which accounts a list is asked for.

use super::Glob;
use crate::gate::Standing;
use crate::key::{AccountKey, PublicKey};
use crate::store::journal::{AccountHead, HeadState};

/// The state of an account, as people and tools are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// Its JWT is served.
    Live,
    /// The same, and the JWT has expired.
    Expired,
    /// Its JWT is not served, because the operator does not list the key that signed it.
    Withheld,
    /// A delete request deleted it.
    Deleted,
    /// Its file left a read-only folder.
    Removed,
}

impl AccountState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Live, Self::Expired, Self::Withheld, Self::Deleted, Self::Removed];

    /// Those of accounts that exist.
    pub const PRESENT: [Self; 3] = [Self::Live, Self::Expired, Self::Withheld];

    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Withheld => "withheld",
            Self::Deleted => "deleted",
            Self::Removed => "removed",
        }
    }

    /// The state of an [`AccountState::label`].
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.label() == label)
    }

    /// Whether its JWT is served.
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Live | Self::Expired)
    }

    /// The state of an account at `now`, unix seconds.
    pub(super) fn of(head: &AccountHead, standing: &Standing, now: i64) -> Self {
        match (head.state, &head.version) {
            (HeadState::Deleted(_), _) => Self::Deleted,
            (HeadState::Removed, _) => Self::Removed,
            (HeadState::Live, Some(version)) => Self::of_jwt(&version.issuer, version.exp, standing, now),
            (HeadState::Live, None) => Self::Live,
        }
    }

    /// The state of an account with a JWT that this key signed and that expires at `exp`, unix seconds; 0 is never.
    pub fn of_jwt(issuer: &PublicKey, exp: i64, standing: &Standing, now: i64) -> Self {
        match () {
            () if !standing.vouches(issuer) => Self::Withheld,
            () if exp > 0 && now > exp => Self::Expired,
            () => Self::Live,
        }
    }
}

/// Which accounts are wanted: those that fulfil all conditions.
#[derive(Debug, Clone)]
pub struct AccountFilter {
    /// Their states.
    pub states: Vec<AccountState>,
    /// Only this one.
    pub key: Option<AccountKey>,
    /// The pattern of their names.
    pub name: Option<Glob>,
    /// They expire before this, unix seconds.
    pub expires_before: Option<i64>,
    /// They changed since, unix milliseconds.
    pub changed_since: Option<i64>,
}

impl Default for AccountFilter {
    fn default() -> Self {
        let states = AccountState::PRESENT.to_vec();
        Self { states, key: None, name: None, expires_before: None, changed_since: None }
    }
}

impl AccountFilter {
    /// Whether an account in this state is wanted, its name aside. `exp`: when it expires, unix seconds; 0 is never.
    /// `changed`: when it was changed, unix milliseconds, if that is known.
    pub fn wants(&self, state: AccountState, exp: i64, changed: Option<i64>) -> bool {
        self.states.contains(&state)
            && self.expires_before.is_none_or(|before| 0 < exp && exp < before)
            && self.changed_since.is_none_or(|since| changed.is_some_and(|changed| changed >= since))
    }

    /// Whether an account of this name is wanted. One whose name is not known is not, if there is a pattern.
    pub fn wants_name(&self, name: Option<&str>) -> bool {
        self.name.as_ref().is_none_or(|pattern| name.is_some_and(|name| pattern.matches(name)))
    }
}
