//! Metrics of what is accepted and rejected, and of the operator's JWT.

use prometheus::IntCounter;

use super::kinds::{Counters, OptionalGauge, pairs};
use super::profile::BOTH;

/// The ways to a primary, as the gate names them.
const TO_PRIMARY: &[&str] = &["post", "update", "file", "pack", "scan", "import", "config"];
/// The ways to a replica.
const TO_REPLICA: &[&str] = &["feed", "upstream", "hint", "config"];
/// Why the gate rejects something.
const REASONS: &[&str] = &[
    "undecodable",
    "private_key",
    "wrong_account",
    "issuer_kind",
    "subject_kind",
    "untrusted",
    "identity_key",
    "no_operator",
    "invalid",
    "time",
    "future",
    "older",
    "tie",
    "second_full",
    "replaced",
    "deleted",
    "malformed",
    "system_account",
    "unknown_account",
    "revoked",
    "quota",
];

metrics! {
    /// Metrics of what is accepted and rejected, and of the operator's JWT.
    GateMetrics, make:
    pub accepted: Counters<1> = make.on(BOTH).counters(
        "accepted_total",
        "Changes accepted, by the path on which they came",
        ["path"],
        make.by_role(TO_PRIMARY, TO_REPLICA),
    )?;
    pub refused: Counters<2> = make.on(BOTH).counters(
        "refused_total",
        "Tokens rejected, by path and reason",
        ["path", "reason"],
        pairs(make.by_role(TO_PRIMARY, TO_REPLICA), REASONS),
    )?;
    pub operator_links: IntCounter = make.on(BOTH).counter(
        "operator_links_total",
        "Operator JWTs that a signing key signed and that came into force",
    )?;
    pub operator_chain_links: OptionalGauge = make.on(BOTH).optional(
        "operator_chain_links",
        "Operator JWTs from the newest that the identity key signed to the one in force; absent: there is no operator",
        [],
    )?;
}
