//! What is kept, for how long, and when a change is complete.

use super::*;

fn announcement(serial: u64) -> Announcement {
    Announcement { serial, key: AccountKey::from_raw([1; 32]), iat: 1, identity: [2; 32], committed_at: 3 }
}

fn server(id: &str) -> Server {
    Server { id: id.into(), name: id.to_lowercase(), cluster: String::new(), host: String::new() }
}

/// A book in which `servers` are there, and the connection is settled.
fn book(servers: &[&str], start: Instant) -> Book {
    let mut book = Book::default();
    book.connected(start);
    for id in servers {
        book.heard(server(id), start, start);
    }
    book
}

fn announce(book: &mut Book, serial: u64, at: Instant) {
    book.announced(announcement(serial), 4, at, |_| false);
}

fn outcomes(delivery: &Delivery) -> Vec<(&str, Outcome)> {
    delivery.answers.iter().map(|answer| (&*answer.server.id, answer.outcome)).collect()
}

#[test]
fn a_change_is_complete_when_all_who_were_there_have_answered() {
    let start = Instant::now();
    let (mut book, at) = (book(&["A", "B"], start), start + SETTLE);
    announce(&mut book, 7, at);
    let later = at + Duration::from_millis(5);
    assert_eq!(book.answered(7, server("A"), Outcome::Updated, None, later), Some(Duration::from_millis(5)));
    let delivery = book.delivery(7, later).expect("a receipt");
    assert!(!delivery.complete);
    assert_eq!(delivery.silent, [Arc::new(server("B"))]);
    // One that was started since is not waited for; one that stops is not either.
    book.heard(server("C"), later, later);
    book.gone("B");
    let delivery = book.delivery(7, later).expect("a receipt");
    assert!(delivery.complete && delivery.silent.is_empty());
    assert_eq!((delivery.announced_at, delivery.announcement.committed_at), (4, 3));
}

#[test]
fn nothing_is_complete_that_nobody_answered_or_before_all_could_say_that_they_are_there() {
    let start = Instant::now();
    let mut book = book(&[], start);
    announce(&mut book, 7, start);
    assert!(!book.delivery(7, start + SETTLE).expect("a receipt").complete);
    book.answered(7, server("A"), Outcome::Skipped, None, start);
    assert_eq!(book.settles(start), Some(start + SETTLE));
    assert!(!book.delivery(7, start).expect("a receipt").complete);
    assert!(book.delivery(7, start + SETTLE).expect("a receipt").complete);
}

#[test]
fn the_first_answer_counts_unless_it_was_a_refusal() {
    let start = Instant::now();
    let mut book = book(&["A", "B"], start);
    announce(&mut book, 7, start);
    book.answered(7, server("A"), Outcome::Skipped, None, start);
    book.answered(7, server("B"), Outcome::Error, Some(&"é".repeat(MAX_ERROR)), start);
    let error = book.delivery(7, start).expect("a receipt").answers[1].error.clone().expect("a text");
    assert!(error.len() <= MAX_ERROR);
    // The announcement is repeated.
    announce(&mut book, 7, start + SETTLE);
    book.answered(7, server("A"), Outcome::Updated, None, start + SETTLE);
    book.answered(7, server("B"), Outcome::Updated, None, start + SETTLE);
    let delivery = book.delivery(7, start + SETTLE).expect("a receipt");
    assert_eq!(outcomes(&delivery), [("A", Outcome::Skipped), ("B", Outcome::Updated)]);
    assert_eq!(delivery.answers[1].after, SETTLE);
    assert_eq!(book.bytes, 2 * ANSWER_BYTES);
}

