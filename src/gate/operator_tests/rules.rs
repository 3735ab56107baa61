//! A table for each part of the rule.

use super::SignedBy::{Identity, Key};
use super::*;
use crate::gate::operator::{Arrival, Begun, ChainEnd, Way, admit, begin, replay};
use crate::gate::{MOST_IN_ONE_SECOND, MOST_LINKS, OperatorRefusal, Origin};
use crate::key::PublicKey;

const WAYS: [Way; 4] = [Way::File, Way::FollowerFile, Way::Post, Way::Upstream];

fn by(way: Way) -> Arrival {
    Arrival { way, now: NOW, max_iat_ahead: AHEAD }
}

/// What becomes of a candidate: the number of links after it, or the reason for which it is rejected.
fn verdict(chain: &OperatorChain, candidate: &Arc<Trust>, way: Way) -> String {
    match admit(chain, candidate, &by(way)) {
        Ok(None) => "in force".to_owned(),
        Ok(Some(next)) => format!("{} links", next.len()),
        Err(refusal) => refusal.reason().to_owned(),
    }
}

#[test]
fn what_another_operator_signed_or_is_known_changes_nothing_on_any_way() {
    let (ours, theirs) = (OperatorCast::new(3), OperatorCast::new(1));
    let first = ours.jwt(&[0], NOW - 50, Identity, "first");
    let (anchor, link) = (ours.jwt(&[0], NOW - 50, Identity, "a"), ours.jwt(&[0], NOW - 10, Key(0), "l"));
    let chain = chain([first.clone()]);
    // Of the same second as the anchor: it takes its place, and is remembered.
    let chain = admit(&chain, &anchor, &by(Way::File)).expect("accepted").expect("a change").with(link.clone());
    for way in WAYS {
        for (what, candidate, expected) in [
            ("another operator", theirs.jwt(&[0], NOW, Identity, ""), "untrusted"),
            ("in force", link.clone(), "in force"),
            ("its anchor", anchor.clone(), "replaced"),
            ("replaced by the anchor", first.clone(), "replaced"),
        ] {
            assert_eq!(verdict(&chain, &candidate, way), expected, "{what} {way:?}");
        }
    }
}

#[test]
fn the_identity_key_cuts_off_what_keys_signed_that_it_does_not_list() {
    let cast = OperatorCast::new(4);
    let links = || {
        [
            cast.jwt(&[0, 1], NOW - 5_000, Identity, "anchor"),
            cast.jwt(&[0, 1], NOW - 4_000, Key(0), "by 0"),
            cast.jwt(&[0, 1, 2], NOW - 3_000, Key(1), "by 1"),
            cast.jwt(&[0, 2, 3], NOW - 2_000, Key(2), "by 2"),
        ]
    };
    // Which keys the candidate lists, how old it is, and what becomes of it. Each is accepted exactly from the newest link on
    // that it does not cut off. Upstream may have had it before that link, which then follows from it.
    for (listed, age, by_hand, upstream) in [
        (&[0, 1, 2][..], 1_999, "1 links", "1 links"),
        (&[0, 1, 2], 2_001, "older", "2 links"),
        (&[0, 1, 2], 3_001, "older", "3 links"),
        (&[0, 1], 2_999, "1 links", "1 links"),
        (&[0, 1], 3_001, "older", "3 links"),
        (&[0], 3_999, "1 links", "1 links"),
        (&[0], 4_001, "older", "4 links"),
        (&[], 4_999, "1 links", "1 links"),
        (&[3], 4_999, "1 links", "1 links"),
        // It lists the signers of the second and third link, but not that of the first.
        (&[1, 2], 4_999, "1 links", "1 links"),
        (&[], 5_001, "older", "older"),
        (&[], 9_000, "older", "older"),
    ] {
        let candidate = cast.jwt(listed, NOW - age, Identity, "candidate");
        for way in WAYS {
            let expected = if way == Way::Upstream { upstream } else { by_hand };
            assert_eq!(verdict(&chain(links()), &candidate, way), expected, "{listed:?} {age} {way:?}");
        }
    }
}

#[test]
fn what_upstream_had_before_the_links_here_becomes_their_anchor() {
    let cast = OperatorCast::new(2);
    let link = cast.jwt(&[1], NOW - 100, Key(1), "by an honest key");
    let mine = chain([cast.jwt(&[0, 1], NOW - 900, Identity, ""), link.clone()]);
    let between = cast.jwt(&[0], NOW - 500, Identity, "with a key that is stolen by now");
    let withdrawal = cast.jwt(&[1], NOW - 300, Identity, "");
    let replayed = replay(&mine, &[withdrawal.clone(), link.clone()], &by(Way::Upstream));
    let chain = replayed.steps.last().expect("it is anchored");
    assert!(matches!(replayed.end, ChainEnd::InSync));
    assert_eq!((chain.anchor().version(), chain.in_force().version()), (withdrawal.version(), link.version()));
    assert!(chain.replaced().is_empty());
    // Else this one would cut off the link, and list the stolen key again.
    assert_eq!(verdict(&mine, &between, Way::Upstream), "1 links");
    assert_eq!(verdict(chain, &between, Way::Upstream), "older");
}

