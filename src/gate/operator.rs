//! Which operator JWT may replace the one in force: one rule for every path.
//!
//! Trust is pinned to the operator's identity key. A JWT of this key cuts off links whose signers it does not list, so
//! a stolen key cannot block its own withdrawal. A JWT of a signing key counts only if the JWT in force lists that key,
//! so an old JWT cannot bring back a withdrawn key.

use std::sync::Arc;

use super::chain::{MOST_BYTES, MOST_LINKS, OperatorChain, Origin};
use super::{OperatorRefusal, Trust};
use crate::key::PublicKey;

/// The path of an operator JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A file on this machine, on a primary: at start, at a reload, in an nsc folder, at a restore or promotion.
    File,
    /// A file on this machine, on a replica. At an equal `iat`, upstream decides.
    FollowerFile,
    /// A `POST` over HTTP.
    Post,
    /// A `POST` over HTTP of a client with the scope `admin`.
    AdminPost,
    /// Upstream's chain, on a replica.
    Upstream,
}

/// The path and time of an operator JWT.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The way.
    pub way: Way,
    /// The time, unix seconds.
    pub now: i64,
    /// Seconds by which `iat` may be ahead of the clock.
    pub max_iat_ahead: i64,
}

impl Way {
    /// Whether somebody sent it over HTTP.
    pub const fn is_post(self) -> bool {
        matches!(self, Self::Post | Self::AdminPost)
    }
}

impl Arrival {
    fn check_clock(&self, iat: i64) -> Result<(), OperatorRefusal> {
        let ahead = iat.saturating_sub(self.now);
        if ahead > self.max_iat_ahead { Err(OperatorRefusal::FromTheFuture { ahead }) } else { Ok(()) }
    }
}

/// The chain after `candidate`. `Ok(None)`: it is in force already.
pub fn admit(
    chain: &OperatorChain,
    candidate: &Arc<Trust>,
    arrival: &Arrival,
) -> Result<Option<OperatorChain>, OperatorRefusal> {
    let in_force = chain.in_force();
    if candidate.identity() != in_force.identity() {
        return Err(OperatorRefusal::Other { ours: *in_force.identity(), offered: *candidate.identity() });
    }
    if candidate.version() == in_force.version() {
        return Ok(None);
    }
    // A link that was cut off here may be in force upstream, which received it in another order. Its signer must be
    // listed. A link that was removed by hand never comes back.
    let by_hand = chain.origin() == Origin::Trusted;
    let may_return = arrival.way == Way::Upstream && !candidate.is_self_signed() && !by_hand;
    if chain.has(candidate.version()) || (chain.knows(candidate.version()) && !may_return) {
        return Err(OperatorRefusal::Replaced { identity: *candidate.identity() });
    }
    let admitted = if candidate.is_self_signed() {
        by_identity_key(chain, candidate, arrival)
    } else {
        by_signing_key(chain, candidate, arrival)
    };
    admitted.map(Some)
}

/// The identity key signed it: it becomes the anchor, if it is newer than what it does not cut off. In upstream's chain, it
/// may also be older than links that follow from it.
fn by_identity_key(
    chain: &OperatorChain,
    candidate: &Arc<Trust>,
    arrival: &Arrival,
) -> Result<OperatorChain, OperatorRefusal> {
    let (offered, in_force) = (candidate.iat(), chain.in_force().iat());
    if arrival.way != Way::Upstream {
        arrival.check_clock(offered)?;
    }
    let kept = chain.later().iter().take_while(|link| candidate.lists(link.issuer()));
    let held = kept.map(|link| link.iat()).fold(chain.anchor().iat(), i64::max);
    if offered < held {
        // Upstream had it before the links that are newer. Without it, what it replaced could come back here.
        return match arrival.way {
            Way::Upstream if offered > chain.anchor().iat() => Ok(chain.anchored_below(candidate.clone())),
            _ => Err(OperatorRefusal::Older { held, offered }),
        };
    }
    // Design: a direct write wins at the primary, and a follower goes by its primary's order.
    if offered == held && arrival.way == Way::FollowerFile {
        return Err(OperatorRefusal::Tie(offered));
    }
    if offered == held && arrival.way != Way::Upstream && chain.is_second_full(offered) {
        return Err(OperatorRefusal::SecondFull(offered));
    }
    // Upstream has decided this by its own chain, and this one may have heard of the withdrawal late.
    if arrival.way != Way::Upstream && in_force.saturating_sub(offered) > arrival.max_iat_ahead {
        return Err(OperatorRefusal::FarOlder { held: in_force, offered });
    }
    Ok(chain.anchored_at(candidate.clone()))
}

