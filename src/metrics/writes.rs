//! Metrics of pushes and commits.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::kinds::{Counters, Histograms, Moment, pairs};
use super::make::FAST;
use super::profile::{BOTH, PRIMARY};

metrics! {
    /// Metrics of pushes and commits.
    WriteMetrics, make:
    pub pushes: Counters<2> = make.on(PRIMARY).counters(
        "pushes_total",
        "Changes that clients pushed over HTTP and NATS, by kind and result: ok, refused, or error if this server failed",
        ["kind", "result"],
        pairs(&["account", "activation", "operator", "delete"], &["ok", "refused", "error"]),
    )?;
    pub push_duration: Histograms<1> = make.on(PRIMARY).histograms(
        "push_duration_seconds",
        "Time of a pushed account JWT in each stage: verify, queue (waiting for the writer) and commit (until it is durable)",
        FAST,
        ["stage"],
        ["verify", "queue", "commit"],
    )?;
    pub verify: Histogram = push_duration.of(["verify"]);
    pub last_push: Moment = make.on(PRIMARY).moment(
        "last_push_timestamp_seconds",
        "When a client's push was last stored, unix time; absent: not since the start",
        [],
    )?;
    pub commit: CommitMetrics = CommitMetrics {
        queue: push_duration.of(["queue"]),
        commit: push_duration.of(["commit"]),
        group_size: make.on(BOTH).histogram(
            "commit_group_size",
            "Writes that one transaction of the journal committed",
            &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
        )?,
        duration: make.on(BOTH).histogram(
            "commit_duration_seconds",
            "Time of a transaction of the journal, from its begin until it is durable",
            FAST,
        )?,
        sync: make.on(BOTH).histogram(
            "commit_sync_duration_seconds",
            "Time of a transaction's last step: its pages are written to the log, and on a primary the log is synced",
            FAST,
        )?,
    };
    pub commit_failures: IntCounter = make.on(PRIMARY).counter(
        "commit_failures_total",
        "Writes that the journal could not commit",
    )?;
}

/// What the writer of a journal measures.
#[derive(Clone, Debug)]
pub struct CommitMetrics {
    queue: Histogram,
    commit: Histogram,
    group_size: Histogram,
    duration: Histogram,
    sync: Histogram,
}

impl CommitMetrics {
    /// A transaction has ended well. `sync`: the part of it that made it durable.
    pub fn committed(&self, writes: usize, took: Duration, sync: Duration) {
        self.group_size.observe(writes as f64);
        self.duration.observe(took.as_secs_f64());
        self.sync.observe(sync.as_secs_f64());
    }

    /// A push has waited for the writer, and was then committed.
    pub fn pushed(&self, queued: Duration, committed: Duration) {
        self.queue.observe(queued.as_secs_f64());
        self.commit.observe(committed.as_secs_f64());
    }
}
