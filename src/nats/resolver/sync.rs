//! PACK, asked: compares the store of a full resolver with this one.
//!
//! One full resolver answers, and which one is chance, so packs are asked for again and again. Newer JWTs are stored if the
//! gate accepts them. JWTs that are older, foreign, or deleted here are noted, and repaired after the pack has ended
//! ([`heal`]).

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::super::queue::{Queued, bounded};
use super::super::{Connected, subjects};
use super::Resolver;
use super::heal::{self, Reason, Sightings};
use crate::backoff::drawn;
use crate::jwt::pack;
use crate::key::AccountKey;
use crate::node::PackVerdict;

/// What of a pack may wait, in bytes.
const WAITING: usize = 128 << 20;
/// How long the first message may take: a full resolver with very many accounts looks at them first.
const FIRST: Duration = Duration::from_secs(10);
/// How long the next one may take.
const NEXT: Duration = Duration::from_secs(5);
/// A pack that goes on for longer is not listened to any more.
const LONGEST: Duration = Duration::from_secs(3600);
/// Messages that are no lines of a pack, after which it is not listened to any more.
const JUNK: usize = 1000;
/// JWTs that are weighed in one go, and their bytes.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// Sightings that are repaired after one pack; the next pack goes on after them.
const SIGHTINGS: usize = 2000;
/// The longest pause between two packs that brought nothing.
const RARELY: Duration = Duration::from_secs(3600);

/// How a pack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It stores what is stored here.
    Equal,
    /// All of it was heard.
    Whole,
    /// It broke off, or was no pack.
    Incomplete,
    /// A full resolver should have answered, and did not.
    Silent,
    /// No full resolver is there to answer.
    Nobody,
}

/// The result of a pack.
#[derive(Debug)]
struct Pack {
    ending: Ending,
    /// JWTs in it.
    seen: usize,
    /// Those that were newer.
    taken: usize,
    /// Those that were rejected, or could not be judged, with the reason of the last one.
    refused: usize,
    reason: Option<String>,
    junk: usize,
    sightings: Sightings,
    /// Sightings up to here were dealt with after the last pack.
    after: Option<AccountKey>,
    /// There are more than are dealt with in one go.
    is_more: bool,
}

impl Pack {
    /// One of which nothing was heard yet. Sightings up to `after` are passed over.
    fn behind(after: Option<AccountKey>) -> Self {
        Self {
            ending: Ending::Incomplete,
            seen: 0,
            taken: 0,
            refused: 0,
            reason: None,
            junk: 0,
            sightings: Sightings::new(),
            after,
            is_more: false,
        }
    }
}

/// How long to wait for the next pack.
#[derive(Debug)]
struct SyncPace {
    base: Duration,
    pause: Duration,
}

impl SyncPace {
    const fn new(base: Duration) -> Self {
        Self { base, pause: base }
    }

    /// The pause after a pack. A pack that brought nothing new would bring nothing again, so the pauses grow.
    fn after(&mut self, ending: Ending, has_changed: bool) -> Duration {
        let in_vain = matches!(ending, Ending::Whole | Ending::Incomplete) && !has_changed;
        self.pause = if in_vain { (self.pause * 2).min(RARELY.max(self.base)) } else { self.base };
        self.pause
    }
}

