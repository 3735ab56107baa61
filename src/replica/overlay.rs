//! Keeps what was heard apart from what upstream gave.
//!
//! So hints do not disturb the order of upstream, and can be dropped. The replica drops a hint in these cases:
//!
//! * Upstream gives it, or something later.
//! * A deletion covers it.
//! * The account leaves the folder of the primary.
//! * Its signer was withdrawn, and upstream gives anything.
//!
//! Until then it is served, because newer never yields to older.

use crate::gate::{Ordering as Order, Refusal, Standing, Version, Via};
use crate::store::snapshot::Seen;

impl Seen {
    /// How a version that upstream did not give compares with the known ones.
    pub(in crate::replica) fn order(&self, offered: &Version, via: Via, standing: &Standing) -> Order {
        let order = self.held.order(offered, via, None, standing);
        let Some(heard) = self.heard.filter(|heard| standing.vouches(&heard.issuer)) else { return order };
        match order {
            Order::Refused(refusal) => Order::Refused(refusal),
            _ if *offered == heard => Order::Same,
            _ if offered.iat < heard.iat => Order::Refused(Refusal::Older { held: heard.iat, offered: offered.iat }),
            _ if offered.iat == heard.iat => Order::Refetch,
            order => order,
        }
    }

    /// Upstream gave a version, which is stored now. Returns how that compares with the hint. Drops the hint unless it
    /// is newer.
    pub(in crate::replica) fn given(&mut self, version: &Version, via: Via, standing: &Standing) -> Order {
        let Some(heard) = self.heard.filter(|heard| standing.vouches(&heard.issuer)) else {
            self.heard = None;
            return Order::Newer;
        };
        if version.iat < heard.iat {
            return Order::Refused(Refusal::Older { held: heard.iat, offered: version.iat });
        }
        if via == Via::Feed && version.iat == heard.iat && *version != heard {
            // The hint may be the next change of the feed.
            return Order::Refetch;
        }
        self.heard = None;
        Order::Newer
    }

    /// Upstream holds what is served here.
    pub(in crate::replica) fn give_heard(&mut self, standing: &Standing) {
        if let Some(heard) = self.heard.take() {
            self.held.put(heard, None, standing);
        }
    }

    /// Drops the hint if a deletion covers it.
    pub(in crate::replica) fn drop_deleted(&mut self) {
        let deleted = self.held.deleted().copied();
        self.heard = self.heard.filter(|heard| deleted.is_none_or(|deleted| heard.iat > deleted.iat));
    }
}
