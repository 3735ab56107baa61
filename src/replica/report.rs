//! Reports to upstream: which replica this is, and up to where it is current. `docs/replication.md` specifies it.
//!
//! One report is under way at a time. After a quiet time, a new position is reported at once, and then ten times a
//! second while it moves. Other changes follow a moment later. A full report comes every few seconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::held::Held;
use super::setup::Env;
use crate::backoff::{Backoff, drawn};
use crate::feed::Head;
use crate::feed::wire::{Below, Confirmation, FollowerReport};
use crate::node::Replicas;
use crate::upstream::{Upstream, UpstreamError};

/// The pause between two reports while the position moves.
const PACE: Duration = Duration::from_millis(100);
/// How long a change waits that confirms nothing more. It may be undone by then.
const SOON: Duration = Duration::from_millis(100);
/// The pause between two reports without a change.
const BEAT: Duration = Duration::from_secs(3);
/// The pause after a first failure; it doubles up to [`BEAT`].
const RETRY: Duration = Duration::from_millis(200);
/// The pause after an answer that the next report would get as well: the server does not know reports, or rejects this
/// one.
const RARELY: Duration = Duration::from_secs(60);
/// The pause before a server that this replica left is told that again.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long the process waits for its farewell.
const GOODBYE: Duration = Duration::from_millis(300);

/// What reporting takes.
#[derive(Debug)]
pub(super) struct Reporting {
    env: Env,
    held: Arc<Held>,
    upstream: Arc<Upstream>,
    run: [u8; 8],
    seq: AtomicU64,
    about: OnceLock<(String, Arc<Replicas>)>,
    /// Whether the way upstream may lead to a primary. In a circle, each replica would wait for the others.
    leads_on: AtomicBool,
    /// How often a feed was opened.
    opened: AtomicU64,
    leaving: AtomicBool,
    /// Whether each server of the list counts this replica.
    counts: Mutex<Vec<ServerCounts>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerCounts {
    No,
    Yes,
    /// It does, and must learn that this replica reports elsewhere.
    NoLonger,
}

/// The part of a report whose changes matter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReportContent {
    place: usize,
    position: Option<Head>,
    below: Option<Below>,
}

impl ReportContent {
    /// The lowest position that it confirms.
    fn lowest(&self) -> Option<Head> {
        let position = self.position?;
        let below = self.below.as_ref().and_then(|below| below.lowest);
        Some(below.map_or(position, |below| super::position::lower(position, &below)))
    }

    /// Whether it confirms more than another one.
    fn confirms_more(&self, than: &Self) -> bool {
        match (self.lowest(), than.lowest()) {
            (Some(now), Some(before)) => now.session != before.session || now.serial > before.serial,
            (now, before) => now != before,
        }
    }
}

/// The state of reporting.
struct ReportProgress {
    /// The report that the server heard last.
    heard: Option<ReportContent>,
    /// When the last report was sent.
    sent: Instant,
    /// When the content first differed from that.
    changed: Option<Instant>,
    /// No report before this time, unless a feed was opened since. The number: how often one was opened by then.
    waits: Option<(Instant, u64)>,
    backoff: Backoff,
    /// A factor for pauses, so that replicas do not report in step.
    jitter: f64,
}

impl ReportProgress {
    fn new() -> Self {
        // As if the last one was long ago.
        let sent = Instant::now().checked_sub(BEAT).unwrap_or_else(Instant::now);
        Self { heard: None, sent, changed: None, waits: None, backoff: Backoff::new(RETRY, BEAT), jitter: 1.0 }
    }

    /// When a report with this content is due.
    fn due(&mut self, said: &ReportContent, opened: u64, now: Instant) -> Instant {
        let paced = self.sent + PACE.mul_f64(self.jitter);
        if let Some((until, before)) = self.waits
            && opened == before
        {
            return until.max(paced);
        }
        match &self.heard {
            Some(heard) if heard.place == said.place && !said.confirms_more(heard) => {
                if heard == said {
                    self.changed = None;
                    self.sent + BEAT.mul_f64(self.jitter)
                } else {
                    paced.max(*self.changed.get_or_insert(now) + SOON)
                }
            }
            _ => paced,
        }
    }
}

