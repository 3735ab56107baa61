//! A dry run: what would become of a JWT if it were pushed, and what that would mean for other accounts. Nothing is stored,
//! counted or announced.
//!
//! The verdict is made by the functions that judge a push: the gate, and what the journal's writer asks of a head
//! ([`JournalReader::weigh_put`]). So the two cannot differ, unless something else is pushed in between.

mod effects;
mod importers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Lookup, LookupError, Node, Whole};
use crate::clock;
use crate::excerpt::excerpt_of;
use crate::gate::{Activation, Gate, Refusal, SentFor, Tombstone, Via};
use crate::jwt::{self, AccountJwt, ClaimDiff, GenericJwt, HashId, NotAJwt, given};
use crate::key::AccountKey;
use crate::store::journal::{AccountStatus, Weighed, WeighedAgainst};
use crate::store::{JournalReader, StoreError, blocking};

pub use effects::{SharingCode, SharingEffect, SharingEffects};

/// For how long the effects on other accounts are looked for, at most.
const TIME: Duration = Duration::from_secs(2);

/// The longest name and subject that are shown, in bytes. Their signers choose them.
const MAX_TEXT: usize = 256;

/// What a JWT is that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckedKind {
    /// An account JWT, or something that cannot be read and was pushed as one.
    Account,
    /// An activation.
    Activation,
    /// A request to delete accounts.
    DeleteRequest,
}

impl CheckedKind {
    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Activation => "activation",
            Self::DeleteRequest => "delete_request",
        }
    }
}

/// What would become of it.
#[derive(Debug)]
pub enum CheckedOutcome {
    /// It would be accepted. The flag says whether that is a change.
    Accepted(bool),
    /// It would be rejected.
    Rejected(Refusal),
    /// The signing service would be asked to sign it.
    Signed,
}

/// The result of a dry run.
#[derive(Debug)]
pub struct Checked {
    /// What it is.
    pub kind: CheckedKind,
    /// The account's key, the activation's hash, or the key of the account that is deleted. `None`: it cannot be read, or
    /// there are several.
    pub key: Option<String>,
    /// The name that the JWT has, or its beginning.
    pub name: Option<String>,
    /// What would become of it.
    pub outcome: CheckedOutcome,
    /// The newest version that is stored of the same key, also if it was deleted or expired.
    pub stored: Option<WeighedAgainst>,
    /// What does not prevent it, and deserves a look.
    pub warnings: Vec<String>,
    /// What differs from the newest version that is stored. `None`: no text to compare with is stored.
    pub diff: Option<ClaimDiff>,
    /// What it would mean for other accounts, and for its own imports.
    pub effects: SharingEffects,
}

/// Why a body was not checked.
#[derive(Debug, thiserror::Error)]
pub enum NotChecked {
    /// It is empty, or has a private key in it.
    #[error(transparent)]
    NotAJwt(NotAJwt),
    /// It is a JWT of another kind.
    #[error("{}", jwt::belongs(.0))]
    Kind(String),
    /// What is stored could not be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// The parts that a dry run needs.
struct Trial {
    gate: Arc<Gate>,
    journal: Arc<JournalReader>,
    /// How many activations an account may have.
    limit: u64,
    /// Unix seconds.
    now: i64,
}

impl Node {
    /// Says what would become of a JWT or delete request if it were pushed. `Ok(None)`: this is a cache.
    pub async fn check(&self, body: Bytes) -> Result<Option<Checked>, NotChecked> {
        let journal = match self.whole() {
            Whole::Stored { journal, .. } => journal,
            Whole::NotYet(why) => return Err(LookupError::NotYet(why).into()),
            Whole::Never => return Ok(None),
        };
        let kind = kind(&body)?;
        if let (CheckedKind::Account, Some(ledger), Some(called)) = (kind, self.ledger(), jwt::called(&body)) {
            // If its file is in a sub-folder that cannot be read, nothing is known of it.
            ledger.find(called.key()).await.map_err(LookupError::from)?;
        }
        // A mirror does not know the bound of its primary.
        let limit = self.ledger().map_or(i64::MAX.unsigned_abs(), |ledger| ledger.activations_per_account());
        let trial = Trial { gate: self.gate.clone(), journal, limit, now: clock::unix_seconds() };
        let sent = body.clone();
        let mut checked = blocking(move || trial.run(kind, &body)).await.map_err(LookupError::from)?;
        if matches!(self.ledger(), Some(ledger) if ledger.is_read_only()) {
            checked.warnings.push("this server serves a read-only folder; change the files there".to_owned());
        }
        if let CheckedOutcome::Rejected(Refusal::IssuerKind { .. }) = checked.outcome
            && let Some(outcome) = self.may_be_signed(&sent).await
        {
            checked.outcome = outcome.map_or_else(CheckedOutcome::Rejected, |()| CheckedOutcome::Signed);
        }
        Ok(Some(checked))
    }
}

/// What a body is.
fn kind(body: &[u8]) -> Result<CheckedKind, NotChecked> {
    let text = match given(body) {
        Ok(text) => text,
        Err(found) if found.is_private() || matches!(found, NotAJwt::Empty) => return Err(NotChecked::NotAJwt(found)),
        // The gate says what it is.
        Err(_) => return Ok(CheckedKind::Account),
    };
    match jwt::kind(&text).as_deref() {
        None | Some("account") => Ok(CheckedKind::Account),
        Some("activation") => Ok(CheckedKind::Activation),
        Some(_) if GenericJwt::decode(&text).is_ok_and(|request| request.accounts().is_some()) => {
            Ok(CheckedKind::DeleteRequest)
        }
        Some(kind) => Err(NotChecked::Kind(kind.to_owned())),
    }
}

impl Trial {
    fn run(&self, kind: CheckedKind, body: &[u8]) -> Result<Checked, StoreError> {
        let claims = jwt::glance(body);
        let name = claims.as_ref().and_then(|claims| shown(&claims.name));
        let key = match kind {
            CheckedKind::Account => claims.and_then(|claims| AccountKey::parse(&claims.sub).ok()).map(|key| key.text()),
            CheckedKind::Activation | CheckedKind::DeleteRequest => None,
        };
        let mut checked = Checked {
            kind,
            key,
            name,
            outcome: CheckedOutcome::Accepted(false),
            stored: None,
            warnings: Vec::new(),
            diff: None,
            effects: SharingEffects::default(),
        };
        let refused = match kind {
            CheckedKind::Account => self.account(body, &mut checked)?,
            CheckedKind::Activation => self.activation(body, &mut checked)?,
            CheckedKind::DeleteRequest => self.delete_request(body, &mut checked)?,
        };
        if let Some(refusal) = refused {
            checked.outcome = CheckedOutcome::Rejected(refusal);
        }
        Ok(checked)
    }

