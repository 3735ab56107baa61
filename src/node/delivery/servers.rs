//! The nats-servers that are there.
//!
//! All nats-servers are called at short intervals ([`Servers::called`]), and each one that answers is there. One that
//! stops in an orderly way says so and is gone at once. One that misses several calls in a row is gone as well: a single
//! call that is lost says nothing. A server that is heard again begins another *presence*, because it may have missed
//! what was announced.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Calls in a row that a server misses before it counts as gone.
pub(super) const MISSED_CALLS: u64 = 3;
/// How many servers are known at the same time at most.
pub(super) const MAX_SERVERS: usize = 1000;
/// How many servers that have said that they stop are remembered.
const MAX_STOPPED: usize = 100;

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
    /// Its release, as in `2.12.8`; empty if it does not say.
    pub version: String,
}

/// A nats-server that is there, and for how long without a break.
#[derive(Debug, Clone)]
pub struct Present {
    /// The server.
    pub server: Arc<Server>,
    /// Which unbroken time of being there this is; another number means that announcements may have been missed.
    pub presence: u64,
}

#[derive(Debug)]
struct KnownServer {
    server: Arc<Server>,
    /// The number of the latest call that counts as answered.
    answered: u64,
    presence: u64,
    is_gone: bool,
    gone_since: Option<Instant>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_id: HashMap<String, KnownServer>,
    /// Ids of servers that said that they stop, the latest last. An id never comes back, but an answer may be seen after
    /// the farewell that it came before: they take different ways here.
    stopped: VecDeque<String>,
    /// The number of the latest call.
    call: u64,
    /// Counts presences.
    presences: u64,
}

impl Servers {
    /// Notes that all servers are being called, and gives up those that missed the calls before. Returns whether one was
    /// given up. On a new connection all begin another presence.
    pub(super) fn called(&mut self, number: u64, on_new_connection: bool, now: Instant) -> bool {
        self.call = number;
        let mut changed = false;
        for known in self.by_id.values_mut().filter(|known| !known.is_gone) {
            if on_new_connection {
                // What happened between the connections is not known: the calls begin here.
                known.answered = known.answered.max(number.saturating_sub(1));
                self.presences += 1;
                known.presence = self.presences;
                changed = true;
            } else if number.saturating_sub(1).saturating_sub(known.answered) >= MISSED_CALLS {
                known.is_gone = true;
                known.gone_since = Some(now);
                changed = true;
            }
        }
        changed
    }

    /// Notes a server that answered the call with this number, or said something of its own accord (`None`). Returns it,
    /// and whether it was not there before or may have missed something.
    pub(super) fn heard(&mut self, server: Server, call: Option<u64>) -> (Arc<Server>, bool) {
        let call = call.unwrap_or(self.call);
        if let Some(known) = self.by_id.get_mut(&server.id) {
            let has_missed = known.is_gone || call.saturating_sub(known.answered) > 1;
            known.answered = known.answered.max(call);
            known.is_gone = false;
            known.gone_since = None;
            if has_missed {
                self.presences += 1;
                known.presence = self.presences;
            }
            return (known.server.clone(), has_missed);
        }
        let server = Arc::new(server);
        // An answer without an id says nothing about which servers there are.
        if server.id.is_empty() || self.stopped.contains(&server.id) || !self.has_room() {
            return (server, false);
        }
        self.presences += 1;
        let known = KnownServer {
            server: server.clone(),
            answered: call,
            presence: self.presences,
            is_gone: false,
            gone_since: None,
        };
        self.by_id.insert(server.id.clone(), known);
        (server, true)
    }

    /// Whether another server can be known. One that is gone makes room for it.
    fn has_room(&mut self) -> bool {
        if self.by_id.len() >= MAX_SERVERS {
            let gone = self.gone().min_by_key(|(_, since)| *since).map(|(server, _)| server.id.clone());
            gone.and_then(|id| self.by_id.remove(&id));
        }
        self.by_id.len() < MAX_SERVERS
    }

    /// Forgets a server that stops. Returns whether it was known.
    pub(super) fn stopped(&mut self, id: &str) -> bool {
        self.stopped.push_back(id.to_owned());
        if self.stopped.len() > MAX_STOPPED {
            self.stopped.pop_front();
        }
        self.by_id.remove(id).is_some()
    }

    /// Forgets servers that were gone already at `before`. Returns their ids.
    pub(super) fn forget(&mut self, before: Instant) -> Vec<String> {
        let is_old = |known: &KnownServer| known.gone_since.is_some_and(|since| since <= before);
        let old: Vec<String> = self.by_id.iter().filter(|(_, known)| is_old(known)).map(|(id, _)| id.clone()).collect();
        for id in &old {
            self.by_id.remove(id);
        }
        old
    }

