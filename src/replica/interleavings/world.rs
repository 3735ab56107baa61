//! A replica with an account that everything can be said of.

use std::sync::Arc;
use std::time::Duration;

use nkeys::KeyPair;
use serde_json::json;

use super::model::{SECONDS, Version};
use crate::clock;
use crate::config::{ReplicaMode, ReplicaWrites};
use crate::gate::{Entry, Gate, Tombstone, Trust, Via};
use crate::jwt::encode;
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::replica::{Replica, Setup, SnapshotPlace};
use crate::upstream::{self, Access};

/// An account with everything that can be said of it, signed.
pub(super) struct Account {
    pub(super) key: AccountKey,
    pub(super) versions: Vec<[Arc<Entry>; 2]>,
    pub(super) requests: Vec<Tombstone>,
}

impl Account {
    pub(super) fn new(operator: &KeyPair, gate: &Gate, now: i64) -> Self {
        let pair = KeyPair::new_account();
        let iat = |second: usize| now - 1_000 + i64::try_from(second).expect("small");
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1
        });
        let version = |second, name| {
            let claims = json!({
                "sub": pair.public_key(), "name": name, "iat": iat(second),
                "nats": {
                    "type": "account", "version": 2, "limits": limits,
                    "default_permissions": { "pub": {}, "sub": {} }
                }
            });
            let jwt = encode::sign(&claims, operator).expect("signed");
            Arc::new(gate.admit(jwt.as_bytes(), None, Via::Hint, now).expect("admitted"))
        };
        let request = |second| {
            let claims = json!({
                "sub": operator.public_key(), "iat": iat(second),
                "nats": { "accounts": [pair.public_key()], "type": "generic", "version": 2 }
            });
            let jwt = encode::sign(&claims, operator).expect("signed");
            gate.admit_delete(jwt.as_bytes(), Via::Feed, now).expect("admitted")
        };
        Self {
            key: AccountKey::parse(&pair.public_key()).expect("a key"),
            versions: (0..=SECONDS).map(|second| ["one", "two"].map(|name| version(second, name))).collect(),
            requests: (0..=SECONDS).map(request).collect(),
        }
    }

    pub(super) fn entry(&self, (second, which): Version) -> Arc<Entry> {
        self.versions[second][which].clone()
    }
}

/// A replica that keeps what it has in a folder, and an account that it can be asked for.
pub(super) struct World {
    pub(super) replica: Arc<Replica>,
    pub(super) account: Account,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    pub(super) fn new(mode: ReplicaMode) -> Self {
        let (operator, now) = (KeyPair::new_operator(), clock::unix_seconds());
        let claims = json!({
            "sub": operator.public_key(), "name": "op", "iat": now - 5_000, "nats": { "type": "operator", "version": 2 }
        });
        let trust = Trust::from_operator_jwt(&encode::sign(&claims, &operator).expect("signed"), now);
        let gate = Arc::new(Gate::new(Some(trust.expect("an operator")), None, 3_600));
        let (folder, hour) = (tempfile::tempdir().expect("a folder"), Duration::from_secs(3_600));
        let setup = Setup {
            upstream: upstream::Setup {
                primaries: vec!["http://127.0.0.1:1".into()],
                timeout: Duration::from_secs(1),
                access: Access::default(),
            },
            mode,
            cache_bytes: 1 << 20,
            ttl: hour,
            negative_ttl: hour,
            writes: ReplicaWrites::Refuse,
            place: SnapshotPlace { state_dir: Some(folder.path().to_owned()), ..SnapshotPlace::default() },
            change_operator: None,
        };
        let account = Account::new(&operator, &gate, now);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let metrics = Arc::new(Metrics::new("replica").expect("no name is taken twice"));
        let replica = Replica::new(setup, gate, metrics, runtime.handle().clone()).expect("it begins");
        Self { replica, account, _folder: folder, _runtime: runtime }
    }

    /// Nothing was ever heard of the account.
    pub(super) fn forget(&self) {
        let (replica, key) = (&self.replica, &self.account.key);
        replica.parts.held.known.versions.with(key, |seen| *seen = Default::default());
        replica.parts.held.drop_copy(key);
        replica.parts.held.may_be_known(key);
        replica.parts.held.flights().remove(key);
    }
}
