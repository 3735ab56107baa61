//! Verifies the chain of log files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::line::{self, LONGEST, Link, NONE};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// What the files are.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines that fit.
    pub lines: u64,
    /// The number of the first line; above 1, earlier files are missing.
    pub first: u64,
    /// The number of the last line.
    pub last: u64,
    /// The time in the first line.
    pub first_time: String,
    /// The time in the last line.
    pub last_time: String,
    /// The hash of the last line: 64 hexadecimal digits.
    pub head: String,
    /// The first line that does not fit.
    pub fault: Option<Fault>,
}

/// A line that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its file.
    pub file: PathBuf,
    /// Its number in the file, from 1 on.
    pub line: u64,
    /// What is wrong, for people.
    pub why: String,
}

/// Verifies files of one log, in the order of their lines: each continues the one before. The error names a file that
/// cannot be read.
pub fn verify(files: &[PathBuf]) -> Result<Report, (PathBuf, io::Error)> {
    let mut ordered = Vec::with_capacity(files.len());
    for file in files {
        let first = first_number(file).map_err(|error| (file.clone(), error))?;
        ordered.push((first, file));
    }
    ordered.sort_by_key(|(first, _)| *first);
    let (mut report, mut walk) = (Report::default(), Walk::default());
    for (_, file) in ordered {
        let fault = one(file, &mut walk, &mut report).map_err(|error| (file.clone(), error))?;
        if let Some((line, why)) = fault {
            report.fault = Some(Fault { file: file.clone(), line, why });
            break;
        }
    }
    if let Some(last) = walk.last {
        report.last = last.seq;
        report.head = HEXLOWER.encode(&last.hash);
    }
    Ok(report)
}

/// The number of a file's first line; an empty file comes last.
fn first_number(file: &Path) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut text = Vec::new();
    let _ = next(&mut reader, &mut text)?;
    Ok(line::place(&text).map_or(u64::MAX, |place| place.seq))
}

/// Verifies one file. Returns the first line that does not fit.
fn one(file: &Path, walk: &mut Walk, report: &mut Report) -> io::Result<Option<(u64, String)>> {
    let mut reader = BufReader::with_capacity(BLOCK, File::open(file)?);
    walk.line = 0;
    let (mut text, mut before) = (Vec::new(), Vec::new());
    let fault = loop {
        match next(&mut reader, &mut text)? {
            Piece::End => break None,
            Piece::Line => {}
            Piece::Torn => break Some((walk.line + 1, "it has no end: it was cut off".to_owned())),
            Piece::TooLong => break Some((walk.line + 1, format!("it has more than {LONGEST} bytes"))),
        }
        if let Err(fault) = walk.step(&text) {
            break Some(fault);
        }
        if report.lines == 0 {
            report.first = walk.last.map_or(0, |last| last.seq);
            report.first_time = line::time(&text).unwrap_or_default().to_owned();
        }
        report.lines += 1;
        std::mem::swap(&mut text, &mut before);
    };
    if let Some(time) = line::time(&before) {
        time.clone_into(&mut report.last_time);
    }
    Ok(fault)
}

/// The way along a chain.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The last line.
    pub(super) last: Option<Link>,
    /// Its number in its file.
    pub(super) line: u64,
}

impl Walk {
    /// Goes to the next line. The error has the number of the line in its file, and says what is wrong.
    pub(super) fn step(&mut self, text: &[u8]) -> Result<(), (u64, String)> {
        self.line += 1;
        let Some(Link { seq, hash: prev }) = line::place(text) else {
            return Err((self.line, "it is no line of an audit log".to_owned()));
        };
        match self.last {
            _ if prev == NONE && seq > 1 => {
                let why = "a new chain begins here, because the log before it was changed or cut off";
                return Err((self.line, why.to_owned()));
            }
            None if seq == 1 && prev != NONE => {
                return Err((self.line, "it is the first line, and names one before it".to_owned()));
            }
            None => {}
            Some(last) if seq != last.seq + 1 => {
                let why = format!("its seq is {seq}, and that of the line before it is {}", last.seq);
                return Err((self.line, why));
            }
            Some(last) if prev != last.hash && self.line > 1 => {
                let why = "it was changed: the line after it has another hash of it";
                return Err((self.line - 1, why.to_owned()));
            }
            Some(last) if prev != last.hash => {
                let why = "it has another hash of the last line of the file before";
                return Err((self.line, why.to_owned()));
            }
            Some(_) => {}
        }
        self.go_to(seq, text);
        Ok(())
    }

