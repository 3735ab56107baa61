//! What is kept, for how long, and when a change is proven to be in force.

use super::*;
use crate::node::delivery::compared::Gone;

fn announcement(serial: u64) -> Announcement {
    Announcement { serial, key: AccountKey::from_raw([1; 32]), iat: 1, identity: [2; 32], has_older: true, bytes: 700 }
}

fn server(id: &str) -> Arc<Server> {
    let none = String::new;
    Arc::new(Server { id: id.into(), name: id.to_lowercase(), cluster: none(), host: none(), version: none() })
}

/// A book whose connection is settled, and the servers that are there.
fn book(ids: &[&str], start: Instant) -> (Book, Servers) {
    let (mut book, mut servers) = (Book::default(), Servers::default());
    book.connected(start - SETTLE);
    for id in ids {
        servers.heard((*server(id)).clone(), Some(1));
    }
    (book, servers)
}

fn announce(book: &mut Book, serial: u64, at: Instant) -> bool {
    book.announced(announcement(serial), 4, at, |_| false)
}

fn answer(book: &mut Book, serial: u64, id: &str, outcome: Outcome, now: Instant) {
    book.answered(serial, &server(id), outcome, None, now);
}

fn compare(book: &mut Book, serial: u64, id: &str, found: Match, asked: Instant) {
    let compared = Compared { serial, found, asked, at: 5, connections_left: None, lagging: Vec::new() };
    book.compared(&server(id), &Arc::new(compared), asked);
}

fn outcomes(delivery: &Delivery) -> Vec<(&str, &str)> {
    let receipts = delivery.receipts.iter();
    receipts.map(|one| (&*one.server.id, one.outcome().map_or("", Outcome::label))).collect()
}

#[test]
fn a_change_is_proven_when_each_server_that_is_there_was_compared() {
    let start = Instant::now();
    let (mut book, mut servers) = book(&["A", "B"], start);
    assert!(announce(&mut book, 7, start) && !announce(&mut book, 7, start));
    let later = start + Duration::from_millis(5);
    answer(&mut book, 7, "A", Outcome::Updated, later);
    // That it says so is no proof: a full resolver says it of a JWT that it then rejects.
    let delivery = book.delivery(7, &servers, later).expect("receipts");
    assert_eq!((delivery.is_proven, outcomes(&delivery)), (false, vec![("A", "updated")]));
    assert_eq!(delivery.silent, [server("B")]);
    compare(&mut book, 7, "A", Match::Current, later);
    compare(&mut book, 7, "B", Match::Current, later);
    let delivery = book.delivery(7, &servers, later).expect("receipts");
    assert_eq!(outcomes(&delivery), [("A", "updated"), ("B", "current")]);
    assert!(delivery.is_proven && delivery.silent.is_empty());
    assert_eq!(delivery.announced_at, Some(4));
    // One that appears has to be compared, one that stops has not.
    servers.heard((*server("C")).clone(), Some(1));
    assert!(!book.is_proven(7, &servers, later));
    servers.stopped("C");
    assert!(book.is_proven(7, &servers, later));
    compare(&mut book, 7, "B", Match::Behind { runs: None }, later);
    assert!(!book.is_proven(7, &servers, later));
}

#[test]
fn nothing_is_proven_without_a_server_or_before_all_could_say_that_they_are_there() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    announce(&mut book, 7, start);
    compare(&mut book, 7, "A", Match::Current, start);
    assert!(book.is_proven(7, &servers, start));
    assert!(!book.is_proven(7, &Servers::default(), start));
    book.connected(start);
    assert_eq!(book.settles(start), Some(start + SETTLE));
    assert!(!book.is_proven(7, &servers, start) && book.is_proven(7, &servers, start + SETTLE));
    book.unsent(7, "it is too large");
    assert!(!book.is_proven(7, &servers, start + SETTLE));
}

#[test]
fn an_account_that_is_not_loaded_counts_only_when_no_older_jwt_can_be_on_its_way_to_the_server() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    book.replicas_reached(6, start);
    announce(&mut book, 7, start);
    let (at, soon) = (start + FETCH_TIMEOUT, Duration::from_millis(10));
    answer(&mut book, 7, "A", Outcome::NotLoaded, start);
    assert_eq!(book.not_loaded_since(7), None, "a replica may still serve an older one");
    assert_eq!(book.replicas_reached(6, start), [0; 0]);
    assert_eq!(book.replicas_reached(7, start + soon), [7]);
    assert_eq!(book.replicas_reached(u64::MAX, at + FETCH_TIMEOUT), [0; 0]);
    assert_eq!(book.not_loaded_since(7), Some(at + soon));
    for (asked, is_proven) in [(start, false), (at, false), (at + soon, true)] {
        compare(&mut book, 7, "A", Match::NotLoaded, asked);
        assert_eq!(book.is_proven(7, &servers, at), is_proven);
    }
    // Nor is what all servers run in force while a replica serves an older one.
    book.replicas_reached(8, start);
    announce(&mut book, 9, start);
    compare(&mut book, 9, "A", Match::Current, start);
    assert!(book.is_at_nats(9, &servers, start) && !book.is_proven(9, &servers, start));
    book.replicas_reached(9, start);
    assert!(book.is_proven(9, &servers, start));
    // There is no older one.
    let first = Announcement { has_older: false, ..announcement(8) };
    book.announced(first, 4, start, |_| false);
    compare(&mut book, 8, "A", Match::NotLoaded, start);
    assert!(book.is_proven(8, &servers, start));
}

