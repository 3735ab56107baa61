//! The operator's limits for an account, in words.

use std::io;

use super::page::Page;
use crate::commands::limits::{bytes, count};
use crate::commands::shown::printable;
use crate::jwt::claims::{JetStreamLimits, OperatorLimits};

pub(super) fn write(limits: &OperatorLimits, page: &mut Page<'_>) -> io::Result<()> {
    page.section("Limits")?;
    for (label, text) in [
        ("connections", count(limits.conn)),
        ("leafnode connections", count(limits.leaf)),
        ("subscriptions", count(limits.subs)),
        ("message size", bytes(limits.payload)),
        ("data", bytes(limits.data)),
        ("imports", count(limits.imports)),
        ("exports", count(limits.exports)),
        ("wildcards in exports", if limits.wildcards { "allowed" } else { "not allowed" }.to_owned()),
        ("bearer tokens", if limits.disallow_bearer { "not allowed" } else { "allowed" }.to_owned()),
    ] {
        page.about(label, &text)?;
    }
    // With tiers, the limits without a tier do not count.
    if limits.tiered.is_empty() {
        return jetstream("JetStream", &limits.jetstream, page);
    }
    limits
        .tiered
        .iter()
        .try_for_each(|(tier, limits)| jetstream(&format!("JetStream, tier {}", printable(tier)), limits, page))
}

fn jetstream(title: &str, limits: &JetStreamLimits, page: &mut Page<'_>) -> io::Result<()> {
    page.section(title)?;
    if (limits.mem_storage, limits.disk_storage) == (0, 0) {
        return page.line("not allowed");
    }
    page.about("memory", &bytes(limits.mem_storage))?;
    page.about("disk", &bytes(limits.disk_storage))?;
    page.about("streams", &count(limits.streams))?;
    page.about("consumers", &count(limits.consumer))?;
    // Of these, 0 is no bound.
    for (label, bound) in [
        ("unacknowledged messages", Some(limits.max_ack_pending).filter(|most| *most > 0).map(count)),
        ("a stream in memory", Some(limits.mem_max_stream_bytes).filter(|most| *most > 0).map(bytes)),
        ("a stream on disk", Some(limits.disk_max_stream_bytes).filter(|most| *most > 0).map(bytes)),
    ] {
        if let Some(bound) = bound {
            page.about(label, &bound)?;
        }
    }
    if limits.max_bytes_required { page.about("streams without a bound", "not allowed") } else { Ok(()) }
}
