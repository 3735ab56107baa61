//! The log of a cache is bounded, and what was asked for stays.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::*;
use super::primary::fed;
use super::world::Copies;
use crate::feed::digest::{Leaf, LeafState};
use crate::feed::{Head, Session, Subject};
use crate::gate::Tombstone;
use crate::key::AccountKey;
use crate::store::journal::upstream::{
    Answered, AnsweredContent, Compared, ComparedContent, Early, EarlyWay, Still, UpstreamWrite,
};
use crate::store::journal::{CacheBound, Role, weight_of};

const HEAD: Head = Head { serial: 7, session: Session([7; 16]), chain: Chain([7; 32]) };

/// The first order of a store.
const FIRST: u64 = 2;

/// An answer of the server that is followed. `era`: the order when it was asked for.
fn answered(key: AccountKey, content: AnsweredContent, era: u64, is_undisturbed: bool) -> Answered {
    Answered {
        key,
        content,
        era,
        is_followed: true,
        was_live: true,
        is_of_primary: false,
        is_undisturbed: Still::always(is_undisturbed),
        is_kept: Still::always(true),
    }
}

type Wanted = Arc<Mutex<HashSet<AccountKey>>>;

fn open_cache(path: &Path, log_bytes: u64, wanted: &Wanted) -> Journal {
    let wanted = wanted.clone();
    let is_wanted = Arc::new(move |key: &AccountKey| wanted.lock().contains(key));
    open_bounded(path, CacheBound { log_bytes, text_bytes: 1 << 30, keeps_unasked: false, is_wanted })
}

fn open_bounded(path: &Path, bound: CacheBound) -> Journal {
    let options = Options { role: Role::Cache, cache: Some(bound), ..Options::primary(Some(path.to_owned()), 0, 1) };
    Journal::open(&options, |_, _| {}).expect("opens")
}

/// Feeds everything that is new upstream, in transactions of some changes.
async fn feed(cache: &Journal, upstream: &Journal) {
    while cache.head() != upstream.head() {
        let changes = upstream.read_changes(cache.head().serial, 50).expect("readable");
        let fed = changes.iter().map(|change| Write::Upstream(UpstreamWrite::Fed(Box::new(fed(change, false)))));
        for outcome in cache.commit_all(fed.collect()).await {
            outcome.expect("applied");
        }
    }
}

fn text_in_log(path: &Path, cache: &Journal) -> u64 {
    let log = cache.state.log();
    rusqlite::Connection::open(path)
        .expect("opens")
        .query_row("SELECT coalesce(sum(length(body)), 0) FROM change WHERE id > ?1", [log.id(log.floor.0)], |row| {
            row.get(0)
        })
        .expect("a sum")
}

