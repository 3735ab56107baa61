//! Whether a mirror stores everything that its primary has.

use std::sync::atomic::Ordering;

use super::Held;
use crate::feed::Subject;
use crate::node::Whole;

const NOT_YET: Whole = Whole::NotYet("this mirror has not yet received everything that its primary holds");

impl Held {
    /// Whether every account is stored here. Blocks for a query until it is.
    pub(in crate::replica) fn whole(&self) -> Whole {
        let reader = self.store.reader();
        if !self.env.is_mirror() {
            return Whole::Never;
        }
        let era = reader.era();
        if !reader.is_level() || !self.has_texts(era) {
            return NOT_YET;
        }
        let is_current = self.knows_all().is_some() && self.freshness.is_current();
        Whole::Stored { journal: reader.clone(), is_current }
    }

    /// Whether the text of each account is here. A comparison ends before the last texts have come, and afterwards each
    /// change brings its own.
    fn has_texts(&self, era: u64) -> bool {
        if self.texts_of.load(Ordering::Acquire) == era {
            return true;
        }
        // Accounts come first.
        let has_all = match self.store.reader().textless(None, 1) {
            Ok(keys) => !matches!(keys.first(), Some(Subject::Account(_))),
            Err(error) => {
                tracing::error!("the store cannot be read: {error}");
                false
            }
        };
        if has_all {
            self.texts_of.store(era, Ordering::Release);
        }
        has_all
    }
}
