//! A follower leaves one server for another while everything runs, and goes on where it was.

use std::time::{Duration, Instant};

use nats_account_server::feed::wire::Page;
use tokio::time::{sleep, timeout};

use super::cast::Link;
use super::play::Play;
use super::support::Http;

/// How long a server may take to say where it is.
const PROMPT: Duration = Duration::from_secs(1);
/// How long a follower may take to follow another server. More is no fault: something else may be in its way.
const SOON: Duration = Duration::from_secs(3);

/// What a follower has logged of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Logged {
    follows: usize,
    compared: usize,
    other_history: usize,
}

impl Logged {
    fn of(log: &str) -> Self {
        let count = |text: &str| log.matches(text).count();
        Self {
            follows: count("following the change feed of"),
            compared: count("in sync with"),
            other_history: count("has another history"),
        }
    }
}

/// The answer of a server's feed; `None`: the server does not run, or does not go on from there.
pub(super) async fn position(http: &Http, query: &str) -> Option<Page> {
    let reply = timeout(PROMPT, http.try_get(&format!("/jwt/v1/changes{query}"))).await.ok()?.ok()?;
    (reply.status == 200).then(|| serde_json::from_str(&reply.body).expect("a page"))
}

/// The query that asks whether a position is in a server's log.
fn at(page: &Page) -> String {
    format!("?session={}&after={}&chain={}", page.session, page.serial, page.chain)
}

impl Play {
    /// Leads a link to another server, or to the primary if its owner would follow itself.
    pub(super) async fn moves(&mut self, link: usize, to: usize) {
        let of = self.links[link].of;
        let to = if self.comes_by(to, of) { 0 } else { to };
        // One that was misled may be about to follow the liar, and so may the one that it is led to.
        let is_misled = self.links[link].is_astray || self.is_misled(to);
        let is_in_log = !is_misled && self.goes_on_at(of, to).await;
        let was_calm = is_in_log && self.is_connected(of).await && self.members[of].is_mirror;
        let before = self.logged(of);
        let target = self.host(to);
        self.links[link].moves(to, &target);
        if !is_in_log {
            return;
        }
        let began = Instant::now();
        while self.logged(of).follows == before.follows {
            if began.elapsed() > SOON {
                self.world.ledger().count("moves that are not judged".to_owned());
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let (name, now) = (self.members[of].node.name, self.logged(of));
        self.world.ledger().count(format!("{name} moves"));
        // A comparison that was under way, if there was one, may end.
        if now.other_history != before.other_history || was_calm && now.compared != before.compared {
            let whose = self.members[to].node.name;
            self.world.fault(0, &format!("{name} did not go on where it was, at {whose}: {before:?}, then {now:?}"));
        }
    }

    /// Whether what `from` asks comes by `server`.
    fn comes_by(&self, from: usize, server: usize) -> bool {
        from == server || self.links.iter().any(|link| link.of == from && self.comes_by(link.to, server))
    }

    /// Whether a server, or one on its way to the primary, is led to a liar.
    fn is_misled(&self, server: usize) -> bool {
        let is_astray = |link: &Link| link.is_astray || self.is_misled(link.to);
        self.links.iter().any(|link| link.of == server && is_astray(link))
    }

    /// Whether a follower with one upstream can go on at another one: its position is in the log of that one, whose own
    /// position is in the log of the primary.
    async fn goes_on_at(&self, follower: usize, upstream: usize) -> bool {
        if self.links.iter().filter(|link| link.of == follower).count() > 1 {
            return false;
        }
        let (Some(follower), Some(upstream), Some(primary)) = (self.http(follower), self.http(upstream), self.http(0))
        else {
            return false;
        };
        let Some(position) = position_in(follower, upstream).await else { return false };
        position_in(upstream, primary).await.is_some_and(|in_primary| in_primary.session == position.session)
    }

    pub(super) fn http(&self, number: usize) -> Option<&Http> {
        self.members[number].server.as_ref().map(|server| &server.http)
    }

    /// Whether a replica follows its upstream; a mirror also has to be compared.
    pub(super) async fn is_connected(&self, number: usize) -> bool {
        let Some(http) = self.http(number) else { return false };
        timeout(PROMPT, http.metric("replica_feed_connected", "")).await.is_ok_and(|is| is == 1.0)
    }

    fn logged(&self, number: usize) -> Logged {
        Logged::of(&self.members[number].server.as_ref().map_or_else(String::new, super::support::Server::log))
    }
}

/// The position of a server, if it is in the log of another one.
async fn position_in(server: &Http, other: &Http) -> Option<Page> {
    let position_of = position(server, "").await?;
    position(other, &at(&position_of)).await
}
