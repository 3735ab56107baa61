//! What a mirror holds, brought into a journal; and what it does not hold.

use std::io::Write;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::super::findings::Findings;
use super::trust::Trusted;
use crate::clock;
use crate::gate::{Activation, Entry, Gate, Held, Position, Refusal, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::logging::Bar;
use crate::nats;
use crate::store::journal::Load;
use crate::store::snapshot::{Copy, FoundSnapshot, Proof, ProofId, ProofKind, Snapshot, Walk};

/// Copies that are read at once.
const BATCH: u32 = 128;
/// So many of the last changes are announced to the nats-servers again: nobody knows which of them the old primary still
/// announced, and those before are long known.
const ANNOUNCED_AGAIN: u64 = 1000;

/// What was brought into the journal, and what of it is missing.
pub(super) struct Gathered {
    /// Accounts whose JWT was signed by a key that is not listed now.
    pub(super) withheld: u64,
    /// Requests that deleted something.
    pub(super) deletions: u64,
    /// Activations.
    pub(super) activations: u64,
    missing: Findings,
    unproven: Findings,
    other: Findings,
}

impl Gathered {
    fn new() -> Self {
        Self {
            withheld: 0,
            deletions: 0,
            activations: 0,
            missing: Findings::of(
                "accounts have no JWT here: older versions stay rejected; push theirs if you have it",
            ),
            unproven: Findings::of("accounts are deleted, but the request is not here: replicas will not learn of it"),
            other: Findings::of("other things are in the way"),
        }
    }

    /// What is wrong with the snapshot as a whole.
    pub(super) fn note(&mut self, found: FoundSnapshot, snapshot: &Snapshot) {
        if found == FoundSnapshot::CutOff {
            self.other.add("the snapshot was cut off".to_owned());
        } else if snapshot.is_damaged() {
            self.other.add("the snapshot is damaged".to_owned());
        }
        match snapshot.stand() {
            None => self.other.add("it has no position".to_owned()),
            Some(stand) if !stand.is_mirror => {
                self.other.add("it is a cache's, which holds only what was asked for".to_owned());
            }
            Some(stand) if stand.position.is_none() => {
                self.other.add("the mirror had not yet received everything that its primary held".to_owned());
            }
            Some(_) => {}
        }
    }

    /// Whether nothing is missing.
    pub(super) const fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.unproven.is_empty() && self.other.is_empty()
    }

    /// Lists what is missing.
    pub(super) fn write(&self, out: &mut dyn Write) {
        for findings in [&self.missing, &self.unproven, &self.other] {
            if !findings.is_empty() {
                // Nobody to tell, if the output is closed.
                let _ = findings.write(out);
            }
        }
    }
}

/// Something that becomes a change.
enum GatheredItem {
    Account(AccountKey),
    Removed(AccountKey),
    Proof(ProofId),
}

/// Where a change comes: those of earlier sessions first, then those of the one that was followed, and last what is of an
/// unknown place.
type PlaceInOrder = (u8, [u8; 16], u64);

/// Brings everything into the journal.
pub(super) fn gather(
    load: &mut Load<'_>,
    snapshot: &Snapshot,
    trusted: &Trusted,
    bar: &Bar,
) -> rusqlite::Result<Gathered> {
    let mut gathered = Gathered::new();
    if let Some(operator) = &trusted.operator {
        load.operator(operator)?;
    }
    load.withdrawn(&trusted.withdrawn)?;
    let Some(walk) = snapshot.walk() else {
        gathered.other.add("it has received nothing yet".to_owned());
        return Ok(gathered);
    };
    let mut gather = Gather {
        load,
        snapshot,
        gate: &trusted.gate,
        // What a withdrawn key signed is withheld, not lost: it has only to be sound.
        any_signer: Gate::new(None, None, 0),
        now: clock::unix_seconds(),
        gathered,
    };
    let (items, deleted, damaged) = gather.remember(&walk)?;
    let count = items.len() as u64;
    for (done, (_, item)) in (1..).zip(items) {
        match item {
            GatheredItem::Account(key) => gather.account(&key)?,
            GatheredItem::Removed(key) => gather.load.removed(&key)?,
            GatheredItem::Proof(id) => gather.proof(&id)?,
        }
        bar.show(done, count);
    }
    if damaged > 0 {
        gather.gathered.other.add(format!("{damaged} rows of what was seen are damaged"));
        gather.adopt()?;
    }
    for key in deleted {
        if !gather.load.is_proven(&key)? {
            gather.gathered.unproven.add(key.text());
        }
    }
    gather.load.passed(nats::CURSOR, ANNOUNCED_AGAIN)?;
    Ok(gather.gathered)
}

struct Gather<'l, 'c> {
    load: &'l mut Load<'c>,
    snapshot: &'l Snapshot,
    gate: &'l Gate,
    any_signer: Gate,
    now: i64,
    gathered: Gathered,
}

