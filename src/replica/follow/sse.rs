//! Reads `text/event-stream`.

use std::time::Duration;

use bytes::Bytes;

/// The largest event, in bytes: a change with the largest token, as JSON.
const MAX_EVENT: usize = 4 << 20;

/// The slowest rate of a change that is accepted, in bytes per second.
const SLOWEST: usize = 32 << 10;
/// The start of a change on the wire.
const CHANGE: &[u8] = b"event: change\n";

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// Its type; `message` is written as the empty string.
    pub(super) kind: String,
    /// Its data lines, joined.
    pub(super) data: String,
}

/// Joins the pieces that arrive to events.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    pending: Vec<u8>,
    /// Where the search for an end continues.
    scanned: usize,
}

/// An event that does not end.
#[derive(Debug, thiserror::Error)]
#[error("an event is larger than {MAX_EVENT} bytes")]
pub(super) struct TooLarge;

impl SseReader {
    /// Adds a piece, and returns the events that it completes. Comments are dropped.
    pub(super) fn feed(&mut self, piece: &Bytes) -> Result<Vec<SseEvent>, TooLarge> {
        self.pending.extend_from_slice(piece);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.pending[self.scanned..].windows(2).position(|two| two == b"\n\n") {
            let end = self.scanned + length;
            events.extend(parse(&String::from_utf8_lossy(&self.pending[start..end])));
            start = end + 2;
            self.scanned = start;
        }
        self.pending.drain(..start);
        // The end may be split between two pieces.
        self.scanned = self.pending.len().saturating_sub(1);
        if self.pending.len() > MAX_EVENT { Err(TooLarge) } else { Ok(events) }
    }
}

impl SseReader {
    /// How much longer the stream may be silent because a change is arriving. Comments and other events do not count as
    /// life.
    pub(super) fn grace(&self) -> Duration {
        if self.pending.starts_with(CHANGE) {
            Duration::from_secs((self.pending.len() / SLOWEST) as u64)
        } else {
            Duration::ZERO
        }
    }
}

fn parse(text: &str) -> Option<SseEvent> {
    let mut event = SseEvent::default();
    let mut any = false;
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.kind),
            "data" => {
                if any {
                    event.data.push('\n');
                }
                event.data.push_str(value);
                any = true;
            }
            _ => {}
        }
    }
    any.then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = ": hello\n\nevent: change\nid: 4\ndata: {\"a\":1}\n\nevent: heartbeat\ndata: x\ndata: y\n\n";
        let whole = SseReader::default().feed(&Bytes::from(text)).expect("small");
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0], SseEvent { kind: "change".into(), data: "{\"a\":1}".into() });
        assert_eq!(whole[1], SseEvent { kind: "heartbeat".into(), data: "x\ny".into() });
        for size in 1..text.len() {
            let mut reader = SseReader::default();
            let cut: Vec<SseEvent> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| reader.feed(&Bytes::copy_from_slice(piece)).expect("small"))
                .collect();
            assert_eq!(cut, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn only_a_change_that_arrives_gives_time() {
        let large = |start: &str| {
            let mut reader = SseReader::default();
            let piece = Bytes::from(format!("{start}{}", "x".repeat(10 * SLOWEST)));
            reader.feed(&piece).expect("small");
            reader.grace().as_secs()
        };
        let starts = ["event: change\nid: 4\ndata: ", ": ", "data: ", "event: heartbeat\ndata: ", "event: news\n"];
        assert_eq!(starts.map(large), [10, 0, 0, 0, 0]);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut reader = SseReader::default();
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        assert!((0..8).any(|_| reader.feed(&piece).is_err()));
    }
}
