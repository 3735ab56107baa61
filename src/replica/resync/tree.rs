//! Compares the digest trees from the root down.

use std::collections::{BTreeMap, HashMap};

use super::applying::Applying;
use super::{MOST_EMPTY_PAGES, MOST_PAGES, PIECE, ResyncError, Run, short};
use crate::feed::digest::{Leaf, LeafPage, Prefix, Short, Sum, ViewParts};
use crate::feed::wire::{DigestAsk, DigestPage};
use crate::feed::{Chain, Head, Session, Subject};
use crate::store::StoreError;
use crate::store::blocking;
use crate::store::journal::HeldLeaf;
use crate::store::journal::upstream::{Compared, ComparedContent};

/// The number of differing places from which a question covers the whole place above.
const MANY: usize = 24;

/// What a cache found of a place.
struct Reconciled {
    differences: Vec<Compared>,
    /// Keys whose text is here, and differs.
    held: Vec<(Subject, Leaf)>,
}

impl Run {
    /// Compares everything. Returns whether every key that upstream has is known now.
    pub(super) async fn compare(&self) -> Result<bool, ResyncError> {
        if self.resync.parts.env.is_mirror() {
            self.mirror().await?;
            return Ok(true);
        }
        self.cache().await
    }

    async fn mirror(&self) -> Result<(), ResyncError> {
        let mut applying = Applying::by(self.resync.clone());
        for node in self.differing(None).await? {
            let buckets = self.differing(Some(Prefix::Node(node))).await?;
            if buckets.len() < MANY || self.held_under(Prefix::Node(node)).await?.len() > PIECE {
                for low in buckets {
                    self.fetch(bucket(node, low), &mut applying).await?;
                }
            } else {
                self.fetch(Prefix::Node(node), &mut applying).await?;
            }
        }
        applying.end().await
    }

    /// Fetches everything under a prefix that differs.
    async fn fetch(&self, prefix: Prefix, applying: &mut Applying) -> Result<(), ResyncError> {
        let held = self.held_under(prefix).await?;
        // The answer repeats keys that are not named, which changes nothing.
        let have = held.iter().take(PIECE).map(|(key, leaf, _)| (key.text(), leaf.short().to_string())).collect();
        let prefix = Some(data_encoding::HEXLOWER.encode(&prefix.bytes()));
        self.ask(DigestAsk { have, prefix, after: None }, applying).await
    }