#[tokio::test]
async fn the_log_of_a_cache_is_bounded_by_its_text_and_what_is_wanted_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (signer, upstream) = (Signer::new(), Journal::open(&Options::primary(None, 0, 1), |_, _| {}).expect("opens"));
    let accounts: Vec<_> = (0..700).map(|_| KeyPair::new_account()).collect();
    let entries: Vec<_> = accounts.iter().map(|account| signer.entry(account, NOW, "text")).collect();
    let key = |n: usize| *entries[n].key();
    let wanted: Wanted = Arc::new(Mutex::new(HashSet::from([key(0), key(1)])));
    let bound = 300 * entries[0].token().len() as u64;
    let cache = open_cache(&path, bound, &wanted);
    cache.commit(Write::Upstream(UpstreamWrite::Begin(upstream.head()))).await.expect("begins");
    cache.commit(Write::Upstream(UpstreamWrite::Level { era: cache.era(), is_whole: true })).await.expect("ends");

    upstream.commit_all(entries.iter().take(10).map(put).collect()).await;
    upstream.commit(signer.delete(&[&accounts[5], &accounts[6]], NOW + 1)).await.expect("deleted");
    upstream.commit(Write::Remove(key(7), Via::EditedFile)).await.expect("removed");
    upstream.commit_all(entries.iter().skip(10).map(put).collect()).await;
    feed(&cache, &upstream).await;

    let floor = cache.floor();
    assert!(floor > 256 && floor < cache.head().serial, "{floor}");
    let text = text_in_log(&path, &cache);
    assert!(text > bound / 10 && text <= bound + bound / 3, "{text} of {bound}");
    assert_eq!(chain_of(&cache), cache.head().chain);
    let is_served = |cache: &Journal, n| cache.get(&key(n)).expect("readable").is_some();
    assert_eq!([0, 1, 2, 5, 7, 699].map(|n| is_served(&cache, n)), [true, true, false, false, false, true]);
    assert!(matches!(cache.status(&key(5)), Ok(super::super::super::AccountStatus::Deleted)));
    let (tree, computed) = cache.trees().expect("readable");
    assert!(tree == computed && tree == upstream.trees().expect("readable").0);

    // Of a text that a later one replaces only the change itself takes place in the log, so little has to leave for it.
    for n in 1..200 {
        upstream.commit(put(&signer.entry(&accounts[699], NOW + n, "text"))).await.expect("newer");
        feed(&cache, &upstream).await;
    }
    let now = text_in_log(&path, &cache);
    assert!(now <= bound && cache.floor() <= floor + 256, "{now} bytes of {bound}");

    let (tree, floor, count) = (cache.trees().expect("readable").0, cache.floor(), cache.count());
    cache.close().await;
    let cache = open_cache(&path, bound, &wanted);
    assert!(cache.trees().expect("readable").0 == tree);
    assert_eq!((cache.floor(), cache.count()), (floor, count));
    assert_eq!(chain_of(&cache), cache.head().chain);

    // What is no longer wanted leaves. What is in the log leaves with that.
    let evict = Write::Upstream(UpstreamWrite::Evict(vec![key(0), key(699)]));
    cache.commit(evict).await.expect("evicted");
    assert_eq!([0, 1, 699].map(|n| is_served(&cache, n)), [false, true, true]);

    // Another order begins: of the log before, only what is wanted stays.
    let other = Journal::open(&Options::primary(None, 0, 1), |_, _| {}).expect("opens");
    cache.commit(Write::Upstream(UpstreamWrite::Begin(other.head()))).await.expect("begins");
    assert_eq!([1, 699].map(|n| is_served(&cache, n)), [true, false]);
    let nothing = ComparedContent::Nothing(Subject::Account(key(1)));
    let nothing = Write::Upstream(UpstreamWrite::Compared(Compared {
        as_of: other.head().position(u64::MAX >> 1),
        serial: 0,
        content: nothing,
    }));
    cache.commit(nothing).await.expect("compared");
    assert!(is_served(&cache, 1), "absence is no deletion");
    let texts: u64 = rusqlite::Connection::open(&path)
        .expect("opens")
        .query_row("SELECT count(*) FROM change", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(texts, 1);
    let (tree, computed) = cache.trees().expect("readable");
    assert!(tree == computed);
}

#[tokio::test]
async fn texts_that_nobody_asked_for_stay_as_long_as_there_is_room_and_all_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (signer, upstream) = (Signer::new(), Journal::open(&Options::primary(None, 0, 1), |_, _| {}).expect("opens"));
    let accounts: Vec<_> = (0..900).map(|_| KeyPair::new_account()).collect();
    let entries: Vec<_> = accounts.iter().map(|account| signer.entry(account, NOW, "text")).collect();
    let (length, asked) = (entries[0].token().len(), *entries[450].key());
    let bound = CacheBound {
        log_bytes: 30 * length as u64,
        text_bytes: 400 * weight_of(length),
        keeps_unasked: true,
        is_wanted: Arc::new(move |key| *key == asked),
    };
    let most = bound.text_bytes + bound.log_bytes;
    let cache = open_bounded(&path, bound.clone());
    cache.commit(Write::Upstream(UpstreamWrite::Begin(upstream.head()))).await.expect("begins");
    cache.commit(Write::Upstream(UpstreamWrite::Level { era: cache.era(), is_whole: true })).await.expect("ends");
    upstream.commit_all(entries.iter().map(put).collect()).await;
    let again: Vec<_> =
        accounts.iter().step_by(3).map(|account| put(&signer.entry(account, NOW + 1, "text"))).collect();
    upstream.commit_all(again).await;
    upstream.commit(signer.delete(&[&accounts[1], &accounts[2]], NOW + 1)).await.expect("deleted");
    feed(&cache, &upstream).await;

    let served =
        |cache: &Journal| entries.iter().filter(|entry| cache.get(entry.key()).expect("readable").is_some()).count();
    let is_served = |cache: &Journal| cache.get(&asked).expect("readable").is_some();
    let (weight, count) = (cache.texts().expect("a cache").0, served(&cache));
    // A log is cut by some hundred changes at a time.
    assert!(weight <= most + 256 * weight_of(length), "{weight} of {most}");
    assert!((330..=700).contains(&count), "{count}");
    assert!(is_served(&cache), "what was asked for stays without room as well");
    let keys = cache.live_keys(None, 1000).expect("readable");
    cache.commit(Write::Upstream(UpstreamWrite::Evict(keys[..100].to_vec()))).await.expect("evicted");
    let weight = cache.texts().expect("a cache").0;
    let (served_before, was_served) = (served(&cache), is_served(&cache));
    cache.close().await;
    let cache = open_bounded(&path, bound);
    assert_eq!(cache.texts().expect("a cache").0, weight, "it was counted right all the time");
    assert_eq!((served(&cache), is_served(&cache)), (served_before, was_served));
    assert!(served_before < count);
}

