//! Who takes part: the primary and its replicas, each with its folder, its links, and its process.

use std::path::Path;
use std::sync::Arc;

use super::node::{Keeps, Node};
use super::support::{Launch, Operator, Proxy, Server};

/// A replica as it is set up.
struct Plan {
    name: &'static str,
    mode: &'static str,
    has_folder: bool,
    /// Whom it asks, by their numbers; each over a link of its own. They come before it in the list.
    upstreams: &'static [usize],
}

/// The replicas; the first of them is number 1. The primary is number 0.
const PLANS: [Plan; 4] = [
    Plan { name: "mirror", mode: "mirror", has_folder: true, upstreams: &[0] },
    // Two ways to the same primary.
    Plan { name: "cache", mode: "cache", has_folder: true, upstreams: &[0, 0] },
    Plan { name: "bare cache", mode: "cache", has_folder: false, upstreams: &[0] },
    // Behind the first mirror.
    Plan { name: "second mirror", mode: "mirror", has_folder: true, upstreams: &[1] },
];
/// The replica that sends changes on.
pub(super) const FORWARDER: usize = 2;

/// A server, up or down.
pub(super) struct Member {
    pub(super) node: Arc<Node>,
    pub(super) server: Option<Server>,
    pub(super) folder: Option<tempfile::TempDir>,
    launch: Launch,
    pub(super) is_mirror: bool,
    /// What processes of it logged that have ended.
    logs: Vec<String>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- logs of {}:\n{}", self.node.name, self.logs.join("---\n"));
        }
    }
}

/// A way from a replica to whom it asks.
pub(super) struct Link {
    pub(super) proxy: Proxy,
    /// Whose way it is, by its number.
    pub(super) of: usize,
    /// Whom it leads to, by its number.
    pub(super) to: usize,
    pub(super) state: Way,
    /// Whether the connections on it lead to a liar. They also do so in silence, and after it.
    pub(super) is_astray: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Open,
    Silent,
    Cut,
    Misled,
}

impl Link {
    /// Changes the way, or takes it up again when the server at its end is another process, at `target`.
    pub(super) fn is(&mut self, state: Way, target: &str, liar: &str) {
        // Who hangs in silence goes on when that ends, unless he hangs at a liar.
        let goes_on = self.state == Way::Silent && state == Way::Open && !self.is_astray;
        self.state = state;
        match state {
            Way::Open => self.is_astray = false,
            Way::Misled => self.is_astray = true,
            Way::Silent | Way::Cut => {}
        }
        match state {
            Way::Open if goes_on => self.proxy.heal(),
            Way::Open => self.proxy.lead_to(target),
            Way::Silent => self.proxy.black_hole(),
            Way::Cut => self.proxy.cut(),
            Way::Misled => self.proxy.lead_to(liar),
        }
    }

    /// The way leads to another server, at `target`.
    pub(super) fn moves(&mut self, to: usize, target: &str) {
        (self.to, self.state, self.is_astray) = (to, Way::Open, false);
        self.proxy.lead_to(target);
    }

    /// The server at the end is another process.
    pub(super) fn leads_anew(&mut self, target: &str) {
        let state = self.state;
        if state != Way::Misled {
            self.is_astray = false;
            self.proxy.lead_to(target);
        }
        match state {
            Way::Silent => self.proxy.black_hole(),
            Way::Cut => self.proxy.cut(),
            Way::Open | Way::Misled => {}
        }
    }
}

impl Member {
    /// All of them, none of them running.
    pub(super) async fn all(operator: &Operator) -> (Vec<Self>, Vec<Link>) {
        let member = |name, keeps, launch, is_mirror| Self {
            node: Node::new(name, keeps),
            server: None,
            folder: (keeps != Keeps::Nothing).then(|| tempfile::tempdir().unwrap()),
            launch,
            is_mirror,
            logs: Vec::new(),
        };
        let mut members = vec![member("primary", Keeps::Everything, Launch::primary(operator), false)];
        let mut links = Vec::new();
        for (number, plan) in (1..).zip(&PLANS) {
            let mut urls = Vec::new();
            for to in plan.upstreams {
                let proxy = Proxy::to_nowhere().await;
                urls.push(proxy.url());
                links.push(Link { proxy, of: number, to: *to, state: Way::Open, is_astray: false });
            }
            // What the forwarder sends on may pass a mirror.
            let writes = if number == FORWARDER || plan.mode == "mirror" { "forward" } else { "refuse" };
            let launch = Launch::replica(operator, &urls.join(","))
                .env("NAS_REPLICA__MODE", plan.mode)
                .env("NAS_REPLICA__TTL", "500ms")
                .env("NAS_REPLICA__WRITES", writes);
            let keeps = if plan.has_folder { Keeps::Most } else { Keeps::Nothing };
            members.push(member(plan.name, keeps, launch, plan.mode == "mirror"));
        }
        (members, links)
    }

    pub(super) fn dir(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Starts it, with a clock that is off by so many seconds if that can be had.
    pub(super) async fn start(&mut self, skew: i64) {
        let mut launch = self.launch.clone();
        if let Some(folder) = &self.folder {
            launch = launch.dir(folder.path());
        }
        if let (Ok(library), true) = (std::env::var("CHAOS_FAKETIME"), skew != 0) {
            launch = launch.env("LD_PRELOAD", &library).env("FAKETIME", &format!("{skew:+}"));
            launch = launch.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        let server = launch.start_unready().await;
        self.node.starts(&server.http);
        self.server = Some(server);
    }

    pub(super) fn kill(&mut self) {
        self.node.dies();
        self.logs.extend(self.server.take().map(|server| server.log()));
    }

    /// Ends it gently.
    pub(super) async fn end(&mut self) {
        let server = self.server.as_mut().unwrap();
        self.node.ends();
        server.signal("CONT");
        server.signal("TERM");
        assert!(server.exit().await.success());
        self.logs.extend(self.server.take().map(|server| server.log()));
    }

    pub(super) fn stop(&self, is_stopped: bool) {
        let server = self.server.as_ref().unwrap();
        if is_stopped {
            self.node.stops(true);
            server.signal("STOP");
        } else {
            server.signal("CONT");
            self.node.stops(false);
        }
    }
}
