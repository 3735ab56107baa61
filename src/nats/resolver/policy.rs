//! Which requests this server answers beside nats-servers that host account JWTs as well.
//!
//! Tools that send UPDATE, LIST or DELETE count the answers, or take the first for the answer of all. One answer too many
//! misleads them, and so does silence where no other server answers. So this server finds out whether there are full
//! resolvers. From 2.9.17 on, each of those answers a LOOKUP for an account that does not exist, and no other server does.
//! LIST would tell as well, but keeps a full resolver busy for seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::super::Connected;
use super::peers::Peers;
use crate::backoff::drawn;
use crate::config::{Nats, PackResponder, ReplicaMode, ResolverMode};
use crate::key::AccountKey;
use crate::node::{self, Receipts};

/// How long full resolvers have to answer.
const WINDOW: Duration = Duration::from_millis(750);
/// How often they are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// How soon again, if one was there before and did not answer.
const AGAIN: Duration = Duration::from_secs(5);
/// Looks without an answer after which there is none any more.
const IN_VAIN: u32 = 3;
/// The same at the start. One is not enough, because nats-servers may just be finding each other.
const AT_FIRST: u32 = 2;
/// How long a request waits for the first look to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether there are full resolvers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FullResolvers {
    /// Not known yet.
    Unknown,
    /// At least one answered.
    Full,
    /// One asked for a pack, and none answered: it is older than 2.9.17.
    Old,
    /// None answered.
    Without,
    /// Our user may not ask, or not hear the answer.
    Hidden,
}

/// What this server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stance {
    /// Answers UPDATE and DELETE.
    pub(super) replies: bool,
    /// Answers LIST.
    pub(super) lists: bool,
    /// Is one of those that answer PACK.
    pub(super) packs: bool,
}

/// Decides what this server does, and finds out what it depends on.
#[derive(Debug)]
pub(in crate::nats) struct ResolverPolicy {
    mode: ResolverMode,
    responder: PackResponder,
    /// `None`: this is a primary.
    replica: Option<ReplicaMode>,
    fleet: watch::Sender<FullResolvers>,
    hint: Notify,
    /// A full resolver has asked for a pack since the last look.
    was_asked: AtomicBool,
}

impl ResolverPolicy {
    /// As the settings say. A replica leaves all but LOOKUP to its primary, unless it is a mirror and told to participate.
    pub(in crate::nats) fn of(nats: &Nats, replica: Option<ReplicaMode>) -> Self {
        Self {
            mode: nats.resolver,
            responder: nats.pack_responder,
            replica,
            fleet: watch::Sender::new(FullResolvers::Unknown),
            hint: Notify::new(),
            was_asked: AtomicBool::new(false),
        }
    }

    /// Whether nothing is answered or asked.
    pub(in crate::nats) fn is_off(&self) -> bool {
        self.mode == ResolverMode::Off
    }

    /// Whether LIST and PACK may be answered at all.
    pub(in crate::nats) fn may_list(&self) -> bool {
        match self.replica {
            None => !self.is_off(),
            Some(ReplicaMode::Mirror) => self.mode == ResolverMode::Participant,
            Some(ReplicaMode::Cache) => false,
        }
    }

    /// What to do, as far as is known.
    pub(super) fn stance(&self) -> Stance {
        self.among(*self.fleet.borrow())
    }

    /// What to do, when it is known.
    pub(super) async fn settled(&self) -> Stance {
        if self.among(FullResolvers::Full).replies == self.among(FullResolvers::Without).replies {
            return self.stance();
        }
        let mut fleet = self.fleet.subscribe();
        // After a while without an answer it is what is known.
        let _ = timeout(PATIENCE, fleet.wait_for(|fleet| *fleet != FullResolvers::Unknown)).await;
        self.stance()
    }

    /// Waits until packs are answered, or are not.
    pub(super) async fn packs(&self, wanted: bool) {
        // It fails when the sender is gone, which is ourselves.
        let _ = self.fleet.subscribe().wait_for(|fleet| self.among(*fleet).packs == wanted).await;
    }

