//! A cache forgets by which change an account left. A mirror and a primary must be able to tell it.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::*;
use super::primary::fed;
use crate::feed::Subject;
use crate::feed::digest::{Ask, Difference, Short};
use crate::gate::Standing;
use crate::store::journal::upstream::{Compared, ComparedContent, UpstreamWrite};
use crate::store::journal::{CacheBound, Role, promote};

fn open_as(path: &Path, role: Role) -> Journal {
    let bound = CacheBound { log_bytes: 0, text_bytes: 1 << 20, keeps_unasked: false, is_wanted: Arc::new(|_| true) };
    let options = Options { role, cache: Some(bound), ..Options::primary(Some(path.to_owned()), 0, 1) };
    Journal::open(&options, |_, _| {}).expect("opens")
}

/// The folder of a mirror that was a cache when an account left, and the account's JWT.
async fn was_a_cache() -> (tempfile::TempDir, Arc<Entry>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let entry = Signer::new().entry(&KeyPair::new_account(), NOW, "left");
    let upstream = Journal::open(&Options::primary(None, 0, 1), |_, _| {}).expect("opens");
    let cache = open_as(&path, Role::Cache);
    cache.commit(Write::Upstream(UpstreamWrite::Begin(upstream.head()))).await.expect("begins");
    cache.commit(Write::Upstream(UpstreamWrite::Level { era: cache.era(), is_whole: true })).await.expect("ends");
    for write in [put(&entry), Write::Remove(*entry.key(), Via::EditedFile)] {
        upstream.commit(write).await.expect("changed");
        for change in upstream.read_changes(cache.head().serial, 9).expect("readable") {
            let fed = UpstreamWrite::Fed(Box::new(fed(&change, false)));
            cache.commit(Write::Upstream(fed)).await.expect("applied");
        }
    }
    assert_eq!(cache.floor(), cache.head().serial, "the log is empty");
    cache.close().await;
    (folder, entry)
}

/// What a follower that knows another state of the account is told.
fn told(journal: &Journal, subject: Subject) -> Option<Vec<Difference>> {
    let ask = Ask { have: BTreeMap::from([(subject, Short::default())]), ..Ask::default() };
    journal.compare(&ask).expect("readable").map(|told| told.differences)
}

fn is_removal(told: Option<&[Difference]>, of: &Entry) -> bool {
    let Some([Difference::Change(change)]) = told else { return false };
    matches!(&change.content, Content::Removed { key, identity, .. }
        if key == of.key() && identity.as_ref() == Some(of.identity()))
}

#[tokio::test]
async fn a_mirror_that_was_a_cache_lists_what_it_lacks_and_tells_it_once_upstream_has_said_it() {
    let (folder, entry) = was_a_cache().await;
    let (path, subject) = (folder.path().join("journal.sqlite"), Subject::Account(*entry.key()));
    let mirror = open_as(&path, Role::Mirror);
    assert!(told(&mirror, subject).is_none(), "upstream must be asked");
    assert_eq!(mirror.lost(None, 9).expect("readable"), [subject]);
    let at = mirror.head().position(mirror.head().serial);
    let content =
        ComparedContent::Removed { key: *entry.key(), identity: Some(*entry.identity()), digest: *entry.digest() };
    let tree = mirror.trees().expect("readable").0;
    let found = UpstreamWrite::Compared(Compared { as_of: at, serial: 2, content });
    mirror.commit(Write::Upstream(found)).await.expect("applied");
    assert_eq!(mirror.lost(None, 9).expect("readable"), []);
    assert!(is_removal(told(&mirror, subject).as_deref(), &entry), "{:?}", told(&mirror, subject));
    assert!(mirror.trees().expect("readable").0 == tree);
}

#[tokio::test]
async fn a_primary_that_was_a_cache_tells_by_a_change_of_its_own_what_left() {
    let (folder, entry) = was_a_cache().await;
    let (path, subject) = (folder.path().join("journal.sqlite"), Subject::Account(*entry.key()));
    let mirror = open_as(&path, Role::Mirror);
    let before = mirror.head().serial;
    mirror.close().await;
    drop(mirror);
    let promoted = promote(&path, &Standing::default(), 0, ("x", 0), |_| true).expect("promoted");
    assert_eq!(promoted.head.serial, before + 1);
    let primary = open(&path).expect("is a primary's");
    assert!(is_removal(told(&primary, subject).as_deref(), &entry), "{:?}", told(&primary, subject));
    assert_eq!(chain_of(&primary), primary.head().chain);
}