/// What is to become changes, in their order; the accounts that are deleted; and how many rows are damaged.
type Remembered = (Vec<(PlaceInOrder, GatheredItem)>, Vec<AccountKey>, u64);

impl Gather<'_, '_> {
    /// Brings over what was seen of every account.
    fn remember(&self, walk: &Walk) -> rusqlite::Result<Remembered> {
        let session = self.snapshot.stand().and_then(|stand| stand.position).map(|head| head.session.0);
        let place = |at: Option<Position>| match at {
            Some(at) => (u8::from(Some(at.session) == session), at.session, at.serial),
            None => (2, [0; 16], 0),
        };
        let (mut items, mut deleted, mut result) = (Vec::new(), Vec::new(), Ok(()));
        let standing = self.gate.standing();
        let mut damaged = walk.seen(|key, seen| {
            if result.is_err() {
                return;
            }
            let held = seen.as_one(&standing);
            result = self.load.remember(&key, &held);
            if held.is_live() {
                let item = if seen.removed { GatheredItem::Removed(key) } else { GatheredItem::Account(key) };
                items.push((place(held.position()), item));
            } else if held.deleted().is_some() {
                deleted.push(key);
            }
        })?;
        result?;
        for kind in [ProofKind::Delete, ProofKind::Activation] {
            damaged += walk.proofs(kind, |id, proof| items.push((place(proof.at), GatheredItem::Proof(id))))?;
        }
        items.sort_by_key(|(place, _)| *place);
        Ok((items, deleted, damaged))
    }

    fn account(&mut self, key: &AccountKey) -> rusqlite::Result<()> {
        let missing = match self.snapshot.copy(key).map(|copy| self.entry(&copy)) {
            None => "it is not kept".to_owned(),
            Some(Err(refusal)) => refusal,
            Some(Ok(entry)) if self.load.account(&entry)? => {
                self.gathered.withheld += u64::from(!self.gate.vouches(entry.issuer()));
                return Ok(());
            }
            Some(Ok(entry)) => format!("what is kept is another version, issued at {}", entry.iat()),
        };
        self.gathered.missing.add(format!("{key}: {missing}"));
        Ok(())
    }

    /// A copy through the gate.
    fn entry(&self, copy: &Copy) -> Result<Arc<Entry>, String> {
        let admit = |gate: &Gate| gate.admit(&copy.jwt, Some(&copy.key), Via::Snapshot, self.now);
        let entry = match admit(self.gate) {
            Err(Refusal::Untrusted(_) | Refusal::IdentityKeyUsed(_)) => admit(&self.any_signer),
            admitted => admitted,
        };
        entry.map(Arc::new).map_err(|refusal| refusal.to_string())
    }

    fn proof(&mut self, id: &ProofId) -> rusqlite::Result<()> {
        let Some(proof) = self.snapshot.proof(id) else { return Ok(()) };
        match id.0 {
            ProofKind::Delete => self.deletion(&proof),
            ProofKind::Activation => self.activation(&HashId::from_raw(id.1), &proof),
        }
    }

    fn deletion(&mut self, proof: &Proof) -> rusqlite::Result<()> {
        // It passed the gate when it came, and its signer may have been withdrawn since.
        match Tombstone::reopen(proof.body.clone()).filter(|tombstone| *tombstone.identity() == proof.identity) {
            Some(tombstone) => {
                self.load.delete(&Arc::new(tombstone))?;
                self.gathered.deletions += 1;
            }
            None => self.gathered.other.add("a delete request cannot be read".to_owned()),
        }
        Ok(())
    }

    fn activation(&mut self, id: &HashId, proof: &Proof) -> rusqlite::Result<()> {
        // Whether it is vouched for is judged when it is asked for, and one that has expired is forgotten by the primary.
        match Activation::reopen(&proof.body, &Sha256::digest(&proof.body).into())
            .filter(|activation| activation.id() == id)
        {
            Some(activation) => {
                self.load.activation(&Arc::new(activation))?;
                self.gathered.activations += 1;
            }
            None => self.gathered.other.add(format!("the activation {id} cannot be read")),
        }
        Ok(())
    }

    /// Takes copies of accounts of which nothing is remembered, because what was seen of them is lost.
    fn adopt(&mut self) -> rusqlite::Result<()> {
        let mut after = 0;
        while let Some((copies, last)) = self.snapshot.copies(after, BATCH) {
            after = last;
            for copy in copies {
                if self.load.knows(&copy.key)? {
                    continue;
                }
                if let Ok(entry) = self.entry(&copy) {
                    let held = Held::restore(Some(entry.version()), Vec::new(), None, Vec::new());
                    self.load.remember(entry.key(), &held)?;
                    self.load.account(&entry)?;
                }
            }
        }
        Ok(())
    }
}
