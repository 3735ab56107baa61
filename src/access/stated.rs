//! What a replica states about the client whose change it forwards.
//!
//! It is only ever a restriction: the server that reads it grants what both the replica and the client may do. So it needs no
//! proof, and a client that states something itself gains nothing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Principal, Scopes, Verdict};

/// The longest value of the header, in bytes.
const LONGEST: usize = 512;
/// The longest name, in bytes. A chain of replicas makes it longer with each one.
const LONGEST_NAME: usize = 160;
/// What stands for itself in the header.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/').remove(b':');

/// A client, and what it may do, in the words of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    name: String,
    scopes: Scopes,
}

impl Stated {
    /// The header that carries it.
    pub const HEADER: &'static str = "nas-on-behalf-of";

    /// What there is to state about a client.
    pub fn of(Verdict { principal, scopes }: &Verdict) -> Self {
        let mut name = principal.to_string();
        if let Principal::OnBehalf(_, stated) = principal {
            // The one in the middle is this server's own affair.
            name = stated.to_string();
        }
        let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        name.truncate(end);
        Self { name, scopes: *scopes }
    }

    /// Reads the values of the header; `None`: there is none. What cannot be read may do nothing.
    pub fn read<'v>(mut values: impl Iterator<Item = &'v [u8]>) -> Option<Self> {
        let first = values.next()?;
        let only = values.next().is_none();
        let read = std::str::from_utf8(first).ok().filter(|text| only && text.len() <= LONGEST).and_then(Self::parse);
        Some(read.unwrap_or_else(|| Self { name: "an unreadable name".to_owned(), scopes: Scopes::NONE }))
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, scopes) = text.split_once(';')?;
        let name = percent_decode_str(name.trim()).decode_utf8().ok()?.into_owned();
        let is_plain = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
        Some(Self { name, scopes: Scopes::parse(scopes)? }).filter(|_| is_plain)
    }

    /// The value of the header.
    pub fn value(&self) -> String {
        format!("{}; {}", utf8_percent_encode(&self.name, PLAIN), self.scopes)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn scopes(&self) -> Scopes {
        self.scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scope;

    #[test]
    fn what_is_stated_is_read_back() {
        let long = "ü".repeat(200);
        for (name, read) in [("nsc", "user nsc"), ("a; b\t\"é%", "user a; b"), (&long, "user ü")] {
            let verdict =
                Verdict { principal: Principal::User(name.into()), scopes: Scopes::of(&[Scope::Push, Scope::Admin]) };
            let stated = Stated::of(&verdict);
            let value = stated.value();
            assert!(value.len() <= LONGEST && value.is_ascii() && value.ends_with("; push, admin"), "{value}");
            let back = Stated::read([value.as_bytes()].into_iter()).unwrap();
            if name.contains('\t') {
                // Settings have no such names.
                assert_eq!(back.scopes, Scopes::NONE);
            } else {
                assert_eq!(back, stated);
                assert!(back.name.starts_with(read), "{}", back.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_may_do_nothing() {
        assert_eq!(Stated::read(std::iter::empty()), None);
        let long = format!("a; read{}", ", read".repeat(100));
        for value in ["", "a", "; read", "a; root", "a%ff; read", "a%0a; read", "read", &long] {
            assert_eq!(Stated::read([value.as_bytes()].into_iter()).unwrap().scopes, Scopes::NONE, "{value}");
        }
        assert_eq!(Stated::read([&b"a; read"[..], b"a; read"].into_iter()).unwrap().scopes, Scopes::NONE);
        assert_eq!(Stated::read([&b"a; \xff"[..]].into_iter()).unwrap().scopes, Scopes::NONE);
        assert_eq!(Stated::read([&b"a;"[..]].into_iter()).unwrap().scopes, Scopes::NONE);
    }

    #[test]
    fn somebody_who_speaks_for_another_may_do_what_both_may_do() {
        let replica =
            Verdict { principal: Principal::Token("eu-1".into()), scopes: Scopes::of(&[Scope::Read, Scope::Push]) };
        let client =
            Verdict { principal: Principal::User("ci".into()), scopes: Scopes::of(&[Scope::Push, Scope::Admin]) };
        let both = replica.on_behalf(&Stated::of(&client));
        assert_eq!(both.scopes, Scopes::one(Scope::Push));
        assert_eq!(both.principal.to_string(), "token eu-1 for user ci");
        // A second replica passes on what the first one said.
        assert_eq!(Stated::of(&both).value(), "user%20ci; push");
    }
}