/// Begins a comparison that finds the leaf of a deletion, and no text. Then a server that lags gives the JWT before that.
async fn is_told_what_was_before_a_deletion(cache: &Journal, entry: &Arc<Entry>, deletion: &Arc<Tombstone>) {
    let subject = Subject::Account(*entry.key());
    let leaf = Leaf::of(&subject, &LeafState::Deleted(deletion.deletion()));
    let leaf = ComparedContent::Leaf(subject, leaf);
    let given = AnsweredContent::Put(entry.clone(), None, Via::Upstream);
    let answer = answered(*entry.key(), given, FIRST, false);
    for write in [
        UpstreamWrite::Begin(HEAD),
        UpstreamWrite::Compared(Compared { as_of: HEAD.position(7), serial: 0, content: leaf }),
        UpstreamWrite::Level { era: FIRST, is_whole: true },
        UpstreamWrite::Answered(answer),
    ] {
        cache.commit(Write::Upstream(write)).await.expect("applied");
    }
    assert!(cache.get(entry.key()).expect("readable").is_some(), "nothing says that it was deleted");
}

#[tokio::test]
async fn what_is_served_while_only_a_digest_of_upstream_s_state_is_known_is_in_doubt_until_upstream_says_what_it_has() {
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let entry = signer.entry(&account, NOW, "before");
    let Write::Delete(deletion, _) = signer.delete(&[&account], NOW + 1) else { panic!("a deletion") };
    let (key, subject) = (*entry.key(), Subject::Account(*entry.key()));
    let absent = AnsweredContent::Absent { is_comparable: true };
    let absent = UpstreamWrite::Answered(answered(key, absent, FIRST, true));
    let found = |content| UpstreamWrite::Compared(Compared { as_of: HEAD.position(7), serial: 0, content });
    let evict = UpstreamWrite::Evict(vec![key]);

    for (writes, is_served, is_ahead) in [
        // A 404 does not say what became of it.
        (vec![absent, found(ComparedContent::Delete(deletion.clone(), vec![key]))], false, false),
        (vec![found(ComparedContent::Nothing(subject))], true, true),
        (vec![evict], false, false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.sqlite");
        let cache = open_cache(&path, 1 << 20, &Wanted::default());
        is_told_what_was_before_a_deletion(&cache, &entry, &deletion).await;
        let (last, before) = writes.split_last().expect("a write");
        for write in before {
            cache.commit(Write::Upstream(write.clone())).await.expect("applied");
        }
        assert_eq!((cache.stand().doubted, cache.stand().ahead), (1, 0), "{last:?}");
        assert_eq!(cache.doubted(None, 9).expect("readable"), [subject]);
        assert_eq!(cache.leaf_to_ask_by(&subject).expect("readable"), None, "upstream must give its text");
        cache.close().await;

        let cache = open_cache(&path, 1 << 20, &Wanted::default());
        assert_eq!(cache.stand().doubted, 1, "after a restart");
        cache.commit(Write::Upstream(last.clone())).await.expect("applied");
        assert_eq!(cache.get(&key).expect("readable").is_some(), is_served, "{last:?}");
        assert_eq!((cache.stand().doubted, cache.stand().ahead), (0, u64::from(is_ahead)), "{last:?}");
    }
}

#[tokio::test]
async fn what_was_read_of_an_order_that_has_ended_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = open_cache(&folder.path().join("journal.sqlite"), 1 << 20, &Wanted::default());
    let entry = Signer::new().entry(&KeyPair::new_account(), NOW, "earlier");
    cache.commit(Write::Upstream(UpstreamWrite::Begin(HEAD))).await.expect("begins");
    let era = cache.era();
    let next = Head { session: Session([8; 16]), ..HEAD };
    cache.commit(Write::Upstream(UpstreamWrite::Begin(next))).await.expect("begins");
    let found = Compared { as_of: HEAD.position(9), serial: 9, content: ComparedContent::Put(entry.clone()) };
    for write in [UpstreamWrite::Compared(found), UpstreamWrite::Level { era, is_whole: true }] {
        assert!(matches!(cache.commit(Write::Upstream(write.clone())).await, Ok(Outcome::Kept)), "{write:?}");
    }
    assert!(!cache.stand().is_level && cache.get(entry.key()).expect("readable").is_none());
    assert_eq!(cache.leaf_of(&Subject::Account(*entry.key())).expect("readable"), None);
}

