//! What the log is at a start: whether its end is the one that the stored head names.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use super::AuditError;
use super::head::Head;
use super::line::{self, Link, NONE, Note};
use super::verify::{Piece, Walk, next};

/// Bytes at the end of the log that are verified at a start. `audit verify` verifies all.
const WINDOW: u64 = 64 << 20;

/// Where the log goes on.
#[derive(Debug)]
pub(super) struct Resumed {
    /// The line after which it does.
    pub(super) last: Link,
    /// The position of the journal in that line; `None`: unknown.
    pub(super) position: Option<([u8; 16], u64)>,
    /// Bytes of the log.
    pub(super) size: u64,
    /// Whether its last line has no end.
    pub(super) is_torn: bool,
    /// Why another chain begins.
    pub(super) broken: Option<String>,
}

impl Resumed {
    /// The first line of a chain that begins because the log is not as it was written.
    pub(super) fn note(&self) -> Option<Note> {
        let detail = self.broken.clone()?;
        Some(Note { note: "broken", detail, position: self.position, is_first: true })
    }
}

/// Compares a log with its head. An incomplete line after the head is what a crash leaves, and is removed.
pub(super) fn resume(path: &Path, file: &File, head: Result<Option<Head>, String>) -> Result<Resumed, AuditError> {
    let io = |action| AuditError::io(action, path);
    let meta = file.metadata().map_err(io("look at"))?;
    let size = meta.len();
    let found = scan(file, size, head.as_ref().ok().and_then(Option::as_ref)).map_err(io("read"))?;
    let (head, mut broken) = match head {
        Ok(Some(head)) => (Some(head), None),
        Ok(None) if size == 0 => (None, None),
        Ok(None) if !found.is_log => return Err(AuditError::Foreign(path.to_owned())),
        Ok(None) => (None, Some("the file with its head is missing".to_owned())),
        Err(why) => (None, Some(format!("the file with its head cannot be read: {why}"))),
    };
    if let Some(head) = &head {
        let last = head.last.seq;
        broken = match found.fault {
            Some((line, why)) => Some(format!("line {line} of the file does not fit: {why}")),
            None if size == 0 && last > 0 && head.inode == std::os::unix::fs::MetadataExt::ino(&meta) => {
                Some(format!("it was emptied after line {last}"))
            }
            None if size > found.torn && !found.has_head => {
                Some(format!("line {last}, which was its last one, is missing or was changed"))
            }
            None => None,
        };
    }
    let beginning = head.map_or(Link::BEGINNING, |head| head.last);
    let mut resumed = Resumed {
        last: found.last.unwrap_or(beginning),
        position: found.position.filter(|(session, _)| *session != [0; 16]),
        size,
        is_torn: found.torn > 0,
        broken,
    };
    if resumed.broken.is_some() {
        resumed.last.seq = resumed.last.seq.max(beginning.seq);
    } else if resumed.is_torn {
        resumed.size -= found.torn;
        resumed.is_torn = false;
        file.set_len(resumed.size).map_err(io("remove the incomplete last line of"))?;
        tracing::warn!("removed the incomplete last line of the audit log {}, which a crash left", path.display());
    }
    Ok(resumed)
}

/// What the end of a file has.
#[derive(Debug, Default)]
struct Found {
    /// Whether its first line is one of an audit log.
    is_log: bool,
    last: Option<Link>,
    position: Option<([u8; 16], u64)>,
    /// The first line that does not fit, since the last chain began: its number from where the search began.
    fault: Option<(u64, String)>,
    /// Whether the head is in it, or right before it.
    has_head: bool,
    /// Bytes of an incomplete last line.
    torn: u64,
}

