//! How the clock of this server differs from the clock of its upstream.
//!
//! What a replica accepts depends on the time: whether a JWT has expired, and whether it is dated in the future. Every
//! answer has a `Date` in whole seconds. The server wrote it after the request left, and before the answer arrived. One
//! answer may come from a cache, or a clock may change at that moment. So the median of three samples counts.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{AGE, DATE, HeaderMap};
use tokio::time::Instant;

use crate::clock;

/// A larger difference is logged, in milliseconds.
const TOLERATED: i64 = 5_000;
/// A difference that was logged is over when it is smaller than this, in milliseconds.
const OVER: i64 = 4_000;
/// The number of samples whose median counts.
const SAMPLES: usize = 3;
/// The shortest time between two samples.
const APART: Duration = Duration::from_millis(500);
/// A sample with a wider range than this says too little, in milliseconds.
const WIDEST: i64 = 5_000;
/// The pause between two log lines about the same difference.
const REMIND: Duration = Duration::from_secs(3600);

/// The range of how much later it is here than there, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    least: i64,
    most: i64,
}

impl Sample {
    /// `sent`, `received`: by the clock of this server, in unix milliseconds.
    fn of(headers: &HeaderMap, sent: i64, received: i64) -> Option<Self> {
        // The `Date` of a cached answer is that of the original.
        if headers.contains_key(AGE) {
            return None;
        }
        let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
        let there = i64::try_from(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()?;
        let sample = Self { least: sent.checked_sub(there)?.checked_sub(1_000)?, most: received.checked_sub(there)? };
        (sample.most >= sample.least && sample.most - sample.least <= WIDEST).then_some(sample)
    }

    const fn middle(self) -> i64 {
        i64::midpoint(self.least, self.most)
    }

    /// Whether the difference is larger than `bound` for certain.
    const fn is_beyond(self, bound: i64) -> bool {
        self.least > bound || self.most < -bound
    }
}

/// The samples of one server.
#[derive(Debug, Default)]
pub(super) struct ClockDifference(Mutex<ClockState>);

#[derive(Debug, Default)]
struct ClockState {
    /// The latest last.
    samples: VecDeque<Sample>,
    sampled: Option<Instant>,
    /// When the difference was last logged as too large, if it is.
    told: Option<Instant>,
    is_too_large: bool,
}

/// An event for the log.
#[derive(Debug, PartialEq, Eq)]
enum ClockNews {
    TooLarge,
    Over,
}

impl ClockDifference {
    /// Notes an answer of `server`. `took`: the time from request to answer.
    pub(super) fn note(&self, headers: &HeaderMap, took: Duration, server: &str) {
        let received = clock::unix_millis();
        let sent = received.saturating_sub(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
        let Some(sample) = Sample::of(headers, sent, received) else { return };
        let mut state = self.0.lock();
        let news = state.take(sample, Instant::now());
        let Some(millis) = state.difference() else { return };
        drop(state);
        match news {
            Some(ClockNews::TooLarge) => {
                tracing::warn!(
                    "the clock of this server is {} that of {server}: JWTs may be accepted too long or rejected too early; set the \
                     clock that is wrong, and keep it right with NTP",
                    words(millis)
                );
            }
            Some(ClockNews::Over) => tracing::info!("the clock of this server agrees with that of {server} again"),
            None => {}
        }
    }

    /// How much later it is here than there, in seconds. `None`: not known yet.
    pub(super) fn seconds(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.0.lock().difference().map(|millis| millis as f64 / 1000.0)
    }

    /// The difference in words, if it is too large.
    pub(super) fn describe(&self) -> Option<String> {
        let state = self.0.lock();
        state.difference().filter(|_| state.is_too_large).map(words)
    }
}

impl ClockState {
    fn take(&mut self, sample: Sample, now: Instant) -> Option<ClockNews> {
        if self.sampled.is_some_and(|sampled| now.duration_since(sampled) < APART) {
            return None;
        }
        self.sampled = Some(now);
        self.samples.push_back(sample);
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        let middle = self.middle()?;
        let was_too_large = self.is_too_large;
        self.is_too_large = middle.is_beyond(if was_too_large { OVER } else { TOLERATED });
        if !self.is_too_large {
            self.told = None;
            return was_too_large.then_some(ClockNews::Over);
        }
        if self.told.is_some_and(|told| now.duration_since(told) < REMIND) {
            return None;
        }
        self.told = Some(now);
        Some(ClockNews::TooLarge)
    }

