//! The credential in the header `Authorization`: HTTP Basic (RFC 7617) or a bearer token (RFC 6750).

use data_encoding::BASE64;
use zeroize::Zeroizing;

/// The longest value of the header that is read, in bytes.
const LONGEST: usize = 4096;

/// What a client says it is.
pub(super) enum Credential {
    /// A user with a password.
    Basic { user: String, password: Zeroizing<Vec<u8>> },
    /// A token.
    Bearer(Zeroizing<Vec<u8>>),
}

/// Reads the only value of the header. `None`: it is no credential of these kinds.
pub(super) fn read(value: &[u8]) -> Option<Credential> {
    if value.len() > LONGEST {
        return None;
    }
    // A line that was folded, and anything that is no ASCII.
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))?;
    let (scheme, rest) = text.trim_matches(' ').split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        let is_one = !rest.is_empty() && !rest.contains(' ');
        return is_one.then(|| Credential::Bearer(Zeroizing::new(rest.as_bytes().to_vec())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // Several texts one after the other, each with its end.
    if rest.trim_end_matches('=').contains('=') {
        return None;
    }
    let login = Zeroizing::new(BASE64.decode(rest.as_bytes()).ok()?);
    let colon = login.iter().position(|byte| *byte == b':')?;
    let user = std::str::from_utf8(&login[..colon]).ok()?;
    let is_name = !user.is_empty() && !user.contains(char::is_control);
    is_name.then(|| Credential::Basic { user: user.to_owned(), password: Zeroizing::new(login[colon + 1..].to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &[u8]) -> Option<String> {
        Some(match read(value)? {
            Credential::Basic { user, password } => format!("{user} / {}", String::from_utf8_lossy(&password)),
            Credential::Bearer(token) => String::from_utf8_lossy(&token).into_owned(),
        })
    }

    fn basic(login: &[u8]) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(login)).into_bytes()
    }

    #[test]
    fn users_and_tokens_are_read() {
        for (value, read) in [
            (basic(b"nsc:secret"), "nsc / secret"),
            (basic(b"nsc:a:b c"), "nsc / a:b c"),
            (basic(b"nsc:"), "nsc / "),
            (basic("jö:pässword".as_bytes()), "jö / pässword"),
            (basic(b"nsc:a\nb\0"), "nsc / a\nb\0"),
            (b"bAsIc  bnNjOng= ".to_vec(), "nsc / x"),
            (b"Bearer abc".to_vec(), "abc"),
            (b" bearer  a.b-c~d/+== ".to_vec(), "a.b-c~d/+=="),
        ] {
            assert_eq!(shown(&value).as_deref(), Some(read));
        }
    }

    #[test]
    fn what_is_malformed_is_no_credential() {
        let long = format!("Bearer {}", "x".repeat(LONGEST));
        for value in [
            &b""[..],
            b" ",
            b"Basic",
            b"Basic ",
            b"Basic !!!!",
            b"Basic bnNjOng",
            b"Basic bnNjOng=bnNjOng=",
            b"Basic bnNj Ong=",
            b"Basic bnNj\r\n Ong=",
            b"Basic bnNj",
            b"Bearer",
            b"Bearer ",
            b"Bearer a b",
            b"Bearer a\tb",
            b"Bearer \xff",
            b"Digest username=\"nsc\"",
            b"nsc:secret",
            b"Basic bnNjOng=, Bearer abc",
            long.as_bytes(),
            &basic(b":secret"),
            &basic(b"a\nb:secret"),
            &basic(b"\xff:secret"),
        ] {
            assert_eq!(shown(value), None, "{}", String::from_utf8_lossy(value));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_client_sends_ends_the_process(value: Vec<u8>) {
            let _ = read(&value);
            let _ = read(&basic(&value));
        }
    }
}
