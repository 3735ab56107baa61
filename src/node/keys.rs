//! The list of keys that exist here, by which followers tell what may exist.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Node, Role};
use crate::feed::Fingerprint;
use crate::gate::Position;
use crate::primary::Primary;
use crate::store::StoreError;

/// Keys that are read from the journal at once.
const PIECE: usize = 10_000;
/// How long a list serves those who ask, if there were changes since: a fleet asks at the same time.
const FRESH: Duration = Duration::from_secs(1);

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
        let head = match self.role() {
            Role::Primary(primary) => {
                let head = primary.journal().head();
                Some(Position { session: head.session.0, serial: head.serial })
            }
            Role::Replica(_) => None,
        };
        if let Some((made, list)) = &*last
            && (made.elapsed() < FRESH || head == Some(list.position))
        {
            return Ok(list.clone());
        }
        let list = match self.role() {
            Role::Primary(_) => {
                let primary = self.complete().cloned().ok_or(NoKeyList::NotYet)?;
                let listed = tokio::task::spawn_blocking(move || list(&primary)).await;
                listed.map_err(|_| StoreError::Closed)??
            }
            Role::Replica(replica) => {
                let (position, keys) = replica.key_list().ok_or(NoKeyList::NotYet)?;
                KeyList { position, fingerprints: packed(keys) }
            }
        };
        *last = Some((Instant::now(), list.clone()));
        Ok(list)
    }
}

fn list(primary: &Arc<Primary>) -> Result<KeyList, NoKeyList> {
    let head = primary.journal().head();
    let position = Position { session: head.session.0, serial: head.serial };
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let piece = primary.journal().keys(after.as_ref(), PIECE)?;
        keys.extend(piece.keys.iter().map(Fingerprint::of));
        if keys.len() > Fingerprint::MOST {
            return Err(NoKeyList::TooMany);
        }
        after = piece.next;
        if after.is_none() {
            return Ok(KeyList { position, fingerprints: packed(keys) });
        }
    }
}

fn packed(keys: Vec<Fingerprint>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(keys.len() * Fingerprint::BYTES);
    keys.into_iter().for_each(|key| bytes.put_slice(&key.bytes()));
    bytes.freeze()
}