    fn middle(&self) -> Option<Sample> {
        let mut samples: Vec<_> = self.samples.iter().copied().collect();
        samples.sort_by_key(|sample| sample.middle());
        (samples.len() == SAMPLES).then(|| samples[SAMPLES / 2])
    }

    fn difference(&self) -> Option<i64> {
        self.middle().map(Sample::middle)
    }
}

/// The difference in words, as in "62 s ahead of".
fn words(millis: i64) -> String {
    let seconds = (millis.unsigned_abs() + 500) / 1000;
    if millis < 0 { format!("{seconds} s behind") } else { format!("{seconds} s ahead of") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_900_000_000;

    fn headers(date: i64, age: Option<&str>) -> HeaderMap {
        let date = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(date).expect("after 1970"));
        let mut headers = HeaderMap::new();
        headers.insert(DATE, httpdate::fmt_http_date(date).parse().expect("a value"));
        if let Some(age) = age {
            headers.insert(AGE, age.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_date_is_worth_what_the_way_leaves_of_it() {
        let at = NOW / 1000;
        let table = [
            // There, here when it was sent, here when it was received.
            (headers(at, None), NOW, NOW + 10, Some((-1_000, 10))),
            (headers(at, None), NOW - 3_000, NOW + 900, Some((-4_000, 900))),
            (headers(at - 60, None), NOW, NOW + 100, Some((59_000, 60_100))),
            (headers(at + 60, None), NOW, NOW + 100, Some((-61_000, -59_900))),
            (headers(at - 60, None), NOW, NOW + 6_000, None),
            (headers(at - 60, Some("0")), NOW, NOW + 10, None),
            (headers(0, None), i64::MIN, i64::MIN, None),
            (HeaderMap::new(), NOW, NOW, None),
        ];
        for (headers, sent, received, wanted) in table {
            let sample = Sample::of(&headers, sent, received).map(|sample| (sample.least, sample.most));
            assert_eq!(sample, wanted, "{headers:?}");
        }
    }

    #[test]
    fn one_answer_says_nothing_and_a_difference_is_said_once_and_when_it_is_over() {
        let (mut state, start) = (ClockState::default(), Instant::now());
        let mut at = Duration::ZERO;
        // The difference in seconds, and what comes of it.
        let table = [
            (0, None, None),
            (60, None, None),
            (0, None, Some(0)),
            (0, None, Some(0)),
            (-60, None, Some(0)),
            (60, None, Some(0)),
            (61, Some(ClockNews::TooLarge), Some(60)),
            (60, None, Some(60)),
            (0, None, Some(60)),
            (60, None, Some(60)),
            (0, Some(ClockNews::Over), Some(0)),
            (5, None, Some(5)),
            (7, None, Some(5)),
            (7, Some(ClockNews::TooLarge), Some(7)),
            (5, None, Some(7)),
            (5, None, Some(5)),
            (4, None, Some(5)),
            (4, Some(ClockNews::Over), Some(4)),
        ];
        for (number, (seconds, news, difference)) in table.into_iter().enumerate() {
            at += APART;
            let sample = Sample { least: seconds * 1000 - 500, most: seconds * 1000 + 500 };
            assert_eq!(state.take(sample, start + at), news, "{number}");
            assert_eq!(state.difference(), difference.map(|seconds| seconds * 1000), "{number}");
            // What comes at the same time counts once.
            assert_eq!(state.take(Sample { least: 90_000, most: 90_000 }, start + at), None);
        }
    }

    #[test]
    fn a_difference_that_lasts_is_said_again_and_rarely() {
        let (mut state, start) = (ClockState::default(), Instant::now());
        let sample = Sample { least: -9_000, most: -8_000 };
        let said = (0..7_300).filter(|second| state.take(sample, start + Duration::from_secs(*second)).is_some());
        assert_eq!(said.collect::<Vec<_>>(), [2, 3602, 7202]);
        assert_eq!([words(-8_500), words(62_400)], ["9 s behind", "62 s ahead of"]);
    }
}
