//! The order of versions as properties of a model: nothing ever goes back, followers converge, and no withdrawn key
//! stands in anybody's way.

mod examples;

use proptest::prelude::*;

use super::{Deletion, Held, Identity, MOST_IN_ONE_SECOND, Ordering, Position, Refusal, Standing, Version, Via};
use crate::key::{AccountKey, Kind, PublicKey};

fn operator_key(n: u8) -> PublicKey {
    PublicKey::from_raw(Kind::Operator, [n; 32])
}

fn version(iat: i64, identity: u8, key: u8) -> Version {
    Version { iat, identity: [identity; 32], issuer: operator_key(key) }
}

fn deletion(iat: i64, key: u8) -> Deletion {
    Deletion { iat, issuer: operator_key(key) }
}

fn listed(keys: &[u8]) -> Vec<PublicKey> {
    keys.iter().map(|n| operator_key(*n)).collect()
}

const ACCOUNT: AccountKey = AccountKey::from_raw([0; 32]);
/// An `iat` that no honest signer has reached.
const FUTURE: i64 = 1_000_000;

/// One of many versions of one second.
fn one_of_many(iat: i64, n: u8, key: u8) -> Version {
    let mut version = version(iat, 0, key);
    version.identity[..3].copy_from_slice(&[n, u8::try_from(iat % 100).expect("small"), key]);
    version
}

/// What is attempted at the primary in the model: versions with few distinct times, so that ties are common, deletions,
/// and operator JWTs.
#[derive(Debug, Clone)]
enum Commit {
    Put(Version),
    Delete(Deletion),
    Operator { keys: Vec<u8>, iat: i64 },
}

/// A primary in the model: its rules, and the changes that they let through, in order.
struct ModelPrimary {
    held: Held,
    standing: Standing,
    log: Vec<Commit>,
    /// Which change brought what it serves, after each of its changes.
    serves: Vec<Option<usize>>,
}

fn at_first() -> Standing {
    Standing::default().with_keys(listed(&[0, 1, 2]), 100)
}

/// What is served: the identity of a live version whose signer is vouched for.
fn served(held: &Held, standing: &Standing) -> Option<Identity> {
    held.version().filter(|version| held.is_live() && standing.vouches(&version.issuer)).map(|version| version.identity)
}

impl ModelPrimary {
    fn new() -> Self {
        Self { held: Held::default(), standing: at_first(), log: Vec::new(), serves: Vec::new() }
    }

    fn run(attempts: &[Commit]) -> Self {
        let mut primary = Self::new();
        for attempt in attempts {
            primary.attempt(attempt, Via::Post);
        }
        primary
    }

    /// Whether it is a change.
    fn attempt(&mut self, attempt: &Commit, via: Via) -> bool {
        let Self { held, standing, .. } = self;
        let taken = match attempt {
            Commit::Put(version) => {
                let newer = standing.vouches(&version.issuer)
                    && matches!(held.order(version, via, None, standing), Ordering::Newer);
                if newer {
                    held.put(*version, None, standing);
                }
                newer
            }
            Commit::Delete(request) => {
                standing.vouches(&request.issuer)
                    && held.order_delete(&ACCOUNT, request, standing).is_ok()
                    && held.delete(*request, standing)
            }
            Commit::Operator { keys, iat } => {
                let newer = standing.issued() <= *iat;
                if newer {
                    *standing = standing.with_keys(listed(keys), *iat);
                }
                newer
            }
        };
        if taken {
            self.log.push(attempt.clone());
            let now = served(&self.held, &self.standing);
            self.serves.push(now.and_then(|now| {
                self.log.iter().rposition(|change| matches!(change, Commit::Put(version) if version.identity == now))
            }));
        }
        taken
    }
}

fn position(index: usize) -> Option<Position> {
    Some(Position { session: [7; 16], serial: index as u64 + 1 })
}

/// A follower in the model.
struct ModelFollower<'l> {
    primary: &'l ModelPrimary,
    held: Held,
    standing: Standing,
    /// How many changes the primary has made so far.
    made: usize,
    best: Option<usize>,
}

