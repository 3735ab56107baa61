//! Two nats-servers with full resolvers in a cluster, and a primary beside them. Before they start, each may hold whatever
//! a test wants.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use sha2::{Digest as _, Sha256};

pub(crate) use super::fleet::or_newest;
use super::fleet::{DELETE, PACK, UPDATE, tool};
use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, PATIENCE, Proxy, Server, now, until, within};

/// Debian 12's release, which may be missing.
pub(crate) const OLDEST: &str = "2.9.10";

/// A full resolver, running or not.
pub(crate) struct Peer {
    version: &'static str,
    dir: tempfile::TempDir,
    nats: Option<NatsServer>,
}

impl Peer {
    fn new(version: &'static str) -> Self {
        Self { version: or_newest(version), dir: tempfile::tempdir().unwrap(), nats: None }
    }

    pub(crate) fn nats(&self) -> &NatsServer {
        self.nats.as_ref().unwrap()
    }

    fn file(&self, account: &Account) -> PathBuf {
        self.dir.path().join(format!("{}.jwt", account.key()))
    }

    /// Puts a file in its folder. It looks at them when it starts.
    pub(crate) fn hold(&self, account: &Account, text: &str) {
        std::fs::write(self.file(account), text).unwrap();
    }

    /// What it holds; empty if nothing.
    pub(crate) fn held(&self, account: &Account) -> String {
        std::fs::read_to_string(self.file(account)).unwrap_or_default()
    }
}

pub(crate) struct Pair {
    pub(crate) operator: Arc<Operator>,
    pub(crate) peers: [Peer; 2],
    /// How often the full resolvers ask each other for their packs.
    interval: &'static str,
    folder: tempfile::TempDir,
    system_jwt: String,
    wire: Proxy,
    primary: Option<Server>,
    system: Option<Client>,
}

