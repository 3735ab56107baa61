//! A thief who has every signing key, and a fleet that hears of things in any order.
//!
//! The thief puts files on any machine, pushes, and stands in for upstream, with JWTs that he signs and with old ones that he
//! has seen. The identity key signs now and then, with the keys that are stolen as well. Then it withdraws them all. From then
//! on no node that has heard of that trusts a stolen key, and all that hear the primary's chain hold the same.

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::SignedBy::{Identity, Key};
use super::*;
use crate::gate::operator::{Arrival, Begun, Way, admit, begin, replay};

/// Keys that are stolen. The thief makes none of his own: he lists and uses these.
const STOLEN: usize = 3;
/// A key that nobody stole.
const HONEST: usize = STOLEN;
/// The first node is the primary.
const NODES: usize = 4;

#[derive(Clone, Debug)]
enum FleetStep {
    /// The identity key signs, and the primary gets it.
    Sign { listed: Vec<usize>, post: bool },
    /// An honest signing key signs, and the primary gets it in a file.
    Link { listed: Vec<usize> },
    /// The thief signs a JWT, dated off by so many seconds.
    Forge { by: usize, listed: Vec<usize>, off: i64 },
    /// Something that exists already reaches a node: as a file, a push, or in the name of upstream.
    Bring { node: usize, which: prop::sample::Index, way: u8 },
    /// A node hears its primary: the whole chain, or the last link alone.
    Hear { node: usize, whole: bool },
    /// A node starts again, with something that exists in its configured file.
    Restart { node: usize, file: prop::sample::Index },
    /// Time passes, in seconds.
    Wait(i64),
}

fn listed() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::subsequence((0..=HONEST).collect::<Vec<_>>(), 0..=HONEST + 1)
}

fn steps() -> impl Strategy<Value = Vec<FleetStep>> {
    let off = prop_oneof![3 => -600..=AHEAD, 1 => AHEAD + 1..=9 * AHEAD];
    let step = prop_oneof![
        2 => (listed(), any::<bool>()).prop_map(|(listed, post)| FleetStep::Sign { listed, post }),
        2 => listed().prop_map(|listed| FleetStep::Link { listed }),
        4 => (0..STOLEN, listed(), off).prop_map(|(by, listed, off)| FleetStep::Forge { by, listed, off }),
        6 => (0..NODES, any::<prop::sample::Index>(), 0..3u8)
            .prop_map(|(node, which, way)| FleetStep::Bring { node, which, way }),
        4 => (1..NODES, any::<bool>()).prop_map(|(node, whole)| FleetStep::Hear { node, whole }),
        1 => (0..NODES, any::<prop::sample::Index>()).prop_map(|(node, file)| FleetStep::Restart { node, file }),
        2 => prop_oneof![1..100i64, AHEAD - 5..3 * AHEAD].prop_map(FleetStep::Wait),
    ];
    prop::collection::vec(step, 0..30)
}

/// The keys that a JWT lists, its `iat`, and the signing key that signed it.
type FleetReply = (Vec<usize>, i64, Option<usize>);

/// JWTs that were signed before, by what they say: signing is most of the work.
struct Mint {
    cast: OperatorCast,
    made: RefCell<HashMap<FleetReply, Arc<Trust>>>,
}

impl Mint {
    fn jwt(&self, listed: &[usize], iat: i64, by: SignedBy) -> Arc<Trust> {
        let key = if let Key(key) = by { Some(key) } else { None };
        let mut made = self.made.borrow_mut();
        made.entry((listed.to_vec(), iat, key)).or_insert_with(|| self.cast.jwt(listed, iat, by, "")).clone()
    }
}

struct ModelFleet<'m> {
    mint: &'m Mint,
    now: i64,
    nodes: Vec<OperatorChain>,
    /// `iat` of the withdrawal. What the identity key signs later says the same.
    withdrawn: Option<i64>,
    /// Whether a node has heard of the withdrawal.
    heard: [bool; NODES],
    /// All that was ever signed.
    seen: Vec<Arc<Trust>>,
}

impl<'m> ModelFleet<'m> {
    fn new(mint: &'m Mint) -> Self {
        let first = mint.jwt(&[0, 1, 2, HONEST], NOW - 10_000, Identity);
        let nodes = vec![OperatorChain::begin(first.clone()); NODES];
        Self { mint, now: NOW, nodes, withdrawn: None, heard: [false; NODES], seen: vec![first] }
    }

    fn arrival(&self, way: Way) -> Arrival {
        Arrival { way, now: self.now, max_iat_ahead: AHEAD }
    }

    /// The identity key signs, and the primary gets it. It has to be accepted, whatever the thief did.
    fn sign(&mut self, listed: &[usize], post: bool) -> Arc<Trust> {
        // Within a second the order of two depends on the primary alone, and the thief could tell a follower another.
        self.now += 1;
        let jwt = self.mint.jwt(listed, self.now, Identity);
        let way = if post { Way::Post } else { Way::File };
        self.seen.push(jwt.clone());
        if let Ok(next) = admit(&self.nodes[0], &jwt, &self.arrival(way)) {
            self.nodes[0] = next.expect("a change");
        }
        jwt
    }

