//! What nats-servers with a full resolver store of accounts that they have not loaded.
//!
//! They answer LOOKUP with the JWT and nothing else, so it is known that one of them stores another JWT, not which one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::CompareContext;
use crate::key::AccountKey;
use crate::nats::resolver::stored::{StoredElsewhere, settle};

/// How long full resolvers have to answer.
const WINDOW: Duration = Duration::from_millis(400);
/// How often it is looked whether what was announced again is stored. After that, packs are left to find it.
const LOOKS: u32 = 4;
/// The pause before the second look; it doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Looks at the same time.
const AT_ONCE: usize = 8;
/// Changes that are being looked at, at most. Those beyond are looked at when somebody asks about them.
const MAX_LOOKS: usize = 1000;

/// The looks that are under way.
#[derive(Debug)]
pub(super) struct Looks {
    under_way: Mutex<HashSet<u64>>,
    turns: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Self { under_way: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Looks {
    fn begin(&self, serial: u64) -> bool {
        let mut under_way = self.under_way.lock();
        under_way.len() < MAX_LOOKS && under_way.insert(serial)
    }

    fn end(&self, serial: u64) {
        self.under_way.lock().remove(&serial);
    }
}

impl CompareContext {
    /// Finds out what full resolvers store of a changed account that is not loaded somewhere, if there are any, and makes
    /// them store the change.
    pub(super) fn look_at_stored(self: &Arc<Self>, key: AccountKey, serial: u64) {
        if !self.receipts.may_be_stored_older(serial) || !self.looks.begin(serial) {
            return;
        }
        let shared = self.clone();
        tokio::spawn(async move {
            shared.settle_stored(key, serial).await;
            shared.looks.end(serial);
        });
    }

    async fn settle_stored(&self, key: AccountKey, serial: u64) {
        let mut pause = PAUSE;
        for _ in 0..LOOKS {
            let found = {
                let _turn = self.looks.turns.acquire().await;
                settle(&self.node, &self.peers, &key, WINDOW).await
            };
            self.receipts.stored(serial, found == StoredElsewhere::Equal);
            match found {
                StoredElsewhere::Equal => {
                    self.note_in_force(serial);
                    return;
                }
                StoredElsewhere::Sent => self.metrics.delivery.repairs.inc(["stored", "announced"]),
                StoredElsewhere::Unsettled | StoredElsewhere::Unknown => return,
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}
