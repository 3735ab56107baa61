//! The latest answers of one worker, for itself.
//!
//! All workers share the node's caches. At each look-up there, the cores write to the same few lines of memory. For accounts
//! that are asked for often, that is a tenth of the whole cost. So each worker keeps some answers of its own. An answer is
//! good until something is heard of its account; a shared counter, which is only read, tells that.

use std::collections::HashMap;

use bytes::Bytes;

use crate::generation::Generation;
use crate::key::AccountKey;
use crate::node::{Answer, Miss, Node, Now};

/// Answers that a worker keeps. When there are more, it drops all of them.
const MAX_ANSWERS: usize = 512;
/// Larger tokens are not kept, in bytes: a worker's memory stays below 4 MiB.
const MAX_TOKEN: usize = 8 << 10;

/// The answers of one worker.
#[derive(Debug, Default)]
pub(super) struct WorkerCache(HashMap<AccountKey, CachedAnswer>);

#[derive(Debug)]
struct CachedAnswer {
    generation: Generation,
    answer: Answer,
    body: Bytes,
}

impl WorkerCache {
    /// Responds with an answer that can be given without waiting, and its body. The flag says whether it was in memory.
    pub(super) fn respond<R>(
        &mut self,
        node: &Node,
        key: &AccountKey,
        respond: impl FnOnce(&Answer, &Bytes) -> R,
    ) -> Result<(R, bool), Miss> {
        // Before the look-up: what happens during it makes the answer a short-lived one, not a wrong one.
        let generation = node.generation(key);
        if let Some(kept) = self.0.get(key)
            && kept.generation == generation
            && node.is_fresh(&kept.answer)
        {
            return Ok((respond(&kept.answer, &kept.body), true));
        }
        let Some(answer) = node.get_now(key) else {
            // It is asked for rarely, so it is not worth a place here.
            return match node.look_now(key) {
                Now::Served(answer) => Ok((respond(&answer, answer.entry().token()), false)),
                Now::Miss(miss) => Err(miss),
            };
        };
        let token = answer.entry().token();
        if token.len() > MAX_TOKEN {
            return Ok((respond(&answer, token), true));
        }
        if self.0.len() >= MAX_ANSWERS {
            self.0.clear();
        }
        // A copy of its own: counting the holders of a shared one would be a write that all cores share.
        let body = Bytes::copy_from_slice(token);
        let response = respond(&answer, &body);
        self.0.insert(*key, CachedAnswer { generation, answer, body });
        Ok((response, true))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nkeys::KeyPair;
    use serde_json::json;

    use super::*;
    use crate::clock;
    use crate::gate::{Gate, Trust, Via};
    use crate::node::Stamp;
    use crate::node::fake::Fake;
    use crate::testkit::{self, sign};

    struct World {
        operator: KeyPair,
        account: KeyPair,
        gate: Arc<Gate>,
        fake: Arc<Fake>,
        node: Node,
        cache: WorkerCache,
    }

    impl World {
        fn new() -> Self {
            let (operator, now) = (KeyPair::new_operator(), clock::unix_seconds());
            let jwt = sign(&testkit::operator(&operator, now, &[]), &operator);
            let trust = Trust::from_operator_jwt(&jwt, now);
            let (gate, fake) =
                (Arc::new(Gate::new(Some(trust.expect("an operator")), None, 3_600)), Arc::new(Fake::default()));
            let node = fake.node(&gate);
            Self { operator, account: KeyPair::new_account(), gate, fake, node, cache: WorkerCache::default() }
        }

        /// Has the role hold a JWT with this name.
        fn hold(&self, name: &str) {
            let now = clock::unix_seconds();
            let claims = testkit::with(testkit::account(&self.account, now), json!({ "name": name }));
            let jwt = sign(&claims, &self.operator);
            let entry = self.gate.admit(jwt.as_bytes(), None, Via::Post, now).expect("admitted");
            self.fake.hold(Answer::cached(Arc::new(entry), None, Stamp::default()));
        }

        fn name(&mut self) -> Result<String, Miss> {
            let key = AccountKey::parse(&self.account.public_key()).expect("a key");
            let responded = self.cache.respond(&self.node, &key, |answer, body| {
                assert_eq!(answer.entry().token(), body);
                answer.entry().called().to_string()
            });
            responded.map(|(name, _)| name)
        }
    }

    #[test]
    fn a_worker_asks_again_only_for_what_changed_or_is_not_fresh() {
        let mut world = World::new();
        assert!(matches!(world.name(), Err(Miss::Absent)));
        world.hold("first");
        for _ in 0..3 {
            assert!(world.name().expect("held").starts_with("first"));
        }
        assert_eq!(world.fake.asked(), 2);
        world.hold("second");
        assert!(world.name().expect("held").starts_with("second"));
        assert_eq!(world.fake.asked(), 3);
        world.fake.set_fresh(false);
        for _ in 0..2 {
            assert!(world.name().is_ok());
        }
        assert_eq!(world.fake.asked(), 5);
    }
}