/// Asks for packs, for as long as the process lives.
pub(super) async fn run(resolver: Arc<Resolver>, packs: Arc<Connected>, base: Duration) {
    let (mut pace, mut connection, mut after) = (SyncPace::new(base), None, None);
    loop {
        let hash = resolver.node.pack_hash().await;
        let Some(hash) = hash.ok().flatten().filter(|_| packs.is_connected()) else {
            // There is nothing to compare yet, or no connection.
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        if connection.replace(packs.generation()) != Some(packs.generation()) {
            // Other resolvers may be there now.
            pace = SyncPace::new(base);
            // Soon, but not together with all the other servers that were cut off.
            sleep(drawn(Duration::from_secs(1), 0.2..=1.5)).await;
        }
        let pack = ask(&resolver, &packs, hash, after).await;
        report(&resolver, &pack);
        if pack.ending == Ending::Nobody {
            resolver.policy.missed();
        }
        // In the order of their keys, as packs of full resolvers are.
        after = pack.sightings.keys().max_by_key(|key| *key.raw()).copied().filter(|_| pack.is_more);
        let pause = pace.after(pack.ending, pack.taken > 0 || pack.is_more);
        heal::all(&resolver, pack.sightings, pack.ending == Ending::Whole).await;
        let until = Instant::now() + drawn(pause, 0.9..=1.1);
        while Instant::now() < until && connection == Some(packs.generation()) {
            sleep(Duration::from_millis(500).min(until.saturating_duration_since(Instant::now()))).await;
        }
    }
}

/// Asks for one pack, and hears it to its end.
async fn ask(resolver: &Arc<Resolver>, packs: &Connected, hash: [u8; 32], after: Option<AccountKey>) -> Pack {
    let mut pack = Pack::behind(after);
    // An inbox for each pack: what still comes of an earlier one is not heard.
    let (client, inbox) = (packs.client(), packs.client().new_inbox());
    let Ok(mut messages) = client.subscribe(inbox.clone()).await else { return pack };
    if client.publish_with_reply(subjects::PACK, inbox, Bytes::copy_from_slice(&hash)).await.is_err() {
        return pack;
    }
    let (queue, taken) = bounded(WAITING);
    let listening = tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            // What has no room is missing, and so is the end then.
            if queue.offer(message).is_err() {
                return;
            }
        }
    });
    hear(resolver, taken, &mut pack).await;
    listening.abort();
    pack
}

async fn hear(resolver: &Arc<Resolver>, mut taken: Queued, pack: &mut Pack) {
    let (until, mut patience) = (Instant::now() + LONGEST, FIRST);
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
    pack.ending = loop {
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            if !weigh(resolver, &mut batch, pack).await {
                return;
            }
        }
        let Ok(Some((message, _room))) = timeout(patience, taken.next()).await else {
            break if pack.seen == 0 { Ending::Silent } else { Ending::Incomplete };
        };
        match message {
            Message { status: Some(_), .. } if pack.seen == 0 => break Ending::Nobody,
            Message { payload, .. } if payload.is_empty() => {
                break if pack.seen == 0 { Ending::Equal } else { Ending::Whole };
            }
            Message { payload, .. } => {
                bytes += payload.len();
                read(&payload, &mut batch, pack);
            }
        }
        if pack.junk > JUNK || Instant::now() > until {
            break Ending::Incomplete;
        }
        patience = NEXT;
    };
    if !weigh(resolver, &mut batch, pack).await {
        pack.ending = Ending::Incomplete;
    }
}

/// A JWT of a pack.
struct Offer {
    key: AccountKey,
    token: Bytes,
    /// It is held there with white space behind it, which is no part of it, but is of the hash.
    is_untrimmed: bool,
}

/// Reads a message of a pack: as a rule one line, `<key>|<JWT>`.
fn read(payload: &Bytes, batch: &mut Vec<Offer>, pack: &mut Pack) {
    for line in payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match pack::line(line) {
            Some((key, token)) => {
                let is_untrimmed = !line.ends_with(token) || payload.ends_with(b"\n");
                batch.push(Offer { key, token: payload.slice_ref(token), is_untrimmed });
                pack.seen += 1;
            }
            None => pack.junk += 1,
        }
    }
}

