//! Compares the digest trees from the root down.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{IN_VAIN, ResyncError, Run, have, short};
use crate::feed::digest::{Prefix, Short, Sum};
use crate::feed::wire::{DigestAsk, DigestPage};
use crate::feed::{Chain, Head, Session, Subject};
use crate::key::AccountKey;

/// The largest number of keys of one question.
const MOST: usize = 1000;
/// The number of differing buckets from which a question covers the whole node.
const MANY: usize = 24;
/// The pause between two checks whether the tree is complete.
const COUNTING: Duration = Duration::from_millis(20);

impl Run {
    pub(super) async fn mirror(&self) -> Result<(), ResyncError> {
        let parts = &self.resync.parts;
        while parts.held.known.is_counting() {
            self.is_current()?;
            tokio::time::sleep(COUNTING).await;
        }
        let leaf = |key: &AccountKey| parts.held.known.leaf_of(&Subject::Account(*key));
        let ahead: Vec<_> = parts.held.known.versions.all_ahead().into_iter().map(|key| (key, leaf(&key))).collect();
        let with_ahead = Self { ahead: Arc::new(ahead.iter().map(|(key, _)| *key).collect()), ..self.clone() };
        let differing = with_ahead.all().await?;
        with_ahead.orphans().await?;
        for (key, compared) in ahead {
            if !differing.contains(&key) && leaf(&key) == compared {
                parts.held.is_level(&key);
            }
        }
        parts.pull.fill().await;
        Ok(())
    }

    /// Applies all that differs. Returns which of the accounts that are newer here do.
    async fn all(&self) -> Result<HashSet<AccountKey>, ResyncError> {
        let mut differing = HashSet::new();
        // Without a tree of its own, the mirror compares everything.
        match self.differing(None).await? {
            Some(nodes) => {
                for node in nodes {
                    differing.extend(self.node(node).await?);
                }
            }
            None => {
                for node in 0..=u8::MAX {
                    differing.extend(self.all_of(node).await?);
                }
            }
        }
        Ok(differing)
    }

    /// Requests activations again that came before their accounts.
    async fn orphans(&self) -> Result<(), ResyncError> {
        let orphans = std::mem::take(&mut self.found.lock().orphans);
        for ids in orphans.chunks(MOST) {
            // No leaf equals this one, so the answer includes them for certain.
            let have = ids.iter().map(|id| (Subject::Activation(*id).text(), Short::default().to_string())).collect();
            let ask = DigestAsk { have, ..DigestAsk::default() };
            self.pages(ask).await?;
        }
        Ok(())
    }

    /// The bytes that lead to differing sums below a place. `None`: the tree here is incomplete.
    async fn differing(&self, prefix: Option<Prefix>) -> Result<Option<Vec<u8>>, ResyncError> {
        let besides = self.resync.parts.held.known.operator_toggles();
        if !self.resync.parts.held.known.sums.is_whole() {
            return Ok(None);
        }
        let page = self.resync.parts.upstream.followed().digests(prefix).await?;
        self.is_current()?;
        self.stands(&position(&page).ok_or(ResyncError::Format("the position"))?)?;
        let Some((sum, mine)) = self.resync.parts.held.known.sums.look(prefix, &besides) else { return Ok(None) };
        if short(&page.sum)? == sum.short() {
            return Ok(Some(Vec::new()));
        }
        let mut theirs = BTreeMap::new();
        for (byte, sum) in page.children.iter().flatten() {
            let byte = u8::from_str_radix(byte, 16).map_err(|_| ResyncError::Format("a child"))?;
            theirs.insert(byte, short(sum)?);
        }
        let mine: BTreeMap<u8, Short> = mine.iter().map(|(byte, sum): &(u8, Sum)| (*byte, sum.short())).collect();
        Ok(Some((0..=u8::MAX).filter(|byte| theirs.get(byte) != mine.get(byte)).collect()))
    }

    async fn node(&self, node: u8) -> Result<HashSet<AccountKey>, ResyncError> {
        match self.differing(Some(Prefix::Node(node))).await? {
            Some(buckets) if buckets.len() < MANY => self.buckets(node, buckets).await,
            _ => self.all_of(node).await,
        }
    }

    async fn all_of(&self, node: u8) -> Result<HashSet<AccountKey>, ResyncError> {
        let parts = self.resync.parts.clone();
        let count = tokio::task::spawn_blocking(move || parts.held.known.leaves(Prefix::Node(node)).len()).await;
        if count.is_ok_and(|count| count <= MOST) {
            self.prefix(Prefix::Node(node)).await
        } else {
            self.buckets(node, 0..=u8::MAX).await
        }
    }

    async fn buckets(&self, node: u8, lows: impl IntoIterator<Item = u8>) -> Result<HashSet<AccountKey>, ResyncError> {
        let mut differing = HashSet::new();
        for low in lows {
            differing.extend(self.prefix(Prefix::Bucket(u16::from_be_bytes([node, low]))).await?);
        }
        Ok(differing)
    }

    /// Applies everything under a prefix that differs.
    async fn prefix(&self, prefix: Prefix) -> Result<HashSet<AccountKey>, ResyncError> {
        let parts = self.resync.parts.clone();
        let leaves = tokio::task::spawn_blocking(move || parts.held.known.leaves(prefix)).await;
        let leaves = leaves.map_err(|_| ResyncError::Outdated)?;
        let ask = DigestAsk {
            // The answer repeats keys that are not named, which changes nothing.
            have: have(leaves.iter().take(MOST)),
            prefix: Some(data_encoding::HEXLOWER.encode(&prefix.bytes())),
            after: None,
        };
        self.pages(ask).await
    }

    /// Applies all answers to a question.
    async fn pages(&self, mut ask: DigestAsk) -> Result<HashSet<AccountKey>, ResyncError> {
        let mut differing = HashSet::new();
        loop {
            let answer = self.ask(&ask).await?;
            let goes_on = Self::goes_on(&mut ask, &answer)?;
            differing.extend(self.apply(answer, None).await?);
            if !goes_on {
                return Ok(differing);
            }
            if self.found.lock().in_vain > IN_VAIN {
                return Err(ResyncError::Format("an end"));
            }
        }
    }
}

fn position(page: &DigestPage) -> Option<Head> {
    Some(Head { session: Session::parse(&page.session)?, serial: page.serial, chain: Chain::parse(&page.chain)? })
}