#[test]
fn a_large_jwt_takes_longer_to_load_after_it_was_fetched() {
    let loading = |kib: usize| loading(kib << 10).as_millis();
    assert_eq!([1, 16, 64, 128, 200, 5_000].map(loading), [0, 125, 2_000, 8_000, 19_531, 19_531]);
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    book.announced(Announcement { bytes: 128 << 10, ..announcement(7) }, 4, start, |_| false);
    let loaded = start + FETCH_TIMEOUT + Duration::from_secs(8);
    for (asked, is_proven) in [(start + FETCH_TIMEOUT, false), (loaded, true)] {
        compare(&mut book, 7, "A", Match::NotLoaded, asked);
        assert_eq!(book.is_proven(7, &servers, asked), is_proven);
    }
}

#[test]
fn each_finding_has_its_outcome_and_only_what_is_in_force_is_proof() {
    let start = Instant::now();
    let gone = Match::CannotUnload { runs: None, gone: Gone::Deleted, lets_nobody_in: true };
    let incomplete = Match::Incomplete { missing: vec!["x".into()], is_unresolved: true };
    let rejected = Match::Rejected { runs: None, error: "no".into() };
    let table = [
        (Match::Current, Outcome::Updated, "updated", true),
        (Match::Current, Outcome::NotLoaded, "current", true),
        (Match::Current, Outcome::Error, "current", true),
        (Match::NotLoaded, Outcome::NotLoaded, "not_loaded", true),
        (Match::NotLoaded, Outcome::Updated, "updated", true),
        (incomplete, Outcome::Updated, "incomplete", false),
        (Match::Behind { runs: None }, Outcome::Updated, "behind", false),
        (Match::Behind { runs: None }, Outcome::Error, "error", false),
        (gone, Outcome::NotLoaded, "cannot_unload", false),
        (rejected, Outcome::Updated, "error", false),
    ];
    for (found, replied, outcome, is_proven) in table {
        let (mut book, servers) = book(&["A"], start);
        book.announced(Announcement { has_older: false, ..announcement(7) }, 4, start, |_| false);
        answer(&mut book, 7, "A", replied, start);
        compare(&mut book, 7, "A", found.clone(), start);
        let delivery = book.delivery(7, &servers, start).expect("receipts");
        assert_eq!((outcomes(&delivery), delivery.is_proven), (vec![("A", outcome)], is_proven), "{found:?}");
    }
}

#[test]
fn where_there_are_full_resolvers_what_they_store_has_to_be_known_of_an_account_that_is_not_loaded() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    book.announced(Announcement { has_older: false, ..announcement(7) }, 4, start, |_| false);
    compare(&mut book, 7, "A", Match::NotLoaded, start);
    assert!(book.is_proven(7, &servers, start));
    book.full_resolvers(true);
    assert!(book.may_be_stored_older(7) && !book.is_proven(7, &servers, start));
    for is_stored in [false, true] {
        book.stored(7, is_stored);
        assert_eq!(book.is_proven(7, &servers, start), is_stored);
    }
    // One that said that it took it has stored it.
    book.announced(Announcement { has_older: false, ..announcement(8) }, 4, start, |_| false);
    answer(&mut book, 8, "A", Outcome::Updated, start);
    compare(&mut book, 8, "A", Match::NotLoaded, start);
    assert!(book.is_proven(8, &servers, start));
}

#[test]
fn what_a_server_ran_before_the_change_was_announced_does_not_count() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    announce(&mut book, 7, start);
    compare(&mut book, 7, "A", Match::NotLoaded, start - SETTLE);
    assert_eq!(book.delivery(7, &servers, start).expect("receipts").silent, [server("A")]);
}

#[test]
fn connections_that_go_on_as_before_are_no_proof() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    announce(&mut book, 7, start);
    let compared = |connections_left, lagging| {
        Arc::new(Compared { serial: 7, found: Match::Current, asked: start, at: 5, connections_left, lagging })
    };
    for (left, lagging, is_proven) in [
        (Some(1), vec![], false),
        (Some(0), vec!["default_permissions"], false),
        (Some(0), vec![], true),
        (None, vec![], true),
    ] {
        book.compared(&server("A"), &compared(left, lagging), start);
        assert_eq!(book.is_proven(7, &servers, start), is_proven, "{left:?}");
    }
}

