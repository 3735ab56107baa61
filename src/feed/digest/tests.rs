//! The tree as properties, and its leaves as the specification has them.

use proptest::prelude::*;

use super::*;
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};

fn key() -> impl Strategy<Value = Subject> {
    // Few first bytes, so that keys meet in nodes and buckets.
    (0..3usize, 0..4u8, 0..4u8, any::<[u8; 30]>()).prop_map(|(kind, high, low, rest)| {
        let mut raw = [0; 32];
        (raw[0], raw[1]) = (high * 85, low * 85);
        raw[2..].copy_from_slice(&rest);
        Subject::from_raw(SubjectKind::ALL[kind], raw)
    })
}

fn state() -> impl Strategy<Value = LeafState> {
    let deletion =
        |(iat, issuer)| LeafState::Deleted(Deletion { iat, issuer: PublicKey::from_raw(Kind::Operator, issuer) });
    prop_oneof![
        any::<[u8; 32]>().prop_map(LeafState::Held),
        any::<(i64, [u8; 32])>().prop_map(deletion),
        any::<[u8; 32]>().prop_map(LeafState::Left),
    ]
}

/// Keys whose states change, one after another.
fn steps() -> impl Strategy<Value = Vec<(Subject, Option<LeafState>, Option<LeafState>)>> {
    prop::collection::vec((key(), prop::option::of(state()), prop::option::of(state())), 1..40)
}

fn toggle((key, before, after): &(Subject, Option<LeafState>, Option<LeafState>)) -> Toggle {
    let leaf = |state: &Option<LeafState>| state.as_ref().map(|state| Leaf::of(key, state));
    Toggle::between(key, leaf(before), leaf(after))
}

fn tree<'t>(toggles: impl IntoIterator<Item = &'t Toggle>) -> Tree {
    let mut tree = Tree::default();
    toggles.into_iter().for_each(|toggle| tree.toggle(toggle));
    tree
}

fn xor(sums: impl IntoIterator<Item = (u8, Sum)>) -> Sum {
    let mut all = Sum::default();
    sums.into_iter().for_each(|(_, sum)| all.toggle(&sum.0));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_toggled_counts_and_not_in_which_order(steps in steps(), seed in any::<u64>()) {
        let toggles: Vec<Toggle> = steps.iter().map(toggle).collect();
        let whole = tree(&toggles);
        let mut shuffled = toggles.clone();
        shuffled.sort_by_key(|toggle| Sha256::digest([&seed.to_be_bytes()[..], &toggle.sum.0].concat()).to_vec());
        prop_assert!(tree(&shuffled) == whole);
        prop_assert!(tree(toggles.iter().chain(&shuffled)) == Tree::default(), "twice is nothing");
        prop_assert!(tree(&whole.toggles()) == whole);
        let bytes = Toggle::encode(&toggles);
        prop_assert_eq!(Toggle::decode(&bytes).expect("whole").collect::<Vec<_>>(), toggles);
        prop_assert!(Toggle::decode(&bytes[1..]).is_none());
    }

    #[test]
    fn a_sum_is_that_of_what_is_below_it(steps in steps()) {
        let tree = tree(&steps.iter().map(toggle).collect::<Vec<_>>());
        prop_assert_eq!(xor(tree.children(None)), tree.sum(None));
        for (node, sum) in tree.children(None) {
            prop_assert_eq!(tree.sum(Some(Prefix::Node(node))), sum);
            prop_assert_eq!(xor(tree.children(Some(node))), sum);
            for (low, sum) in tree.children(Some(node)) {
                prop_assert_eq!(tree.sum(Some(Prefix::Bucket(u16::from_be_bytes([node, low])))), sum);
            }
        }
    }

    #[test]
    fn a_leaf_is_where_its_key_begins_and_tells_kinds_and_states_apart(
        (key, other) in (key(), key()), (state, another) in (state(), state())
    ) {
        let leaf = Leaf::of(&key, &state);
        let tree = tree(&[Toggle::between(&key, None, Some(leaf))]);
        prop_assert!(Subject::parse(&key.text()) == Some(key));
        for prefix in [&key.raw()[..1], &key.raw()[..2]].map(|bytes| data_encoding::HEXLOWER.encode(bytes)) {
            let prefix = Prefix::parse(&prefix).expect("a prefix");
            prop_assert!(prefix.contains(&key) && key.raw().starts_with(&prefix.bytes()));
            prop_assert_eq!(tree.sum(Some(prefix)), Sum(leaf.0));
        }
        prop_assert_eq!(Short::parse(&leaf.short().to_string()), Some(Sum(leaf.0).short()));
        prop_assert_eq!(leaf == Leaf::of(&other, &state), key == other);
        prop_assert_eq!(leaf == Leaf::of(&key, &another), state == another);
    }
}

#[test]
fn leaves_are_those_of_the_specification() {
    let issuer = PublicKey::from_raw(Kind::Operator, [9; 32]);
    let sha256 = |parts: &[&[u8]]| Leaf(Sha256::digest(parts.concat()).into());
    let account = Subject::Account(AccountKey::from_raw([1; 32]));
    let (operator, activation) = (Subject::Operator(issuer), Subject::Activation(HashId::from_raw([3; 32])));
    for (key, state, expected) in [
        (account, LeafState::Held([7; 32]), sha256(&[&[1], &[1; 32], b"p", &[7; 32]])),
        (account, LeafState::Left([7; 32]), sha256(&[&[1], &[1; 32], b"r", &[7; 32]])),
        (
            account,
            LeafState::Deleted(Deletion { iat: 0x0102, issuer }),
            sha256(&[&[1], &[1; 32], b"d", &[0, 0, 0, 0, 0, 0, 1, 2], &[9; 32]]),
        ),
        (operator, LeafState::Held([7; 32]), sha256(&[&[2], &[9; 32], b"p", &[7; 32]])),
        (activation, LeafState::Held([7; 32]), sha256(&[&[3], &[3; 32], b"p", &[7; 32]])),
    ] {
        assert_eq!(Leaf::of(&key, &state), expected, "{key:?} {state:?}");
    }
    assert_eq!(sha256(&[b"x"]).short().to_string(), "2d711642b726b044");
}

#[test]
fn what_is_no_key_or_prefix_is_told() {
    let long = "a".repeat(100);
    for text in ["", "a", "abc", "abcde", "abcdef", "zz", "a b", &long] {
        assert!(Prefix::parse(text).expect_err("no prefix").to_string().len() < 120, "{text}");
    }
    assert_eq!(Prefix::parse("aB"), Ok(Prefix::Node(0xab)));
    assert_eq!(Prefix::parse("00ff"), Ok(Prefix::Bucket(0xff)));
    let user = PublicKey::from_raw(Kind::User, [1; 32]).text();
    for text in ["", "A", &*user] {
        assert_eq!(Subject::parse(text), None, "{text}");
    }
}
