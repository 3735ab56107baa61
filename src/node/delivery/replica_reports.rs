//! Reports of replicas, looked up in the history of this server; and what is kept of them on disk.

use std::sync::Arc;
use std::time::Duration;

use super::replicas::{ReplicaReport, ReplicaStand, Turned};
use crate::clock;
use crate::feed::wire::{Confirmation, FollowerStatus, FollowersPage};
use crate::feed::{Catchup, Head};
use crate::node::{Feed, Located, Node};
use crate::store::StoreError;

/// How often silent replicas are looked for, and what has changed is written to disk.
const TICK: Duration = Duration::from_millis(500);

/// Why a report was not heard.
#[derive(Debug, thiserror::Error)]
pub enum ReportRefused {
    /// This server has no history to which a position could belong: its primary has no feed.
    #[error("this server has no change feed: its primary has none")]
    NoFeed,
    /// It has none yet, or it is behind the follower, which may have followed a faster server before.
    #[error("this server is still behind the follower")]
    NotYet,
    /// It was turned away.
    #[error(transparent)]
    Turned(#[from] Turned),
    /// The journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Node {
    /// Takes over what an earlier process knew of replicas. Blocks for a query.
    pub fn recall_replicas(&self) -> Result<(), StoreError> {
        let followers = self.backend.followers()?;
        self.replicas().recall(followers, self.here(), clock::uptime_millis(), clock::unix_millis());
        Ok(())
    }

    /// Hears the report of a replica that came from an IP address.
    pub async fn heard(&self, said: Confirmation, address: String) -> Result<(), ReportRefused> {
        let here = match self.feed() {
            Feed::Open(changes) => changes.head(),
            Feed::NotYet => return Err(ReportRefused::NotYet),
            Feed::None => return Err(ReportRefused::NoFeed),
        };
        let own = self.on_history(&said, said.position).await?;
        let below = match &said.below {
            Some(below) => Some(self.on_history(&said, below.lowest).await?),
            None => None,
        };
        let lowest = match below {
            // It serves no more, but those behind it do.
            Some(below) if said.is_leaving => below,
            Some(below) => own.zip(below).map(|(own, below)| if below.serial < own.serial { below } else { own }),
            None => own,
        };
        let report = ReplicaReport { said, address, own, lowest };
        if let Some(serial) = self.replicas().confirmed(report, here, clock::uptime_millis())? {
            self.measure_arrival(serial);
        }
        Ok(())
    }

    /// Notes how long a change took until a replica confirmed it. What is no longer in memory is old, and was late anyway.
    fn measure_arrival(&self, serial: u64) {
        let Some(ledger) = self.ledger() else { return };
        let before = serial.saturating_sub(1);
        if let Catchup::Changes(changes) = ledger.journal().ring().after(before, 1, 1)
            && let Some(took) = changes.first().and_then(|change| clock::millis_since(change.at))
        {
            self.metrics().followers.arrival.observe(took as f64 / 1000.0);
        }
    }

    /// A position, if it is on the history of this server.
    async fn on_history(&self, said: &Confirmation, position: Option<Head>) -> Result<Option<Head>, ReportRefused> {
        let Some(position) = position else { return Ok(None) };
        // It was looked up last time.
        if self.replicas().knows(&said.id, &position) {
            return Ok(Some(position));
        }
        let Feed::Open(changes) = self.feed() else { return Err(ReportRefused::NotYet) };
        match changes.locate(&position).await? {
            Located::Here => Ok(Some(position)),
            Located::Elsewhere => Ok(None),
            Located::Ahead => Err(ReportRefused::NotYet),
        }
    }

    /// Where this server is in its history. `None`: it has none.
    pub fn here(&self) -> Option<Head> {
        match self.feed() {
            Feed::Open(changes) => Some(changes.head()),
            Feed::NotYet | Feed::None => None,
        }
    }

    /// Looks after the replicas for as long as the process lives.
    pub async fn look_after_replicas(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.replicas().tick(self.here(), clock::uptime_millis());
            self.note_replicas(false).await;
        }
    }

    /// Writes to disk what has changed of the replicas. `is_last`: everything that is not written yet.
    pub async fn note_replicas(&self, is_last: bool) {
        let changes = self.replicas().take_unwritten(clock::uptime_millis(), clock::unix_millis(), is_last);
        if changes.is_empty() {
            return;
        }
        self.backend.note_followers(changes).await;
    }

    /// The replicas that this server knows, as they are shown.
    pub fn followers(&self) -> FollowersPage {
        let here = self.here();
        let replicas = self.replicas();
        let counts = replicas.counts(clock::uptime_millis());
        let head = here.map_or(0, |here| here.serial);
        FollowersPage {
            session: here.map(|here| here.session.to_string()),
            serial: head,
            lowest: replicas.lowest(),
            in_sync: counts.in_sync,
            behind: counts.behind,
            silent: counts.silent,
            refused: replicas.overflow().map_or(0, |overflow| overflow.reports),
            followers: replicas.all().into_iter().map(|stand| shown(stand, head)).collect(),
        }
    }
}

fn shown(stand: ReplicaStand, head: u64) -> FollowerStatus {
    let state = match &stand {
        stand if !stand.counts() => "left",
        stand if stand.is_silent => "silent",
        stand if stand.is_in_sync => "in_sync",
        _ => "behind",
    };
    FollowerStatus {
        id: stand.id(),
        state: state.to_owned(),
        session_ok: stand.is_on_history,
        serial: stand.serial,
        behind_by: head.saturating_sub(stand.serial),
        heard_at: stand.follower.heard,
        leaving: stand.follower.is_leaving,
        below: stand.follower.below,
        name: stand.follower.name,
        mode: stand.follower.mode,
        version: stand.follower.version,
        address: stand.follower.address,
        behind: stand.behind,
        more: stand.more,
    }
}
