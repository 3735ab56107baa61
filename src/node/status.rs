//! The readiness report.

use super::Node;

/// Replicas that the readiness report names.
const NAMED: usize = 5;

/// One line of the readiness report.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether this check passes.
    pub ok: bool,
    /// For people.
    pub detail: String,
}

/// The check that does not count for readiness.
const NATS: &str = "nats";

impl Check {
    /// Whether it makes this server unready. Without NATS everything is served, and changes are announced later.
    pub fn holds_up(&self) -> bool {
        !self.ok && self.name != NATS
    }
}

impl Node {
    /// Whether the server can do its work, and why not. Without NATS or the primary it still can: it serves what it has.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![Check {
            name: "process",
            ok: !self.is_leaving(),
            detail: if self.is_leaving() { "is stopping".into() } else { "is running".into() },
        }];
        checks.extend(self.backend.checks());
        checks.extend(self.replicas_check());
        checks.push(Check { name: "operator", ok: !self.withholds_all(), detail: self.operator_detail() });
        checks.push(self.nats_check());
        checks.extend(self.nats_servers_detail().map(|detail| Check { name: "nats_servers", ok: true, detail }));
        if let Some(policy) = &self.links.policy {
            checks.push(Check { name: "resolver", ok: true, detail: policy.describe() });
        }
        checks
    }

    /// The state of the connection to NATS. It never makes this server unready.
    fn nats_check(&self) -> Check {
        let (ok, detail) = match self.nats() {
            None => (true, "not configured".into()),
            Some(nats) if nats.is_connected() => match (nats.problem(), &*nats.denied()) {
                (Some(problem), _) => (false, format!("connected, but {problem}")),
                (None, []) => (true, "connected".into()),
                (None, denied) => (false, format!("connected, but not permitted to {}", denied.join(", nor to "))),
            },
            Some(nats) => {
                let failure = nats.failure().map(|failure| format!(": {failure}")).unwrap_or_default();
                (false, format!("not connected; trying again{failure}"))
            }
        };
        Check { name: NATS, ok, detail }
    }

    /// The state of the replicas. `None`: none is known.
    fn replicas_check(&self) -> Option<Check> {
        let replicas = self.replicas.all();
        let counting = replicas.iter().filter(|replica| replica.counts());
        let (in_sync, others): (Vec<_>, Vec<_>) =
            counting.partition(|replica| replica.is_in_sync && !replica.is_silent);
        let known = in_sync.len() + others.len();
        if known == 0 {
            return None;
        }
        let mut detail = format!("{known} known, {} in sync", in_sync.len());
        for (place, replica) in others.iter().take(NAMED).enumerate() {
            let state = if replica.is_silent { "silent" } else { "behind" };
            let separator = if place == 0 { "; " } else { ", " };
            detail.push_str(&format!("{separator}{} is {state} at serial {}", replica.follower.name, replica.serial));
        }
        if others.len() > NAMED {
            detail.push_str(&format!(", and {} more are not", others.len() - NAMED));
        }
        Some(Check { name: "replicas", ok: true, detail })
    }
}
