//! A JWT in a file that people, editors and shells had a hand in.
//!
//! They add a byte order mark, write UTF-16, wrap the JWT in quotes, and surround it with blanks and line ends of all kinds.
//! None of that is part of a JWT, so it is dropped.

use std::borrow::Cow;

use super::decorated;

/// The bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is neither UTF-8 nor UTF-16 text: is it the right file?")]
pub struct NotText;

/// The bare JWT in the bytes of a file, be it decorated or not. Whether it is one is not looked at.
pub fn plain(bytes: &[u8]) -> Result<String, NotText> {
    let text = text(bytes)?;
    let lines: Vec<&str> = text.lines().map(stripped).collect();
    let whole = lines.join("\n");
    Ok(stripped(decorated::token(stripped(&whole))).to_owned())
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).map(Cow::Borrowed).map_err(|_| NotText),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // A JWT is ASCII, so UTF-16 without a mark has a zero in every second byte.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, first, ..] if *first != 0 => utf16(bytes, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| NotText),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, NotText> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotText);
    }
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).map(Cow::Owned).map_err(|_| NotText)
}

/// Without white space and quotes around it.
fn stripped(text: &str) -> &str {
    text.trim_matches(|symbol: char| symbol.is_whitespace() || matches!(symbol, '"' | '\'' | '\u{feff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_jwt_in_a_file_is_dropped() {
        const JWT: &str = "eyJ0.eyJp.a-_b";
        let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        let decorated =
            format!("-----BEGIN NATS OPERATOR JWT-----\r\n  {JWT}  \r\n------END NATS OPERATOR JWT------\r\n\r\n");
        for bytes in [
            JWT.as_bytes().to_vec(),
            format!("{JWT}\n").into_bytes(),
            format!(" \t\r\n\n{JWT} \r\n\r\n").into_bytes(),
            format!("\"{JWT}\"\n").into_bytes(),
            format!(" '{JWT}' ").into_bytes(),
            format!("\u{feff}{JWT}\r\n").into_bytes(),
            format!("\u{feff}\"{JWT}\"").into_bytes(),
            decorated.clone().into_bytes(),
            format!("\u{feff} {decorated}").into_bytes(),
            utf16(&format!("\u{feff}{JWT}\r\n"), u16::to_le_bytes),
            utf16(&format!("\u{feff}{decorated}"), u16::to_be_bytes),
            utf16(&format!("{JWT}\r\n"), u16::to_le_bytes),
            utf16(&format!("\"{JWT}\""), u16::to_be_bytes),
        ] {
            assert_eq!(plain(&bytes).as_deref(), Ok(JWT), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        for bytes in [&[0xff, 0xfe, 0x41][..], &[0x80, 0x81], &[0xff, 0xfe, 0x00, 0xd8]] {
            assert_eq!(plain(bytes), Err(NotText), "{bytes:?}");
        }
        assert_eq!(plain(b"").as_deref(), Ok(""));
    }
}