/// When to repeat a report that the server does not accept.
fn rarely() -> Instant {
    Instant::now() + drawn(RARELY, 0.8..=1.2)
}

impl Reporting {
    pub(super) fn new(env: &Env, held: &Arc<Held>, upstream: &Arc<Upstream>) -> Self {
        Self {
            env: env.clone(),
            held: held.clone(),
            upstream: upstream.clone(),
            run: rand::random(),
            seq: AtomicU64::new(0),
            about: OnceLock::new(),
            leads_on: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            counts: Mutex::new(vec![ServerCounts::No; upstream.count()]),
        }
    }

    fn counts(&self, place: usize) -> ServerCounts {
        let counts = self.counts.lock();
        counts.get(place).copied().unwrap_or(ServerCounts::No)
    }

    fn set_counts(&self, place: usize, now: ServerCounts) {
        if let Some(counts) = self.counts.lock().get_mut(place) {
            *counts = now;
        }
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }
}

impl Reporting {
    /// Reports to the upstream server as long as the process lives. `name`: the name for people.
    pub(super) async fn report(self: Arc<Self>, name: String, behind: Arc<Replicas>) {
        let mut moved = behind.watch();
        let mut current = self.upstream.watch();
        // Called once, at start.
        let _ = self.about.set((name, behind));
        let mut progress = ReportProgress::new();
        while !self.is_leaving() {
            moved.borrow_and_update();
            let place = *current.borrow_and_update();
            let said = self.said(place);
            let opened = self.opened.load(Ordering::Acquire);
            let due = progress.due(&said, opened, Instant::now());
            tokio::select! {
                biased;
                () = sleep_until(due), if self.leads_on.load(Ordering::Acquire) => {
                    self.send(&mut progress, said, opened).await;
                }
                () = self.held.positions.moved() => {}
                Ok(()) = moved.changed() => {}
                Ok(()) = current.changed() => {}
            }
        }
    }

    fn said(&self, place: usize) -> ReportContent {
        let position = self.held.positions.confirmed();
        let below = self.about.get().and_then(|(_, behind)| behind.below(position.as_ref()));
        ReportContent { place, position, below }
    }

