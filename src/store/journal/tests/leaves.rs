//! Leaves in pages, and the sum that goes with a page.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::super::leaves::HEADS;
use super::digests::{Change, World, of_everything, tree};
use super::pack::{Attempt, open_under};
use super::*;
use crate::feed::digest::{Leaf, ListedLeaf, Prefix};
use crate::feed::{Subject, SubjectKind};

/// All leaves of a place after a key, from one page after another.
fn listed(
    journal: &Journal,
    prefix: Option<Prefix>,
    mut after: Option<Subject>,
    all: &BTreeMap<Subject, Leaf>,
) -> Vec<ListedLeaf> {
    let mut leaves = Vec::new();
    loop {
        let page = journal.leaves(prefix, after).expect("readable");
        assert_eq!((page.head, page.sum), (journal.head(), tree(all).sum(prefix).short()));
        assert!(page.leaves.len() <= HEADS && page.next.is_none_or(|next| Some(next) > after));
        leaves.extend(page.leaves);
        after = page.next;
        if after.is_none() {
            return leaves;
        }
    }
}

/// Every place is listed as it is, from every key on.
pub(super) fn check(journal: &Journal, expected: &BTreeMap<Subject, Leaf>) {
    let mut places = vec![None, Some(Prefix::Node(250))];
    for key in expected.keys() {
        places.extend([Some(Prefix::Node(key.raw()[0])), Some(Prefix::Bucket(key.bucket()))]);
    }
    let ends = SubjectKind::ALL.map(|kind| [[0; 32], [255; 32]].map(|raw| Some(Subject::from_raw(kind, raw))));
    let cuts: Vec<_> = expected.keys().copied().map(Some).chain(ends.into_iter().flatten()).chain([None]).collect();
    for prefix in places {
        for after in &cuts {
            let later = expected.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
            let under = later.filter(|(key, _)| prefix.is_none_or(|prefix| prefix.contains(key)));
            let wanted: Vec<_> = under.map(|(key, leaf)| ListedLeaf::of(*key, leaf)).collect();
            assert_eq!(listed(journal, prefix, *after, expected), wanted, "{prefix:?} after {after:?}");
        }
    }
}

#[tokio::test]
async fn a_page_is_full_before_the_place_ends() {
    let (folder, mut world) = (tempfile::tempdir().expect("a folder"), World::new());
    let gate = Arc::new(Gate::new(Some(world.keys.trust(&[1], 100)), None, 3600));
    let journal = open_under(&folder.path().join("journal.sqlite"), &gate);
    of_everything(&mut world, &journal).await;
    let found = pages(&journal);
    assert_eq!(found, [(3, Some(SubjectKind::Account)), (3, None)], "nothing follows the last of six");
}

#[tokio::test]
async fn a_page_is_full_of_keys_without_leaves_as_well() {
    let (folder, mut world) = (tempfile::tempdir().expect("a folder"), World::new());
    let gate = Arc::new(Gate::new(None, None, 3600));
    let journal = open_under(&folder.path().join("journal.sqlite"), &gate);
    let put = |account| Change::Attempt(Attempt::Put { account, key: 0, iat: 101, exp: 0, via: Via::Post });
    let activation = |subject| Change::Activation { subject, iat: 101, exp: 5 };
    for change in [put(0), put(1), activation(0), activation(1), activation(2)] {
        journal.commit(world.write(&change)).await.expect("a change");
    }
    assert_eq!(pages(&journal), [(3, Some(SubjectKind::Activation)), (2, None)]);
    journal.commit(world.write(&Change::Forget(9))).await.expect("forgotten");
    assert_eq!(pages(&journal), [(2, Some(SubjectKind::Activation)), (0, None)]);
}

/// How many leaves are in each page, and the kind of the key after which the next page begins.
fn pages(journal: &Journal) -> Vec<(usize, Option<SubjectKind>)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = journal.leaves(None, after).expect("readable");
        found.push((page.leaves.len(), page.next.map(|key| key.kind())));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}
