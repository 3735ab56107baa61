//! What the parameters of a query can be, as the OpenAPI document says it.

use serde_json::{Value, json};

use super::ask::MOST;
use super::audit::OUTCOMES;
use crate::node::{AccountState, LONGEST_PATTERN};

/// What the value of a parameter is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given {
    /// The items of a page.
    Limit,
    /// The cursor of a page.
    Cursor,
    /// The serial of a version.
    Serial,
    /// The key of an account.
    Key,
    /// A pattern of names.
    Pattern,
    /// Some states of accounts.
    States,
    /// A moment, or a time from it.
    Moment,
    /// The outcome of a line of the audit log.
    Outcome,
}

/// A time such as `1h30m`, unix seconds, or RFC 3339.
const MOMENT: &str = "^(-?[0-9]{1,18}|([0-9]{1,6}(ms|s|m|h|d|w))+\
                      |[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))$";

impl Given {
    /// Its schema. What it cannot say (the sum in a key, the days of a month) is a problem in the answer.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Limit => json!({ "type": "integer", "minimum": 1, "maximum": MOST, "default": super::ask::LIMIT }),
            Self::Cursor => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{44}$" }),
            Self::Serial => json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX }),
            Self::Key => json!({ "type": "string", "pattern": "^A[A-Z2-7]{55}$" }),
            Self::Pattern => json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_PATTERN }),
            Self::States => {
                let one = format!("({})", AccountState::ALL.map(AccountState::label).join("|"));
                json!({ "type": "string", "pattern": format!("^{one}(,{one})*$") })
            }
            Self::Moment => json!({ "type": "string", "pattern": MOMENT }),
            Self::Outcome => json!({ "type": "string", "enum": OUTCOMES }),
        }
    }
}