#[test]
fn at_the_same_second_a_direct_write_wins_and_a_followers_file_does_not() {
    let cast = OperatorCast::new(1);
    let chain = chain([cast.jwt(&[0], NOW, Identity, "a")]);
    for (way, expected) in
        [(Way::File, "1 links"), (Way::Post, "1 links"), (Way::Upstream, "1 links"), (Way::FollowerFile, "tie")]
    {
        assert_eq!(verdict(&chain, &cast.jwt(&[0], NOW, Identity, "b"), way), expected, "{way:?}");
    }
}

#[test]
fn a_second_takes_so_many_operator_jwts_and_the_next_one_takes_more() {
    let cast = OperatorCast::new(1);
    let mut full = chain([cast.jwt(&[0], NOW, Identity, "0")]);
    for n in 1..MOST_IN_ONE_SECOND {
        let next = admit(&full, &cast.jwt(&[0], NOW, Identity, &n.to_string()), &by(Way::Post));
        full = next.expect("accepted").expect("a change");
    }
    let one_more = cast.jwt(&[0], NOW, Identity, "one more");
    let (later, withdrawal) = (cast.jwt(&[0], NOW + 1, Identity, ""), cast.jwt(&[], NOW + 1, Identity, ""));
    for (way, expected) in [(Way::File, "second_full"), (Way::Post, "second_full"), (Way::Upstream, "1 links")] {
        assert_eq!(verdict(&full, &one_more, way), expected, "{way:?}");
        assert_eq!(verdict(&full, &later, way), "1 links", "{way:?}");
        assert_eq!(verdict(&full, &withdrawal, way), "1 links", "{way:?}");
    }
}

#[test]
fn what_was_replaced_takes_so_much_room_and_no_more() {
    let cast = OperatorCast::new(1);
    let mut chain = chain([cast.jwt(&[0], NOW, Identity, "first")]);
    // Upstream's order counts, whatever it says.
    for n in 0..1_000 {
        let next = admit(&chain, &cast.jwt(&[0], NOW, Identity, &n.to_string()), &by(Way::Upstream));
        chain = next.expect("accepted").expect("a change");
    }
    assert_eq!(chain.replaced().len(), 256);
}

#[test]
fn a_withdrawal_may_be_older_than_what_it_cuts_off_by_what_a_thief_can_date_ahead() {
    let cast = OperatorCast::new(2);
    let withdrawal = cast.jwt(&[1], NOW, Identity, "");
    for (ahead, by_hand, upstream) in
        [(1, "1 links", "1 links"), (AHEAD, "1 links", "1 links"), (AHEAD + 1, "older", "1 links")]
    {
        let chain =
            chain([cast.jwt(&[0, 1], NOW - 9_000, Identity, ""), cast.jwt(&[0], NOW + ahead, Key(0), "by the thief")]);
        for way in [Way::File, Way::FollowerFile, Way::Post] {
            assert_eq!(verdict(&chain, &withdrawal, way), by_hand, "{ahead} {way:?}");
        }
        // A follower may hear of it late, when the thief has gone on.
        assert_eq!(verdict(&chain, &withdrawal, Way::Upstream), upstream, "{ahead}");
    }
}

#[test]
fn a_signing_key_needs_to_be_listed_and_strictly_newer_and_is_not_for_posts() {
    let cast = OperatorCast::new(3);
    let chain = chain([
        cast.jwt(&[0, 1], NOW - 500, Identity, "anchor"),
        cast.jwt(&[1], NOW - 400, Key(0), "removes its own signer"),
    ]);
    for (what, candidate, expected) in [
        ("listed and newer", cast.jwt(&[1, 2], NOW - 399, Key(1), ""), "3 links"),
        ("its own removal", cast.jwt(&[2], NOW - 399, Key(1), ""), "3 links"),
        ("of the same second", cast.jwt(&[1], NOW - 400, Key(1), "other"), "older"),
        ("older", cast.jwt(&[1], NOW - 450, Key(1), ""), "older"),
        ("withdrawn", cast.jwt(&[0, 1], NOW - 100, Key(0), ""), "untrusted"),
        ("listed by itself alone", cast.jwt(&[1, 2], NOW - 100, Key(2), ""), "untrusted"),
    ] {
        for way in [Way::File, Way::FollowerFile, Way::Upstream] {
            assert_eq!(verdict(&chain, &candidate, way), expected, "{what} {way:?}");
        }
        let posted = admit(&chain, &candidate, &by(Way::Post)).expect_err("only the identity key's").to_string();
        for part in ["signing key", candidate.issuer(), "-K", &cast.identity.public_key(), "operator file"] {
            assert!(posted.contains(part), "{part}: {posted}");
        }
    }
    let unlisted = cast.jwt(&[0, 1], NOW - 100, Key(0), "");
    let refusal = admit(&chain, &unlisted, &by(Way::File)).expect_err("unlisted").to_string();
    for part in [unlisted.issuer(), "does not list", "-K", &cast.identity.public_key(), "operator trust FILE"] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
}

