//! The list of keys that exist here, by which followers tell what may exist.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Node;
use crate::feed::Fingerprint;
use crate::gate::Position;
use crate::store::{JournalReader, StoreError};

/// How long a list is reused although there were changes since: a whole fleet asks at the same time.
const FRESH: Duration = Duration::from_secs(1);

/// Keys that are read from the journal at once.
const PIECE: usize = 10_000;

/// The fingerprints of all keys that exist.
#[derive(Debug, Clone)]
pub struct KeyList {
    /// Every key that existed then is in it. Later ones may be.
    pub position: Position,
    /// [`Fingerprint::BYTES`] for each, in no order.
    pub fingerprints: Bytes,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum NoKeyList {
    /// This server does not know all keys yet.
    #[error("this server does not know all keys yet")]
    NotYet,
    /// There are more than [`Fingerprint::MOST`]. Followers do without a list then.
    #[error("there are more than {} keys", Fingerprint::MOST)]
    TooMany,
    /// The journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The list that was made last, and when.
pub(super) type LastKeyList = Mutex<Option<(Instant, KeyList)>>;

impl Node {
    /// The fingerprints of the accounts that have a JWT, be it withheld or expired, and of activations.
    pub async fn key_list(&self) -> Result<KeyList, NoKeyList> {
        let mut last = self.last_key_list.lock().await;
        let head = self.ledger().map(|ledger| ledger.journal().head());
        let head = head.map(|head| head.position(head.serial));
        if let Some((made, list)) = &*last
            && (made.elapsed() < FRESH || head == Some(list.position))
        {
            return Ok(list.clone());
        }
        let list = self.backend.key_list().await?;
        *last = Some((Instant::now(), list.clone()));
        Ok(list)
    }
}

impl KeyList {
    /// The keys that a journal has. Blocks for queries.
    pub fn read(journal: &JournalReader) -> Result<Self, NoKeyList> {
        let head = journal.head();
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let piece = journal.keys(after.as_ref(), PIECE)?;
            keys.extend(piece.keys.iter().map(Fingerprint::of));
            if keys.len() > Fingerprint::MOST {
                return Err(NoKeyList::TooMany);
            }
            after = piece.next;
            if after.is_none() {
                return Ok(Self::of(head.position(head.serial), keys.into_iter()));
            }
        }
    }

    /// A list of these.
    pub fn of(position: Position, keys: impl ExactSizeIterator<Item = Fingerprint>) -> Self {
        let mut bytes = BytesMut::with_capacity(keys.len() * Fingerprint::BYTES);
        keys.for_each(|key| bytes.put_slice(&key.bytes()));
        Self { position, fingerprints: bytes.freeze() }
    }
}
