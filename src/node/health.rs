//! The checks of the readiness report with a verdict each, for tools, and what will need attention soon.
//!
//! [`Node::checks`] is the source of both reports. What is added here looks ahead, and never makes a server unready.

use super::{Check, Node};
use crate::calendar::{period, utc_time};
use crate::clock;
use crate::store::StoreError;

/// How long before an expiry there is a warning, seconds.
const AHEAD: i64 = 3 * 86_400;
/// Accounts that expire soon are counted up to this number.
const MOST: usize = 1000;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// All is well.
    Pass,
    /// Someone should look. The server does its work.
    Warning,
    /// The server is not ready.
    Fail,
    /// There is nothing to check here.
    Skip,
}

impl CheckStatus {
    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warning => "warning",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// A check with its verdict.
#[derive(Debug, Clone)]
pub struct CodedCheck {
    /// What was looked at.
    pub code: &'static str,
    /// The verdict.
    pub status: CheckStatus,
    /// For people.
    pub detail: String,
}

impl Node {
    /// The checks of the readiness report, and those of what expires soon. Blocks for a query.
    pub fn coded_checks(&self) -> Vec<CodedCheck> {
        let mut checks: Vec<_> = self.checks().into_iter().map(|check| self.coded(check)).collect();
        let now = clock::unix_seconds();
        checks.push(self.operator_expiry(now));
        checks.push(self.account_expiry(now));
        checks
    }

    fn coded(&self, check: Check) -> CodedCheck {
        let holds_up = check.holds_up();
        let Check { name: code, ok, detail } = check;
        let status = match (code, ok) {
            _ if holds_up => CheckStatus::Fail,
            ("nats", _) if self.nats().is_none() => CheckStatus::Skip,
            // Such a line is there only if something is wrong.
            ("ahead" | "clock", _) | (_, false) => CheckStatus::Warning,
            ("operator", _) if self.trust().is_none() => CheckStatus::Warning,
            ("operator", _) if self.withheld().is_some_and(|count| count > 0) => CheckStatus::Warning,
            _ => CheckStatus::Pass,
        };
        CodedCheck { code, status, detail }
    }

    fn operator_expiry(&self, now: i64) -> CodedCheck {
        let (status, detail) = match self.trust().map(|trust| trust.exp()) {
            None => (CheckStatus::Skip, "no operator is configured".to_owned()),
            Some(0) => (CheckStatus::Pass, "the operator JWT never expires".to_owned()),
            Some(exp) => expiry(exp, now),
        };
        CodedCheck { code: "operator_expiry", status, detail }
    }

    fn account_expiry(&self, now: i64) -> CodedCheck {
        let (status, detail) = match self.whole_journal().map(|journal| journal.count_expiring(now, now + AHEAD, MOST))
        {
            None => (CheckStatus::Skip, "this server does not store every account".to_owned()),
            Some(Err(error)) => (CheckStatus::Warning, unknown(&error)),
            Some(Ok(0)) => (CheckStatus::Pass, "no account expires within 3 days".to_owned()),
            Some(Ok(count)) => {
                let (more, s) = (if count == MOST { " or more" } else { "" }, if count == 1 { "" } else { "s" });
                let verb = if count == 1 { "expires" } else { "expire" };
                let detail = format!(
                    "{count}{more} account{s} {verb} within 3 days: \
                     /api/v1/accounts?state=live&expires_before=3d lists them"
                );
                (CheckStatus::Warning, detail)
            }
        };
        CodedCheck { code: "account_expiry", status, detail }
    }
}

/// The verdict on an operator JWT that expires.
fn expiry(exp: i64, now: i64) -> (CheckStatus, String) {
    let (at, time) = (utc_time(exp), period(now, exp));
    if now > exp {
        (CheckStatus::Warning, format!("the operator JWT expired at {at}, {time} ago: sign a new one"))
    } else if exp - now < AHEAD {
        (CheckStatus::Warning, format!("the operator JWT expires at {at}, in {time}: sign a new one"))
    } else {
        (CheckStatus::Pass, format!("the operator JWT expires at {at}"))
    }
}

fn unknown(error: &StoreError) -> String {
    format!("cannot tell which accounts expire: {}", error.for_clients())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_jwt_is_a_warning_from_three_days_before_its_end() {
        let exp = 1_795_503_912;
        for (now, status, text) in [
            (exp - AHEAD, CheckStatus::Pass, "expires at 2026-11-24 07:05:12 UTC"),
            (exp - AHEAD + 1, CheckStatus::Warning, "expires at 2026-11-24 07:05:12 UTC, in 2 days"),
            (exp, CheckStatus::Warning, "in 0 seconds"),
            (exp + 60, CheckStatus::Warning, "expired at 2026-11-24 07:05:12 UTC, 1 minute ago"),
        ] {
            let (found, detail) = expiry(exp, now);
            assert!(found == status && detail.contains(text), "{now}: {detail}");
        }
    }
}