#[tokio::test]
async fn a_head_that_is_found_damaged_is_forgotten_with_what_counted_it_at_the_next_start() {
    let entry = Signer::new().entry(&KeyPair::new_account(), NOW, "served");
    let subject = Subject::Account(*entry.key());
    let put = |serial| {
        let content = ComparedContent::Put(entry.clone());
        UpstreamWrite::Compared(Compared { as_of: HEAD.position(serial), serial, content })
    };
    for is_found_by_a_write in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.sqlite");
        let cache = open_cache(&path, 1 << 20, &Wanted::default());
        for write in [UpstreamWrite::Begin(HEAD), put(7), UpstreamWrite::Level { era: 1, is_whole: true }] {
            cache.commit(Write::Upstream(write)).await.expect("applied");
        }
        cache.close().await;
        let edit = rusqlite::Connection::open(&path).expect("opens");
        edit.execute("UPDATE head SET iat = iat + 1 WHERE kind = 1", []).expect("edited");
        drop(edit);

        let cache = open_cache(&path, 1 << 20, &Wanted::default());
        assert!(cache.mended.is_none(), "nothing has looked at it");
        if is_found_by_a_write {
            cache.commit(Write::Upstream(put(7))).await.expect("applied");
        } else {
            assert!(cache.leaf_of(&subject).is_err(), "its sum is wrong");
        }
        cache.close().await;
        let cache = open_cache(&path, 1 << 20, &Wanted::default());
        assert!(cache.mended.is_some(), "by a write: {is_found_by_a_write}");
        let (tree, computed) = cache.trees().expect("readable");
        assert!(tree == computed && cache.count() == u64::from(is_found_by_a_write));
        assert!(!cache.stand().is_level, "upstream has what was lost");
    }
}

#[tokio::test]
async fn what_a_primary_lost_that_was_set_back_and_wrote_on_is_not_waited_for() {
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let entry = signer.entry(&account, NOW, "lost");
    let (key, subject) = (*entry.key(), Subject::Account(*entry.key()));
    // An answer is five changes ahead of the feed.
    let given = AnsweredContent::Put(entry.clone(), Some(HEAD.position(12)), Via::Upstream);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let cache = open_cache(&path, 1 << 20, &Wanted::default());
    let begins = |head: Head| UpstreamWrite::Begin(head);
    let nothing = |serial| {
        let content = ComparedContent::Nothing(subject);
        UpstreamWrite::Compared(Compared { as_of: HEAD.position(serial), serial: 0, content })
    };
    let ends = |era| UpstreamWrite::Level { era, is_whole: true };
    let apply = async |writes: Vec<UpstreamWrite>| {
        for write in writes {
            cache.commit(Write::Upstream(write)).await.expect("applied");
        }
    };
    let answer = UpstreamWrite::Answered(answered(key, given, FIRST, false));
    apply(vec![begins(HEAD), ends(cache.era() + 1), answer, nothing(7)]).await;
    assert_eq!(cache.stand().ahead, 0, "the feed is about to bring it");
    // The same session continues elsewhere, later than where this cache was.
    let other = Head { serial: 9, chain: Chain([9; 32]), ..HEAD };
    apply(vec![begins(other), nothing(9), ends(cache.era() + 1)]).await;
    assert!(cache.get(&key).expect("readable").is_some());
    assert_eq!(cache.stand().ahead, 1);
}