impl Pair {
    pub(crate) async fn new(versions: [&'static str; 2], interval: &'static str) -> Self {
        let operator = Arc::new(Operator::new());
        let (folder, signing) = (tempfile::tempdir().unwrap(), KeyPair::new_account());
        let system_jwt = operator.sign(&operator.system().with_signing_key(now() - 90_000, &signing));
        std::fs::write(folder.path().join("system.creds"), operator.system().user_of(&signing).creds()).unwrap();
        let wire = Proxy::to_nowhere().await;
        let pair = Self {
            peers: versions.map(Peer::new),
            operator,
            interval,
            folder,
            system_jwt,
            wire,
            primary: None,
            system: None,
        };
        pair.hold(pair.operator.system(), &pair.system_jwt);
        pair
    }

    /// Puts a file in our folder. What is there at the first start is no news, and not announced.
    pub(crate) fn hold(&self, account: &Account, text: &str) {
        std::fs::write(self.folder.path().join(format!("{}.jwt", account.key())), text).unwrap();
    }

    /// An account that each of the three holds as it is given; nothing where the text is empty.
    pub(crate) fn everybody(&self, account: &Account, ours: &str, theirs: [&str; 2]) {
        if !ours.is_empty() {
            self.hold(account, ours);
        }
        for (peer, text) in self.peers.iter().zip(theirs) {
            if !text.is_empty() {
                peer.hold(account, text);
            }
        }
    }

    pub(crate) fn primary(&self) -> &Server {
        self.primary.as_ref().unwrap()
    }

    /// Starts the full resolvers, and then the primary, connected to the first one.
    pub(crate) async fn start(&mut self) {
        for at in [0, 1] {
            self.start_peer(at).await;
        }
        let creds = self.folder.path().join("system.creds");
        self.wire.lead_to(self.peers[0].nats().address());
        let launch = Launch::primary(&self.operator).dir(self.folder.path()).nats(self.wire.address(), &creds);
        self.primary = Some(launch.env("NAS_NATS__SYNC_INTERVAL", "1s").start().await);
        self.system = Some(tool(&creds, self.peers[1].nats().address()).await);
        until("the primary sees a full resolver", || async {
            self.primary().http.get("/readyz?verbose").await.body.contains("a full resolver is there")
        })
        .await;
    }

    /// Starts a full resolver with what is in its folder.
    pub(crate) async fn start_peer(&mut self, at: usize) {
        let other = self.peers[1 - at].nats.as_ref().map(NatsServer::cluster_address);
        let peer = &self.peers[at];
        let (dir, interval) = (peer.dir.path(), self.interval);
        let launch = NatsLaunch::new(peer.version, &self.operator).named(&format!("peer-{at}")).cluster(other);
        let lines = format!(
            "resolver: {{ type: full, dir: {dir:?}, allow_delete: true, interval: {interval:?} }}\n\
             resolver_preload: {{ {}: {} }}",
            self.operator.system().key(),
            self.system_jwt
        );
        let nats = launch.with(&lines).start().await;
        let has_route = other.is_some();
        self.peers[at].nats = Some(nats);
        if has_route {
            until("the cluster is formed", || async {
                self.peers[at].nats().log().contains("Route connection created")
            })
            .await;
        }
    }

    /// A tool's connection, to the second full resolver.
    pub(crate) fn system(&self) -> &Client {
        self.system.as_ref().unwrap()
    }

    /// Sends a delete request as a tool does. All full resolvers that run answer.
    pub(crate) async fn delete(&self, request: String) {
        self.tell(DELETE, request).await;
    }

    /// Sends a JWT as a tool does. All full resolvers that run answer.
    pub(crate) async fn update(&self, jwt: &str) {
        self.tell(UPDATE, jwt.to_owned()).await;
    }

    async fn tell(&self, subject: &'static str, body: String) {
        let inbox = self.system().new_inbox();
        let mut answers = self.system().subscribe(inbox.clone()).await.unwrap();
        self.system().publish_with_reply(subject, inbox, body.into()).await.unwrap();
        for _ in self.peers.iter().filter(|peer| peer.nats.is_some()) {
            let answer = within("an answer", answers.next()).await.unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
            assert_eq!(answer["data"]["code"], 200, "{answer}");
        }
    }

    /// Ends the first full resolver; the primary goes over to the other one.
    pub(crate) async fn stop_first(&mut self) {
        self.peers[0].nats = None;
        self.wire.lead_to(self.peers[1].nats().address());
        let packs = self.packs("").await;
        until("the primary is connected to the other one", || async {
            self.primary().http.metric("nats_connected", "").await == 1.0 && self.packs("").await > packs
        })
        .await;
    }

    /// What we serve; empty if nothing.
    pub(crate) async fn held(&self, account: &Account) -> String {
        let reply = self.primary().http.get(&account.path()).await;
        if reply.status == 200 { reply.body } else { String::new() }
    }

    /// Waits until all three hold this; empty: nothing.
    pub(crate) async fn converge(&self, name: &str, account: &Account, text: &str) {
        let held = || async { [self.held(account).await, self.peers[0].held(account), self.peers[1].held(account)] };
        let what = format!("{name}: we and the others hold {text:?} for {}", account.key());
        self.until(&what, || async { held().await.iter().all(|held| held == text) }).await;
    }

    /// Waits until `condition` holds. Which of the two answers PACK is chance, so we are made to ask again and again: on a
    /// new connection, we do.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, mut condition: impl FnMut() -> F) {
        let (started, mut asked) = (Instant::now(), Instant::now());
        while !condition().await {
            assert!(started.elapsed() < 3 * PATIENCE, "waited in vain until {what}");
            if asked.elapsed() > Duration::from_secs(3) {
                self.wire.lead_to(self.peers.iter().find_map(|peer| peer.nats.as_ref()).unwrap().address());
                asked = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn healed(&self, reason: &str) -> f64 {
        self.primary().http.metric("healed_total", &format!("reason=\"{reason}\"")).await
    }

    /// Packs that we asked for, of one result or of all (an empty text).
    pub(crate) async fn packs(&self, result: &str) -> f64 {
        self.primary().http.metric("packs_asked_total", &format!("result=\"{result}")).await
    }

    /// Waits until packs show no difference any more, and nothing is sent any more either.
    pub(crate) async fn is_at_rest(&self) {
        let (equal, healed) = (self.packs("equal").await, self.primary().http.metric("healed_total", "").await);
        let others = self.packs("unchanged").await + self.packs("merged").await;
        until("packs are equal", || async { self.packs("equal").await >= equal + 2.0 }).await;
        assert_eq!(self.primary().http.metric("healed_total", "").await, healed);
        let after = self.packs("unchanged").await + self.packs("merged").await;
        assert!(after <= others + 1.0, "{others} packs differed before, {after} now");
    }

    /// Whether whoever answers PACK holds exactly these texts and the system account's.
    pub(crate) async fn is_sum(&self, texts: &[&str]) -> bool {
        let mut hash = [0; 32];
        for text in texts.iter().copied().chain([self.system_jwt.as_str()]) {
            let digest: [u8; 32] = Sha256::digest(text).into();
            hash.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
        }
        let (system, inbox) = (self.system(), self.system().new_inbox());
        let mut answers = system.subscribe(inbox.clone()).await.unwrap();
        system.publish_with_reply(PACK, inbox, hash.to_vec().into()).await.unwrap();
        let first = within("a pack", answers.next()).await.unwrap();
        assert!(first.status.is_none());
        first.payload.is_empty()
    }
}
