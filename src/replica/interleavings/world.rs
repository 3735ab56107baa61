//! A replica with accounts that everything can be said of.

use std::cell::OnceCell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use nkeys::KeyPair;
use serde_json::json;

use super::model::{Change, SECONDS, Version};
use crate::clock;
use crate::config::{ReplicaMode, ReplicaWrites};
use crate::feed::wire::Item;
use crate::feed::{Chain, Content, Head, Session, Subject};
use crate::gate::{Entry, Gate, Position, Tombstone, Trust, Via};
use crate::jwt::encode;
use crate::key::AccountKey;
use crate::metrics::{Metrics, Profile};
use crate::replica::held::Held;
use crate::replica::{Replica, Setup, StorePlace};
use crate::store::journal::upstream::{Fed, FedContent, UpstreamWrite};
use crate::store::journal::{CommitError, Outcome};
use crate::upstream::{self, Access};

/// The session of the primary.
const SESSION: Session = Session([7; 16]);

/// An account with everything that can be said of it. It is signed when it is said.
pub(super) struct Account {
    pub(super) key: AccountKey,
    pair: KeyPair,
    operator: Arc<KeyPair>,
    gate: Arc<Gate>,
    now: i64,
    versions: Vec<[OnceCell<Arc<Entry>>; 2]>,
    requests: Vec<OnceCell<Arc<Tombstone>>>,
}

impl Account {
    fn new(operator: &Arc<KeyPair>, gate: &Arc<Gate>, now: i64) -> Self {
        let pair = KeyPair::new_account();
        Self {
            key: AccountKey::parse(&pair.public_key()).expect("a key"),
            pair,
            operator: operator.clone(),
            gate: gate.clone(),
            now,
            versions: (0..=SECONDS).map(|_| Default::default()).collect(),
            requests: (0..=SECONDS).map(|_| OnceCell::new()).collect(),
        }
    }

    fn iat(&self, second: usize) -> i64 {
        self.now - 1_000 + i64::try_from(second).expect("small")
    }

    fn sign(&self, version: Version) -> Arc<Entry> {
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1
        });
        let name = if version.1 == 0 { "one" } else { "two" };
        let claims = json!({
            "sub": self.pair.public_key(), "name": name, "iat": self.iat(version.0),
            "nats": {
                "type": "account", "version": 2, "limits": limits,
                "default_permissions": { "pub": {}, "sub": {} }
            }
        });
        let jwt = encode::sign(&claims, &self.operator).expect("signed");
        Arc::new(self.gate.admit(jwt.as_bytes(), None, Via::Hint, self.now).expect("admitted"))
    }

    pub(super) fn entry(&self, version: Version) -> Arc<Entry> {
        self.versions[version.0][version.1].get_or_init(|| self.sign(version)).clone()
    }

    pub(super) fn request(&self, second: usize) -> Arc<Tombstone> {
        let sign = || {
            let claims = json!({
                "sub": self.operator.public_key(), "iat": self.iat(second),
                "nats": { "accounts": [self.pair.public_key()], "type": "generic", "version": 2 }
            });
            let jwt = encode::sign(&claims, &self.operator).expect("signed");
            Arc::new(self.gate.admit_delete(jwt.as_bytes(), Via::Feed, self.now).expect("admitted"))
        };
        self.requests[second].get_or_init(sign).clone()
    }

    /// Which version that is.
    pub(super) fn version(&self, entry: &Entry) -> Option<Version> {
        let versions = self.versions.iter().enumerate();
        versions
            .flat_map(|(second, two)| two.iter().enumerate().map(move |(which, one)| ((second, which), one)))
            .find(|(_, one)| one.get().is_some_and(|one| one.identity() == entry.identity()))
            .map(|(version, _)| version)
    }
}

