//! The order of versions as properties of a model: nothing ever goes back, followers converge, and no withdrawn key
//! stands in anybody's way.

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

#[test]
fn a_deletion_beats_every_jwt_up_to_its_own_time() {
    let standing = Standing::default();
    let mut held = Held::default();
    held.put(version(100, 1, 0), None, &standing);
    assert!(held.order_delete(&ACCOUNT, &deletion(99, 0), &standing).is_err());
    assert!(held.order_delete(&ACCOUNT, &deletion(100, 0), &standing).is_ok());
    assert!(held.delete(deletion(100, 0), &standing) && !held.is_live());
    assert!(!held.delete(deletion(100, 0), &standing), "the same again is no news");
    let order = |iat| held.order(&version(iat, 2, 0), Via::Post, None, &standing);
    assert!(matches!(order(100), Ordering::Refused(Refusal::Deleted { .. })));
    assert!(matches!(order(101), Ordering::Newer));
    held.put(version(101, 2, 0), None, &standing);
    assert!(held.is_live());
}

#[test]
fn what_a_withdrawn_key_signed_stands_in_the_way_only_of_what_was_signed_before_the_withdrawal() {
    let both = Standing::default().with_keys(listed(&[0, 1]), 10);
    let one = both.with_keys(listed(&[0]), 300);
    let posted = |held: &Held, iat| held.order(&version(iat, 9, 0), Via::Post, None, &one);

    let mut honest = Held::default();
    honest.put(version(200, 1, 1), None, &both);
    assert_eq!(honest.withheld_by(&both), None);
    assert_eq!(honest.withheld_by(&one), Some(operator_key(1)));
    assert!(matches!(posted(&honest, 199), Ordering::Refused(Refusal::Older { held: 200, .. })));
    assert!(matches!(posted(&honest, 201), Ordering::Newer));

    let mut stolen = Held::default();
    stolen.put(version(FUTURE, 1, 1), None, &both);
    assert!(matches!(posted(&stolen, 299), Ordering::Refused(Refusal::Older { held: 299, .. })));
    assert!(matches!(posted(&stolen, 300), Ordering::Newer), "signed anew in the second of the withdrawal");

    let mut deleted = Held::default();
    deleted.delete(deletion(FUTURE, 1), &both);
    assert!(matches!(posted(&deleted, 299), Ordering::Refused(Refusal::Deleted { .. })));
    assert!(matches!(posted(&deleted, 300), Ordering::Newer));
    deleted.put(version(300, 9, 0), None, &one);
    assert!(deleted.is_live());
}

#[test]
fn a_deletion_reaches_a_withheld_version_from_the_future() {
    let both = Standing::default().with_keys(listed(&[0, 1]), 10);
    let one = both.with_keys(listed(&[0]), 300);
    let mut held = Held::default();
    held.put(version(FUTURE, 1, 1), None, &both);
    assert!(held.order_delete(&ACCOUNT, &deletion(400, 0), &both).is_err());
    assert!(held.order_delete(&ACCOUNT, &deletion(400, 0), &one).is_ok());
    assert!(held.delete(deletion(400, 0), &one));
    assert!(!held.is_live());
    let again = one.with_keys(listed(&[0, 1]), 500);
    let thief = held.order(&version(FUTURE, 1, 1), Via::Post, None, &again);
    assert!(
        matches!(thief, Ordering::Refused(Refusal::Older { .. })),
        "{thief:?}: it stays away when its key comes back"
    );
}

/// One of many versions of one second.
fn one_of_many(iat: i64, n: u8, key: u8) -> Version {
    let mut version = version(iat, 0, key);
    version.identity[..3].copy_from_slice(&[n, u8::try_from(iat % 100).expect("small"), key]);
    version
}

#[test]
fn a_second_takes_so_many_versions_and_the_next_one_takes_more() {
    let standing = Standing::default();
    let mut held = Held::default();
    let most = u8::try_from(MOST_IN_ONE_SECOND).expect("few");
    for n in 0..most {
        let version = one_of_many(100, n, 0);
        assert!(matches!(held.order(&version, Via::Post, None, &standing), Ordering::Newer), "{n}");
        held.put(version, None, &standing);
    }
    let direct = [Via::Post, Via::Update, Via::EditedFile, Via::Configured];
    for via in direct {
        let offer = |n| held.order(&one_of_many(100, n, 0), via, None, &standing);
        assert!(matches!(offer(most), Ordering::Refused(Refusal::SecondFull(100))), "{via:?}");
        assert!(matches!(offer(0), Ordering::Refused(Refusal::Replaced)), "{via:?}");
        assert!(matches!(offer(most - 1), Ordering::Same), "{via:?}");
        assert!(matches!(held.order(&one_of_many(101, 0, 0), via, None, &standing), Ordering::Newer), "{via:?}");
    }
    // What an earlier version of this program kept of such a second may be more. What is dropped of it stays away.
    let before: Vec<Identity> = (0..=most).map(|n| one_of_many(100, n, 0).identity).collect();
    let read = Held::restore(Some(one_of_many(100, 200, 0)), before, None, Vec::new());
    assert_eq!(read.ties().len() + 1, MOST_IN_ONE_SECOND);
    for via in direct.into_iter().chain([Via::Feed, Via::Upstream]) {
        let dropped = read.order(&one_of_many(100, 0, 0), via, position(0), &standing);
        assert!(matches!(dropped, Ordering::Refused(_) | Ordering::Refetch), "{via:?}: {dropped:?}");
    }
}

#[test]
fn a_follower_of_a_full_second_goes_by_its_primary_alone() {
    let standing = Standing::default();
    let most = u8::try_from(MOST_IN_ONE_SECOND).expect("few");
    let mut held = Held::default();
    // Its primary may be of an earlier version, which takes more.
    for n in 0..=most {
        let (version, at) = (one_of_many(100, n, 0), position(n.into()));
        assert!(matches!(held.order(&version, Via::Feed, at, &standing), Ordering::Newer), "{n}");
        held.put(version, at, &standing);
    }
    assert_eq!(held.ties().len() + 1, MOST_IN_ONE_SECOND);
    let elsewhere = Some(Position { session: [8; 16], serial: 1_000 });
    for (what, n, at) in [
        ("what fell out of the list", 0, position(0)),
        ("the same without its place", 0, None),
        ("what another session has", 100, elsewhere),
    ] {
        for via in [Via::Feed, Via::Upstream] {
            let order = held.order(&one_of_many(100, n, 0), via, at, &standing);
            assert!(matches!(order, Ordering::Behind | Ordering::Refused(_)), "{what} {via:?}: {order:?}");
        }
    }
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
struct Primary {
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

impl Primary {
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
struct Follower<'l> {
    primary: &'l Primary,
    held: Held,
    standing: Standing,
    /// How many changes the primary has made so far.
    made: usize,
    best: Option<usize>,
}

impl Follower<'_> {
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
        let mut primary = Primary::new();
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
        let mut primary = Primary::run(&honest.collect::<Vec<_>>());
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
        let primary = Primary::run(&attempts);
        let log = &primary.log;
        let mut follower =
            Follower { primary: &primary, held: Held::default(), standing: at_first(), made: 0, best: None };
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
