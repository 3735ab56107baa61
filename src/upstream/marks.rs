//! The sender of an answer, and the servers on its way.

use parking_lot::Mutex;
use reqwest::header::HeaderMap;

use crate::feed::wire::{LONGEST_NAME, SERVER_HEADER, UPSTREAM_HEADER, names};

/// The mark of one of our servers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerMark {
    /// The name of its process.
    pub(super) name: String,
    /// Its upstream servers, if it names them.
    asks: Option<Vec<String>>,
}

impl ServerMark {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let name = text(SERVER_HEADER)?.trim().chars().take(LONGEST_NAME).collect();
        Some(Self { name, asks: text(UPSTREAM_HEADER).map(names) })
    }
}

/// The servers on the way from this one: its upstream, the upstream of that, and so on.
#[derive(Debug, Default)]
pub(super) struct UpstreamRoute(Mutex<Vec<String>>);

impl UpstreamRoute {
    /// Notes an answer. `own`: the name of this process. If the way leads back to this process, returns the number of
    /// servers before it.
    pub(super) fn note(&self, mark: ServerMark, own: &str) -> Option<usize> {
        let mut route = self.0.lock();
        match mark.asks {
            Some(asks) => *route = std::iter::once(mark.name).chain(asks).collect(),
            // A short answer does not name them.
            None if route.first() != Some(&mark.name) => *route = vec![mark.name],
            None => {}
        }
        let place = route.iter().position(|name| name == own);
        if let Some(place) = place {
            // From here on the way repeats itself.
            route.truncate(place + 1);
        }
        place
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str, asks: Option<&str>) -> ServerMark {
        ServerMark { name: name.to_owned(), asks: asks.map(names) }
    }

    #[test]
    fn a_way_that_leads_back_is_noticed() {
        let route = UpstreamRoute::default();
        let table = [
            (mark("b", Some("")), None, "b"),
            (mark("b", Some("c, p")), None, "b c p"),
            (mark("b", None), None, "b c p"),
            (mark("b", Some("a, b, a")), Some(1), "b a"),
            (mark("b", None), Some(1), "b a"),
            (mark("p", None), None, "p"),
            (mark("b", Some("c, d, a, b")), Some(3), "b c d a"),
            (mark("p", Some("")), None, "p"),
        ];
        for (mark, circle, names) in table {
            assert_eq!((route.note(mark, "a"), &*route.names().join(" ")), (circle, names));
        }
    }

    #[test]
    fn a_mark_is_bounded() {
        let mut headers = HeaderMap::new();
        assert_eq!(ServerMark::of(&headers), None);
        headers.insert(SERVER_HEADER, "x".repeat(5_000).parse().expect("a value"));
        headers.insert(UPSTREAM_HEADER, "y,".repeat(1_000).parse().expect("a value"));
        let mark = ServerMark::of(&headers).expect("a mark");
        assert_eq!((mark.name.len(), mark.asks.map(|asks| asks.len())), (LONGEST_NAME, Some(8)));
    }
}