#[test]
fn so_many_receipts_are_kept_and_those_that_are_waited_for() {
    let start = Instant::now();
    let mut book = book(&["A"], start);
    let count = MAX_RECEIPTS as u64;
    for serial in 1..=count + 5 {
        book.announced(announcement(serial), 4, start, |serial| serial == 2);
        book.answered(serial, server("A"), Outcome::Updated, None, start);
    }
    assert_eq!((book.receipts.len(), book.order.len()), (MAX_RECEIPTS, MAX_RECEIPTS));
    assert_eq!(book.bytes, MAX_RECEIPTS * ANSWER_BYTES);
    assert!([1, 3, 6].iter().all(|serial| book.delivery(*serial, start).is_none()));
    assert!([2, 7, count + 5].iter().all(|serial| book.delivery(*serial, start).is_some()));
    // All are waited for: all stay.
    book.announced(announcement(count + 6), 4, start, |_| true);
    assert_eq!(book.receipts.len(), MAX_RECEIPTS + 1);
}

#[test]
fn a_receipt_is_kept_for_so_long() {
    let start = Instant::now();
    let mut book = book(&["A"], start);
    announce(&mut book, 7, start);
    book.answered(7, server("A"), Outcome::Updated, None, start);
    book.sweep(start + MAX_AGE - SETTLE);
    assert!(book.delivery(7, start).is_some());
    book.sweep(start + MAX_AGE);
    assert!(book.delivery(7, start).is_none());
    assert_eq!((book.bytes, book.order.len()), (0, 0));
    assert_eq!(book.answered(7, server("A"), Outcome::Updated, None, start), None);
}

#[test]
fn the_answers_take_so_much_memory_and_no_more() {
    let start = Instant::now();
    let mut book = book(&[], start);
    let text = "x".repeat(MAX_ERROR);
    let each = MAX_SERVERS * (MAX_ERROR + ANSWER_BYTES);
    let fit = MAX_BYTES / each;
    for serial in 1..=fit as u64 + 10 {
        announce(&mut book, serial, start);
        for number in 0..MAX_SERVERS + 5 {
            book.answered(serial, server(&number.to_string()), Outcome::Error, Some(&text), start);
        }
        assert!(book.bytes <= MAX_BYTES + each);
    }
    assert_eq!(book.delivery(fit as u64 + 10, start).expect("a receipt").answers.len(), MAX_SERVERS);
    assert!(book.delivery(1, start).is_none());
}

#[test]
fn what_a_server_missed_while_it_was_cut_off_is_owed_when_it_is_back() {
    let start = Instant::now();
    let mut book = book(&["A", "B"], start);
    let key = *AccountKey::from_raw([1; 32]).raw();
    announce(&mut book, 7, start);
    announce(&mut book, 8, start);
    for serial in [7, 8] {
        book.answered(serial, server("A"), Outcome::Updated, None, start);
    }
    book.answered(8, server("B"), Outcome::Updated, None, start);
    let owed = |book: &mut Book, now: Instant| -> Vec<(u64, [u8; 32], String)> {
        book.owed(now).into_iter().map(|(serial, key, server)| (serial, *key.raw(), server.id.clone())).collect()
    };
    // Nothing is known yet, or it is away.
    let mut now = start + LOOK_EVERY;
    assert_eq!(owed(&mut book, now), []);
    book.heard(server("B"), start + OVERTAKEN, now);
    now += LOOK_EVERY;
    assert_eq!(owed(&mut book, now), []);
    // It answers a later call.
    for _ in 0..MAX_REPEATS {
        let asked = now + OVERTAKEN;
        now = asked + LOOK_EVERY;
        book.heard(server("B"), asked, now);
        assert_eq!(owed(&mut book, now), [(7, key, "B".to_owned())]);
        announce(&mut book, 7, now);
        now += LOOK_EVERY;
        assert_eq!(owed(&mut book, now), []);
    }
    // It never will.
    let asked = now + OVERTAKEN;
    now = asked + LOOK_EVERY;
    book.heard(server("B"), asked, now);
    assert_eq!(owed(&mut book, now), []);
    assert!(book.unsure.is_empty());
}
