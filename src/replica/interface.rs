//! What other rooms ask of a replica. Each question goes to the part that knows.

use std::sync::Arc;

use super::{
    Access, Ages, AheadPage, ForwardError, Miss, Onward, Question, Relayed, Replica, Slot, Unavailable, Write, ahead,
    digests,
};
use crate::clock;
use crate::config::ReplicaWrites;
use crate::epoch::Epoch;
use crate::feed::digest::{Ask, Comparison, Prefix, View};
use crate::feed::{Fingerprint, Head};
use crate::gate::{Judged, OperatorChange, Position, Refusal, SentFor, Trust};
use crate::jwt::HashId;
use crate::key::{AccountKey, PublicKey};
use crate::store::{Follower, FollowerChange, StoreError};
use crate::tls::Files;

impl Replica {
    /// The URL of the server that is asked now, without credentials.
    pub fn primary(&self) -> &str {
        self.parts.upstream.shown()
    }

    /// By what this process knows itself.
    pub fn name(&self) -> &str {
        &self.parts.env.name
    }

    /// The servers on the way upstream, the nearest first, as far as they say so.
    pub fn route(&self) -> Vec<String> {
        self.parts.upstream.route()
    }

    /// How many seconds later it is here than at the server that is asked; `None`: not known yet.
    pub fn clock_difference(&self) -> Option<f64> {
        self.parts.upstream.clock_difference()
    }

    /// For people: how the clock here compares with that one, as in `62 s ahead of`, if they are too far apart.
    pub fn clock_problem(&self) -> Option<String> {
        self.parts.upstream.clock_problem()
    }

    /// What speaks against the server that is asked now, if anything does.
    pub fn fault(&self) -> Option<Arc<str>> {
        self.parts.upstream.fault()
    }

    /// The same URL as a client would use it that has credentials of its own, without a slash at its end.
    pub fn public_url(&self) -> &str {
        self.parts.upstream.public()
    }

    /// What becomes of changes that clients send here.
    pub fn writes(&self) -> ReplicaWrites {
        self.parts.env.setup.writes
    }

    /// The TLS files towards the primary, to be watched.
    pub fn tls_files(&self) -> &Arc<Files> {
        self.parts.upstream.tls_files()
    }

    /// Meets the primary in another way from the next request on. What is broken is logged and changes nothing. Blocks.
    pub fn set_access(&self, access: &Access) {
        self.parts.upstream.set_access(access);
    }

    /// A JWT that is at hand and fresh.
    pub fn cached(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.parts.held.fresh(key)
    }

    /// A JWT that is at hand and that the feed, which is live, confirms; not if the primary itself was not heard lately.
    pub fn confirmed(&self, key: &AccountKey) -> Option<Arc<Slot>> {
        self.parts.held.confirmed(key)
    }

    /// Whether asking the primary for an account may bring what the feed confirms: the feed is live, the primary was heard
    /// lately, and the account is not known to be unknown.
    pub fn may_find(&self, key: &AccountKey) -> bool {
        self.is_following() && self.parts.held.freshness.is_current() && !self.parts.held.is_unknown(key)
    }

    /// Moves whenever something is heard of an account.
    pub fn epoch(&self, key: &AccountKey) -> Epoch {
        self.parts.held.epoch(key)
    }

    /// Whether an entry can be served without asking.
    pub fn is_fresh(&self, slot: &Slot) -> bool {
        self.parts.held.is_fresh(slot)
    }

    /// How old an entry is, and what this replica knows of its primary.
    pub fn ages(&self, slot: &Slot) -> Ages {
        self.parts.held.freshness.ages(slot)
    }

    /// Whether the feed, up to where this replica stands, confirms an entry.
    pub fn is_confirmed(&self, slot: &Slot) -> bool {
        self.parts.held.freshness.is_confirmed(slot)
    }

    /// Up to where everything that is served here without asking is current; `None`: no history is followed yet.
    pub fn position(&self) -> Option<Head> {
        self.parts.held.positions.confirmed()
    }

    /// Entries and bytes in the cache.
    pub fn size(&self) -> (u64, u64) {
        self.parts.held.size()
    }

    /// Whether the feed is connected and caught up.
    pub fn is_following(&self) -> bool {
        self.parts.held.freshness.is_following()
    }

    /// Whether the primary has ever answered, on the feed or to a request.
    pub fn was_reached(&self) -> bool {
        self.silence().is_some() || self.parts.upstream.was_reached()
    }

    /// Milliseconds since the primary was last heard on the feed; `None`: never.
    pub fn silence(&self) -> Option<i64> {
        self.parts.held.freshness.silence()
    }

    /// For people: how the snapshot does. `None`: there is none.
    pub fn snapshot_state(&self) -> Option<String> {
        self.parts.held.disk.describe()
    }

    /// Takes the configured JWT of the system account. The first one stays.
    pub fn set_system_jwt(&self, token: &[u8]) -> Result<(), Refusal> {
        self.parts.held.set_system_jwt(token)
    }

    /// The key that signed an account's JWT, if it is known here to be withheld.
    pub fn withheld_by(&self, key: &AccountKey) -> Option<PublicKey> {
        self.parts.held.known.withheld_by(key)
    }