/// Takes in what is news. `false`: that failed, and what comes would fail likewise.
async fn weigh(resolver: &Arc<Resolver>, batch: &mut Vec<Offer>, pack: &mut Pack) -> bool {
    let offers = batch.iter().map(|offer| (offer.key, offer.token.clone())).collect();
    let verdicts = match resolver.node.merge(offers).await {
        Ok(verdicts) => verdicts,
        Err(error) => {
            tracing::error!("cannot merge a pack: {error}");
            return false;
        }
    };
    for (offer, verdict) in batch.drain(..).zip(verdicts) {
        let reason = match verdict {
            PackVerdict::Same if offer.is_untrimmed => Reason::Spelling,
            PackVerdict::Same => continue,
            PackVerdict::Taken => {
                pack.taken += 1;
                tracing::info!(account = %offer.key, "updated JWT for account - {} from a pack", resolver.node.called(&offer.key));
                continue;
            }
            PackVerdict::Respelt => Reason::Spelling,
            PackVerdict::Older => Reason::Older,
            PackVerdict::Tie => Reason::Tie,
            PackVerdict::Deleted => Reason::Deleted,
            PackVerdict::Foreign(refusal) => {
                pack.refused += 1;
                pack.reason = Some(format!("account {}: {refusal}", offer.key));
                Reason::Foreign
            }
            PackVerdict::Refused(refusal) => {
                pack.refused += 1;
                pack.reason = Some(format!("account {}: {refusal}", offer.key));
                continue;
            }
        };
        if pack.after.is_some_and(|after| offer.key.raw() <= after.raw()) {
            continue;
        }
        if pack.sightings.len() < SIGHTINGS {
            pack.sightings.insert(offer.key, reason);
        } else {
            pack.is_more = true;
        }
    }
    true
}

fn report(resolver: &Resolver, pack: &Pack) {
    let result = match pack.ending {
        Ending::Equal => "equal",
        Ending::Nobody => "nobody",
        Ending::Silent => "silent",
        Ending::Incomplete => "incomplete",
        Ending::Whole if pack.taken == 0 => "unchanged",
        Ending::Whole => "merged",
    };
    resolver.node.metrics().nats.packs.inc([result]);
    let Pack { seen, taken, .. } = pack;
    if *taken > 0 {
        tracing::info!(taken, "a pack of another resolver brought {taken} of its {seen} JWTs");
    } else {
        tracing::debug!("requested a pack: {result}, {seen} JWTs");
    }
    if let Some(reason) = &pack.reason {
        resolver.refused("pack", format_args!("{} of its {seen} JWTs; the last, {reason}", pack.refused));
    }
    if pack.junk > 0 {
        resolver.junk("pack", format_args!("{} messages in it are no line of a pack", pack.junk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_behind_a_token_is_noticed() {
        let key = AccountKey::from_raw([9; 32]);
        let untrimmed = |text: String| {
            let (mut batch, mut pack) = (Vec::new(), Pack::behind(None));
            read(&text.into(), &mut batch, &mut pack);
            batch.iter().map(|offer| offer.is_untrimmed).collect::<Vec<_>>()
        };
        assert_eq!(untrimmed(format!("{key}|a.b.c")), [false]);
        assert_eq!(untrimmed(format!("{key}|a.b.c\n")), [true]);
    }

    #[test]
    fn packs_in_vain_become_rare_and_others_do_not() {
        let second = Duration::from_secs(1);
        let mut pace = SyncPace::new(60 * second);
        let pauses = [
            (Ending::Whole, false, 120),
            (Ending::Whole, false, 240),
            (Ending::Incomplete, false, 480),
            (Ending::Whole, true, 60),
            (Ending::Equal, false, 60),
            (Ending::Whole, false, 120),
            (Ending::Silent, false, 60),
            (Ending::Nobody, false, 60),
        ];
        for (ending, has_changed, wanted) in pauses {
            assert_eq!(pace.after(ending, has_changed), wanted * second, "{ending:?} {has_changed}");
        }
        for _ in 0..20 {
            pace.after(Ending::Whole, false);
        }
        assert_eq!(pace.after(Ending::Whole, false), RARELY);
    }
}