#[test]
fn the_clock_bars_files_and_posts_and_lets_a_follower_wait() {
    let cast = OperatorCast::new(1);
    let chain = chain([cast.jwt(&[0], NOW - 500, Identity, "")]);
    let (tolerated, future) = (NOW + AHEAD, NOW + AHEAD + 1);
    for (by, iat, way, expected) in [
        (Identity, tolerated, Way::File, "1 links"),
        (Identity, tolerated, Way::Post, "1 links"),
        (Identity, future, Way::File, "future"),
        (Identity, future, Way::FollowerFile, "future"),
        (Identity, future, Way::Post, "future"),
        (Identity, NOW + 31_536_000, Way::Upstream, "1 links"),
        (Key(0), tolerated, Way::File, "2 links"),
        (Key(0), future, Way::File, "future"),
        (Key(0), future, Way::FollowerFile, "future"),
        (Key(0), tolerated, Way::Upstream, "2 links"),
        (Key(0), future, Way::Upstream, "future"),
    ] {
        assert_eq!(verdict(&chain, &cast.jwt(&[0], iat, by, "x"), way), expected, "{by:?} {iat} {way:?}");
    }
    let replayed = replay(&chain, &[cast.jwt(&[0], future + 9, Key(0), "")], &by(Way::Upstream));
    assert!(matches!(replayed.end, ChainEnd::NotYet(10)), "{:?}", replayed.end);
}

