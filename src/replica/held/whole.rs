//! Whether a mirror stores everything that its primary has.

use std::sync::atomic::Ordering;

use super::Held;
use crate::feed::Subject;
use crate::node::Whole;

const NOT_YET: Whole = Whole::NotYet("this mirror has not yet received everything that its primary holds");

impl Held {
    /// Whether every account is stored here. Reads memory only.
    pub(in crate::replica) fn whole(&self) -> Whole {
        let reader = self.store.reader();
        if !self.env.is_mirror() {
            return Whole::Never;
        }
        if !reader.is_level() || self.texts_of.load(Ordering::Acquire) != reader.era() {
            return NOT_YET;
        }
        let is_current = self.knows_all().is_some() && self.freshness.is_current();
        Whole::Stored { journal: reader.clone(), is_current }
    }

    /// Notes whether a mirror has the text of each account. A comparison ends before the last texts have come, and afterwards
    /// each change brings its own. Blocks for a query until that is so.
    pub(in crate::replica) fn look_for_texts(&self) {
        let (reader, era) = (self.store.reader(), self.store.reader().era());
        if !self.env.is_mirror() || !reader.is_level() || self.texts_of.load(Ordering::Acquire) == era {
            return;
        }
        match reader.textless(None, 1) {
            // Accounts come first.
            Ok(keys) if matches!(keys.first(), Some(Subject::Account(_))) => {}
            Ok(_) => self.texts_of.store(era, Ordering::Release),
            Err(error) => tracing::error!("the store cannot be read: {error}"),
        }
    }
}
