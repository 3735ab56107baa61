//! Questions that a replica cannot answer.

use std::time::Duration;

use super::*;
use crate::config::ReplicaMode;
use crate::gate::Gate;
use crate::metrics::Profile;
use crate::node::{Node, NodeParts};
use crate::replica::{Setup, StorePlace};
use crate::upstream::{self, Access};

#[tokio::test]
async fn a_replica_does_not_know_all_accounts() {
    let gate = Arc::new(Gate::new(None, None, 3_600));
    let metrics = Arc::new(Metrics::new(Profile::replica()).expect("made"));
    let setup = Setup {
        upstream: upstream::Setup {
            primaries: vec!["http://127.0.0.1:1".into()],
            timeout: Duration::from_secs(1),
            access: Access::default(),
        },
        mode: ReplicaMode::Cache,
        cache_bytes: 1 << 20,
        warm: false,
        history: 2,
        ttl: Duration::from_secs(5),
        negative_ttl: Duration::from_secs(1),
        writes: ReplicaWrites::Refuse,
        place: StorePlace::default(),
        change_operator: None,
    };
    let runtime = tokio::runtime::Handle::current();
    let replica = Replica::new(setup, gate.clone(), metrics.clone(), runtime).expect("made");
    let node = Node::replica(replica, "r".into(), NodeParts::new(gate, metrics));
    assert!(node.pack_hash().await.expect("open").is_none());
    assert!(node.served(None, 9).await.expect("readable").is_none());
    assert!(node.served_keys(None, 9).await.expect("readable").is_none());
}
