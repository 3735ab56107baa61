//! Tables for people.

use std::io::{self, Write};

use super::ranked::{Rank, Ranked, Worst};
use crate::commands::shown::Paint;

/// Writes a list as a table. `row`: the cells of an entry.
pub(super) fn write<T: Ranked, const N: usize>(
    list: &Worst<T>,
    head: [&str; N],
    row: impl Fn(&T) -> [String; N],
    paint: Paint,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows: Vec<_> = list.shown().into_iter().map(|entry| (entry.rank(), row(entry))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|(_, cells)| cells[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    writeln!(out, "\n{}", paint.text(Paint::BOLD, &line(head)))?;
    for (rank, cells) in &rows {
        let line = line(std::array::from_fn(|column| &*cells[column]));
        match rank {
            Rank::Alarm => writeln!(out, "{}", paint.text(Paint::RED, &line))?,
            Rank::Unsure => writeln!(out, "{}", paint.text(Paint::YELLOW, &line))?,
            Rank::Well => writeln!(out, "{line}")?,
        }
    }
    match list.more() {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}
