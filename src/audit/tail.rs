//! The last lines of the log, newest first: the file is read from its end, in blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::line::{self, LONGEST, Link};
use crate::calendar::rfc3339_seconds;

/// Bytes that are read at once, at least.
const BLOCK: usize = 64 << 10;
/// Bytes that a piece reads about, and for how long.
const BYTES: usize = 4 << 20;
const TIME: Duration = Duration::from_millis(50);
/// The text of a piece, about, in bytes.
const TEXT: usize = 1 << 20;
/// Lines of one moment may be written in another order, within so many seconds.
const MIXED: i64 = 60;

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct TailAsk {
    /// Where the piece begins; `None`: at the end of the file.
    pub after: Option<TailPlace>,
    /// How many lines, at most.
    pub limit: usize,
    /// Only lines about this account.
    pub account: Option<String>,
    /// Only lines with this outcome.
    pub outcome: Option<&'static str>,
    /// Only lines that are not older than this, unix seconds.
    pub since: Option<i64>,
}

/// The place of a line in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailPlace {
    /// Where it begins.
    pub offset: u64,
    /// Its number.
    pub seq: u64,
    /// The inode of the file.
    pub inode: u64,
}

/// A piece of the log.
#[derive(Debug, Default)]
pub struct Tail {
    /// The lines that are wanted, newest first. There may be none, and more to come.
    pub lines: Vec<Value>,
    /// Where the next piece begins; `None`: this was the last one of the file.
    pub next: Option<TailPlace>,
}

/// Why there is no piece.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The file was rotated, or is not as it was when the place was given.
    #[error("the log file is another one by now; begin without a cursor")]
    Moved,
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a piece of the file at `path`.
pub(super) fn tail(path: &Path, ask: &TailAsk) -> Result<Tail, TailError> {
    let begun = Instant::now();
    let file = File::open(path)?;
    let inode = file.metadata()?.ino();
    let mut lines = Backwards::from(&file, file.metadata()?.len());
    if let Some(place) = ask.after {
        lines.go_to(place, inode)?;
    }
    let (mut tail, mut text) = (Tail::default(), 0);
    while let Some((offset, bytes)) = lines.previous()? {
        let Some(Link { seq, .. }) = line::place(bytes) else { continue };
        let here = TailPlace { offset, seq, inode };
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { continue };
        let at = value["time"].as_str().and_then(rfc3339_seconds);
        let is_older = at.zip(ask.since).map_or(0, |(at, since)| since.saturating_sub(at));
        // What an earlier process committed got its line late.
        if is_older > MIXED && value["late"] != true {
            return Ok(tail);
        }
        if is_older <= 0 && ask.wants(&value) {
            text += bytes.len();
            tail.lines.push(value);
        }
        if tail.lines.len() >= ask.limit || text >= TEXT || lines.read >= BYTES || begun.elapsed() >= TIME {
            tail.next = Some(here).filter(|here| here.offset > 0);
            return Ok(tail);
        }
    }
    Ok(tail)
}

impl TailAsk {
    fn wants(&self, line: &Value) -> bool {
        let is = |member: &str, wanted: &str| line[member] == *wanted;
        let is_about = |account: &str| {
            let keys = line["keys"].as_array();
            is("key", account)
                || is("account", account)
                || keys.is_some_and(|keys| keys.iter().any(|key| key == account))
        };
        self.outcome.is_none_or(|outcome| is("outcome", outcome)) && self.account.as_deref().is_none_or(is_about)
    }
}

/// The lines of a file from a place back to its beginning.
struct Backwards<'f> {
    file: &'f File,
    /// Where in the file the bytes begin.
    begin: u64,
    bytes: Vec<u8>,
    /// The line that was given last.
    line: Vec<u8>,
    /// How many bytes were read.
    read: usize,
}

impl<'f> Backwards<'f> {
    const fn from(file: &'f File, end: u64) -> Self {
        Self { file, begin: end, bytes: Vec::new(), line: Vec::new(), read: 0 }
    }

    /// Goes to the end of the line before a place, if that is where it was.
    fn go_to(&mut self, place: TailPlace, inode: u64) -> Result<(), TailError> {
        if place.inode != inode || place.offset > self.begin {
            return Err(TailError::Moved);
        }
        self.begin = place.offset;
        let mut first = [0; 64];
        let length = self.file.read_at(&mut first, place.offset)?;
        let expected = format!("{{\"seq\":{},", place.seq);
        if first[..length].starts_with(expected.as_bytes()) { Ok(()) } else { Err(TailError::Moved) }
    }

