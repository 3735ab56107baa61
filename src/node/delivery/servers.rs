//! The nats-servers that are there.
//!
//! A nats-server is known by its id, which it makes anew at every start. Who stops in an orderly way says so and is
//! forgotten at once. Who falls silent may be paused, or cut off, or dead, which looks the same from here: it is waited
//! for as long as nats-servers themselves would, and after that only the changes that it was told of remember it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server that is silent for so long is no longer waited for. nats-servers give up each other after the same time.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(150);
/// A server that is silent for so long has been replaced, if another one of its name is heard in its place.
pub(super) const REPLACED_AFTER: Duration = Duration::from_secs(15);
/// How many are known at the same time at most.
pub(super) const MAX_SERVERS: usize = 1000;
/// How many that have stopped are remembered.
const MAX_GONE: usize = 100;

/// A nats-server, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its id: a public key that it makes at every start.
    pub id: String,
    /// Its name, which it keeps.
    pub name: String,
    /// Its cluster; empty if it has none.
    pub cluster: String,
    /// The host that it is configured with.
    pub host: String,
}

#[derive(Debug)]
struct Known {
    server: Arc<Server>,
    /// It was there already at this time: what was announced since has been sent to it.
    since: Instant,
    heard: Instant,
    /// When the latest roll call was made that it answered.
    present: Option<Instant>,
    /// Not waited for any more since then.
    lost: Option<Instant>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_id: HashMap<String, Known>,
    /// Ids of those that said that they stop, the latest last. An id never comes back, but an answer may be seen after
    /// the farewell that it came before: they take different ways here.
    gone: VecDeque<String>,
}

impl Servers {
    /// Notes the answer to a roll call that was made at `asked`. Returns whether that is news.
    pub(super) fn present(&mut self, server: Server, asked: Instant, now: Instant) -> bool {
        let (server, news) = self.heard(server, asked, now);
        if let Some(known) = self.by_id.get_mut(&server.id) {
            known.present = known.present.max(Some(asked));
        }
        news
    }

    /// Notes a server that is heard at `now` and was there at `since`. Returns it, and whether that is news.
    pub(super) fn heard(&mut self, server: Server, since: Instant, now: Instant) -> (Arc<Server>, bool) {
        if let Some(known) = self.by_id.get_mut(&server.id) {
            let news = known.lost.is_some() || since < known.since;
            known.heard = known.heard.max(now);
            known.since = known.since.min(since);
            known.lost = None;
            return (known.server.clone(), news);
        }
        let server = Arc::new(server);
        // An answer without an id says nothing about who else there is.
        if server.id.is_empty() || self.by_id.len() >= MAX_SERVERS || self.gone.contains(&server.id) {
            return (server, false);
        }
        let known = Known { server: server.clone(), since, heard: now, present: None, lost: None };
        self.by_id.insert(server.id.clone(), known);
        (server, true)
    }

    /// Forgets a server. Returns whether it was known.
    pub(super) fn gone(&mut self, id: &str) -> bool {
        self.gone.push_back(id.to_owned());
        if self.gone.len() > MAX_GONE {
            self.gone.pop_front();
        }
        self.by_id.remove(id).is_some()
    }

    /// Gives up those that were silent for too long, forgets those that were replaced, and those that were given up
    /// `kept` ago. Returns whether anything changed.
    pub(super) fn sweep(&mut self, now: Instant, kept: Duration) -> bool {
        let silence = |known: &Known| now.saturating_duration_since(known.heard);
        let heard_lately: Vec<Arc<Server>> = self
            .by_id
            .values()
            .filter(|known| silence(known) < REPLACED_AFTER)
            .map(|known| known.server.clone())
            .collect();
        let in_place_of = |old: &Server| {
            heard_lately.iter().any(|new| (&new.name, &new.cluster, &new.host) == (&old.name, &old.cluster, &old.host))
        };
        let before = self.by_id.len();
        self.by_id.retain(|_, known| {
            let replaced = silence(known) >= REPLACED_AFTER && in_place_of(&known.server);
            let forgotten = known.lost.is_some_and(|lost| now.saturating_duration_since(lost) >= kept);
            !replaced && !forgotten
        });
        let mut changed = self.by_id.len() != before;
        for known in self.by_id.values_mut() {
            if known.lost.is_none() && silence(known) >= LOST_AFTER {
                known.lost = Some(now);
                changed = true;
            }
        }
        changed
    }

