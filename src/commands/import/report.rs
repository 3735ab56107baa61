//! The result of an import.

use std::io::{self, Write};

use super::super::findings::Findings;
use super::ImportFate;
use crate::jwt::Called;

/// Everything that was found, by what became of it.
#[derive(Debug)]
pub(super) struct ImportReport {
    taken: u64,
    expired: u64,
    ahead: u64,
    same: u64,
    other: u64,
    older: Findings,
    deleted: Findings,
    refused: Findings,
    gone: u64,
    lives: Findings,
    incomplete: Option<String>,
}

impl ImportReport {
    pub(super) const fn new() -> Self {
        Self {
            taken: 0,
            expired: 0,
            ahead: 0,
            same: 0,
            other: 0,
            older: Findings::of("older than what is stored, or of the same second"),
            deleted: Findings::of("deleted here after they were issued"),
            refused: Findings::of("rejected"),
            gone: 0,
            lives: Findings::of("deleted there, but present here: only an operator-signed request deletes an account"),
            incomplete: None,
        }
    }

    pub(super) fn add(&mut self, name: &str, fate: ImportFate) {
        match fate {
            ImportFate::Taken => self.taken += 1,
            ImportFate::TakenExpired => (self.taken, self.expired) = (self.taken + 1, self.expired + 1),
            ImportFate::TakenAhead => (self.taken, self.ahead) = (self.taken + 1, self.ahead + 1),
            ImportFate::Same => self.same += 1,
            ImportFate::Older(why) => self.older.add(format!("{name}: {why}")),
            ImportFate::Deleted(why) => self.deleted.add(format!("{name}: {why}")),
            ImportFate::Refused(why) => self.refused.add(format!("{name}: {why}")),
        }
    }

    pub(super) fn refused(&mut self, line: String) {
        self.refused.add(line);
    }

    pub(super) const fn other(&mut self) {
        self.other += 1;
    }

    /// An account was deleted at the source. `lives`: with what is held here that is not so.
    pub(super) fn deleted_there(&mut self, account: &Called, lives: bool) {
        if lives {
            self.lives.add(account.whole());
        } else {
            self.gone += 1;
        }
    }

    /// The source was not read to its end.
    pub(super) fn incomplete(&mut self, why: String) {
        self.incomplete = Some(why);
    }

    /// Whether everything was read, and nothing refused.
    pub(super) const fn is_fine(&self) -> bool {
        self.refused.is_empty() && self.incomplete.is_none()
    }

    pub(super) fn write(&self, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
        if dry_run {
            writeln!(out, "nothing was changed; the result would be:")?;
        }
        writeln!(out, "{:>9}  imported", self.taken)?;
        for (count, what) in [
            (self.expired, "of these have expired; they are stored nevertheless"),
            (self.ahead, "of these are dated in the future; check the clocks, or sign them again"),
            (self.same, "stored already"),
            (self.gone, "deleted there, and absent here"),
            (self.other, "files of other names, left out"),
        ] {
            if count > 0 {
                writeln!(out, "{count:>9}  {what}")?;
            }
        }
        for findings in [&self.older, &self.deleted, &self.lives, &self.refused] {
            if !findings.is_empty() {
                findings.write(out)?;
            }
        }
        if let Some(why) = &self.incomplete {
            writeln!(out, "not everything was read: {why}")?;
        }
        Ok(())
    }
}