    fn hear(&mut self, node: usize, links: &[Arc<Trust>]) {
        let withdrawn = |link: &Arc<Trust>| self.withdrawn.is_some_and(|at| link.is_self_signed() && link.iat() >= at);
        self.heard[node] |= links.iter().any(withdrawn);
        let replayed = replay(&self.nodes[node], links, &self.arrival(Way::Upstream));
        if let Some(chain) = replayed.steps.into_iter().next_back() {
            self.nodes[node] = chain;
        }
    }

    fn hear_primary(&mut self, node: usize, whole: bool) {
        let links: Vec<_> = self.nodes[0].links().cloned().collect();
        let from = if whole { 0 } else { links.len() - 1 };
        self.hear(node, &links[from..]);
    }

    fn step(&mut self, step: &FleetStep) {
        match step {
            FleetStep::Sign { listed, post } => _ = self.sign(listed, *post),
            FleetStep::Link { listed } => {
                self.now += 1;
                let jwt = self.mint.jwt(listed, self.now, Key(HONEST));
                self.seen.push(jwt.clone());
                if let Ok(Some(chain)) = admit(&self.nodes[0], &jwt, &self.arrival(Way::File)) {
                    self.nodes[0] = chain;
                }
            }
            FleetStep::Forge { by, listed, off } => {
                let jwt = self.mint.jwt(listed, self.now + off, Key(*by));
                self.seen.push(jwt);
            }
            FleetStep::Bring { node, which, way } => {
                let jwt = which.get(&self.seen).clone();
                let way = match (way, node) {
                    (0, 0) => Way::File,
                    (0, _) => Way::FollowerFile,
                    (_, 0) => Way::Post,
                    _ => return self.hear(*node, &[jwt]),
                };
                if let Ok(Some(chain)) = admit(&self.nodes[*node], &jwt, &self.arrival(way)) {
                    self.nodes[*node] = chain;
                }
            }
            FleetStep::Hear { node, whole } => self.hear_primary(*node, *whole),
            FleetStep::Restart { node, file } => {
                let (file, way) = (file.get(&self.seen), if *node == 0 { Way::File } else { Way::FollowerFile });
                match begin(Some(&self.nodes[*node]), Some(file), None, &self.arrival(way)).expect("it starts") {
                    Begun::Next(chain) => self.nodes[*node] = chain,
                    Begun::Kept | Begun::Refused(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            FleetStep::Wait(seconds) => self.now += seconds,
        }
    }

    fn trusts_thief(&self, node: usize) -> bool {
        (0..STOLEN).any(|key| self.nodes[node].in_force().lists(&self.mint.cast.keys[key].public_key()))
    }
}

fn mint() -> Mint {
    Mint { cast: OperatorCast::new(HONEST + 1), made: RefCell::default() }
}

/// Steps after the withdrawal: nobody honest lists a stolen key again.
fn sober(step: FleetStep) -> FleetStep {
    match step {
        FleetStep::Link { .. } => FleetStep::Link { listed: vec![HONEST] },
        FleetStep::Sign { post, .. } => FleetStep::Sign { listed: vec![HONEST], post },
        step => step,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn no_stolen_key_outlives_the_withdrawal_where_that_is_heard(before in steps(), after in steps(), post in any::<bool>()) {
        let mint = mint();
        let mut fleet = ModelFleet::new(&mint);
        for step in &before {
            fleet.step(step);
        }
        let withdrawal = fleet.sign(&[HONEST], post);
        prop_assert_eq!(fleet.nodes[0].in_force().version(), withdrawal.version(), "nothing bars it");
        fleet.withdrawn = Some(withdrawal.iat());
        for step in after.into_iter().map(sober) {
            fleet.step(&step);
            for node in 0..NODES {
                // A file that was accepted was heard, too.
                fleet.heard[node] |= fleet.nodes[node].knows(withdrawal.version());
            }
            for node in 0..NODES {
                prop_assert!(!(fleet.heard[node] && fleet.trusts_thief(node)), "node {node} after {step:?}");
            }
        }
        // In the end all hold what the primary does, whatever they heard before, and in which order.
        for node in 1..NODES {
            fleet.hear_primary(node, true);
            prop_assert!(!fleet.trusts_thief(node));
            prop_assert_eq!(fleet.nodes[node].in_force().version(), fleet.nodes[0].in_force().version(), "node {}", node);
        }
    }

    #[test]
    fn what_a_node_ends_with_does_not_depend_on_the_order_in_which_it_heard(
        forged in prop::collection::vec((0..STOLEN, listed(), -600..=AHEAD), 0..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        other in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mint = mint();
        let mut fleet = ModelFleet::new(&mint);
        for (by, listed, off) in forged {
            fleet.step(&FleetStep::Forge { by, listed, off });
        }
        let withdrawal = fleet.sign(&[HONEST], false);
        fleet.now += 60;
        let link = mint.jwt(&[HONEST], fleet.now, Key(HONEST));
        fleet.seen.push(link.clone());
        for (node, order) in [(1, &order), (2, &other)] {
            for which in order {
                let jwt = which.get(&fleet.seen).clone();
                fleet.hear(node, &[jwt]);
            }
            fleet.hear(node, &[withdrawal.clone(), link.clone()]);
        }
        for node in [1, 2] {
            let links: Vec<_> = fleet.nodes[node].links().map(|link| *link.version()).collect();
            prop_assert_eq!(links, vec![*withdrawal.version(), *link.version()]);
        }
    }
}