    /// The line before, and where it begins. What follows the last line end is still being written.
    fn previous(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let is_end = |byte: &u8| *byte == b'\n';
        loop {
            if let Some(end) = self.bytes.iter().rposition(is_end) {
                let start = self.bytes[..end].iter().rposition(is_end).map(|before| before + 1);
                if let Some(start) = start.or((self.begin == 0).then_some(0)) {
                    // The end of the line before it stays.
                    self.bytes.truncate(end);
                    self.line = self.bytes.split_off(start);
                    return Ok(Some((self.begin + start as u64, &self.line)));
                }
            }
            if self.begin == 0 {
                return Ok(None);
            }
            if self.bytes.len() > LONGEST {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a line has more than {LONGEST} bytes"),
                ));
            }
            self.fill()?;
        }
    }

    /// Reads more: as much as there is already, so that a long line is not copied often.
    fn fill(&mut self) -> io::Result<()> {
        let more = self.bytes.len().max(BLOCK).min(usize::try_from(self.begin).unwrap_or(usize::MAX));
        let mut bytes = vec![0; more];
        self.begin -= more as u64;
        self.file.read_exact_at(&mut bytes, self.begin)?;
        self.read += more;
        bytes.append(&mut self.bytes);
        self.bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A log with `count` lines of about `bytes` bytes, and an end that is being written.
    fn log(count: u64, bytes: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (zeros, filler) = ("0".repeat(64), "x".repeat(bytes));
        for seq in 1..=count {
            let (time, outcome) =
                (format!("2026-11-24T00:{:02}:00.000Z", seq % 60), ["committed", "rejected"][seq as usize % 2]);
            writeln!(
                file,
                "{{\"seq\":{seq},\"prev\":\"{zeros}\",\"time\":\"{time}\",\"outcome\":\"{outcome}\",\"key\":\"A{}\",\"x\":\"{filler}\"}}",
                seq % 3
            )
            .unwrap();
        }
        write!(file, "{{\"seq\":").unwrap();
        file
    }

    fn numbers(tail: &Tail) -> Vec<u64> {
        tail.lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    }

    /// All pieces, one after another.
    fn all(path: &Path, mut ask: TailAsk) -> Vec<u64> {
        let mut found = Vec::new();
        loop {
            let piece = tail(path, &ask).unwrap();
            assert!(piece.lines.len() <= ask.limit);
            found.extend(numbers(&piece));
            ask.after = piece.next;
            if piece.next.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn the_lines_come_from_the_last_to_the_first_in_pieces_of_any_size() {
        for (count, bytes) in [(0, 0), (1, 0), (50, 0), (50, 5_000), (7, 100_000)] {
            let file = log(count, bytes);
            let expected: Vec<u64> = (1..=count).rev().collect();
            for limit in [1, 2, 7, 1000] {
                assert_eq!(all(file.path(), TailAsk { limit, ..TailAsk::default() }), expected, "{count} {bytes}");
            }
        }
    }

    #[test]
    fn only_what_is_wanted_is_given() {
        let file = log(50, 10);
        let ask = TailAsk { limit: 3, ..TailAsk::default() };
        let of = |keep: fn(u64) -> bool| (1..=50).rev().filter(|seq| keep(*seq)).collect::<Vec<u64>>();
        let rejected = TailAsk { outcome: Some("rejected"), ..ask.clone() };
        assert_eq!(all(file.path(), rejected), of(|seq| seq % 2 == 1));
        assert_eq!(
            all(file.path(), TailAsk { account: Some("A2".into()), limit: 3, ..TailAsk::default() }),
            of(|seq| seq % 3 == 2)
        );
        let since = rfc3339_seconds("2026-11-24T00:40:00Z");
        assert_eq!(all(file.path(), TailAsk { since, ..ask.clone() }), of(|seq| seq >= 40));
        // A piece that finds nothing has a next one, until the file is at its beginning.
        let large = log(200, 40_000);
        let nothing = TailAsk { account: Some("Z".into()), limit: 1, ..ask };
        let piece = tail(large.path(), &nothing).unwrap();
        assert!(piece.lines.is_empty() && piece.next.is_some());
        assert_eq!(all(large.path(), nothing), Vec::<u64>::new());
    }

    #[test]
    fn a_place_counts_only_in_its_file() {
        let (file, other) = (log(20, 10), log(20, 10));
        let ask = TailAsk { limit: 5, ..TailAsk::default() };
        let place = tail(file.path(), &ask).unwrap().next.unwrap();
        let at = |place| TailAsk { after: Some(place), ..ask.clone() };
        assert_eq!(numbers(&tail(file.path(), &at(place)).unwrap()), [15, 14, 13, 12, 11]);
        for wrong in [
            TailPlace { seq: place.seq + 1, ..place },
            TailPlace { offset: place.offset - 1, ..place },
            TailPlace { offset: u64::MAX, ..place },
            TailPlace { inode: place.inode + 1, ..place },
        ] {
            assert!(matches!(tail(file.path(), &at(wrong)), Err(TailError::Moved)), "{wrong:?}");
        }
        assert!(matches!(tail(other.path(), &at(place)), Err(TailError::Moved)));
    }
}