    /// Notes in the receipts whether there are full resolvers, which store accounts that they have not loaded, for as long as
    /// the process lives.
    pub(super) async fn tell(self: Arc<Self>, receipts: Arc<Receipts>) {
        let mut fleet = self.fleet.subscribe();
        loop {
            let has_full = matches!(*fleet.borrow_and_update(), FullResolvers::Full | FullResolvers::Old);
            receipts.full_resolvers(has_full);
            if fleet.changed().await.is_err() {
                return;
            }
        }
    }

    /// A full resolver has asked for a pack.
    pub(super) fn asked(&self) {
        if *self.fleet.borrow() == FullResolvers::Without {
            self.was_asked.store(true, Ordering::Relaxed);
            self.hint.notify_one();
        }
    }

    /// Nobody answered what a full resolver answers.
    pub(super) fn missed(&self) {
        if *self.fleet.borrow() == FullResolvers::Full {
            self.hint.notify_one();
        }
    }

    fn among(&self, fleet: FullResolvers) -> Stance {
        let alone = fleet == FullResolvers::Without;
        let replies = match self.mode {
            ResolverMode::Participant => true,
            ResolverMode::Auto => alone,
            ResolverMode::Silent | ResolverMode::Off => false,
        };
        let packs = match self.responder {
            PackResponder::On => self.mode != ResolverMode::Off,
            PackResponder::Auto => alone && matches!(self.mode, ResolverMode::Auto | ResolverMode::Participant),
            PackResponder::Off => false,
        };
        let may_list = self.may_list();
        // A replica stores no change of its own, so it says nothing about one.
        Stance { replies: replies && self.replica.is_none(), lists: replies && may_list, packs: packs && may_list }
    }

    /// Looks for full resolvers, again and again, for as long as the process lives.
    pub(super) async fn watch(self: Arc<Self>, connected: Arc<Connected>) {
        let peers = Peers::new(connected.clone());
        let (mut in_vain, mut asked_on) = (0, connected.generation());
        loop {
            if asked_on != connected.generation() {
                // Other nats-servers may be there now.
                asked_on = connected.generation();
                in_vain = 0;
                self.fleet.send_if_modified(|fleet| {
                    let is_new = *fleet != FullResolvers::Full;
                    if is_new {
                        *fleet = FullResolvers::Unknown;
                    }
                    is_new
                });
            }
            let Some(heard) = peers.look_up(&nobody(), WINDOW).await else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let found = heard.is_missing_somewhere();
            in_vain = if found { 0 } else { in_vain + 1 };
            let was_asked = self.was_asked.swap(false, Ordering::Relaxed);
            let before = *self.fleet.borrow();
            let now = match before {
                _ if found => FullResolvers::Full,
                _ if heard.is_nobody_there => FullResolvers::Without,
                _ if cannot_ask(&connected) => FullResolvers::Hidden,
                FullResolvers::Full if in_vain < IN_VAIN => FullResolvers::Full,
                FullResolvers::Unknown if in_vain < AT_FIRST => FullResolvers::Unknown,
                FullResolvers::Without if was_asked => FullResolvers::Old,
                FullResolvers::Old => FullResolvers::Old,
                _ => FullResolvers::Without,
            };
            if now != before {
                self.fleet.send_replace(now);
                tracing::info!("NATS resolver: {}", node::Policy::describe(&*self));
            }
            let pause = match now {
                FullResolvers::Unknown => Duration::ZERO,
                FullResolvers::Full if !found => AGAIN,
                _ => EVERY,
            };
            tokio::select! {
                () = sleep(drawn(pause, 0.9..=1.1)) => {}
                () = reconnected(&connected, asked_on) => {}
                // A pause before the look: hints may come in great number.
                () = async { self.hint.notified().await; sleep(Duration::from_secs(1)).await } => {}
            }
        }
    }
}