    /// Checks an account JWT. Returns why it would be rejected.
    fn account(&self, body: &[u8], checked: &mut Checked) -> Result<Option<Refusal>, StoreError> {
        let entry = match self.gate.admit(body, None, Via::Post, self.now) {
            Ok(entry) => entry,
            Err(refusal) => return Ok(Some(refusal)),
        };
        let Weighed { change, stored } = self.journal.weigh_put(&entry, Via::Post, &self.gate.standing())?;
        checked.stored = stored;
        let before = self.journal.account_head(entry.key())?.and_then(|(_, before)| before);
        checked.diff = before.and_then(|before| differences(before.text(), entry.text()));
        // The gate has decoded it before.
        let Ok(new) = AccountJwt::decode(entry.text()) else { return Ok(None) };
        // A glance sees only what is spelt as usual.
        (checked.key, checked.name) = (Some(entry.key().text()), shown(&new.claims.name));
        let issues = new.validate(self.now);
        checked.warnings.extend(issues.told().map(std::borrow::Cow::into_owned));
        match change {
            Ok(change) => checked.outcome = CheckedOutcome::Accepted(change),
            Err(refusal) => return Ok(Some(refusal)),
        }
        checked.effects = effects::of_account(self, entry.key(), &new, Instant::now() + TIME)?;
        Ok(None)
    }

    /// Checks an activation, likewise.
    fn activation(&self, body: &[u8], checked: &mut Checked) -> Result<Option<Refusal>, StoreError> {
        let unproven = match self.gate.read_activation(body, SentFor::ANY, Via::Post, self.now) {
            Ok(unproven) => unproven,
            Err(refusal) => return Ok(Some(refusal)),
        };
        checked.key = Some(unproven.id().text());
        let account = self.lookup(unproven.account())?;
        let activation = match account.prove(unproven) {
            Ok(activation) => activation,
            Err(refusal) => return Ok(Some(refusal)),
        };
        let Weighed { change, stored } = self.journal.weigh_activation(&activation, Via::Post, self.limit)?;
        checked.stored = stored;
        checked.diff = self.activation_differences(activation.id(), &activation)?;
        match change {
            Ok(change) => checked.outcome = CheckedOutcome::Accepted(change),
            Err(refusal) => return Ok(Some(refusal)),
        }
        Ok(None)
    }

    fn activation_differences(&self, id: &HashId, new: &Activation) -> Result<Option<ClaimDiff>, StoreError> {
        let stored = self.journal.activation(id)?;
        Ok(stored.and_then(|stored| differences(stored.activation.text(), new.text())))
    }

    /// Checks a delete request, likewise.
    fn delete_request(&self, body: &[u8], checked: &mut Checked) -> Result<Option<Refusal>, StoreError> {
        let tombstone: Tombstone = match self.gate.admit_delete(body, Via::Post, self.now) {
            Ok(tombstone) => tombstone,
            Err(refusal) => return Ok(Some(refusal)),
        };
        if let [key] = tombstone.keys() {
            checked.key = Some(key.text());
        }
        match self.journal.weigh_delete(&tombstone, &self.gate.standing())? {
            Ok(change) => checked.outcome = CheckedOutcome::Accepted(change),
            Err(refusal) => return Ok(Some(refusal)),
        }
        checked.effects = effects::of_deletion(self, tombstone.keys(), Instant::now() + TIME)?;
        Ok(None)
    }

    /// What an account serves.
    fn lookup(&self, key: &AccountKey) -> Result<Lookup, StoreError> {
        Ok(match self.journal.status(key)? {
            AccountStatus::Live(stored) if self.gate.vouches(stored.entry.issuer()) => Lookup::Served(Arc::new(stored)),
            AccountStatus::Live(stored) => Lookup::Withheld(*stored.entry.issuer()),
            AccountStatus::Unknown | AccountStatus::Deleted | AccountStatus::Removed => Lookup::Absent,
        })
    }
}

/// A name as it is shown. `None`: there is none.
fn shown(name: &str) -> Option<String> {
    Some(excerpt_of(name, MAX_TEXT).part().into_owned()).filter(|name| !name.is_empty())
}

/// What differs between two tokens. `None`: one of them cannot be read.
fn differences(before: &str, after: &str) -> Option<ClaimDiff> {
    Some(jwt::diff(&jwt::plain(before).ok()?, &jwt::plain(after).ok()?))
}
