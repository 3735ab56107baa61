//! A line of a pack, the form in which account servers and nats-servers hand over all that they hold: `<key>|<JWT>`.

use super::decorated;
use crate::key::AccountKey;

/// The account of a line, and its JWT without white space behind it. `None`: it is no line of a pack.
pub fn line(line: &[u8]) -> Option<(AccountKey, &[u8])> {
    let (key, token) = std::str::from_utf8(line).ok()?.split_once('|')?;
    let (key, token) = (AccountKey::parse(key).ok()?, decorated::trim(token));
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
}