impl node::Policy for ResolverPolicy {
    fn describe(&self) -> String {
        let fleet = *self.fleet.borrow();
        if self.mode == ResolverMode::Off {
            return "nothing is answered or asked (nats.resolver is off)".into();
        }
        let stance = self.among(fleet);
        let answered = match (stance.replies, stance.packs) {
            _ if self.replica.is_some() && !stance.lists => {
                return "LOOKUP is answered; UPDATE, LIST, DELETE and PACK are left to the primary".into();
            }
            (_, true) if self.replica.is_some() => {
                "LOOKUP, and LIST and PACK while this mirror is in sync, are answered; UPDATE and DELETE are left to the primary"
            }
            (_, false) if self.replica.is_some() => {
                "LOOKUP, and LIST while this mirror is in sync, are answered; UPDATE and DELETE are left to the primary"
            }
            (true, true) => "LOOKUP, UPDATE, LIST, DELETE and PACK are answered",
            (true, false) => "LOOKUP, UPDATE, LIST and DELETE are answered, PACK is not",
            (false, true) => "LOOKUP and PACK are answered; UPDATE and DELETE are applied without an answer",
            (false, false) => "only LOOKUP is answered; UPDATE and DELETE are applied without an answer",
        };
        let seen = match fleet {
            FullResolvers::Unknown => "which resolvers are there is not known yet",
            FullResolvers::Full => "a nats-server with a full resolver is there",
            FullResolvers::Old => {
                "a full resolver before 2.9.17 has asked for a pack: set nats.resolver to silent to be sure"
            }
            FullResolvers::Without => "no full resolver answered",
            FullResolvers::Hidden => "which resolvers are there is unknown: the NATS user may not ask",
        };
        let mode = match self.mode {
            ResolverMode::Auto => "auto",
            ResolverMode::Participant => "participant",
            ResolverMode::Silent => "silent",
            ResolverMode::Off => "off",
        };
        format!("{answered} ({seen}; nats.resolver is {mode})")
    }
}

/// An account that does not exist.
fn nobody() -> AccountKey {
    AccountKey::from_raw(rand::random())
}

/// Whether our user may not ask, or not hear the answer: then silence says nothing.
fn cannot_ask(connected: &Connected) -> bool {
    let needed = ["publish to $SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", "subscribe to _INBOX."];
    connected.denied().iter().any(|denied| needed.iter().any(|needed| denied.starts_with(needed)))
}

async fn reconnected(connected: &Connected, asked_on: u64) {
    while connected.generation() == asked_on {
        sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_depends_on_who_else_would() {
        use PackResponder as P;
        use ResolverMode as R;
        // Mode and responder; then replies and packs where it is unknown, with full resolvers, and without.
        let table = [
            (R::Auto, P::Auto, [(false, false), (false, false), (true, true)]),
            (R::Auto, P::On, [(false, true), (false, true), (true, true)]),
            (R::Auto, P::Off, [(false, false), (false, false), (true, false)]),
            (R::Participant, P::Auto, [(true, false), (true, false), (true, true)]),
            (R::Participant, P::On, [(true, true), (true, true), (true, true)]),
            (R::Participant, P::Off, [(true, false), (true, false), (true, false)]),
            (R::Silent, P::Auto, [(false, false), (false, false), (false, false)]),
            (R::Silent, P::On, [(false, true), (false, true), (false, true)]),
            (R::Off, P::On, [(false, false), (false, false), (false, false)]),
        ];
        for (mode, responder, wanted) in table {
            let nats = Nats { resolver: mode, pack_responder: responder, ..Nats::default() };
            let fleets = [FullResolvers::Unknown, FullResolvers::Full, FullResolvers::Without];
            let stances = |replica| {
                let policy = ResolverPolicy::of(&nats, replica);
                fleets.map(|fleet| policy.among(fleet))
            };
            let primary = wanted.map(|(replies, packs)| Stance { replies, lists: replies, packs });
            assert_eq!(stances(None), primary, "{mode:?} {responder:?}");
            // A mirror that participates does what only reads.
            let takes_part = mode == R::Participant;
            let mirror = primary.map(|Stance { packs, .. }| Stance {
                replies: false,
                lists: takes_part,
                packs: packs && takes_part,
            });
            assert_eq!(stances(Some(ReplicaMode::Mirror)), mirror, "{mode:?} {responder:?}");
            let nothing = Stance { replies: false, lists: false, packs: false };
            assert_eq!(stances(Some(ReplicaMode::Cache)), [nothing; 3], "{mode:?} {responder:?}");
        }
    }
}
