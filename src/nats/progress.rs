//! How far the journal is announced, and how much of that is certain.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::connect::SILENCE;

/// How far the journal is announced.
pub(super) struct AnnounceProgress {
    /// Sent up to here.
    pub(super) sent: u64,
    /// Sent, and the connection has lived on since: this is what the journal keeps.
    pub(super) confirmed: u64,
    /// Sent up to here at least once by this process.
    pub(super) sent_once: u64,
    /// Remembered up to here as not in force, before it was sent.
    pub(super) owed: u64,
    /// When each serial was sent, on which connection.
    pending: VecDeque<(u64, Instant, u64)>,
    /// What the journal keeps, and since when.
    pub(super) written: (u64, Instant),
}

impl AnnounceProgress {
    /// Everything up to `serial` was announced in an earlier life.
    pub(super) fn from(serial: u64) -> Self {
        let written = (serial, Instant::now());
        Self { sent: serial, confirmed: serial, sent_once: serial, owed: serial, pending: VecDeque::new(), written }
    }

    /// Notes that everything up to `serial` was sent on a connection.
    pub(super) fn sent(&mut self, serial: u64, connection: u64) {
        self.sent = serial;
        self.sent_once = self.sent_once.max(serial);
        self.pending.push_back((serial, Instant::now(), connection));
    }

    /// Looks at what was sent earlier: either it has arrived, or the connection broke and it is sent again.
    pub(super) fn settle(&mut self, connection: u64) {
        if self.pending.iter().any(|(.., on)| *on != connection) {
            self.pending.clear();
            self.sent = self.confirmed;
        }
        while let Some((serial, at, _)) = self.pending.front()
            && at.elapsed() > SILENCE
        {
            self.confirmed = *serial;
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_counts_only_when_its_connection_has_lived_on() {
        let mut progress = AnnounceProgress::from(0);
        progress.sent(5, 1);
        tokio::time::advance(SILENCE / 2).await;
        progress.sent(9, 1);
        progress.settle(1);
        assert_eq!((progress.confirmed, progress.sent), (0, 9));
        tokio::time::advance(SILENCE / 2 + Duration::from_secs(1)).await;
        progress.settle(1);
        assert_eq!((progress.confirmed, progress.sent), (5, 9));
        // The connection breaks: what is not confirmed is sent again.
        progress.settle(2);
        assert_eq!((progress.confirmed, progress.sent, progress.sent_once), (5, 5, 9));
    }
}
