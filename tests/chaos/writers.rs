//! Who pushes and deletes.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use super::ledger::World;
use super::node::{Node, Sight};

/// How long a writer waits for an answer.
const PATIENT: Duration = Duration::from_secs(2);

/// Where changes are sent.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) primary: Arc<Node>,
    /// A replica that sends them on.
    pub(super) forwarder: Arc<Node>,
}

impl Desk {
    /// Pushes a JWT, sent to the primary or `by` the replica. Returns the status, if there was an answer.
    pub(super) async fn push(&self, world: &World, by_replica: bool, number: usize) -> Option<u16> {
        let (subject, iat, text) = {
            let ledger = world.ledger();
            let minted = ledger.minted(number);
            (minted.subject, minted.iat, minted.text.to_string())
        };
        let node = if by_replica { &self.forwarder } else { &self.primary };
        let sight = node.ask(subject)?;
        world.note(subject, &format!("JWT {number} of {iat} goes to {}", node.name));
        let reply = timeout(PATIENT, sight.http.try_post(&world.path(subject), text)).await;
        let status = self.is_answered(world, node, &sight, subject, reply)?;
        world.note(subject, &format!("JWT {number} of {iat}: {status}"));
        if status == 200 && by_replica {
            // Whatever becomes of it there, the replica shows nothing older.
            node.learn(world, &sight, subject, |seen| {
                seen.at_least = seen.at_least.max(iat);
                None
            });
        } else if status == 200 {
            node.learn(world, &sight, subject, |seen| seen.served(world, &sight.before, number));
        }
        Some(status)
    }

    async fn delete(&self, world: &World, by_replica: bool, subjects: &[usize], later: i64) {
        let node = if by_replica { &self.forwarder } else { &self.primary };
        let Some(sight) = node.ask(subjects[0]) else { return };
        let (request, iat) = world.mint_deletion(subjects, later);
        let note = |line: &str| subjects.iter().for_each(|subject| world.note(*subject, line));
        note(&format!("a deletion of {iat} goes to {}", node.name));
        let reply = timeout(PATIENT, sight.http.try_delete(&world.path(subjects[0]), request)).await;
        let Some(status) = self.is_answered(world, node, &sight, subjects[0], reply) else { return };
        note(&format!("the deletion of {iat}: {status}"));
        if status == 200 {
            for subject in subjects {
                node.learn(world, &sight, *subject, |seen| {
                    seen.buried(iat);
                    None
                });
            }
        } else if !by_replica {
            world.fault(subjects[0], &format!("a deletion later than everything: {status}"));
        }
    }

    fn is_answered(
        &self,
        world: &World,
        node: &Node,
        sight: &Sight,
        subject: usize,
        reply: Result<reqwest::Result<super::support::Reply>, tokio::time::error::Elapsed>,
    ) -> Option<u16> {
        let is_primary = std::ptr::eq(node, &raw const *self.primary);
        match reply {
            Ok(Ok(reply)) => {
                world.ledger().count(format!("{} takes {}", node.name, reply.status));
                // A replica cannot always send on what it is given.
                if is_primary && !matches!(reply.status, 200 | 409) && node.ran_since(sight) {
                    world.fault(subject, &format!("the primary says {}: {}", reply.status, reply.body));
                }
                Some(reply.status)
            }
            Ok(Err(error)) if is_primary && node.ran_since(sight) => {
                world.fault(subject, &format!("the primary does not answer: {error:?}"));
                None
            }
            _ => None,
        }
    }

    /// A JWT that is later than everything before it is taken.
    async fn push_news(&self, world: &World, by_replica: bool, subject: usize, later: i64) {
        let number = world.mint(subject, later);
        let status = self.push(world, by_replica, number).await;
        if !by_replica && status.is_some_and(|status| status != 200) {
            world.fault(subject, &format!("JWT {number}, which is later than everything: {status:?}"));
        }
    }
}

/// Writes until it is over.
pub(super) async fn writer(world: Arc<World>, desk: Desk, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    while !world.is_over() {
        let by_replica = rng.random_ratio(1, 5);
        let any = rng.random_range(0..world.used());
        match rng.random_range(0..100) {
            0..12 => {
                let new = world.next();
                let _turn = world.accounts[new].turn.lock().await;
                desk.push_news(&world, by_replica, new, 1).await;
            }
            12..55 => {
                let _turn = world.accounts[any].turn.lock().await;
                desk.push_news(&world, by_replica, any, rng.random_range(1..3)).await;
            }
            55..75 => {
                let _turn = world.accounts[any].turn.lock().await;
                desk.push_news(&world, by_replica, any, 1).await;
                desk.push_news(&world, by_replica, any, 0).await;
            }
            75..90 => {
                let _turn = world.accounts[any].turn.lock().await;
                let versions = world.ledger().versions(any);
                if !versions.is_empty() {
                    let old = versions[rng.random_range(0..versions.len())];
                    desk.push(&world, by_replica, old).await;
                }
            }
            _ => {
                let other = rng.random_range(0..world.used());
                let mut subjects = vec![any];
                if other != any && rng.random() {
                    subjects.push(other);
                    subjects.sort_unstable();
                }
                let mut turns = Vec::new();
                for subject in &subjects {
                    turns.push(world.accounts[*subject].turn.lock().await);
                }
                desk.delete(&world, by_replica, &subjects, rng.random_range(0..2)).await;
            }
        }
        sleep(Duration::from_millis(rng.random_range(2..30))).await;
    }
}
