//! A line of a pack, `<key>|<JWT>`. In packs, account servers and nats-servers send everything that they have.

use bytes::{Bytes, BytesMut};

use crate::key::AccountKey;

/// A line: an account and its JWT, or the number of an invalid line.
pub type Line = Result<Found, u64>;

/// An account of a pack.
#[derive(Debug)]
pub struct Found {
    /// The account that it is said to be of.
    pub key: AccountKey,
    /// Its JWT.
    pub token: Bytes,
    /// The number of its line.
    pub number: u64,
}

/// The longest valid line in bytes: the largest token, its key, and some white space.
const LONGEST: usize = (1 << 20) + 8192;

/// The text is not a pack.
#[derive(Debug, thiserror::Error)]
#[error("line {0} is longer than any line of a pack")]
pub struct TooLong(u64);

/// Splits bytes that arrive in pieces into lines, and parses them. Empty lines are skipped.
#[derive(Debug, Default)]
pub struct Lines {
    rest: BytesMut,
    number: u64,
}

impl Lines {
    /// The lines that end in the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Line>, TooLong> {
        let mut found = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.rest.extend_from_slice(piece);
            found.extend(self.end());
        }
        self.rest.extend_from_slice(last);
        if self.rest.len() > LONGEST { Err(TooLong(self.number + 1)) } else { Ok(found) }
    }

    /// The line that ends here: all was read.
    pub fn end(&mut self) -> Option<Line> {
        let bytes = self.rest.split().freeze();
        self.number += 1;
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        Some(match line(&bytes) {
            Some((key, token)) => Ok(Found { key, token: bytes.slice_ref(token), number: self.number }),
            None => Err(self.number),
        })
    }
}

/// The account of a line, and its JWT without trailing white space. `None`: it is not a line of a pack.
pub fn line(line: &[u8]) -> Option<(AccountKey, &[u8])> {
    let (key, token) = std::str::from_utf8(line).ok()?.split_once('|')?;
    let (key, token) = (AccountKey::parse(key).ok()?, token.trim_ascii_end());
    (!token.is_empty() && !token.contains('|')).then_some((key, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_key_and_a_token() {
        let key = AccountKey::from_raw([9; 32]);
        let read = |text: &str| line(format!("{key}|{text}").as_bytes()).map(|(_, token)| token.to_vec());
        assert_eq!(read("ey.a.b"), Some(b"ey.a.b".to_vec()));
        assert_eq!(read("ey.a.b\r"), Some(b"ey.a.b".to_vec()));
        for junk in ["", " ", "a|b", "|", "|a"] {
            assert_eq!(read(junk), None, "{junk:?}");
        }
        for junk in [b"".as_slice(), b"|", b"junk|ey.a.b", b"ey.a.b", b"\xff|a", b"../../etc/passwd|a"] {
            assert!(line(junk).is_none(), "{junk:?}");
        }
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        let keys = [1, 2].map(|byte| AccountKey::from_raw([byte; 32]));
        let text = format!("{}|a.b.c\n\nnonsense\n{}|d.e.f", keys[0], keys[1]);
        for size in [1, 7, 1000] {
            let mut lines = Lines::default();
            let mut found: Vec<Line> =
                text.as_bytes().chunks(size).flat_map(|piece| lines.push(piece).unwrap()).collect();
            found.extend(lines.end());
            let seen: Vec<_> = found.into_iter().map(|line| line.map(|line| (line.key, line.number))).collect();
            assert_eq!(seen, [Ok((keys[0], 1)), Err(3), Ok((keys[1], 4))], "{size}");
        }
        assert!(Lines::default().push(&vec![b'x'; LONGEST + 1]).is_err());
    }
}