    async fn send(self: &Arc<Self>, progress: &mut ReportProgress, said: ReportContent, opened: u64) {
        let place = said.place;
        progress.jitter = rand::random_range(0.8..=1.2);
        (progress.sent, progress.changed) = (Instant::now(), None);
        let answer = self.upstream.report(place, &self.worded(&said, false)).await;
        progress.waits = None;
        let server = self.upstream.shown_at(place);
        match answer {
            Ok(status) if status.is_success() => {
                progress.backoff.reset();
                if let Some((_, behind)) = self.about.get() {
                    behind.below_was_heard();
                }
                progress.heard = Some(said);
                self.set_counts(place, ServerCounts::Yes);
                self.part_with_others(place);
                return;
            }
            Ok(StatusCode::CONFLICT) => {
                tracing::warn!(
                    "another replica reports to {server} with the id of this one: was its folder copied? This replica \
                     takes another id"
                );
                self.held.store.renew_identity();
                progress.waits = Some((Instant::now() + progress.backoff.pause(), opened));
            }
            // An older server works without reports.
            Ok(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => progress.waits = Some((rarely(), opened)),
            Ok(status) if status.is_client_error() => {
                tracing::warn!("{server} rejects the reports of this replica: it answered with status {status}");
                progress.waits = Some((rarely(), opened));
            }
            Ok(_) | Err(_) => {
                progress.waits = Some((Instant::now() + progress.backoff.pause(), opened));
                let error = answer.map_or_else(|error| error, UpstreamError::Status);
                tracing::debug!("cannot send the report of this replica to {server}: {error}");
            }
        }
        progress.heard = None;
    }

    fn worded(&self, said: &ReportContent, is_leaving: bool) -> FollowerReport {
        let name = self.about.get().map_or_else(String::new, |(name, _)| name.clone());
        let confirmation = Confirmation {
            id: self.held.store.identity(),
            run: self.run,
            seq: self.seq.fetch_add(1, Ordering::AcqRel),
            name,
            mode: if self.env.is_mirror() { "mirror" } else { "cache" }.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_lasting: self.held.store.is_lasting(),
            is_leaving,
            position: said.position,
            below: said.below.clone(),
        };
        confirmation.into()
    }

    /// Tells the servers that count this replica that it reports elsewhere now.
    fn part_with_others(self: &Arc<Self>, current: usize) {
        for place in (0..self.upstream.count()).filter(|place| *place != current) {
            if self.counts(place) == ServerCounts::Yes {
                self.set_counts(place, ServerCounts::NoLonger);
                self.env.runtime.spawn(self.clone().part_with(place));
            }
        }
    }

    async fn part_with(self: Arc<Self>, place: usize) {
        while self.counts(place) == ServerCounts::NoLonger && !self.is_leaving() {
            if self.say_goodbye(place).await {
                return;
            }
            sleep(drawn(FAREWELL, 0.5..=1.0)).await;
        }
    }

    /// Tells a server to stop counting this replica. Returns whether it heard that.
    async fn say_goodbye(&self, place: usize) -> bool {
        let answer = self.upstream.report(place, &self.worded(&self.said(place), true)).await;
        let is_heard = answer.is_ok_and(|status| !status.is_server_error());
        if is_heard && self.counts(place) == ServerCounts::NoLonger {
            self.set_counts(place, ServerCounts::No);
        }
        is_heard
    }

    /// Tells all servers that count this replica that it ends, within a moment. Then reports end.
    pub(super) async fn farewell(&self) {
        self.leaving.store(true, Ordering::Release);
        self.held.positions.look_again();
        let counting = (0..self.upstream.count()).filter(|place| self.counts(*place) != ServerCounts::No);
        // A server that does not hear it counts on.
        let _ = timeout(GOODBYE, join_all(counting.map(|place| self.say_goodbye(place)))).await;
    }

    /// Notes that the upstream server has opened its feed.
    pub(super) fn feed_opened(&self) {
        self.opened.fetch_add(1, Ordering::AcqRel);
        self.feed_leads_on(true);
    }

    /// Notes whether the way upstream may lead to a primary.
    pub(super) fn feed_leads_on(&self, leads_on: bool) {
        self.leads_on.store(leads_on, Ordering::Release);
        self.held.positions.look_again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Chain, Session};

    fn at(session: u8, serial: u64) -> Head {
        Head { session: Session([session; 16]), serial, chain: Chain::default() }
    }

    fn said(place: usize, position: Head, lowest: Option<Head>) -> ReportContent {
        let below = lowest.map(|lowest| Below { lowest: Some(lowest), known: 1, ..Below::default() });
        ReportContent { place, position: Some(position), below }
    }

    #[test]
    fn what_confirms_more_goes_at_once_and_the_rest_a_moment_later() {
        let now = Instant::now();
        let quiet = said(0, at(1, 5), Some(at(1, 5)));
        let table = [
            ("nothing", said(0, at(1, 5), Some(at(1, 5))), BEAT),
            ("all", said(0, at(1, 6), Some(at(1, 6))), PACE),
            ("another session", said(0, at(2, 1), Some(at(2, 1))), PACE),
            ("another server", said(1, at(1, 5), Some(at(1, 5))), PACE),
            ("who is behind", said(0, at(1, 6), Some(at(1, 5))), SOON * 2),
            ("less", said(0, at(1, 5), Some(at(1, 4))), SOON * 2),
        ];
        for (what, said, after) in table {
            let mut progress = ReportProgress { heard: Some(quiet.clone()), sent: now, ..ReportProgress::new() };
            assert_eq!(progress.due(&said, 0, now + SOON), now + after, "{what}");
        }
    }

    #[test]
    fn after_a_failure_it_waits_unless_a_feed_is_opened() {
        let said = said(0, at(1, 5), None);
        let mut progress = ReportProgress::new();
        let now = Instant::now();
        (progress.sent, progress.waits) = (now, Some((now + RARELY, 3)));
        assert_eq!(progress.due(&said, 3, now), now + RARELY);
        assert_eq!(progress.due(&said, 4, now), now + PACE);
    }
}
