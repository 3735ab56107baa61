//! The parameters that say which accounts are wanted, as texts of clients and of people.

use crate::calendar;
use crate::config::parse_seconds;
use crate::key::AccountKey;
use crate::node::{AccountFilter, AccountState, Glob, LONGEST_PATTERN};

/// What a moment looks like, for errors.
pub(crate) const MOMENT: &str = "a moment such as 2026-11-24T07:05:12Z, unix seconds, or a time such as 30d or 12h";

/// Where a duration leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// So long from now.
    Ahead,
    /// So long ago.
    Ago,
}

/// The Unix time in seconds of a moment. `now` likewise. `None`: the text is no [`MOMENT`].
pub(crate) fn moment(text: &str, direction: Direction, now: i64) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    // A plus that is not escaped is a space in a query.
    if let Some(seconds) = calendar::rfc3339_seconds(&text.replace(' ', "+")) {
        return Some(seconds);
    }
    let time = i64::try_from(parse_seconds(text)?.as_secs()).ok()?;
    match direction {
        Direction::Ahead => now.checked_add(time),
        Direction::Ago => now.checked_sub(time),
    }
}

/// Makes a filter want the accounts with names of a pattern, or the account with a key. The error is what is expected.
pub(crate) fn want_name(filter: &mut AccountFilter, text: &str) -> Result<(), String> {
    // A key is no pattern.
    match AccountKey::parse(text) {
        Ok(key) => filter.key = Some(key),
        Err(_) => filter.name = Some(pattern(text)?),
    }
    Ok(())
}

fn pattern(text: &str) -> Result<Glob, String> {
    let expected = || format!("a pattern of 1 to {LONGEST_PATTERN} characters, or the key of an account,");
    Glob::parse(text).filter(|_| !text.is_empty()).ok_or_else(expected)
}

/// A state. The error is what is expected.
pub(crate) fn state(text: &str) -> Result<AccountState, String> {
    let expected = || format!("one or several of {}", AccountState::ALL.map(AccountState::label).join(", "));
    AccountState::from_label(text).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form() {
        let now = 1_795_503_912;
        for (text, ahead, ago) in [
            ("0", Some(0), Some(0)),
            ("-5", Some(-5), Some(-5)),
            ("1795503912", Some(now), Some(now)),
            ("2026-11-24T07:05:12Z", Some(now), Some(now)),
            ("2026-11-24T08:05:12.9+01:00", Some(now), Some(now)),
            ("2026-11-24T08:05:12 01:00", Some(now), Some(now)),
            ("30d", Some(now + 30 * 86_400), Some(now - 30 * 86_400)),
            ("1h30m", Some(now + 5400), Some(now - 5400)),
            ("", None, None),
            ("soon", None, None),
            ("30", Some(30), Some(30)),
            ("5y", None, None),
            ("-5d", None, None),
            ("2026-11-24", None, None),
            ("2026-13-24T07:05:12Z", None, None),
            ("99999999999999999999", None, None),
            ("999999999999999999d", None, None),
            ("1e999d", None, None),
        ] {
            assert_eq!(moment(text, Direction::Ahead, now), ahead, "{text}");
            assert_eq!(moment(text, Direction::Ago, now), ago, "{text}");
        }
    }
}
