//! What runs next to the store: the cache of an earlier process is filled, texts for which a cache has no room leave the store,
//! and when the primary was heard is noted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parts::Parts;
use crate::clock;
use crate::folder::{self, Layout};
use crate::gate::Via;
use crate::key::AccountKey;
use crate::store::journal::CommitError;
use crate::store::journal::upstream::UpstreamWrite;
use crate::store::{StoreError, blocking};

/// How often it is noted when the primary was heard.
const HEARD: Duration = Duration::from_secs(2);
/// Accounts that are read at once.
const BATCH: usize = 256;
/// Accounts that are evicted at once. Other writes come in between.
const EVICTED: usize = 16;
/// How soon a cache evicts again if that did not help.
const NOT_SOONER: Duration = Duration::from_secs(2);

/// Why texts cannot be evicted.
#[derive(Debug, thiserror::Error)]
enum EvictError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// Notes when the primary was heard, as long as the process lives.
pub(super) async fn note_heard(parts: Parts) {
    let mut noted = 0;
    loop {
        tokio::time::sleep(HEARD).await;
        let heard = parts.held.freshness.heard_at();
        if heard - noted > 1000 {
            noted = heard;
            parts.held.store.write_soon(UpstreamWrite::Heard(heard));
        }
        let (held, standing) = (parts.held.clone(), parts.env.gate.standing());
        let looked = blocking(move || {
            // A client may have caused a request for the last one that was missing.
            held.look_for_texts();
            held.store.keep_operator(&standing)
        });
        if let Err(error) = looked.await {
            tracing::debug!("cannot read which operator JWT is stored: {error}");
        }
    }
}

/// Drops texts from the store of a cache when they are too many, as long as the process lives: those that are not in memory,
/// because clients did not ask for them, or not lately.
pub(super) async fn evict(parts: Parts) {
    let mut after = None;
    loop {
        if !is_too_full(&parts) {
            parts.held.store.grown().await;
            continue;
        }
        if let Err(error) = evict_until_there_is_room(&parts, &mut after).await {
            tracing::debug!("cannot evict JWTs from the store: {error}");
        }
        if is_too_full(&parts) {
            // The rest is in the log, or in memory, which have bounds of their own.
            tokio::time::sleep(NOT_SOONER).await;
        }
    }
}

fn is_too_full(parts: &Parts) -> bool {
    parts.held.store.reader().texts().is_some_and(|(texts, bound)| texts > bound)
}

/// `after`: the key after which it goes on. Goes round once at most.
async fn evict_until_there_is_room(parts: &Parts, after: &mut Option<AccountKey>) -> Result<(), EvictError> {
    let (start, mut is_round) = (*after, false);
    loop {
        let (reader, from) = (parts.held.store.reader().clone(), *after);
        let keys = blocking(move || reader.live_keys(from.as_ref(), BATCH)).await?;
        let is_end = keys.len() < BATCH;
        for piece in keys.chunks(EVICTED) {
            *after = piece.last().copied();
            let unused = piece.iter().filter(|key| !parts.held.is_in_use(key)).copied().collect();
            parts.held.store.write(UpstreamWrite::Evict(unused)).await?;
            if !is_too_full(parts) || (is_round && *after >= start) {
                return Ok(());
            }
        }
        if is_end {
            if is_round || start.is_none() {
                return Ok(());
            }
            (*after, is_round) = (None, true);
        }
    }
}

/// Fills the cache with what clients asked an earlier process for, and imports the folder of an earlier kind of server. Blocks.
pub(super) fn warm_up(parts: &Parts) {
    let start = Instant::now();
    if !parts.env.is_mirror() && !parts.env.is_warm() {
        fill(parts);
    }
    let mut count = if parts.held.store.was_found() { parts.held.store.reader().count() } else { 0 };
    if let Some(tokens) = parts.held.store.tokens() {
        count += import_tokens(parts, tokens);
    }
    if count > 0 || parts.held.store.was_found() {
        tracing::info!("restored {count} JWTs from disk in {:.1} s", start.elapsed().as_secs_f64());
    }
}

/// A cache that does not fill itself has in memory what it stores: clients asked for all of it. In one that does, most texts may
/// be there unasked, and in memory they would count as asked for, and drive out what clients ask for now. They are read when a
/// client asks for them.
fn fill(parts: &Parts) {
    let mut after = None;
    loop {
        let keys = match parts.held.store.reader().live_keys(after.as_ref(), BATCH) {
            Ok(keys) => keys,
            Err(error) => return tracing::warn!("the cache is not filled: {error}"),
        };
        keys.iter().for_each(|key| _ = parts.held.at_hand(key));
        after = keys.last().copied();
        if keys.len() < BATCH {
            return;
        }
    }
}

/// Imports the folder of an earlier kind of server. The folder is only read.
fn import_tokens(parts: &Parts, root: &Path) -> u64 {
    let listing = match folder::list(root, Layout::Flat) {
        Ok(listing) => listing,
        Err(error) => {
            tracing::warn!("cannot import the JWTs of an earlier server: {error}");
            return 0;
        }
    };
    let homes = listing.homes.iter().map(|key| (Layout::Flat.place(root, key), *key));
    let extras = listing.extras.iter().map(|file| (file.path.clone(), file.key));
    let mut count = 0;
    for (path, key) in homes.chain(extras) {
        match import_token(parts, &path, &key) {
            Ok(()) => count += 1,
            Err(reason) => tracing::warn!("{} is not imported: {reason}", path.display()),
        }
    }
    count
}

fn import_token(parts: &Parts, path: &Path, key: &AccountKey) -> Result<(), String> {
    let (_, bytes) = folder::read(path).map_err(|unread| unread.to_string())?;
    let admitted = parts.env.gate.admit(&bytes, Some(key), Via::FirstScan, clock::unix_seconds());
    let entry = Arc::new(admitted.map_err(|refusal| refusal.to_string())?);
    parts.held.find(&entry).map_err(|refusal| refusal.to_string())?;
    // What was found is wanted: nats-servers here may have loaded it.
    let _ = parts.held.at_hand(key);
    Ok(())
}

/// Starts all of it. Fails if no thread can be started.
pub(super) fn begin(parts: &Parts) -> Result<(), StoreError> {
    let runtime = &parts.env.runtime;
    runtime.spawn(note_heard(parts.clone()));
    if !parts.env.is_mirror() {
        runtime.spawn(evict(parts.clone()));
    }
    let filling = parts.clone();
    std::thread::Builder::new()
        .name("warm-up".into())
        .spawn(move || warm_up(&filling))
        .map(drop)
        .map_err(StoreError::io("start a thread for", Path::new("the cache")))
}