fn scan(file: &File, size: u64, head: Option<&Head>) -> io::Result<Found> {
    let mut found = Found { position: head.map(|head| head.position), ..Found::default() };
    let begins = size.saturating_sub(WINDOW);
    (&*file).seek(SeekFrom::Start(begins))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut text = Vec::new();
    if begins > 0 {
        // The rest of a line.
        next(&mut reader, &mut text)?;
        found.is_log = true;
    }
    // Of a chain that follows the head in another file.
    found.has_head = head.is_some_and(|head| head.last.seq == 0);
    let mut walk = Walk::default();
    loop {
        match next(&mut reader, &mut text)? {
            Piece::End => break,
            Piece::Torn => {
                found.torn = text.len() as u64;
                break;
            }
            Piece::TooLong => {
                found.fault = Some((walk.line + 1, "it is longer than any".to_owned()));
                break;
            }
            Piece::Line => {}
        }
        let place = line::place(&text);
        let is_first = walk.line == 0 && begins == 0;
        found.is_log |= is_first && place.is_some();
        let stepped = walk.step(&text);
        match place {
            // A break that was told already.
            Some(place) if place.hash == NONE && place.seq > 1 => {
                found.fault = None;
                walk.go_to(place.seq, &text);
            }
            Some(place) => {
                if let Err(fault) = stepped {
                    found.fault.get_or_insert(fault);
                    walk.go_to(place.seq, &text);
                }
                found.has_head |=
                    is_first && head.is_some_and(|head| head.last == Link { seq: place.seq.wrapping_sub(1), ..place });
            }
            None => found.fault = found.fault.or(stepped.err()),
        }
        if let (Some(last), Some(head)) = (walk.last, head) {
            found.has_head |= last == head.last;
            if last.seq > head.last.seq {
                found.position = Some(line::position(&text, found.position.unwrap_or_default()));
            }
        }
    }
    found.last = walk.last;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::super::line::Lines;
    use super::*;

    struct World {
        _dir: tempfile::TempDir,
        path: std::path::PathBuf,
        file: File,
        head: Head,
    }

    impl World {
        /// A log of five lines, whose head is the third.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("audit.log");
            let mut lines = Lines::after(Link::BEGINNING, 0);
            let mut links = Vec::new();
            for serial in 1..=5 {
                let note =
                    Note { note: "journal", detail: "x".into(), position: Some(([9; 16], serial)), is_first: false };
                lines.note(&note, 0);
                links.push(lines.last);
            }
            std::fs::write(&path, &lines.bytes).unwrap();
            let file = File::options().read(true).append(true).open(&path).unwrap();
            let inode = file.metadata().unwrap().ino();
            let head = Head { last: links[2], position: ([9; 16], 3), inode };
            Self { _dir: dir, path, file, head }
        }

        fn text(&self) -> String {
            std::fs::read_to_string(&self.path).unwrap()
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.path, text).unwrap();
        }

        fn resumed(&self) -> Resumed {
            resume(&self.path, &self.file, Ok(Some(self.head))).unwrap()
        }
    }

    #[test]
    fn a_log_that_is_ahead_of_its_head_goes_on_after_its_last_line() {
        let world = World::new();
        let whole = world.text();
        let resumed = world.resumed();
        assert_eq!((resumed.last.seq, resumed.position, resumed.broken), (5, Some(([9; 16], 5)), None));
        // What a crash leaves of a line is removed.
        world.write(&format!("{whole}{{\"seq\":6,\"pr"));
        let resumed = world.resumed();
        assert_eq!((resumed.last.seq, resumed.broken, resumed.is_torn), (5, None, false));
        assert_eq!(world.text(), whole);
        // The head may be the last line of a file that was moved away.
        let rest: String = whole.lines().skip(3).map(|line| format!("{line}\n")).collect();
        world.write(&rest);
        assert_eq!((world.resumed().last.seq, world.resumed().broken), (5, None));
    }

    #[test]
    fn a_log_that_was_cut_off_or_changed_begins_another_chain() {
        let changes: [fn(&str) -> String; 6] = [
            |whole| whole.lines().take(2).map(|line| format!("{line}\n")).collect(),
            |whole| whole.replacen("\"detail\":\"x\"", "\"detail\":\"y\"", 1),
            |whole| whole.lines().skip(4).map(|line| format!("{line}\n")).collect(),
            |whole| whole[..whole.len() / 2].to_owned(),
            |_| String::new(),
            |_| "something else\n".to_owned(),
        ];
        for change in changes {
            let world = World::new();
            world.write(&change(&world.text()));
            let resumed = world.resumed();
            assert!(resumed.broken.is_some(), "{}", world.text());
            assert!(resumed.last.seq >= 3, "numbers go on");
        }
    }

    #[test]
    fn a_break_that_was_told_is_not_told_again() {
        let mut world = World::new();
        let changed = world.text().replacen("\"detail\":\"x\"", "\"detail\":\"y\"", 1);
        let mut lines = Lines::after(Link { seq: 5, hash: [1; 32] }, 0);
        lines.note(&Note { note: "broken", detail: "told".into(), position: None, is_first: true }, 0);
        world.head.last = lines.last;
        world.write(&format!("{changed}torn\n{}", String::from_utf8(lines.bytes).unwrap()));
        let resumed = world.resumed();
        assert_eq!((resumed.broken, resumed.last.seq), (None, 6));
    }

    #[test]
    fn without_a_head_only_an_empty_file_is_a_new_log() {
        let world = World::new();
        let resume = |head| resume(&world.path, &world.file, head);
        assert!(resume(Ok(None)).unwrap().broken.is_some());
        assert!(resume(Err("damaged".into())).unwrap().broken.unwrap().contains("damaged"));
        world.write("a file of something else\n");
        assert!(matches!(resume(Ok(None)), Err(AuditError::Foreign(_))));
        world.write("");
        let first = resume(Ok(None)).unwrap();
        assert_eq!((first.last, first.position, first.broken), (Link::BEGINNING, None, None));
    }
}