    async fn cache(&self) -> Result<bool, ResyncError> {
        let nodes = self.differing(None).await?;
        if nodes.len() >= MANY {
            return self.reconcile(None).await;
        }
        for node in nodes {
            let buckets = self.differing(Some(Prefix::Node(node))).await?;
            if buckets.len() < MANY {
                for low in buckets {
                    self.reconcile_bucket(bucket(node, low)).await?;
                }
            } else if !self.reconcile(Some(Prefix::Node(node))).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reconcile_bucket(&self, prefix: Prefix) -> Result<(), ResyncError> {
        let page = self.resync.parts.upstream.followed().digests(Some(prefix)).await?;
        self.check(&page)?;
        let theirs = page.leaves().ok_or(ResyncError::Format("the leaves"))?;
        let ours = self.held_under(prefix).await?;
        self.settle(reconcile(ours, &theirs)).await
    }

    /// Takes over the leaves of a whole place, a page at a time. Returns `false` if upstream does not list them: then only
    /// what is held here is compared.
    async fn reconcile(&self, prefix: Option<Prefix>) -> Result<bool, ResyncError> {
        let (mut after, mut empty): (Option<Subject>, _) = (None, 0);
        for _ in 0..MOST_PAGES {
            self.is_current()?;
            let Some(page) = self.resync.parts.upstream.followed().leaves(prefix, after).await? else {
                self.compare_held().await?;
                return Ok(false);
            };
            self.is_current()?;
            self.stands(&page.head)?;
            // Keys whose leaf is gone fill a page as well.
            empty = if page.leaves.is_empty() { empty + 1 } else { 0 };
            if empty > MOST_EMPTY_PAGES {
                break;
            }
            let ours = self.held_between(prefix, after, page.next).await?;
            self.settle(reconcile(ours, &page)).await?;
            if page.next.is_none() {
                return Ok(true);
            }
            after = page.next;
        }
        Err(ResyncError::Format("an end"))
    }

    /// Compares what is held here by name.
    async fn compare_held(&self) -> Result<(), ResyncError> {
        let mut after = None;
        loop {
            let (reader, from) = (self.resync.parts.held.store.reader().clone(), after);
            let found = blocking(move || {
                let keys = reader.live_keys(from.as_ref(), PIECE)?;
                let leaf = |key: &crate::key::AccountKey| {
                    let subject = Subject::Account(*key);
                    Ok(reader.leaf_of(&subject)?.map(|leaf| (subject, leaf)))
                };
                let leaves = keys.iter().map(leaf).collect::<Result<Vec<_>, StoreError>>()?;
                Ok((keys.last().copied(), leaves.into_iter().flatten().collect::<Vec<_>>()))
            });
            let (last, leaves) = found.await?;
            self.ask_about(&leaves).await?;
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    async fn settle(&self, found: Reconciled) -> Result<(), ResyncError> {
        let mut differences = found.differences;
        while !differences.is_empty() {
            let rest = differences.split_off(differences.len().min(PIECE));
            self.resync.write(std::mem::replace(&mut differences, rest)).await?;
        }
        for piece in found.held.chunks(PIECE) {
            self.ask_about(piece).await?;
        }
        Ok(())
    }

    /// Fetches what differs of some keys.
    async fn ask_about(&self, leaves: &[(Subject, Leaf)]) -> Result<(), ResyncError> {
        if leaves.is_empty() {
            return Ok(());
        }
        let have = leaves.iter().map(|(key, leaf)| (key.text(), leaf.short().to_string())).collect();
        let mut applying = Applying::by(self.resync.clone());
        self.ask(DigestAsk { have, ..DigestAsk::default() }, &mut applying).await?;
        applying.end().await
    }

    /// The bytes that lead to differing sums below a place.
    async fn differing(&self, prefix: Option<Prefix>) -> Result<Vec<u8>, ResyncError> {
        self.is_current()?;
        let page = self.resync.parts.upstream.followed().digests(prefix).await?;
        self.check(&page)?;
        let node = if let Some(Prefix::Node(node)) = prefix { Some(node) } else { None };
        let view = self.resync.parts.held.store.reader().sums(node);
        if short(&page.sum)? == view.sum.short() {
            return Ok(Vec::new());
        }
        let mut theirs = BTreeMap::new();
        for (byte, sum) in page.children.iter().flatten() {
            let byte = u8::from_str_radix(byte, 16).map_err(|_| ResyncError::Format("a child"))?;
            theirs.insert(byte, short(sum)?);
        }
        let ViewParts::Sums(sums) = view.below else { return Ok(Vec::new()) };
        let mine: BTreeMap<u8, Short> = sums.iter().map(|(byte, sum): &(u8, Sum)| (*byte, sum.short())).collect();
        Ok((0..=u8::MAX).filter(|byte| theirs.get(byte) != mine.get(byte)).collect())
    }

    fn check(&self, page: &DigestPage) -> Result<(), ResyncError> {
        self.is_current()?;
        self.stands(&position(page).ok_or(ResyncError::Format("the position"))?)
    }

    async fn held_under(&self, prefix: Prefix) -> Result<Vec<HeldLeaf>, ResyncError> {
        let reader = self.resync.parts.held.store.reader().clone();
        Ok(blocking(move || reader.held_leaves(Some(prefix), None, None)).await?)
    }

    async fn held_between(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
        to: Option<Subject>,
    ) -> Result<Vec<HeldLeaf>, ResyncError> {
        let reader = self.resync.parts.held.store.reader().clone();
        Ok(blocking(move || reader.held_leaves(prefix, after, to)).await?)
    }
}

/// What differs between what is held of a place, and what upstream has there.
fn reconcile(ours: Vec<HeldLeaf>, theirs: &LeafPage) -> Reconciled {
    let mut left: HashMap<Subject, Short> = theirs.leaves.iter().map(|listed| (listed.key, listed.leaf)).collect();
    let (mut differences, mut held) = (Vec::new(), Vec::new());
    let as_of = theirs.head.position(theirs.head.serial);
    let difference = |content| Compared { as_of, serial: 0, content };
    for (subject, leaf, has_text) in ours {
        match left.remove(&subject) {
            Some(short) if short == leaf.short() => {}
            // The answer says what became of it.
            Some(_) | None if has_text => held.push((subject, leaf)),
            Some(short) => differences.push(difference(ComparedContent::Leaf(subject, leaf_of(short)))),
            None => differences.push(difference(ComparedContent::Nothing(subject))),
        }
    }
    let unknown = left.into_iter().map(|(subject, short)| ComparedContent::Leaf(subject, leaf_of(short)));
    differences.extend(unknown.map(difference));
    Reconciled { differences, held }
}

/// A leaf of which only the first bytes are known.
fn leaf_of(short: Short) -> Leaf {
    let mut leaf = [0; 32];
    leaf[..8].copy_from_slice(short.bytes());
    Leaf(leaf)
}

const fn bucket(node: u8, low: u8) -> Prefix {
    Prefix::Bucket(u16::from_be_bytes([node, low]))
}

fn position(page: &DigestPage) -> Option<Head> {
    Some(Head { session: Session::parse(&page.session)?, serial: page.serial, chain: Chain::parse(&page.chain)? })
}
