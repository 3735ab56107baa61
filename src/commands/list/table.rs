//! Accounts in columns.

use std::io::{self, Write};

use crate::api::AccountSummary;
use crate::commands::moments::Moments;
use crate::commands::shown::{Paint, ends, printable};

/// The widest that a name makes its column, in characters. A longer one moves the rest of its line.
const WIDEST: usize = 40;
const COLUMNS: usize = 6;
const STATE: usize = 2;

/// The columns.
///
/// Their widths are those of the first accounts that come, a thousand at most, because the others are not known when these are
/// printed. A later name may be longer; it is not cut.
pub(super) struct Table {
    moments: Moments,
    paint: Paint,
    widths: Option<[usize; COLUMNS]>,
}

impl Table {
    pub(super) const fn new(moments: Moments, paint: Paint) -> Self {
        Self { moments, paint, widths: None }
    }

    /// Writes accounts, and before the first of them what the columns are.
    pub(super) fn write(&mut self, accounts: &[AccountSummary], out: &mut dyn Write) -> io::Result<()> {
        if accounts.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = accounts.iter().map(|account| self.cells(account)).collect();
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let changed = format!("CHANGED ({})", self.moments.zone());
                let titles = ["NAME", "KEY", "STATE", "EXPIRES", "ISSUER", &changed].map(str::to_owned);
                let widths = widths(&titles, &rows);
                self.widths = Some(widths);
                self.line(&titles, &widths, |_, text| self.paint.text(Paint::BOLD, text), out)?;
                widths
            }
        };
        rows.iter().try_for_each(|cells| self.line(cells, &widths, |at, text| self.painted(at, text), out))
    }

    fn cells(&self, account: &AccountSummary) -> [String; COLUMNS] {
        let nothing = || "-".to_owned();
        let name = account.name.as_deref().map(printable).filter(|name| !name.trim().is_empty());
        let changed = account.changed_at.map(|at| self.moments.minute(at.div_euclid(1000)));
        let changed = changed.map(|at| format!("{at} {}", printable(account.via.as_deref().unwrap_or_default())));
        [
            name.unwrap_or_else(nothing),
            printable(&account.key),
            printable(&account.state),
            match (account.exp, account.iat) {
                (Some(exp), _) => self.moments.away(exp),
                (None, Some(_)) => "never".to_owned(),
                (None, None) => nothing(),
            },
            account.issuer.as_deref().map_or_else(nothing, ends),
            changed.unwrap_or_else(nothing),
        ]
    }

    fn line(
        &self,
        cells: &[String; COLUMNS],
        widths: &[usize; COLUMNS],
        paint: impl Fn(usize, &str) -> String,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if at + 1 == COLUMNS {
                writeln!(out, "{}", paint(at, cell))?;
            } else {
                // What is painted has characters that take no room.
                let room = width.saturating_sub(cell.chars().count());
                write!(out, "{}{:room$}  ", paint(at, cell), "")?;
            }
        }
        Ok(())
    }

    fn painted(&self, at: usize, text: &str) -> String {
        match (at, text) {
            (STATE, "live") => self.paint.text(Paint::GREEN, text),
            (STATE, "deleted" | "removed") => self.paint.text(Paint::RED, text),
            (STATE, _) => self.paint.text(Paint::YELLOW, text),
            _ => text.to_owned(),
        }
    }
}

fn widths(titles: &[String; COLUMNS], rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
    std::array::from_fn(|at| {
        let width = |cells: &[String; COLUMNS]| cells[at].chars().count();
        let most = rows.iter().map(width).max().unwrap_or_default();
        width(titles).max(if at == 0 { most.min(WIDEST) } else { most })
    })
}
