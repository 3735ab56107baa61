//! Which accounts a list is asked for.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api;
use crate::key::AccountKey;
use crate::node::{AccountFilter, AccountState};

/// Which accounts are wanted: as a filter, and as the query of a URL.
#[derive(Debug)]
pub(in crate::commands) struct Wanted {
    pub(super) filter: AccountFilter,
    pub(super) query: String,
}

impl Wanted {
    /// Those that fulfil all conditions. `name`: a pattern or a key; `states`: none is those of accounts that exist;
    /// `expires_before` and `changed_since`: unix seconds. The error is what is expected of the name.
    pub(in crate::commands) fn new(
        name: Option<&str>,
        states: &[AccountState],
        expires_before: Option<i64>,
        changed_since: Option<i64>,
    ) -> Result<Self, String> {
        let mut filter = AccountFilter { expires_before, ..AccountFilter::default() };
        let mut query = String::new();
        let mut add = |parameter: &str, value: &str| {
            query.push_str(&format!("&{parameter}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        };
        if let Some(name) = name {
            api::want_name(&mut filter, name)?;
            add("name", name);
        }
        if !states.is_empty() {
            filter.states = states.to_vec();
            add("state", &states.iter().map(|state| state.label()).collect::<Vec<_>>().join(","));
        }
        if let Some(before) = expires_before {
            add("expires_before", &before.to_string());
        }
        if let Some(since) = changed_since {
            filter.changed_since = Some(since.saturating_mul(1000));
            add("changed_since", &since.to_string());
        }
        Ok(Self { filter, query })
    }

    /// One account, whatever its state.
    pub(super) fn account(key: &AccountKey) -> Self {
        let filter = AccountFilter { states: AccountState::ALL.to_vec(), key: Some(*key), ..AccountFilter::default() };
        Self { filter, query: format!("&name={key}&state={}", AccountState::ALL.map(AccountState::label).join(",")) }
    }
}
