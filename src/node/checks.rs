//! The readiness report.

use super::{Node, Role};
use crate::primary::Primary;
use crate::replica::Replica;

/// Replicas that the readiness report names.
const NAMED: usize = 5;

/// One line of the readiness report.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether the server can do its work as far as this goes.
    pub ok: bool,
    /// For people.
    pub detail: String,
}

/// The check that does not decide about readiness.
const NATS: &str = "nats";

impl Check {
    /// Whether clients are better sent elsewhere because of it. Without NATS all is served, and changes are announced later.
    pub fn holds_up(&self) -> bool {
        !self.ok && self.name != NATS
    }
}

impl Node {
    /// Whether the server can do its work, and why not. Losing NATS or the primary does not end that: what is here is
    /// served.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![Check {
            name: "process",
            ok: !self.is_leaving(),
            detail: if self.is_leaving() { "is stopping".into() } else { "is running".into() },
        }];
        match &self.role {
            Role::Primary(primary) => {
                checks.push(store_check(primary));
                checks.extend(self.folder_check());
            }
            Role::Replica(replica) => {
                let (entries, bytes) = replica.size();
                let met = replica.was_reached();
                checks.push(Check {
                    name: "primary",
                    ok: met,
                    detail: if replica.is_following() {
                        following(replica)
                    } else if let Some(silence) = replica.silence() {
                        let fault = replica.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
                        format!("{} was last heard {} s ago{fault}", replica.primary(), silence / 1000)
                    } else if met {
                        match replica.fault() {
                            Some(fault) => format!("{}: {fault}", replica.primary()),
                            None => format!("{} answers, but no change feed is followed", replica.primary()),
                        }
                    } else {
                        not_reached(replica)
                    },
                });
                let name = if replica.is_mirror() { "mirror" } else { "cache" };
                let full = if replica.is_mirror() && replica.is_full() {
                    "; it is full, and serves what has no room as a cache does: raise replica.cache_bytes"
                } else {
                    ""
                };
                checks.push(Check { name, ok: true, detail: format!("{entries} JWTs, {bytes} bytes{full}") });
                if replica.ahead() > 0 {
                    let detail = format!(
                        "{} accounts are newer here than at {}; hand them back with restore --from",
                        replica.ahead(),
                        replica.primary()
                    );
                    checks.push(Check { name: "ahead", ok: true, detail });
                }
                if let Some(problem) = replica.clock_problem() {
                    let detail = format!("the clock of this server is {problem} that of {}", replica.primary());
                    checks.push(Check { name: "clock", ok: true, detail });
                }
                let snapshot = replica.snapshot_state();
                checks.extend(snapshot.map(|detail| Check { name: "snapshot", ok: true, detail }));
            }
        }
        checks.extend(self.replicas_check());
        checks.push(Check { name: "operator", ok: !self.withholds_all(), detail: self.operator_detail() });
        checks.push(self.nats_check());
        checks.extend(self.nats_servers_detail().map(|detail| Check { name: "nats_servers", ok: true, detail }));
        if let Some(manners) = self.manners.get() {
            checks.push(Check { name: "resolver", ok: true, detail: manners.describe() });
        }
        checks
    }

    /// How the connection to NATS does. It holds nothing up: what is here is served.
    fn nats_check(&self) -> Check {
        let (ok, detail) = match self.nats.get() {
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

    /// How the replicas do. `None`: none is known.
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

    /// How the token folder does. It holds nothing up: what is acknowledged is in the journal.
    fn folder_check(&self) -> Option<Check> {
        let mirrored = self.mirrored.get()?;
        let head = self.primary().ok()?.journal().head().serial;
        let detail = match mirrored.failure() {
            Some(failure) => failure,
            None if mirrored.synced() >= head => format!("all files are on disk up to serial {head}"),
            None => {
                format!("files are written up to serial {}, on disk up to {}", mirrored.written(), mirrored.synced())
            }
        };
        Some(Check { name: "folder", ok: true, detail })
    }
}

fn store_check(primary: &Primary) -> Check {
    let (journal, progress) = (primary.journal(), primary.progress());
    let head = journal.head();
    let detail = if journal.is_lost() {
        "a file of the journal was removed or replaced under this server: what it held is served, nothing can be pushed; put \
         the folder back and restart this server"
            .into()
    } else if !journal.is_open() {
        "the journal's writer has ended: nothing can be pushed; restart this server".into()
    } else if progress.is_complete() {
        let closed = match progress.closed() {
            0 => String::new(),
            count => format!("; {count} sub-folders of the token folder cannot be read"),
        };
        format!("{} accounts at serial {} of session {}{closed}", journal.count(), head.serial, head.session)
    } else {
        let (done, total) = progress.files();
        format!("taking in the folder: {done} of {total} files, {} accounts so far", journal.count())
    };
    Check { name: "store", ok: progress.is_complete() && journal.is_open() && !journal.is_lost(), detail }
}

fn not_reached(replica: &Replica) -> String {
    match replica.fault() {
        Some(fault) => format!("{} cannot be used: {fault}", replica.primary()),
        None => format!("{} was not reached yet", replica.primary()),
    }
}

fn following(replica: &Replica) -> String {
    let way = match replica.tiers() {
        0 => String::new(),
        1 => ", which is a replica".to_owned(),
        tiers => format!(", which is a replica and has {} more before it", tiers - 1),
    };
    let (primary, serial, age) = (replica.primary(), replica.serial(), replica.primary_age() / 1000);
    format!("following {primary}{way}, at serial {serial}; the primary itself was last heard {age} s ago")
}