#[test]
fn the_first_answer_that_took_the_jwt_counts_and_a_comparison_that_was_overtaken_does_not() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A", "B"], start);
    announce(&mut book, 7, start);
    answer(&mut book, 7, "A", Outcome::NotLoaded, start);
    book.answered(7, &server("B"), Outcome::Error, Some(&"é".repeat(MAX_ERROR)), start);
    let delivery = book.delivery(7, &servers, start).expect("receipts");
    let error = delivery.receipts[1].reply.as_ref().and_then(|reply| reply.error.clone()).expect("a text");
    assert!(error.len() <= MAX_ERROR);
    // The announcement is repeated.
    announce(&mut book, 7, start + SETTLE);
    answer(&mut book, 7, "A", Outcome::Updated, start + SETTLE);
    answer(&mut book, 7, "A", Outcome::Updated, start + SETTLE * 2);
    answer(&mut book, 7, "B", Outcome::Updated, start + SETTLE);
    compare(&mut book, 7, "A", Match::Current, start + SETTLE);
    compare(&mut book, 7, "A", Match::Behind { runs: None }, start);
    let delivery = book.delivery(7, &servers, start + SETTLE).expect("receipts");
    assert_eq!(outcomes(&delivery), [("A", "updated"), ("B", "updated")]);
    assert_eq!(delivery.receipts[0].after(), SETTLE);
    assert_eq!(book.bytes, 2 * RECEIPT_BYTES);
}

#[test]
fn so_many_changes_are_kept_and_those_that_are_waited_for() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    let count = MAX_CHANGES as u64;
    for serial in 1..=count + 5 {
        book.announced(announcement(serial), 4, start, |serial| serial == 2);
        answer(&mut book, serial, "A", Outcome::Updated, start);
    }
    assert_eq!((book.changes.len(), book.order.len()), (MAX_CHANGES, MAX_CHANGES));
    assert_eq!(book.bytes, MAX_CHANGES * RECEIPT_BYTES);
    assert!([1, 3, 6].iter().all(|serial| book.delivery(*serial, &servers, start).is_none()));
    assert!([2, 7, count + 5].iter().all(|serial| book.delivery(*serial, &servers, start).is_some()));
    // All are waited for: all stay.
    book.announced(announcement(count + 6), 4, start, |_| true);
    assert_eq!(book.changes.len(), MAX_CHANGES + 1);
}

#[test]
fn receipts_are_kept_for_so_long_however_old_the_change_is() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    announce(&mut book, 7, start);
    book.adopt(announcement(6), start - MAX_AGE, start, |_| false);
    answer(&mut book, 7, "A", Outcome::Updated, start);
    book.sweep(start + MAX_AGE - SETTLE);
    assert!([6, 7].iter().all(|serial| book.delivery(*serial, &servers, start).is_some()));
    book.sweep(start + MAX_AGE);
    assert!([6, 7].iter().all(|serial| !book.is_kept(*serial)));
    assert_eq!((book.bytes, book.order.len()), (0, 0));
    assert!(book.answered(7, &server("A"), Outcome::Updated, None, start).is_none());
}

#[test]
fn a_change_of_an_earlier_process_is_announced_for_the_first_time_when_it_is_announced() {
    let start = Instant::now();
    let (mut book, servers) = book(&["A"], start);
    book.adopt(announcement(6), start, start, |_| false);
    assert_eq!((book.delivery(6, &servers, start).expect("receipts").announced_at, book.last_sent(6)), (None, None));
    assert!(announce(&mut book, 6, start));
    assert_eq!(book.last_sent(6), Some(start));
}

#[test]
fn the_receipts_take_so_much_memory_and_no_more() {
    let start = Instant::now();
    let (mut book, servers) = book(&[], start);
    let text = "x".repeat(MAX_ERROR);
    let each = MAX_SERVERS * (MAX_ERROR + RECEIPT_BYTES);
    let fit = MAX_BYTES / each;
    for serial in 1..=fit as u64 + 10 {
        announce(&mut book, serial, start);
        for number in 0..MAX_SERVERS + 5 {
            book.answered(serial, &server(&number.to_string()), Outcome::Error, Some(&text), start);
        }
        assert!(book.bytes <= MAX_BYTES + each);
    }
    let last = book.delivery(fit as u64 + 10, &servers, start).expect("receipts");
    assert_eq!(last.receipts.len(), MAX_SERVERS);
    assert!(book.delivery(1, &servers, start).is_none());
}
