//! What others ask of a primary to hold the same JWTs: their sum, and piece by piece which they are.
//!
//! A replica holds what it was asked for, and a primary that still takes in its folder does not know all it has: neither can
//! answer, because what they leave out would be taken for absent.

use std::sync::Arc;

use super::{Node, Role};
use crate::clock;
use crate::key::AccountKey;
use crate::primary::Primary;
use crate::store::StoreError;
use crate::store::journal::{Served, ServedKeys};

impl Node {
    /// XOR of the SHA-256 of each JWT that is served now; see [`Journal::pack_hash`](crate::store::Journal::pack_hash).
    /// `Ok(None)`: this server does not know all accounts.
    pub async fn pack_hash(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let Some(primary) = self.complete() else { return Ok(None) };
        primary.journal().pack_hash(clock::unix_seconds()).await.map(Some)
    }

    /// The next JWTs that are served now, after `after` in the order of accounts' keys; see
    /// [`Journal::served`](crate::store::Journal::served). `Ok(None)`: this server does not know all accounts.
    pub async fn served(&self, after: Option<AccountKey>, limit: usize) -> Result<Option<Served>, StoreError> {
        self.list(move |primary| primary.journal().served(after.as_ref(), limit, clock::unix_seconds())).await
    }

    /// The next accounts that are served now, after `after` in the order of their keys; see
    /// [`Journal::served_keys`](crate::store::Journal::served_keys). `Ok(None)`: this server does not know all accounts.
    pub async fn served_keys(&self, after: Option<AccountKey>, limit: usize) -> Result<Option<ServedKeys>, StoreError> {
        self.list(move |primary| primary.journal().served_keys(after.as_ref(), limit, clock::unix_seconds())).await
    }

    pub(super) async fn list<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Primary) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(primary) = self.complete().cloned() else { return Ok(None) };
        let listed = tokio::task::spawn_blocking(move || query(&primary)).await;
        listed.map_err(|_| StoreError::Closed)?.map(Some)
    }

    /// The primary, if it knows all its accounts.
    pub(super) fn complete(&self) -> Option<&Arc<Primary>> {
        match self.role() {
            Role::Primary(primary) if primary.progress().is_complete() => Some(primary),
            Role::Primary(_) | Role::Replica(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nkeys::KeyPair;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::config::ReplicaWrites;
    use crate::gate::{Gate, Trust, Via};
    use crate::metrics::Metrics;
    use crate::primary::{self, Source};
    use crate::replica::{self, Access, Replica};
    use crate::testkit::{self, sign};

    fn primary(gate: &Arc<Gate>) -> Arc<Primary> {
        let setup = primary::Setup {
            source: Source::Memory,
            state_dir: None,
            require_existing: false,
            history: 2,
            history_age: Duration::ZERO,
            cache_bytes: 1 << 20,
            activations_per_account: 3,
            activation_files: false,
            change_operator: None,
        };
        Arc::new(Primary::open(&setup, gate.clone()).expect("opens"))
    }

    async fn answers(node: &Node) -> [bool; 3] {
        [
            node.pack_hash().await.expect("open").is_some(),
            node.served(None, 9).await.expect("readable").is_some(),
            node.served_keys(None, 9).await.expect("readable").is_some(),
        ]
    }

    #[tokio::test]
    async fn a_primary_lists_what_it_serves_once_it_has_taken_in_what_was_there() {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let iat = clock::unix_seconds();
        let trust = sign(&testkit::operator(&operator, iat, &[]), &operator);
        let trust = Trust::from_operator_jwt(&trust, iat).expect("an operator");
        let gate = Arc::new(Gate::new(Some(trust), None, 3_600));
        let metrics = Arc::new(Metrics::new("primary").expect("made"));
        let primary = primary(&gate);
        primary.settle_operator().await;
        let node = Node::new(Role::Primary(primary.clone()), gate, metrics.clone(), Duration::MAX);
        let jwt = sign(&testkit::account(&account, iat), &operator);
        node.submit(jwt.as_bytes(), None, Via::Post).await.expect("taken");
        assert_eq!(answers(&node).await, [false; 3]);

        let _tending = primary.tend(&metrics, Duration::ZERO).expect("begun");
        assert_eq!(answers(&node).await, [true; 3]);
        let digest: [u8; 32] = Sha256::digest(&jwt).into();
        assert_eq!(node.pack_hash().await.expect("open"), Some(digest));
        let served = node.served(None, 9).await.expect("readable").expect("known");
        assert_eq!(served.accounts.iter().map(|stored| stored.entry.text()).collect::<Vec<_>>(), [jwt]);
        let key = AccountKey::parse(&account.public_key()).expect("a key");
        let listed = node.served_keys(None, 9).await.expect("readable").expect("known");
        assert_eq!((listed.keys, listed.next), (vec![key], None));
        let after = node.served_keys(Some(key), 9).await.expect("readable").expect("known");
        assert!(after.keys.is_empty());
    }

    #[tokio::test]
    async fn a_replica_does_not_know_all_accounts() {
        let gate = Arc::new(Gate::new(None, None, 3_600));
        let metrics = Arc::new(Metrics::new("replica").expect("made"));
        let setup = replica::Setup {
            primaries: vec!["http://127.0.0.1:1".into()],
            mode: crate::config::ReplicaMode::Cache,
            cache_bytes: 1 << 20,
            ttl: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            negative_ttl: Duration::from_secs(1),
            writes: ReplicaWrites::Refuse,
            access: Access::default(),
            place: replica::Place::default(),
            change_operator: None,
        };
        let runtime = tokio::runtime::Handle::current();
        let replica = Replica::new(setup, gate.clone(), metrics.clone(), runtime).expect("made");
        assert_eq!(answers(&Node::new(Role::Replica(replica), gate, metrics, Duration::MAX)).await, [false; 3]);
    }
}
