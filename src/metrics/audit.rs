//! Metrics of the audit log.

use prometheus::{IntCounter, IntGauge};

use super::kinds::{Counters, Moment, OptionalGauge};
use super::profile::{PRIMARY, Part, Scope};

/// Where an audit log is written.
const AUDITED: Scope = PRIMARY.with(Part::Audit);

metrics! {
    /// Metrics of the audit log.
    AuditMetrics, make:
    pub lines: Counters<1> = make.on(AUDITED).counters(
        "audit_lines_total",
        "Lines of the audit log that are on disk, by outcome: committed, rejected, or note about the log itself",
        ["outcome"],
        ["committed", "rejected", "note"],
    )?;
    pub lost: IntCounter = make.on(AUDITED).counter(
        "audit_lost_total",
        "Rejected attempts without a line in the audit log, because there were too many; a later line has their number",
    )?;
    pub failures: IntCounter = make.on(AUDITED).counter(
        "audit_failures_total",
        "Attempts to write the audit log that failed",
    )?;
    pub failing: IntGauge = make.on(AUDITED).gauge("audit_failing", "1 while the audit log cannot be written")?;
    pub broken: IntCounter = make.on(AUDITED).counter(
        "audit_broken_total",
        "Times that the audit log was not as this server wrote it, so that a new chain began",
    )?;
    pub head_seq: OptionalGauge = make.on(AUDITED).optional(
        "audit_head_seq",
        "Number of the last line of the audit log; absent: none was written since the start",
        [],
    )?;
    pub last_write: Moment = make.on(AUDITED).moment(
        "audit_last_write_timestamp_seconds",
        "When lines were last written to the audit log, unix time; absent: not since the start",
        [],
    )?;
}