    /// The replicas behind this one that an earlier process knew. Blocks for a query.
    pub fn followers(&self) -> Vec<Follower> {
        self.parts.held.disk.snapshot().followers()
    }

    /// Remembers and forgets replicas behind this one. Blocks for writing.
    pub fn note_followers(&self, changes: &[FollowerChange]) -> Result<(), StoreError> {
        self.parts.held.disk.snapshot().set_followers(changes)
    }

    /// The serial up to which the feed was followed.
    pub fn serial(&self) -> u64 {
        self.parts.held.freshness.serial()
    }

    /// The JWT of an account: from the cache, or pulled. `Ok(None)`: the primary does not know it.
    ///
    /// Takes at most the time-out of one request to the primary when nothing is at hand, and less than a second when a
    /// copy is.
    pub async fn get(&self, key: &AccountKey) -> Result<Option<Arc<Slot>>, Unavailable> {
        self.parts.pull.get(key).await
    }

    /// What there is to do about an account of which nothing is at hand that could be served without asking.
    pub fn miss(&self, key: &AccountKey) -> Miss {
        self.parts.pull.miss(key)
    }

    /// All keys that exist, for those who follow this replica. `None`: it does not know them.
    pub fn key_list(&self) -> Option<(Position, Vec<Fingerprint>)> {
        self.parts.pull.key_list()
    }

    /// Whether there is nothing to serve of an account because its JWT is withheld.
    pub fn is_withheld(&self, key: &AccountKey) -> bool {
        self.parts.pull.is_withheld(key)
    }

    /// An activation: from the cache, or pulled; still to be judged by its account's JWT. `Ok(None)`: the primary does
    /// not know it.
    pub async fn activation(&self, id: &HashId) -> Result<Option<Arc<Judged>>, Unavailable> {
        self.parts.activations.get(id).await
    }

    /// What there is to do about an activation of which nothing is at hand that could be served without asking.
    pub fn miss_activation(&self, id: &HashId) -> Miss {
        self.parts.activations.miss(id)
    }

    /// Hears of an activation over NATS. Returns whether it is now the copy at hand.
    pub fn hint_activation(&self, token: &[u8], sent_for: SentFor<'_>) -> Result<bool, Refusal> {
        self.parts.activations.hear(token, sent_for)
    }

    /// Hears a claims update over NATS, whose subject named `expected`.
    pub fn hint(&self, token: &[u8], expected: &AccountKey) -> Result<(), Refusal> {
        self.parts.hints.hear(token, expected)
    }

    /// Brings another operator JWT into force, as a file has it. Says what it changes.
    pub fn configure_operator(&self, trust: &Arc<Trust>) -> Result<OperatorChange, Refusal> {
        self.parts.operators.configure(trust)
    }

    /// Why the operator JWT of the primary cannot be connected with the one in force here, if that is so.
    pub fn operator_unconnected(&self) -> Option<String> {
        self.parts.operators.unconnected()
    }

    /// Whether everything is to be kept.
    pub fn is_mirror(&self) -> bool {
        self.parts.env.is_mirror()
    }

    /// Whether something had to be let go of for want of room.
    pub fn is_full(&self) -> bool {
        self.parts.held.disk.is_full()
    }

    /// Accounts that are newer here than at the primary.
    pub fn ahead(&self) -> i64 {
        self.parts.held.known.memory.ahead()
    }

    /// The accounts after `after` of which the primary was found to hold something older, or nothing. Blocks for queries.
    pub fn ahead_page(&self, after: Option<&AccountKey>) -> AheadPage {
        ahead::page(&self.parts.held, after)
    }

    /// A place of the digest tree. `None`: only the primary can tell. Blocks for queries.
    pub fn digests(&self, prefix: Option<Prefix>) -> Option<View> {
        digests::view(&self.parts.held, prefix)
    }

    /// A piece of what stands here and differs from what is asked about. `None`: only the primary can tell. Blocks for
    /// queries.
    pub fn compare(&self, ask: &Ask) -> Option<Comparison> {
        digests::compare(&self.parts.held, ask)
    }

    /// Sends a change on to the primary. When this returns an answer, what the primary took in is taken in here.
    pub async fn forward(&self, write: &Write) -> Result<Relayed, ForwardError> {
        self.forwarding.forward(write).await
    }

    /// Asks the primary about its digests, and gives its answer as it is.
    pub async fn relay_digests(&self, question: Question) -> Result<Relayed, ForwardError> {
        self.forwarding.ask(question).await
    }

    /// What replicas behind this one can follow.
    pub fn onward(&self) -> Onward {
        self.relay.onward()
    }

    /// Milliseconds since the primary itself was last known to stand where this replica does, whatever is between them.
    pub fn primary_age(&self) -> u64 {
        let age = self.silence().unwrap_or_else(clock::unix_millis);
        u64::try_from(age).unwrap_or(0)
    }

    /// The replicas between the primary and those behind this one, which is the last.
    pub fn path(&self) -> Vec<String> {
        let mut path = self.relay.via();
        path.push(self.parts.env.name.to_string());
        path
    }

    /// How many replicas there are between the primary and this one.
    pub fn tiers(&self) -> usize {
        self.relay.via().len()
    }
}