/// A replica with a store in a folder, and the feed of its primary.
pub(super) struct World {
    replica: Option<Arc<Replica>>,
    /// Up to where the primary's feed was brought.
    pub(super) head: Head,
    setup: Setup,
    operator: Arc<KeyPair>,
    gate: Arc<Gate>,
    now: i64,
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl World {
    pub(super) fn new(mode: ReplicaMode) -> Self {
        let (operator, now) = (Arc::new(KeyPair::new_operator()), clock::unix_seconds());
        let claims = json!({
            "sub": operator.public_key(), "name": "op", "iat": now - 5_000, "nats": { "type": "operator", "version": 2 }
        });
        let trust = Trust::from_operator_jwt(&encode::sign(&claims, &operator).expect("signed"), now);
        let gate = Arc::new(Gate::new(Some(trust.expect("an operator")), None, 3_600));
        let (folder, hour) = (folder(), Duration::from_secs(3_600));
        let setup = Setup {
            upstream: upstream::Setup {
                primaries: vec!["http://127.0.0.1:1".into()],
                timeout: Duration::from_secs(1),
                access: Access::default(),
            },
            mode,
            // Nothing leaves because of its size.
            cache_bytes: 1 << 30,
            warm: false,
            history: 2,
            ttl: hour,
            negative_ttl: hour,
            writes: ReplicaWrites::Refuse,
            place: StorePlace { state_dir: Some(folder.path().to_owned()), ..StorePlace::default() },
            change_operator: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let head = Head { session: SESSION, serial: 100, chain: Chain([1; 32]) };
        let mut world = Self { replica: None, head, setup, operator, gate, now, _folder: folder, runtime };
        world.begin();
        world.write(UpstreamWrite::Begin(head)).expect("written");
        world.level();
        world.held().freshness.has_caught_up(true);
        world
    }

    /// Drops the text of an account from memory, and from the store of a cache. Returns whether upstream had not ordered it.
    pub(super) fn evict(&mut self, key: AccountKey) -> bool {
        let is_overlay = self.held().store.reader().is_overlay(&Subject::Account(key));
        self.held().copies.evict(&key);
        if !self.is_mirror() {
            self.write(UpstreamWrite::Evict(vec![key])).expect("written");
        }
        is_overlay
    }

    fn begin(&mut self) {
        let metrics = Arc::new(Metrics::new(Profile::replica()).expect("no name is taken twice"));
        let runtime = self.runtime.handle().clone();
        let replica = Replica::new(self.setup.clone(), self.gate.clone(), metrics, runtime).expect("it begins");
        self.replica = Some(replica);
    }

    /// Ends the replica, and begins it again on its store.
    pub(super) fn restart(&mut self) {
        if let Some(replica) = self.replica.take() {
            self.wait(replica.close());
        }
        self.begin();
    }

    pub(super) fn held(&self) -> &Arc<Held> {
        &self.replica.as_ref().expect("it runs").parts.held
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.setup.mode == ReplicaMode::Mirror
    }

    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A comparison has ended.
    pub(super) fn level(&self) {
        let era = self.held().store.reader().era();
        self.write(UpstreamWrite::Level { era, is_whole: true }).expect("written");
    }

    pub(super) fn write(&self, write: UpstreamWrite) -> Result<Outcome, CommitError> {
        self.held().store.write_blocking(write)
    }

    /// An account of which nothing was ever heard.
    pub(super) fn account(&self) -> Account {
        Account::new(&self.operator, &self.gate, self.now)
    }

    /// A place in the primary's order.
    pub(super) const fn position(&self, serial: u64) -> Position {
        self.head.position(serial)
    }

    /// The feed brings a change.
    pub(super) fn feed(
        &mut self,
        account: &Account,
        change: Change,
        newest: Option<Version>,
    ) -> Result<Outcome, CommitError> {
        let (content, read) = match change {
            Change::Put(version) => {
                let entry = account.entry(version);
                (Content::Put(entry.clone()), FedContent::Put(entry))
            }
            Change::Delete(second) => {
                let request = account.request(second);
                (Content::Delete(request.clone()), FedContent::Delete(request))
            }
            Change::Remove => {
                let entry = account.entry(newest.expect("a version left"));
                let (digest, identity) = (*entry.digest(), Some(*entry.identity()));
                (Content::Removed { key: account.key, digest, identity }, FedContent::Removed(account.key, identity))
            }
        };
        let serial = self.head.serial + 1;
        let (chain, at) = (Chain::default(), clock::unix_millis());
        let change = crate::feed::Change { serial, chain, at, via: Via::Feed, actor: None, content };
        let item = Item::from(&change);
        let (operation, digest) = item.link().expect("well formed");
        let chain = self.head.chain.next(serial, operation, &digest);
        (self.head.serial, self.head.chain) = (serial, chain);
        let item = Arc::new(Item { chain: chain.to_string(), ..item });
        self.write(UpstreamWrite::Fed(Box::new(Fed { item, chain, digest, content: read })))
    }
}

/// A folder in memory if the system has such a place: a play is not about the disk.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