#[tokio::test]
async fn what_upstream_had_in_an_earlier_order_counts_in_the_next_one_when_something_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let copies = Copies::default();
    let cache = {
        let copies = copies.clone();
        let path = Some(folder.path().join("journal.sqlite"));
        let options = Options { role: Role::Mirror, ..Options::primary(path, 0, 1) };
        Journal::open(&options, move |_, effects| copies.follow(effects)).expect("opens")
    };
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let entry = signer.entry(&account, NOW, "lost");
    let (key, subject) = (*entry.key(), Subject::Account(*entry.key()));
    let given = |at| AnsweredContent::Put(entry.clone(), at, Via::Upstream);
    let next = Head { session: Session([8; 16]), ..HEAD };
    let apply = async |writes: Vec<UpstreamWrite>| {
        for outcome in cache.commit_all(writes.into_iter().map(Write::Upstream).collect()).await {
            outcome.expect("applied");
        }
    };
    let era = || {
        let stored = cache.get(&key).expect("readable").map(|stored| stored.currency.era);
        assert_eq!(stored, copies.era(&key), "after a restart, it is as current as before");
        stored
    };
    let ends = |era| UpstreamWrite::Level { era, is_whole: true };
    let first = UpstreamWrite::Answered(answered(key, given(Some(HEAD.position(7))), FIRST, true));
    apply(vec![UpstreamWrite::Begin(HEAD), ends(FIRST), first]).await;
    assert_eq!(era(), Some(FIRST));

    // Upstream was set back. A hub that has not noticed gives what it has.
    let of_hub = Answered { is_followed: false, was_live: false, ..answered(key, given(None), FIRST + 1, true) };
    apply(vec![UpstreamWrite::Begin(next), UpstreamWrite::Answered(of_hub.clone())]).await;
    assert_eq!(era(), Some(FIRST), "nothing says that upstream has it in the new order");
    let nothing = ComparedContent::Nothing(subject);
    apply(vec![UpstreamWrite::Compared(Compared { as_of: next.position(7), serial: 0, content: nothing })]).await;
    apply(vec![ends(FIRST + 1), UpstreamWrite::Answered(of_hub)]).await;
    assert_eq!((era(), cache.stand().ahead), (Some(0), 1));
}

#[tokio::test]
async fn an_answer_to_a_request_from_before_an_order_began_is_in_doubt_in_it() {
    let next = Head { session: Session([8; 16]), ..HEAD };
    for at in [Some(HEAD.position(7)), None] {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = open_cache(&folder.path().join("journal.sqlite"), 1 << 20, &Wanted::default());
        let entry = Signer::new().entry(&KeyPair::new_account(), NOW, "lost");
        let given = AnsweredContent::Put(entry.clone(), at, Via::Upstream);
        let answer = Answered { is_of_primary: true, ..answered(*entry.key(), given, FIRST, true) };
        // All in one transaction.
        let ends = |era| UpstreamWrite::Level { era, is_whole: true };
        let begin = UpstreamWrite::Begin(next);
        let writes = [UpstreamWrite::Begin(HEAD), ends(FIRST), begin, ends(FIRST + 1), UpstreamWrite::Answered(answer)];
        for outcome in cache.commit_all(writes.into_iter().map(Write::Upstream).collect()).await {
            outcome.expect("applied");
        }
        assert!(cache.get(entry.key()).expect("readable").is_some());
        assert_eq!(cache.stand().doubted, 1, "{at:?}");
        assert_eq!(cache.leaf_of(&Subject::Account(*entry.key())).expect("readable"), None, "upstream ordered nothing");
    }
}

#[tokio::test]
async fn what_was_heard_before_an_order_began_and_its_comparison_does_not_mention_is_asked_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = open_cache(&folder.path().join("journal.sqlite"), 1 << 20, &Wanted::default());
    let signer = Signer::new();
    let [early, late] = [(); 2].map(|()| signer.entry(&KeyPair::new_account(), NOW, "heard"));
    let heard = |entry: &Arc<Entry>| {
        UpstreamWrite::Early(Early { entry: entry.clone(), way: EarlyWay::Accepted, is_asked: Still::always(false) })
    };
    let next = Head { session: Session([8; 16]), ..HEAD };
    let begin = [UpstreamWrite::Begin(HEAD), UpstreamWrite::Level { era: FIRST, is_whole: true }, heard(&early)];
    for write in begin.into_iter().chain([UpstreamWrite::Begin(next), heard(&late)]) {
        cache.commit(Write::Upstream(write)).await.expect("applied");
    }
    let unmentioned = cache.unmentioned(None, 9).expect("readable");
    assert_eq!(unmentioned, [Subject::Account(*early.key())], "the feed is about to bring the other one");
    assert_eq!(cache.unmentioned(unmentioned.first(), 9).expect("readable"), []);
    cache.commit(Write::Upstream(UpstreamWrite::Unmentioned(unmentioned.clone()))).await.expect("applied");
    assert_eq!(cache.doubted(None, 9).expect("readable"), unmentioned);
    assert_eq!(cache.unmentioned(None, 9).expect("readable"), []);
}
