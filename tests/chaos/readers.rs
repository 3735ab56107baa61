//! Who reads, and judges each answer.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use super::ledger::World;
use super::node::{Node, Sight};
use super::support::Reply;

/// nats-server waits so long for its URL resolver.
const IN_TIME: Duration = Duration::from_millis(1_900);

/// Reads one account after the other from a node.
pub(super) async fn reader(world: Arc<World>, node: Arc<Node>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    while !world.is_over() {
        let subject = rng.random_range(0..world.used());
        read(&world, &node, subject).await;
        sleep(Duration::from_millis(rng.random_range(1..6))).await;
    }
}

/// Reads an account from a node, if that runs. Returns the answer.
pub(super) async fn read(world: &World, node: &Node, subject: usize) -> Option<Reply> {
    let sight = node.ask(subject)?;
    let reply = timeout(IN_TIME, sight.http.try_get(&world.path(subject))).await;
    let took = sight.took();
    let wrong = match reply {
        Ok(Ok(reply)) => {
            judge(world, node, &sight, subject, &reply);
            return Some(reply);
        }
        Ok(Err(error)) => format!("no answer: {error:?}"),
        Err(_) => format!("no answer after {took:?}"),
    };
    if node.ran_since(&sight) {
        world.fault(subject, &format!("{}: {wrong}; before: {:?}", node.name, sight.before));
    }
    None
}

fn judge(world: &World, node: &Node, sight: &Sight, subject: usize, reply: &Reply) {
    let fault = |what: &str| world.fault(subject, &format!("{}: {what}", node.name));
    let before = &sight.before;
    world.ledger().count(format!("{} {}", node.name, reply.status));
    match reply.status {
        200 => {
            let minted = {
                let ledger = world.ledger();
                ledger.number(&reply.body).map(|number| (number, ledger.minted(number).subject))
            };
            match minted {
                None => fault(&format!("nobody signed what is served: {}", reply.body)),
                Some((_, other)) if other != subject => fault("another account's JWT is served"),
                Some((number, _)) => {
                    node.learn(world, sight, subject, |seen| seen.served(world, before, number));
                }
            }
        }
        404 => node.learn(world, sight, subject, |seen| seen.absent(world, subject, before)),
        // What was deleted is not known any more, and neither is what was never asked for.
        503 if !before.is_known() || before.deletion(world, subject).is_some() => {}
        status => {
            if node.ran_since(sight) {
                fault(&format!("status {status}, {} before: {before:?}", reply.body));
            }
        }
    }
}
