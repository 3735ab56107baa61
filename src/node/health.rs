//! The checks of the readiness report with a verdict each, for tools, and what will need attention soon.
//!
//! [`Node::checks`] is the source of both reports. What is added here never makes a server unready: whether a replica is in
//! sync, and what expires.

use super::{Check, Node, SyncState};
use crate::clock;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// All is well.
    Pass,
    /// Someone should look. The server does its work.
    Warning,
    /// The server is not ready, or something has expired.
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
    /// Whether the server is ready: no check of the readiness report holds it up.
    pub fn is_ready(&self) -> bool {
        !self.checks().iter().any(Check::holds_up)
    }

    /// The checks of the readiness report, and those of what else needs attention. Blocks for a query.
    pub fn coded_checks(&self) -> Vec<CodedCheck> {
        let mut checks: Vec<_> = self.checks().into_iter().map(|check| self.coded(check)).collect();
        checks.extend(self.upstream().map(|upstream| sync_check(upstream.sync())));
        checks.extend(self.expiry_checks(clock::unix_seconds()));
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
            ("replicas", _) if self.has_late_replicas() => CheckStatus::Warning,
            ("nats_servers", _) if self.has_late_nats_servers() => CheckStatus::Warning,
            _ => CheckStatus::Pass,
        };
        CodedCheck { code, status, detail }
    }

    fn has_late_replicas(&self) -> bool {
        let counts = self.replicas().counts(clock::uptime_millis());
        counts.behind + counts.silent > 0
    }

    /// One of which it is not known what it runs may be as it should, and is no reason for an alarm.
    fn has_late_nats_servers(&self) -> bool {
        let summary = self.receipts().summary();
        summary.behind + summary.silent > 0
    }
}

fn sync_check(sync: SyncState) -> CodedCheck {
    let (status, detail) = match (sync.is_in_sync(), sync.lag(), sync.position) {
        (true, _, Some(head)) => {
            (CheckStatus::Pass, format!("serves what the primary served at serial {}", head.serial))
        }
        (_, Some(lag), _) if sync.is_following => {
            (CheckStatus::Warning, format!("{lag} change{} not confirmed yet", if lag == 1 { " is" } else { "s are" }))
        }
        _ => (CheckStatus::Warning, "does not follow the primary: what it serves may be out of date".to_owned()),
    };
    CodedCheck { code: "in_sync", status, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Chain, Head, Session};

    #[test]
    fn a_replica_is_in_sync_if_it_follows_and_everything_is_confirmed() {
        let position = Some(Head { session: Session([1; 16]), serial: 9, chain: Chain([0; 32]) });
        for (is_following, position, confirmed, status, text) in [
            (true, position, Some(9), CheckStatus::Pass, "at serial 9"),
            (true, position, Some(8), CheckStatus::Warning, "1 change is not confirmed yet"),
            (true, position, Some(2), CheckStatus::Warning, "7 changes are not confirmed yet"),
            (true, position, None, CheckStatus::Warning, "does not follow"),
            (false, position, Some(9), CheckStatus::Warning, "does not follow"),
            (false, None, None, CheckStatus::Warning, "does not follow"),
        ] {
            let check = sync_check(SyncState { is_mirror: true, is_following, position, confirmed, ahead: 0 });
            assert!(check.status == status && check.detail.contains(text), "{check:?}");
        }
    }
}
