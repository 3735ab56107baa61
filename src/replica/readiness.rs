//! The lines of the readiness report about a replica.

use super::Replica;
use crate::node::Check;

impl Replica {
    /// A replica stays ready without its primary, because it serves what it has.
    pub(super) fn readiness(&self) -> Vec<Check> {
        let (held, upstream) = (&self.parts.held, &self.parts.upstream);
        // A position in the store is of a feed that an earlier process has followed.
        let was_reached =
            held.freshness.silence().is_some() || upstream.was_reached() || held.store.position().is_some();
        let mut checks = vec![Check { name: "primary", ok: was_reached, detail: self.primary_detail(was_reached) }];
        let is_mirror = self.parts.env.is_mirror();
        let mut add = |name, detail| checks.push(Check { name, ok: true, detail });
        let ((entries, bytes), stand) = (held.copies.size(), held.store.stand());
        add(
            if is_mirror { "mirror" } else { "cache" },
            format!("{} JWTs, {entries} of them in memory with {bytes} bytes", held.store.reader().count()),
        );
        let (ahead, primary) = (stand.ahead, upstream.shown());
        if ahead > 0 {
            add(
                "ahead",
                format!("{ahead} accounts are newer here than at {primary}; hand them back with restore --from"),
            );
        }
        if let Some(problem) = upstream.clock_problem() {
            add("clock", format!("the clock of this server is {problem} that of {primary}"));
        }
        if let Some(detail) = held.store.describe() {
            add("store", detail);
        }
        checks
    }

    fn primary_detail(&self, was_reached: bool) -> String {
        let (freshness, upstream) = (&self.parts.held.freshness, &self.parts.upstream);
        let primary = upstream.shown();
        if freshness.is_following() {
            let way = match self.relay.via().len() {
                0 => String::new(),
                1 => ", which is a replica".to_owned(),
                tiers => format!(", which is a replica and has {} more before it", tiers - 1),
            };
            let (serial, age) = (freshness.serial(), freshness.primary_age() / 1000);
            return format!(
                "following {primary}{way}, at serial {serial}; the primary itself was last heard {age} s ago"
            );
        }
        match (freshness.silence(), was_reached, upstream.fault()) {
            (Some(silence), _, fault) => {
                let fault = fault.map(|fault| format!(": {fault}")).unwrap_or_default();
                format!("{primary} was last heard {} s ago{fault}", silence / 1000)
            }
            (None, true, Some(fault)) => format!("{primary}: {fault}"),
            (None, true, None) => format!("{primary} answers, but no change feed is followed"),
            (None, false, Some(fault)) => format!("cannot use {primary}: {fault}"),
            (None, false, None) => format!("{primary} was not reached yet"),
        }
    }
}