    /// Goes to a line that need not fit.
    pub(super) fn go_to(&mut self, seq: u64, text: &[u8]) {
        self.last = Some(Link { seq, hash: line::hash(text) });
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line, without its end.
    Line,
    /// The last text, which has no line end.
    Torn,
    /// The beginning of a line that is longer than any.
    TooLong,
    /// Nothing.
    End,
}

/// Reads the next line.
pub(super) fn next(reader: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Piece> {
    text.clear();
    let read = reader.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', text)?;
    if text.last() == Some(&b'\n') {
        text.pop();
        return Ok(Piece::Line);
    }
    Ok(match read {
        0 => Piece::End,
        read if read > LONGEST => Piece::TooLong,
        _ => Piece::Torn,
    })
}

#[cfg(test)]
mod tests {
    use super::super::line::{Lines, Note};
    use super::*;

    fn log(after: Link, count: usize) -> (Vec<String>, Link) {
        let mut lines = Lines::after(after, 0);
        for number in 0..count {
            let note = Note { note: "began", detail: number.to_string(), position: None, is_first: false };
            lines.note(&note, 1_795_478_400_000 + i64::try_from(number).unwrap());
        }
        let text = String::from_utf8(lines.bytes).unwrap();
        (text.lines().map(str::to_owned).collect(), lines.last)
    }

    fn verdict(files: &[&[String]]) -> (u64, Option<(usize, u64)>, String) {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..files.len()).map(|number| dir.path().join(number.to_string())).collect();
        for (name, lines) in names.iter().zip(files) {
            std::fs::write(name, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        }
        let report = verify(&names).unwrap();
        let fault = report.fault.map(|fault| (names.iter().position(|name| *name == fault.file).unwrap(), fault.line));
        (report.lines, fault, report.head)
    }

    #[test]
    fn a_whole_log_fits_however_its_files_are_given() {
        let (first, end) = log(Link::BEGINNING, 5);
        let (second, head) = log(end, 3);
        let head = HEXLOWER.encode(&head.hash);
        assert_eq!(verdict(&[&first, &second]), (8, None, head.clone()));
        assert_eq!(verdict(&[&second, &[], &first]), (8, None, head.clone()), "they are put in order");
        assert_eq!(verdict(&[&second]), (3, None, head));
        assert_eq!(verdict(&[&[]]).0, 0);
    }

    #[test]
    fn the_line_that_was_changed_removed_or_added_is_named() {
        let (lines, end) = log(Link::BEGINNING, 6);
        let edit = |change: &dyn Fn(&mut Vec<String>)| {
            let mut edited = lines.clone();
            change(&mut edited);
            verdict(&[&edited]).1.map(|(_, line)| line)
        };
        assert_eq!(edit(&|lines| lines[2] = lines[2].replace("\"detail\":\"2\"", "\"detail\":\"9\"")), Some(3));
        assert_eq!(edit(&|lines| drop(lines.remove(2))), Some(3));
        assert_eq!(edit(&|lines| lines.insert(2, lines[1].clone())), Some(3));
        assert_eq!(edit(&|lines| lines.swap(2, 3)), Some(3));
        assert_eq!(edit(&|lines| lines[4].truncate(30)), Some(5));
        assert_eq!(edit(&|lines| lines[5] = String::new()), Some(6));
        let mut again = Lines::after(end, 0);
        again.note(&Note { note: "broken", detail: String::new(), position: None, is_first: true }, 0);
        let again = String::from_utf8(again.bytes).unwrap().trim_end().to_owned();
        assert_eq!(edit(&|lines| lines.push(again.clone())), Some(7), "another chain is told");
        // A whole file is missing.
        let (second, end) = log(end, 2);
        let (third, _) = log(end, 2);
        assert_eq!(verdict(&[&lines, &third]).1, Some((1, 1)));
        assert_eq!(verdict(&[&lines, &second, &third]).1, None);
    }

    #[test]
    fn a_torn_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        std::fs::write(&file, format!("{}\n{{\"seq\":2", log(Link::BEGINNING, 1).0[0])).unwrap();
        let fault = verify(std::slice::from_ref(&file)).unwrap().fault.unwrap();
        assert_eq!((fault.line, fault.why.contains("cut off")), (2, true));
    }
}
