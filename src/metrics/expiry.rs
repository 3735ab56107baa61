//! Metrics of what expires.

use super::kinds::{Moment, OptionalGauge};
use super::profile::{BOTH, PRIMARY, Part};

/// The periods of [`ExpiryMetrics::accounts_expiring`]: label and seconds.
pub const WITHIN: [(&str, i64); 4] = [("1h", 3_600), ("1d", 86_400), ("7d", 604_800), ("30d", 2_592_000)];

metrics! {
    /// Metrics of what expires.
    ExpiryMetrics, make:
    pub accounts_expiring: OptionalGauge<1> = make.on(PRIMARY).optional(
        "accounts_expiring",
        "Accounts whose JWT expires within a period from now; absent until they are counted",
        ["within"],
    )?;
    pub accounts_expired: OptionalGauge = make.on(PRIMARY).optional(
        "accounts_expired",
        "Accounts whose JWT has expired and is still stored; absent until they are counted",
        [],
    )?;
    pub earliest: Moment = make.on(PRIMARY).moment(
        "accounts_earliest_expiry_timestamp_seconds",
        "When the next account's JWT expires, unix time; absent: none will",
        [],
    )?;
    pub operator: Moment = make.on(BOTH).moment(
        "operator_expiry_timestamp_seconds",
        "When the operator JWT in force expires, unix time; absent: never, or there is none",
        [],
    )?;
    pub nats_user: Moment = make.on(BOTH.with(Part::Nats)).moment(
        "nats_user_expiry_timestamp_seconds",
        "When the user JWT in nats.creds expires, unix time; absent if it never does, or there is none",
        [],
    )?;
    pub certificates: Moment<1> = make.on(BOTH).moment(
        "tls_certificate_expiry_timestamp_seconds",
        "When a certificate expires, unix time, by the section that names it",
        ["section"],
    )?;
}