impl ModelFollower<'_> {
    fn offer(&mut self, index: usize, via: Via, at: Option<Position>) {
        let Commit::Put(version) = &self.primary.log[index] else { return };
        if !self.standing.vouches(&version.issuer) {
            return;
        }
        if via == Via::Feed {
            self.held.make_room(version, &self.standing);
        }
        let order = self.held.order(version, via, at, &self.standing);
        if via == Via::Feed && !matches!(order, Ordering::Newer | Ordering::Same) {
            self.held.pass_over(version, &self.standing);
        }
        match order {
            Ordering::Newer | Ordering::Same => self.held.put(*version, at, &self.standing),
            Ordering::Behind => self.held.note_behind(version, at),
            Ordering::Refetch => self.fetch(),
            Ordering::Refused(_) => {}
        }
        self.check();
    }

    /// The next change of the feed.
    fn feed(&mut self, index: usize) {
        match &self.primary.log[index] {
            Commit::Put(_) => self.offer(index, Via::Feed, position(index)),
            Commit::Delete(request) => {
                self.held.delete(*request, &self.standing);
            }
            Commit::Operator { keys, iat } => self.standing = self.standing.with_keys(listed(keys), *iat),
        }
        self.check();
    }

    /// What a GET at the primary was answered after so many changes.
    fn answer(&self, count: usize) -> Option<usize> {
        count.checked_sub(1).and_then(|last| self.primary.serves[last])
    }

    /// Asks the primary, which answers with what it holds now.
    fn fetch(&mut self) {
        if let Some(index) = self.answer(self.made) {
            self.offer(index, Via::Upstream, position(index));
        }
    }

    /// No key ever goes back: what is held is never an earlier change than what was held before, unless it claims a
    /// later time, or what was held before is withheld (the follower heard of the later change first).
    fn check(&mut self) {
        if !self.held.is_live() {
            // Whatever is not after the deletion is barred by it.
            self.best = None;
            return;
        }
        let log = &self.primary.log;
        let found = |change: &Commit| match change {
            Commit::Put(version) => Some(&version.identity) == self.held.identity(),
            _ => false,
        };
        let now = log.iter().position(found);
        let version = |index: Option<usize>| match index.map(|index| &log[index]) {
            Some(Commit::Put(version)) => Some(*version),
            _ => None,
        };
        let claims = |index| version(index).map(|version| version.iat);
        let withheld = version(self.best).is_some_and(|best| !self.standing.vouches(&best.issuer));
        let forward = now >= self.best || claims(now) > claims(self.best) || withheld;
        assert!(forward, "went back from {:?} to {now:?} in {log:?}", self.best);
        self.best = now;
    }
}

/// Now and then more versions of one second than there may be.
fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let burst = (100..106i64, 0..3u8).prop_map(|(iat, key)| {
        (0..=u8::try_from(MOST_IN_ONE_SECOND).expect("few")).map(|n| Commit::Put(one_of_many(iat, n, key))).collect()
    });
    (few_commits(), proptest::option::weighted(0.05, (burst, 0..16usize))).prop_map(|(mut commits, burst)| {
        if let Some((burst, at)) = burst {
            let burst: Vec<Commit> = burst;
            let at = at.min(commits.len());
            commits.splice(at..at, burst);
        }
        commits
    })
}

fn few_commits() -> impl Strategy<Value = Vec<Commit>> {
    let times = || prop_oneof![6 => 100..106i64, 1 => Just(FUTURE)];
    let commit = prop_oneof![
        8 => (times(), 0..5u8, 0..3u8).prop_map(|(iat, n, key)| {
            // One identity for everything that is signed: the time and the key are part of it.
            let time = if iat == FUTURE { 6 } else { u8::try_from(iat - 100).expect("small") };
            Commit::Put(version(iat, (n * 7 + time) * 3 + key, key))
        }),
        1 => (times(), 0..3u8).prop_map(|(iat, key)| Commit::Delete(deletion(iat, key))),
        2 => (proptest::collection::vec(0..3u8, 1..4), 100..107i64).prop_map(|(keys, iat)| Commit::Operator { keys, iat }),
    ];
    proptest::collection::vec(commit, 1..16)
}

