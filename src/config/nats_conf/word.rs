//! The meaning of a bare word: a number, a boolean, a reference, or a text.

use config::ValueKind;

use super::super::units::size_factor;

/// The meaning of a bare word.
#[derive(Debug, PartialEq)]
pub(super) enum Word<'a> {
    /// A value that is complete.
    Value(ValueKind),
    /// `$name`.
    Reference(&'a str),
}

/// Decides what `word` means; an error is a pair of problem and hint.
pub(super) fn classify(word: &str) -> Result<Word<'_>, (String, &'static str)> {
    if let Some(name) = word.strip_prefix('$') {
        return reference(word, name);
    }
    if let Some(value) = boolean(word) {
        return Ok(Word::Value(ValueKind::Boolean(value)));
    }
    match word.strip_prefix('-') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => number(word, rest, true),
        Some(_) => Err((format!("`{word}` starts like a negative number"), "put quotes around it if it is text")),
        None if word.starts_with(|c: char| c.is_ascii_digit()) => number(word, word, false),
        None => Ok(string(word)),
    }
}

fn string(word: &str) -> Word<'_> {
    Word::Value(ValueKind::String(word.to_owned()))
}

fn reference<'a>(word: &'a str, name: &'a str) -> Result<Word<'a>, (String, &'static str)> {
    // A bcrypt hash (`$2a$11$…`) is a literal: passwords in nats-server's files are written so.
    let mut bcrypt = name.chars();
    if bcrypt.next() == Some('2') && bcrypt.next().is_some_and(|c| "abxy".contains(c)) && bcrypt.next() == Some('$') {
        return Ok(string(word));
    }
    if name.is_empty() {
        return Err(("a name is expected after $".to_owned(), "put quotes around a text that starts with $"));
    }
    Ok(Word::Reference(name))
}

fn boolean(word: &str) -> Option<bool> {
    let is = |wanted: &&str| word.eq_ignore_ascii_case(wanted);
    if ["true", "yes", "on"].iter().any(is) {
        Some(true)
    } else if ["false", "no", "off"].iter().any(is) {
        Some(false)
    } else {
        None
    }
}

/// A word that starts with a digit, `digits` being without its sign. Dates, addresses and durations stay text.
fn number<'a>(word: &'a str, digits: &str, negative: bool) -> Result<Word<'a>, (String, &'static str)> {
    const TOO_BIG: &str = "numbers reach from -9223372036854775808 to 9223372036854775807";
    let too_big = || (format!("the number `{word}` is too big"), TOO_BIG);

    let (whole, rest) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    if let Some(fraction) = rest.strip_prefix('.') {
        if fraction.is_empty() {
            return Err((format!("`{word}` ends with a dot"), "a number needs a digit on both sides of the dot"));
        }
        if fraction.bytes().all(|b| b.is_ascii_digit()) {
            let value: f64 = word.parse().map_err(|_| too_big())?;
            return Ok(Word::Value(ValueKind::Float(value)));
        }
        return Ok(string(word));
    }
    let factor = match rest {
        "" => 1,
        suffix => match size_factor(suffix) {
            Some(factor) => factor,
            None => return Ok(string(word)),
        },
    };
    let value = whole.parse::<i128>().ok().and_then(|whole| whole.checked_mul(factor.into())).ok_or_else(too_big)?;
    let value = i64::try_from(if negative { -value } else { value }).map_err(|_| too_big())?;
    Ok(Word::Value(ValueKind::I64(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_the_meaning_that_go_gives_them() {
        let int = |n: i64| Ok(Word::Value(ValueKind::I64(n)));
        let text = |s: &'static str| Ok(string(s));
        let table: Vec<(&str, Result<Word<'_>, ()>)> = vec![
            ("0", int(0)),
            ("007", int(7)),
            ("42", int(42)),
            ("-42", int(-42)),
            ("1k", int(1000)),
            ("1K", int(1000)),
            ("1kb", int(1024)),
            ("1kib", int(1024)),
            ("2MB", int(2 << 20)),
            ("1g", int(1_000_000_000)),
            ("-1k", int(-1000)),
            ("9223372036854775807", int(i64::MAX)),
            ("-9223372036854775808", int(i64::MIN)),
            ("9223372036854775808", Err(())),
            ("99999999999999999999999999999999999999999999", Err(())),
            ("16e", Err(())),
            ("5x", text("5x")),
            ("5s", text("5s")),
            ("1.5", Ok(Word::Value(ValueKind::Float(1.5)))),
            ("-1.5", Ok(Word::Value(ValueKind::Float(-1.5)))),
            ("1.", Err(())),
            (".5", text(".5")),
            ("1.5.6", text("1.5.6")),
            ("127.0.0.1:4222", text("127.0.0.1:4222")),
            ("2006-01-02T15:04:05Z", text("2006-01-02T15:04:05Z")),
            ("1e5", text("1e5")),
            ("-x", Err(())),
            ("-", Err(())),
            ("null", text("null")),
            ("TRUE", Ok(Word::Value(ValueKind::Boolean(true)))),
            ("yes", Ok(Word::Value(ValueKind::Boolean(true)))),
            ("On", Ok(Word::Value(ValueKind::Boolean(true)))),
            ("false", Ok(Word::Value(ValueKind::Boolean(false)))),
            ("NO", Ok(Word::Value(ValueKind::Boolean(false)))),
            ("off", Ok(Word::Value(ValueKind::Boolean(false)))),
            ("onwards", text("onwards")),
            ("$PORT", Ok(Word::Reference("PORT"))),
            ("$2a$11$abc", text("$2a$11$abc")),
            ("$", Err(())),
            ("nats://h:1", text("nats://h:1")),
            ("é", text("é")),
        ];
        for (word, wanted) in table {
            assert_eq!(classify(word).map_err(drop), wanted, "{word}");
        }
    }
}
