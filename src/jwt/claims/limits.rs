//! The operator's limits for an account. -1 is unlimited, 0 (also when absent) nothing.

use std::collections::BTreeMap;

use super::super::read::members;

/// An account's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorLimits {
    /// Subscriptions.
    pub subs: i64,
    /// Bytes.
    pub data: i64,
    /// Bytes of one message.
    pub payload: i64,
    /// Imports.
    pub imports: i64,
    /// Exports.
    pub exports: i64,
    /// Whether exports may have wildcards.
    pub wildcards: bool,
    /// Whether users must not be bearers.
    pub disallow_bearer: bool,
    /// Connections.
    pub conn: i64,
    /// Leaf node connections.
    pub leaf: i64,
    /// JetStream, if it has no tiers.
    pub jetstream: JetStreamLimits,
    /// JetStream by tier.
    pub tiered: BTreeMap<String, JetStreamLimits>,
}

members!(OperatorLimits {
    "subs" => subs,
    "data" => data,
    "payload" => payload,
    "imports" => imports,
    "exports" => exports,
    "wildcards" => wildcards,
    "disallow_bearer" => disallow_bearer,
    "conn" => conn,
    "leaf" => leaf,
    "mem_storage" => jetstream.mem_storage,
    "disk_storage" => jetstream.disk_storage,
    "streams" => jetstream.streams,
    "consumer" => jetstream.consumer,
    "max_ack_pending" => jetstream.max_ack_pending,
    "mem_max_stream_bytes" => jetstream.mem_max_stream_bytes,
    "disk_max_stream_bytes" => jetstream.disk_max_stream_bytes,
    "max_bytes_required" => jetstream.max_bytes_required,
    "tiered_limits" => tiered,
});

impl OperatorLimits {
    /// Whether nothing at all is granted, which is also how absent limits look.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// JetStream limits, of an account or of one of its tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Bytes in memory.
    pub mem_storage: i64,
    /// Bytes on disk.
    pub disk_storage: i64,
    /// Streams.
    pub streams: i64,
    /// Consumers.
    pub consumer: i64,
    /// Unacknowledged messages of a stream.
    pub max_ack_pending: i64,
    /// Bytes of one stream in memory.
    pub mem_max_stream_bytes: i64,
    /// Bytes of one stream on disk.
    pub disk_max_stream_bytes: i64,
    /// Whether streams must have a bound.
    pub max_bytes_required: bool,
}

members!(JetStreamLimits {
    "mem_storage" => mem_storage,
    "disk_storage" => disk_storage,
    "streams" => streams,
    "consumer" => consumer,
    "max_ack_pending" => max_ack_pending,
    "mem_max_stream_bytes" => mem_max_stream_bytes,
    "disk_max_stream_bytes" => disk_max_stream_bytes,
    "max_bytes_required" => max_bytes_required,
});

/// The limits of version 1: no JetStream.
#[derive(Debug, Default)]
pub(super) struct LimitsV1 {
    limits: OperatorLimits,
}

impl LimitsV1 {
    pub(super) fn into_limits(self) -> OperatorLimits {
        self.limits
    }
}

members!(LimitsV1 {
    "subs" => limits.subs,
    "data" => limits.data,
    "payload" => limits.payload,
    "imports" => limits.imports,
    "exports" => limits.exports,
    "wildcards" => limits.wildcards,
    "disallow_bearer" => limits.disallow_bearer,
    "conn" => limits.conn,
    "leaf" => limits.leaf,
});
