//! Where the log of a replica begins, and when it holds what upstream holds.

use rusqlite::params;

use super::super::head::Row;
use super::super::transaction::Transaction;
use super::super::write::Outcome;
use crate::feed::{Chain, Head, Subject, SubjectKind};

impl Transaction<'_> {
    /// The feed continues from `head`, and nothing leads there from the position before. The log begins there; the texts of
    /// the log before stay where heads point to them.
    pub(super) fn begin_order(&mut self, head: Head) -> rusqlite::Result<Outcome> {
        let last: i64 = self
            .connection
            .prepare_cached("SELECT coalesce(max(id), 0) FROM change")?
            .query_row([], |row| row.get(0))?;
        let confirmed = self.meta.confirmed;
        // What was current in this session stays current up to there.
        let stays = self.meta.head.session == head.session && confirmed.0 <= head.serial;
        self.meta.confirmed = if stays { confirmed } else { (0, Chain::default()) };
        let left = (self.meta.log.id(self.meta.log.floor.0), self.meta.log.id(self.meta.head.serial));
        self.left.push(left);
        self.log_bytes.set(0);
        let log = &mut self.meta.log;
        log.era += 1;
        if log.session != head.session {
            (log.session, log.since, log.lost, log.reach) = (head.session, log.era, 0, 0);
        } else {
            // Upstream may have been set back, and have written on to where this replica was or later. Then it never brings what
            // an answer brought before the feed.
            log.lost = log.lost.max(log.reach);
        }
        log.base = last.max(0).saturating_sub(head.serial.cast_signed());
        log.floor = (head.serial, head.chain);
        self.meta.head = head;
        // What came before belongs to the log before.
        self.changes.clear();
        self.begun = Some(head);
        self.touched_now.begin(head.serial);
        Ok(self.compare_again())
    }

    /// A comparison begins.
    pub(super) fn compare_again(&mut self) -> Outcome {
        (self.meta.is_level, self.meta.is_whole) = (false, false);
        self.touched_now.misses_a_key = Some(false);
        self.repaired.set(true);
        Outcome::Changed { serial: self.meta.head.serial }
    }

    /// What is served of these keys is from before this order, and is not what upstream had ordered then. A comparison finds what
    /// upstream has by what it had ordered, so it does not mention them if that is still the same. Upstream may have what is served
    /// since then, or never get it.
    pub(super) fn doubt_unmentioned(&mut self, keys: &[Subject]) -> rusqlite::Result<Outcome> {
        for subject in keys {
            let Some(before) = self.load(subject)? else { continue };
            if before.is_overlay(subject) && !before.is_ahead && !before.is_doubted {
                self.settle_loose(subject, &before, &Row { is_doubted: true, ..before.clone() }, None)?;
            }
        }
        Ok(Outcome::Kept)
    }

    /// The feed has come to the latest place that an answer had. What it should have brought by now, and has not, is of a history
    /// that upstream has lost.
    pub(super) fn doubt_missed(&mut self) -> rusqlite::Result<()> {
        let missed: Vec<[u8; 32]> = self
            .connection
            .prepare_cached(
                "SELECT key FROM head INDEXED BY overlay
                 WHERE kind = ?1 AND leaf IS NOT NULL AND row <> 0 AND flags & 7 = 0 AND serial > ?2 AND era >= ?3",
            )?
            .query_map(params![SubjectKind::Account, self.meta.log.lost, self.meta.log.since], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let missed: Vec<_> = missed.into_iter().map(|raw| Subject::from_raw(SubjectKind::Account, raw)).collect();
        self.doubt_unmentioned(&missed).map(drop)
    }

    /// Upstream stays where this replica is. What an answer had at a later place is of a history that upstream has lost.
    pub(super) fn stood_still(&mut self, reach: u64) -> rusqlite::Result<Outcome> {
        if reach <= self.meta.head.serial || self.meta.log.may_be_lost(reach) {
            // It has come meanwhile, or another order has begun.
            return Ok(Outcome::Kept);
        }
        self.doubt_missed()?;
        self.meta.log.lost = reach;
        self.repaired.set(true);
        Ok(Outcome::Kept)
    }

    /// Upstream has a key of which nothing is known here, because the gate rejects what it has.
    pub(super) fn miss_a_key(&mut self) {
        self.meta.is_whole = false;
        self.touched_now.misses_a_key = Some(true);
        self.repaired.set(true);
    }

    /// The comparison ended. `is_whole`: every key that upstream has is known.
    pub(super) fn level(&mut self, era: u64, is_whole: bool) -> Outcome {
        if era != self.meta.log.era.unsigned_abs() {
            return Outcome::Kept;
        }
        let misses_a_key = self.touched_now.misses_a_key.unwrap_or(self.touched.misses_a_key);
        (self.meta.is_level, self.meta.is_whole) = (true, is_whole && !misses_a_key);
        self.confirm();
        self.repaired.set(true);
        Outcome::Changed { serial: self.meta.head.serial }
    }
}