    /// The servers that were there when something was announced, whether or not they are heard now.
    pub(super) fn told(&self, announced: Instant) -> impl Iterator<Item = &Arc<Server>> {
        self.by_id
            .values()
            .filter(move |known| known.since <= announced && known.lost.is_none_or(|lost| announced < lost))
            .map(|known| &known.server)
    }

    /// Whether a server has answered a roll call that was made after `moment`.
    pub(super) fn is_present_after(&self, id: &str, moment: Instant) -> bool {
        self.by_id.get(id).is_some_and(|known| known.present.is_some_and(|present| present > moment))
    }

    /// How many are there now.
    pub(super) fn count(&self) -> usize {
        self.by_id.values().filter(|known| known.lost.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_secs(10);
    const HOUR: Duration = Duration::from_secs(3600);

    fn server(id: &str, name: &str) -> Server {
        Server { id: id.into(), name: name.into(), cluster: "c".into(), host: "h".into() }
    }

    fn told(servers: &Servers, at: Instant) -> Vec<String> {
        let mut ids: Vec<String> = servers.told(at).map(|server| server.id.clone()).collect();
        ids.sort();
        ids
    }

    #[test]
    fn who_was_there_at_an_announcement_is_expected_to_answer_it() {
        let (mut servers, start) = (Servers::default(), Instant::now());
        assert!(servers.heard(server("A", "a"), start + ROUND, start + ROUND).1);
        assert_eq!(told(&servers, start), [""; 0]);
        assert_eq!(told(&servers, start + ROUND), ["A"]);
        // It is heard again, and was there even earlier.
        assert!(servers.heard(server("A", "a"), start, start + 2 * ROUND).1);
        assert!(!servers.heard(server("A", "a"), start + ROUND, start + 2 * ROUND).1);
        assert_eq!(told(&servers, start), ["A"]);
        assert!(servers.gone("A") && !servers.gone("A"));
        // What it said before that may be seen after it.
        assert!(!servers.heard(server("A", "a"), start, start + 2 * ROUND).1);
        assert_eq!(told(&servers, start), [""; 0]);
    }

    #[test]
    fn who_is_silent_stays_for_minutes_and_is_remembered_by_what_it_was_told() {
        let (mut servers, start) = (Servers::default(), Instant::now());
        servers.heard(server("A", "a"), start, start);
        assert!(!servers.sweep(start + LOST_AFTER - ROUND, HOUR));
        assert_eq!(servers.count(), 1);
        let lost = start + LOST_AFTER;
        assert!(servers.sweep(lost, HOUR));
        assert_eq!(servers.count(), 0);
        assert_eq!(told(&servers, lost - ROUND), ["A"]);
        assert_eq!(told(&servers, lost), [""; 0]);
        // It comes back, and was told of everything.
        assert!(servers.heard(server("A", "a"), lost, lost + ROUND).1);
        assert_eq!(told(&servers, lost), ["A"]);
        servers.sweep(lost + ROUND + LOST_AFTER, HOUR);
        assert!(servers.sweep(lost + ROUND + LOST_AFTER + HOUR, HOUR));
        assert_eq!(told(&servers, start), [""; 0]);
    }

    #[test]
    fn a_server_that_was_started_again_takes_the_place_of_the_one_that_died() {
        let (mut servers, start) = (Servers::default(), Instant::now());
        servers.heard(server("A", "a"), start, start);
        servers.heard(server("B", "b"), start, start);
        let elsewhere = Server { cluster: "d".into(), ..server("E", "b") };
        for round in 1..=2 {
            let now = start + round * ROUND;
            servers.heard(server("C", "a"), now, now);
            servers.heard(elsewhere.clone(), now, now);
            servers.sweep(now, HOUR);
        }
        let now = start + 2 * ROUND;
        // B may come back: the one of its name is another one's.
        assert_eq!(told(&servers, now), ["B", "C", "E"]);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let (mut servers, start) = (Servers::default(), Instant::now());
        for number in 0..MAX_SERVERS + 10 {
            servers.heard(server(&format!("N{number}"), "a"), start, start);
        }
        servers.heard(server("", "nameless"), start, start);
        assert_eq!(servers.count(), MAX_SERVERS);
        for number in 0..MAX_SERVERS {
            servers.gone(&format!("N{number}"));
        }
        assert_eq!((servers.count(), servers.gone.len()), (0, MAX_GONE));
    }
}
