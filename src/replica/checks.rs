//! The lines of the readiness report about a replica.

use super::Replica;
use crate::node::Check;

impl Replica {
    /// Losing the primary does not end readiness: what is here is served.
    pub(super) fn checks(&self) -> Vec<Check> {
        let (entries, bytes) = self.size();
        let mut checks = vec![Check { name: "primary", ok: self.was_reached(), detail: self.primary_detail() }];
        let name = if self.is_mirror() { "mirror" } else { "cache" };
        let full = if self.is_mirror() && self.is_full() {
            "; it is full, and serves what has no room as a cache does: raise replica.cache_bytes"
        } else {
            ""
        };
        let mut add = |name, detail| checks.push(Check { name, ok: true, detail });
        add(name, format!("{entries} JWTs, {bytes} bytes{full}"));
        if self.ahead() > 0 {
            let (ahead, primary) = (self.ahead(), self.primary());
            add(
                "ahead",
                format!("{ahead} accounts are newer here than at {primary}; hand them back with restore --from"),
            );
        }
        if let Some(problem) = self.clock_problem() {
            add("clock", format!("the clock of this server is {problem} that of {}", self.primary()));
        }
        if let Some(detail) = self.snapshot_state() {
            add("snapshot", detail);
        }
        checks
    }

    fn primary_detail(&self) -> String {
        let primary = self.primary();
        if self.is_following() {
            return self.following();
        }
        match (self.silence(), self.was_reached(), self.fault()) {
            (Some(silence), _, fault) => {
                let fault = fault.map(|fault| format!(": {fault}")).unwrap_or_default();
                format!("{primary} was last heard {} s ago{fault}", silence / 1000)
            }
            (None, true, Some(fault)) => format!("{primary}: {fault}"),
            (None, true, None) => format!("{primary} answers, but no change feed is followed"),
            (None, false, Some(fault)) => format!("{primary} cannot be used: {fault}"),
            (None, false, None) => format!("{primary} was not reached yet"),
        }
    }

    fn following(&self) -> String {
        let way = match self.tiers() {
            0 => String::new(),
            1 => ", which is a replica".to_owned(),
            tiers => format!(", which is a replica and has {} more before it", tiers - 1),
        };
        let (primary, serial, age) = (self.primary(), self.serial(), self.primary_age() / 1000);
        format!("following {primary}{way}, at serial {serial}; the primary itself was last heard {age} s ago")
    }
}
