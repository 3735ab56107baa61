//! A follower of the change feed, as strict as the format allows.

use nats_account_server::feed::Chain;
use nats_account_server::feed::wire::{Item, Page};
use serde_json::Value;

use super::Http;

/// The whole history of a primary, with every link of its chain checked.
pub(crate) async fn history(http: &Http) -> Page {
    let mut all: Option<Page> = None;
    let (mut serial, mut chain) = (0, Chain::default());
    loop {
        let page: Page = page(http, &format!("?after={serial}")).await;
        for item in &page.changes {
            let (operation, body) = item.link().expect("a change of a known form");
            assert_eq!(item.serial, serial + 1, "serials have no gaps");
            serial = item.serial;
            chain = chain.next(serial, operation, &body);
            assert_eq!(item.chain, chain.to_string(), "change {serial} continues the chain");
        }
        assert_eq!((page.serial, &page.chain), (serial, &chain.to_string()));
        let (done, head) = (page.changes.is_empty(), page.head);
        match &mut all {
            None => all = Some(page),
            Some(all) => {
                all.changes.extend(page.changes);
                (all.serial, all.chain, all.head) = (page.serial, page.chain, page.head);
            }
        }
        if done {
            assert_eq!(serial, head);
            return all.expect("at least one page");
        }
    }
}

/// A follower that comes back now and then, also after a restart of the primary.
#[derive(Default)]
pub(crate) struct Reader {
    session: Option<String>,
    serial: u64,
    chain: Chain,
}

impl Reader {
    /// The changes since last time. What was read before must not have changed.
    pub(crate) async fn more(&mut self, http: &Http) -> Vec<Item> {
        let mut all = Vec::new();
        loop {
            let page = page(http, &format!("?after={}&chain={}", self.serial, self.chain)).await;
            assert_eq!(
                *self.session.get_or_insert_with(|| page.session.clone()),
                page.session,
                "it is the same journal"
            );
            if page.changes.is_empty() {
                return all;
            }
            for item in page.changes {
                let (operation, body) = item.link().expect("a change of a known form");
                assert_eq!(item.serial, self.serial + 1, "serials have no gaps");
                self.serial = item.serial;
                self.chain = self.chain.next(self.serial, operation, &body);
                assert_eq!(item.chain, self.chain.to_string(), "change {} continues the chain", self.serial);
                all.push(item);
            }
        }
    }
}

/// One page of changes.
pub(crate) async fn page(http: &Http, query: &str) -> Page {
    let reply = http.get(&format!("/jwt/v1/changes{query}")).await.expect(200);
    serde_json::from_str(&reply.body).expect("a page")
}

/// An event stream that is read event by event.
pub(crate) struct Events {
    response: reqwest::Response,
    pending: String,
}

impl Events {
    pub(crate) async fn open(http: &Http, query: &str) -> Self {
        let request = http.request("GET", &format!("/jwt/v1/changes{query}")).header("accept", "text/event-stream");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, pending: String::new() }
    }

    /// The next event's type and data; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.pending.find("\n\n") {
                let event: String = self.pending.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let data = serde_json::from_str(field("data:").expect("data")).expect("JSON");
                return Some((field("event:").expect("a type").to_owned(), data));
            }
            let piece = self.response.chunk().await.ok()??;
            self.pending.push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }

    /// The next event that is no heartbeat.
    pub(crate) async fn next_change(&mut self) -> Value {
        loop {
            let (kind, data) = self.next().await.expect("the stream goes on");
            if kind == "change" {
                return data;
            }
        }
    }
}