/// What a follower meets besides the feed. A hint does not reach what is held: see `replica::hint`.
#[derive(Debug, Clone)]
enum Meet {
    /// Its own question to the primary.
    Fetch,
    /// An answer that was on its way for a while: what the primary held some changes ago.
    Late(usize),
    /// The next change of the feed.
    Feed,
}

fn meets() -> impl Strategy<Value = Vec<Meet>> {
    let meet = prop_oneof![
        2 => Just(Meet::Fetch),
        2 => (0..4usize).prop_map(Meet::Late),
        4 => Just(Meet::Feed),
    ];
    proptest::collection::vec(meet, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_key_ever_goes_back_on_a_primary(attempts in commits(), vias in proptest::collection::vec(0..9usize, 16)) {
        let mut primary = ModelPrimary::new();
        let mut left: Vec<Identity> = Vec::new();
        for (attempt, via) in attempts.iter().zip(vias.into_iter().cycle()) {
            // What a follower's paths bring was ordered by a primary before.
            let via = Some(Via::ALL[via]).filter(|via| !matches!(via, Via::Feed | Via::Upstream)).unwrap_or(Via::Post);
            let before = primary.held.identity().copied();
            primary.attempt(attempt, via);
            if let Some(now) = primary.held.identity()
                && before.as_ref() != Some(now)
            {
                left.extend(before);
                prop_assert!(!left.contains(now), "{now:?} came back");
            }
        }
    }

    #[test]
    fn a_withdrawn_key_blocks_nobody(attempts in commits()) {
        // Key 2 is stolen: it alone signs what is dated ahead, and it is withdrawn for good.
        let honest = attempts.into_iter().filter(|attempt| match attempt {
            Commit::Put(version) => version.iat != FUTURE || version.issuer == operator_key(2),
            Commit::Delete(request) => request.iat != FUTURE || request.issuer == operator_key(2),
            Commit::Operator { .. } => true,
        });
        let mut primary = ModelPrimary::run(&honest.collect::<Vec<_>>());
        let withdrawal = Commit::Operator { keys: vec![0, 1], iat: 107 };
        prop_assert!(primary.attempt(&withdrawal, Via::EditedFile));
        let stolen = primary.held.version().is_some_and(|version| version.issuer == operator_key(2));
        prop_assert!(!stolen || served(&primary.held, &primary.standing).is_none());
        for (iat, key) in [(107, 0), (108, 1)] {
            let anew = version(iat, 200 + key, key);
            prop_assert!(primary.attempt(&Commit::Put(anew), Via::Post), "{anew:?} is refused by {:?}", primary.held);
            prop_assert_eq!(served(&primary.held, &primary.standing), Some(anew.identity));
        }
        prop_assert!(primary.attempt(&Commit::Delete(deletion(109, 0)), Via::Post));
        prop_assert!(!primary.held.is_live());
    }

    #[test]
    fn a_follower_ends_where_its_primary_is(attempts in commits(), meets in meets()) {
        let primary = ModelPrimary::run(&attempts);
        let log = &primary.log;
        let mut follower =
            ModelFollower { primary: &primary, held: Held::default(), standing: at_first(), made: 0, best: None };
        let mut fed = 0;
        let all = meets.into_iter().chain(std::iter::repeat_n(Meet::Feed, log.len()));
        for meet in all {
            // The primary goes on while the follower lags behind.
            follower.made = (follower.made + 1).min(log.len());
            match meet {
                Meet::Fetch => follower.fetch(),
                Meet::Late(ago) => {
                    if let Some(index) = follower.answer(follower.made.saturating_sub(ago)) {
                        follower.offer(index, Via::Upstream, position(index));
                    }
                }
                Meet::Feed if fed < log.len() => {
                    follower.made = follower.made.max(fed + 1);
                    follower.feed(fed);
                    fed += 1;
                }
                Meet::Feed => {}
            }
        }
        prop_assert_eq!(
            served(&follower.held, &follower.standing),
            served(&primary.held, &primary.standing),
            "{:?} after {:?}", follower.held, log
        );
    }
}
