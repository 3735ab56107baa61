//! Recognises private nkeys everywhere, so that they are never shown and never used by mistake.
//!
//! A seed is two prefix bytes, a 32-byte key and a checksum, written as 58 characters of base32: `S`, a letter for the
//! kind, `A`, and a letter from `A` to `P`. A pasted seed may lack a character or have another case, and the rest still
//! reveals the key. So this module recognises more than nkeys itself would read.

use std::borrow::Cow;

use data_encoding::BASE32_NOPAD;

use super::crc16_xmodem;

/// The replacement of a private key.
pub const HIDDEN: &str = "S…(private key, not shown)";

/// The advice about a private key that was given by mistake.
pub const DISCLOSED: &str = "it was not used; treat that key as disclosed, and replace it";

/// Characters of a whole seed.
const LEN: usize = 58;
/// From this number of characters on, the rest of a seed can be guessed.
const GUESSABLE: usize = 53;
/// A piece with fewer characters gives nothing away: more than half of the key is missing.
const LEAST: usize = 32;
/// Digests, such as the `jti` of a JWT and the hash of an activation, have this length, and any first character.
const DIGEST: usize = 52;
/// Characters that base32 does not have, but that people type: 0, 1, 8 and 9.
const MISTYPED: usize = 3;

/// A text without the private keys in it: each is replaced by [`HIDDEN`], with the characters that touch it.
pub fn redact(text: &str) -> Cow<'_, str> {
    if text.len() < LEAST {
        return Cow::Borrowed(text);
    }
    let plain = unescaped(text);
    let Some(first) = runs(&plain).find(|run| is_private(run.1, LEAST)) else { return Cow::Borrowed(text) };
    let mut shown = plain[..first.0].to_owned();
    let mut from = first.0;
    for (at, run) in runs(&plain).filter(|run| run.0 >= first.0 && is_private(run.1, LEAST)) {
        shown.push_str(&plain[from..at]);
        shown.push_str(HIDDEN);
        from = at + run.len();
    }
    shown.push_str(&plain[from..]);
    Cow::Owned(shown)
}

/// Whether a text has a private key in it, whole or so nearly whole that it is disclosed.
pub fn is_in(text: &str) -> bool {
    text.len() >= GUESSABLE && runs(&unescaped(text)).any(|(_, run)| is_private(run, GUESSABLE))
}

/// Where the letters and digits of a text are, in runs.
fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..)?;
        let start = from + rest.find(|symbol: char| symbol.is_ascii_alphanumeric())?;
        let end =
            text[start..].find(|symbol: char| !symbol.is_ascii_alphanumeric()).map_or(text.len(), |at| start + at);
        from = end;
        Some((start, &text[start..end]))
    })
}

/// Whether a run of letters and digits is a seed, or has one in it. `least`: how much of a seed is enough.
fn is_private(run: &str, least: usize) -> bool {
    if run.len() < least {
        return false;
    }
    let bytes = run.as_bytes();
    let cut = run.len() != DIGEST && is_head(bytes) && looks_like_one(&bytes[..bytes.len().min(LEN)]);
    cut || bytes.windows(LEN).any(|window| is_head(window) && (is_valid(window) || looks_like_one(window)))
}

/// The beginning that every seed has. The letter of the kind may be any that nkeys knows, or will.
fn is_head(text: &[u8]) -> bool {
    let [s, kind, zeros, high, ..] = text else { return false };
    s.eq_ignore_ascii_case(&b'S')
        && b"ACMNOPUVX".contains(&kind.to_ascii_uppercase())
        && zeros.eq_ignore_ascii_case(&b'A')
        && (b'A'..=b'P').contains(&high.to_ascii_uppercase())
}

/// Whether the checksum says that it is a seed, in whatever case.
fn is_valid(text: &[u8]) -> bool {
    let Ok(bytes) = BASE32_NOPAD.decode(&text.to_ascii_uppercase()) else { return false };
    bytes.split_last_chunk::<2>().is_some_and(|(body, sum)| crc16_xmodem(body) == u16::from_le_bytes(*sum))
}

/// Whether it is written as base32 is, where the checksum says nothing because a character is wrong or missing. Other
/// texts of letters and digits mix cases (base64), or have no digits (words).
fn looks_like_one(text: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| text.iter().filter(|byte| is(byte)).count();
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let digits = text.len() - upper - lower;
    let mistyped = count(|byte| b"0189".contains(byte));
    mistyped <= MISTYPED && upper.min(lower) * 4 <= upper + lower && (upper > lower || digits > mistyped)
}

/// Letters and digits that a URL spells as `%41`, as themselves.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let symbol = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match symbol.filter(u8::is_ascii_alphanumeric) {
            Some(symbol) => {
                plain.push(char::from(symbol));
                rest = &after[2..];
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use nkeys::{KeyPair, KeyPairType};

    use super::*;

    fn seeds() -> Vec<String> {
        use KeyPairType::{Account, Cluster, Curve, Operator, Server, User};
        let kinds = [Account, Cluster, Curve, Operator, Server, User];
        kinds.into_iter().map(|kind| KeyPair::new(kind).seed().unwrap()).collect()
    }

    #[test]
    fn a_seed_is_hidden_in_whatever_surrounds_it() {
        for seed in seeds() {
            let last = if seed.ends_with('A') { "B" } else { "A" };
            let escaped: String = seed.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for (spelt, is_whole) in [
                (seed.clone(), true),
                (seed.to_lowercase(), true),
                (format!("{}{}", &seed[..30], seed[30..].to_lowercase()), true),
                (format!("{}{last}", &seed[..57]), true),
                (seed[..57].to_owned(), true),
                (seed[..40].to_owned(), false),
                (format!("{}0{}", &seed[..20], &seed[21..]), true),
                (format!("{seed}{seed}"), true),
                (format!("{seed}AB"), true),
                (format!("A2b{seed}"), true),
                (escaped, true),
                (format!("%53{}", &seed[1..]), true),
            ] {
                for text in [
                    spelt.clone(),
                    format!("operator is {spelt}, but"),
                    format!("\"{spelt}\"\n"),
                    format!("é{spelt}é {spelt}"),
                    format!("/nkeys/{spelt}.nk"),
                ] {
                    let shown = redact(&text);
                    assert!(shown.contains(HIDDEN), "{text}: {shown}");
                    let whole = seed[20..32].to_ascii_uppercase();
                    assert!(!shown.to_ascii_uppercase().contains(&whole), "{text}: {shown}");
                    assert_eq!(is_in(&text), is_whole, "{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_private_is_shown() {
        let account = KeyPair::new_account().public_key();
        for text in [
            "",
            "no key",
            &account,
            &format!("/jwt/v1/accounts/{account}"),
            // A digest may begin as a seed does.
            &format!("SAAB{}", "2".repeat(48)),
            &"S".repeat(200),
            &format!("SAAB{}", "C2".repeat(10)),
            "scalabilityandavailabilityofeverythingthatisservedhereforever",
            "100%25 of %zz %",
            "https://example.com/%2Fjwt",
        ] {
            assert_eq!(redact(text), text);
            assert!(!is_in(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_looked_at(text: String) {
            let _ = (redact(&text), is_in(&text));
        }

        #[test]
        fn a_jwt_is_left_as_it_is(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 200..600)) {
            let part = data_encoding::BASE64URL_NOPAD.encode(&bytes);
            let text = format!("{part}.{part}.{part}");
            proptest::prop_assert_eq!(redact(&text), text.as_str());
        }
    }
}