    /// The servers that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = Present> {
        let present = self.by_id.values().filter(|known| !known.is_gone);
        present.map(|known| Present { server: known.server.clone(), presence: known.presence })
    }

    /// Whether a server is there.
    pub(super) fn is_present(&self, id: &str) -> bool {
        self.by_id.get(id).is_some_and(|known| !known.is_gone)
    }

    /// Servers that were there and are gone without a word, with the moment when that was noticed.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&Arc<Server>, Instant)> {
        self.by_id.values().filter_map(|known| Some((&known.server, known.gone_since?)))
    }

    /// How many are there.
    pub(super) fn count(&self) -> usize {
        self.by_id.values().filter(|known| !known.is_gone).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn server(id: &str) -> Server {
        Server {
            id: id.into(),
            name: id.to_lowercase(),
            cluster: "c".into(),
            host: "h".into(),
            version: "2.12.8".into(),
        }
    }

    fn present(servers: &Servers) -> Vec<(String, u64)> {
        let mut present: Vec<_> =
            servers.present().map(|present| (present.server.id.clone(), present.presence)).collect();
        present.sort();
        present
    }

    #[test]
    fn a_server_is_gone_after_three_missed_calls_and_not_after_two() {
        let (mut servers, now) = (Servers::default(), Instant::now());
        servers.called(1, true, now);
        assert!(servers.heard(server("A"), Some(1)).1);
        for call in 2..=MISSED_CALLS + 1 {
            assert!(!servers.called(call, false, now), "{call}");
            assert_eq!(servers.count(), 1);
        }
        assert!(servers.called(MISSED_CALLS + 2, false, now));
        assert_eq!((servers.count(), servers.is_present("A"), servers.gone().count()), (0, false, 1));
        // It is back, and has another presence.
        assert!(servers.heard(server("A"), Some(MISSED_CALLS + 2)).1);
        assert_eq!(present(&servers), [("A".into(), 2)]);
    }

    #[test]
    fn a_server_that_answers_each_call_stays_in_one_presence_and_one_that_missed_a_call_does_not() {
        let (mut servers, now) = (Servers::default(), Instant::now());
        for call in 1..=5 {
            servers.called(call, call == 1, now);
            assert_eq!(servers.heard(server("A"), Some(call)).1, call == 1);
        }
        servers.called(6, false, now);
        servers.called(7, false, now);
        assert!(servers.heard(server("A"), Some(7)).1);
        // The answers to the earlier calls, which it finds when it goes on, are no news.
        assert!(!servers.heard(server("A"), Some(6)).1);
        assert_eq!(present(&servers), [("A".into(), 2)]);
    }

    #[test]
    fn a_new_connection_begins_another_presence_of_each_and_nobody_is_given_up_for_the_time_without_one() {
        let (mut servers, now) = (Servers::default(), Instant::now());
        servers.called(1, true, now);
        servers.heard(server("A"), Some(1));
        assert!(servers.called(9, true, now));
        assert_eq!(present(&servers), [("A".into(), 2)]);
        assert!(!servers.called(10, false, now));
        assert_eq!(servers.count(), 1);
    }

    #[test]
    fn a_server_that_stops_is_forgotten_and_an_answer_that_comes_late_does_not_bring_it_back() {
        let mut servers = Servers::default();
        servers.heard(server("A"), Some(1));
        assert!(servers.stopped("A") && !servers.stopped("A"));
        assert!(!servers.heard(server("A"), Some(1)).1);
        assert_eq!(servers.count(), 0);
    }

    #[test]
    fn servers_that_are_gone_are_forgotten_after_a_while() {
        let (mut servers, start) = (Servers::default(), Instant::now());
        servers.called(1, true, start);
        servers.heard(server("A"), Some(1));
        servers.called(MISSED_CALLS + 2, false, start);
        let later = start + Duration::from_secs(1);
        assert!(servers.forget(start - Duration::from_secs(1)).is_empty());
        assert_eq!(servers.forget(later), ["A"]);
        assert_eq!(servers.gone().count(), 0);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut servers = Servers::default();
        for number in 0..MAX_SERVERS + 10 {
            servers.heard(server(&format!("N{number}")), None);
        }
        servers.heard(server(""), None);
        assert_eq!(servers.count(), MAX_SERVERS);
        for number in 0..MAX_SERVERS {
            servers.stopped(&format!("N{number}"));
        }
        assert_eq!((servers.count(), servers.stopped.len()), (0, MAX_STOPPED));
    }
}