#[test]
fn a_chain_has_an_end_that_only_the_identity_key_gets_past() {
    let cast = OperatorCast::new(1);
    let mut chain = chain([cast.jwt(&[0], NOW - 1_000, Identity, "")]);
    for age in (0..900).rev() {
        match admit(&chain, &cast.jwt(&[0], NOW - age, Key(0), ""), &by(Way::File)) {
            Ok(next) => chain = next.expect("a change"),
            Err(OperatorRefusal::TooLong { links, .. }) => {
                assert_eq!((links, chain.len()), (MOST_LINKS, MOST_LINKS));
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(verdict(&chain, &cast.jwt(&[0], NOW, Identity, ""), Way::Post), "1 links");
    // What is in the way of one event of the feed is in the way of another link.
    let big = "x".repeat(600_000);
    let chain = super::chain([cast.jwt(&[0], NOW - 10, Identity, &big)]);
    assert_eq!(verdict(&chain, &cast.jwt(&[0], NOW, Key(0), &big), Way::File), "invalid");
}

#[test]
fn what_a_cut_took_off_does_not_come_back_with_its_key() {
    let cast = OperatorCast::new(2);
    let stolen = cast.jwt(&[0], NOW + 1_000, Key(0), "by the thief");
    let first = chain([cast.jwt(&[0, 1], NOW - 500, Identity, ""), stolen.clone()]);
    let step = |chain: &OperatorChain, candidate| admit(chain, &candidate, &by(Way::File)).expect("ok").expect("new");
    let withdrawn = step(&first, cast.jwt(&[1], NOW, Identity, ""));
    assert_eq!(verdict(&withdrawn, &stolen, Way::File), "replaced");
    let listed_again = step(&withdrawn, cast.jwt(&[0, 1], NOW + 500, Identity, ""));
    assert_eq!(verdict(&listed_again, &stolen, Way::File), "replaced");
    // Upstream's chain has it only if it was not cut off there. The holder of the key could sign another one anyway.
    assert_eq!(verdict(&withdrawn, &stolen, Way::Upstream), "untrusted");
    let back = admit(&listed_again, &stolen, &by(Way::Upstream)).expect("ok").expect("new");
    assert!(back.has(stolen.version()) && back.replaced().is_empty());
    // What is older than the anchor needs no memory.
    let later = step(&listed_again, cast.jwt(&[0, 1], NOW + 2_000, Identity, ""));
    assert!(later.replaced().is_empty());
    assert_eq!(verdict(&later, &stolen, Way::File), "older");
}

#[test]
fn a_start_goes_on_with_what_was_kept_unless_it_is_the_first_or_another_operators() {
    let (cast, other) = (OperatorCast::new(2), OperatorCast::new(1));
    let kept = chain([cast.jwt(&[0], NOW - 500, Identity, "kept")]);
    let strangers = other.jwt(&[0], NOW, Identity, "");
    let stranger = PublicKey::parse(&other.identity.public_key()).expect("a key");
    let (newer, older) = (cast.jwt(&[1], NOW, Identity, ""), cast.jwt(&[1], NOW - 900, Identity, ""));
    let (next, unlisted) = (cast.jwt(&[1], NOW, Key(0), ""), cast.jwt(&[1], NOW, Key(1), ""));
    let future = cast.jwt(&[1], NOW + 2 * AHEAD, Identity, "");
    let same = kept.in_force().clone();
    for (what, kept, configured, change_to, expected) in [
        ("nothing at all", None, None, None, "kept"),
        ("none configured", Some(&kept), None, None, "kept"),
        ("the same", Some(&kept), Some(&same), None, "kept"),
        ("the first", None, Some(&newer), None, "first"),
        ("the first, by a key that nobody lists", None, Some(&unlisted), None, "first"),
        ("the first, from the future", None, Some(&future), None, "end"),
        ("a newer one", Some(&kept), Some(&newer), None, "next"),
        ("one by a listed key", Some(&kept), Some(&next), None, "next"),
        ("an older one", Some(&kept), Some(&older), None, "refused"),
        ("one by a key that is not listed", Some(&kept), Some(&unlisted), None, "refused"),
        ("one from the future", Some(&kept), Some(&future), None, "refused"),
        ("another operator's", Some(&kept), Some(&strangers), None, "end"),
        ("another operator's, as told", Some(&kept), Some(&strangers), Some(&stranger), "changed"),
        ("a change that was made before", Some(&kept), Some(&newer), Some(&stranger), "next"),
    ] {
        let found = match begin(kept, configured, change_to, &by(Way::File)) {
            Ok(Begun::Kept) => "kept",
            Ok(Begun::Refused(_)) => "refused",
            Ok(Begun::Next(_)) => "next",
            Ok(Begun::First(_)) => "first",
            Ok(Begun::Changed(chain)) => {
                assert_eq!(*chain.anchor().identity(), stranger);
                "changed"
            }
            Err(_) => "end",
        };
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(chain([unlisted]).origin(), Origin::Configured);
}

#[test]
fn a_follower_replays_what_it_missed_and_keeps_what_it_cannot_connect() {
    let cast = OperatorCast::new(4);
    let links = [
        cast.jwt(&[0], NOW - 900, Identity, ""),
        cast.jwt(&[0, 1], NOW - 800, Key(0), ""),
        cast.jwt(&[1, 2], NOW - 700, Key(1), ""),
        cast.jwt(&[2, 3], NOW - 600, Key(2), ""),
    ];
    let fork = cast.jwt(&[0, 3], NOW - 750, Key(0), "a fork");
    for (what, mine, theirs, expected, steps) in [
        ("the same", &links[..], &links[..], "in sync", 0),
        ("the first alone", &links[..1], &links[..], "in sync", 3),
        ("one behind", &links[..3], &links[..], "in sync", 1),
        ("the last alone, which connects", &links[..3], &links[3..], "in sync", 1),
        ("the last alone, which does not", &links[..2], &links[3..], "unconnected", 0),
        ("ahead", &links[..], &links[..2], "ahead", 0),
        ("began in the middle, and ahead", &links[2..], &links[..2], "ahead", 0),
        ("began in the middle", &links[2..3], &links[..], "in sync", 1),
        ("on a fork", &[links[0].clone(), fork][..], &links[..3], "unconnected", 0),
    ] {
        let mine = chain(mine.iter().cloned());
        let replayed = replay(&mine, theirs, &by(Way::Upstream));
        let found = match replayed.end {
            ChainEnd::InSync => "in sync",
            ChainEnd::Ahead => "ahead",
            ChainEnd::NotYet(_) => "not yet",
            ChainEnd::Unconnected(_) => "unconnected",
        };
        assert_eq!((found, replayed.steps.len()), (expected, steps), "{what}");
    }
}

#[test]
fn what_is_trusted_by_hand_begins_a_chain_and_what_it_took_off_stays_away() {
    let cast = OperatorCast::new(2);
    let links = [
        cast.jwt(&[0], NOW - 900, Identity, ""),
        cast.jwt(&[0], NOW - 800, Key(0), "wanted"),
        cast.jwt(&[0, 1], NOW - 700, Key(0), "by the thief"),
    ];
    let chain = chain(links.clone()).trusting(links[1].clone());
    assert_eq!((chain.origin(), chain.len(), chain.in_force().version()), (Origin::Trusted, 1, links[1].version()));
    for way in [Way::File, Way::Upstream] {
        assert_eq!(verdict(&chain, &links[2], way), "replaced", "{way:?}");
        assert_eq!(verdict(&chain, &links[0], way), "older", "{way:?}");
    }
}
