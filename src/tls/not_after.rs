//! When a certificate expires.
//!
//! This is one field near the beginning of a certificate, which [`super::der`] finds.

use super::der::{SEQUENCE, from_validity, take};
use crate::calendar::day_begins;

/// The moment at which a certificate expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAfter {
    /// In unix seconds.
    pub unix: i64,
    /// The day, as `2026-11-24`.
    pub day: String,
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl NotAfter {
    /// Reads it from a certificate in DER. `None`: it has another form than certificates have.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (validity, _) = take(from_validity(certificate)?, SEQUENCE)?;
        let (_not_before, rest) = take(validity, UTC_TIME).or_else(|| take(validity, GENERALIZED_TIME))?;
        match take(rest, UTC_TIME) {
            Some((text, _)) => {
                // Two digits of a year are of 1950 to 2049.
                let century = if number(text.get(..2)?)? < 50 { "20" } else { "19" };
                Self::from_text(&[century.as_bytes(), text].concat())
            }
            None => Self::from_text(take(rest, GENERALIZED_TIME)?.0),
        }
    }

    /// `YYYYMMDDHHMMSSZ`, the one form that certificates may use.
    fn from_text(text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"Z").filter(|digits| digits.len() == 14)?;
        let two = |from: usize| number(&digits[from..from + 2]).and_then(|number| u8::try_from(number).ok());
        let year = i32::try_from(number(&digits[..4])?).ok()?;
        let (month, day, hour, minute, second) = (two(4)?, two(6)?, two(8)?, two(10)?, two(12)?);
        if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let unix = day_begins(year, month, day)? + seconds;
        Some(Self { unix, day: format!("{year:04}-{month:02}-{day:02}") })
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (year, month, day, unix) in [
            (2000, 2, 29, 951_782_400),
            (2026, 11, 24, 1_795_478_400),
            (2049, 12, 31, 2_524_521_600),
            // From here on in the longer form.
            (2050, 1, 1, 2_524_608_000),
            (2100, 3, 1, 4_107_542_400),
        ] {
            let read = NotAfter::of(&certificate(year, month, day)).unwrap();
            assert_eq!(read, NotAfter { unix, day: format!("{year:04}-{month:02}-{day:02}") });
        }
    }

    #[test]
    fn a_certificate_that_is_cut_off_or_spoilt_has_no_end_and_does_no_harm() {
        let whole = certificate(2026, 1, 1);
        for length in 0..whole.len() {
            // Behind the field nothing is read.
            let _ = NotAfter::of(&whole[..length]);
        }
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0xff;
            let _ = NotAfter::of(&spoilt);
        }
        for text in ["", "20260101000000", "2026010100000Z", "20261301000000Z", "2026x101000000Z", "20260101240000Z"] {
            assert_eq!(NotAfter::from_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(NotAfter::of(b""), None);
        assert_eq!(NotAfter::of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