/// A signing key signed it: it becomes the next link, if the one in force lists that key.
fn by_signing_key(
    chain: &OperatorChain,
    candidate: &Arc<Trust>,
    arrival: &Arrival,
) -> Result<OperatorChain, OperatorRefusal> {
    let (in_force, identity) = (chain.in_force(), *candidate.identity());
    let signer = candidate.issuer().to_owned();
    if arrival.way == Way::Post {
        return Err(OperatorRefusal::NotByIdentity { signer, identity });
    }
    if !in_force.lists(&signer) {
        return Err(OperatorRefusal::Unlisted { signer, identity });
    }
    let (held, offered) = (in_force.iat(), candidate.iat());
    if offered <= held {
        return Err(OperatorRefusal::Older { held, offered });
    }
    if chain.len() >= MOST_LINKS || chain.bytes() + candidate.token().len() > MOST_BYTES {
        return Err(OperatorRefusal::TooLong { links: chain.len(), identity });
    }
    arrival.check_clock(offered)?;
    Ok(chain.with(candidate.clone()))
}

/// The operator at start.
#[derive(Debug)]
pub enum Begun {
    /// The stored chain, or nothing.
    Kept,
    /// The stored chain, because the configured JWT may not replace it.
    Refused(OperatorRefusal),
    /// The configured JWT is the next of the same operator.
    Next(OperatorChain),
    /// The configured JWT is the first that is known here.
    First(OperatorChain),
    /// The configured JWT is another operator's, as it was asked for.
    Changed(OperatorChain),
}

/// Decides at start between the stored chain and the configured JWT. An error ends the start.
///
/// `change_to`: the identity key of another operator, whose JWT may replace the stored chain.
pub fn begin(
    kept: Option<&OperatorChain>,
    configured: Option<&Arc<Trust>>,
    change_to: Option<&PublicKey>,
    arrival: &Arrival,
) -> Result<Begun, OperatorRefusal> {
    let Some(configured) = configured else { return Ok(Begun::Kept) };
    let anew = || {
        arrival.check_clock(configured.iat())?;
        Ok(OperatorChain::begin(configured.clone()))
    };
    let Some(kept) = kept else { return anew().map(Begun::First) };
    match admit(kept, configured, arrival) {
        Ok(None) => Ok(Begun::Kept),
        Ok(Some(chain)) => Ok(Begun::Next(chain)),
        Err(OperatorRefusal::Other { offered, .. }) if change_to == Some(&offered) => anew().map(Begun::Changed),
        Err(other @ OperatorRefusal::Other { .. }) => Err(other),
        Err(refusal) => Ok(Begun::Refused(refusal)),
    }
}

/// The effect of upstream's chain here.
#[derive(Debug)]
pub struct Replayed {
    /// The chain after each link that was accepted, in order.
    pub steps: Vec<OperatorChain>,
    /// Where that leads.
    pub end: ChainEnd,
}

/// Where upstream's chain leads.
#[derive(Debug)]
pub enum ChainEnd {
    /// It ends at what is in force here.
    InSync,
    /// It ends at something older than what is in force here.
    Ahead,
    /// To a link that is not taken before the clock says so: in this many seconds.
    NotYet(i64),
    /// It cannot be linked to what is in force here.
    Unconnected(OperatorRefusal),
}

/// Applies the links of upstream's chain, oldest first, to the chain in force here. Known links change nothing.
pub fn replay(chain: &OperatorChain, links: &[Arc<Trust>], arrival: &Arrival) -> Replayed {
    let (mut steps, mut refused): (Vec<OperatorChain>, _) = (Vec::new(), None);
    for link in links {
        match admit(steps.last().unwrap_or(chain), link, arrival) {
            Ok(next) => {
                steps.extend(next);
                refused = None;
            }
            Err(OperatorRefusal::FromTheFuture { ahead }) => {
                let wait = ahead.saturating_sub(arrival.max_iat_ahead);
                return Replayed { steps, end: ChainEnd::NotYet(wait) };
            }
            Err(refusal) => refused = Some(refusal),
        }
    }
    let chain = steps.last().unwrap_or(chain);
    let is_behind = |last: &Arc<Trust>| {
        last.identity() == chain.anchor().identity()
            && (chain.knows(last.version()) || last.iat() <= chain.anchor().iat())
    };
    let end = match refused {
        None => ChainEnd::InSync,
        Some(_) if links.last().is_some_and(is_behind) => ChainEnd::Ahead,
        Some(refusal) => ChainEnd::Unconnected(refusal),
    };
    Replayed { steps, end }
}
