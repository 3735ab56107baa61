//! The journal as the audit log sees it, and what a change has to wait for.

use std::sync::Arc;

use bytes::Bytes;

use super::Primary;
use crate::audit::{AuditLog, Committed, Rejected, Source, What};
use crate::clock;
use crate::feed::{Change, Operation, SubjectKind};
use crate::gate::{ActivationRefusal, Entry, Refusal, Sender, SentFor, Tombstone, Trust, Via};
use crate::jwt;
use crate::key::AccountKey;
use crate::node::WriteError;
use crate::store::journal::{AuditedChange, CommitError};
use crate::store::{JournalReader, StoreError};

/// The changes of a journal.
pub(super) struct JournalSource(pub(super) Arc<JournalReader>);

impl Source for JournalSource {
    fn position(&self) -> ([u8; 16], u64) {
        let head = self.0.head();
        (head.session.0, head.serial)
    }

    fn after(&self, serial: u64, limit: u64) -> Result<Vec<Committed>, String> {
        let changes = self.0.audited(serial, limit).map_err(|error| error.for_clients())?;
        Ok(changes.into_iter().map(line).collect())
    }
}

fn line(change: AuditedChange) -> Committed {
    let AuditedChange { serial, at, operation, subjects, account, name, via, actor } = change;
    // A deletion that names nobody is about accounts all the same.
    let kind = subjects.first().map_or(SubjectKind::Account, |subject| subject.kind());
    let op = match (kind, operation) {
        (_, Operation::Delete) => "delete",
        (_, Operation::Remove) => "removed",
        (SubjectKind::Account, Operation::Put) => "put",
        (SubjectKind::Operator, Operation::Put) => "operator",
        (SubjectKind::Activation, Operation::Put) => "activation",
    };
    let what = What {
        kind: kind.name(),
        op,
        keys: subjects.iter().map(|subject| subject.text()).collect(),
        account: account.map(|account| account.text()),
        name,
    };
    Committed { serial, at, what, via, client: actor }
}

/// Says what was committed.
pub(super) fn tell(audit: &AuditLog, changes: &[Arc<Change>]) {
    for change in changes {
        audit.committed(change.serial, change.actor.as_ref());
    }
    audit.wake();
}

impl Primary {
    /// The audit log, if there is one.
    pub const fn audit(&self) -> Option<&Arc<AuditLog>> {
        self.audit.as_ref()
    }

    /// Whether a change may be committed, as far as the audit log is concerned.
    pub(super) fn may_commit(&self) -> Result<(), CommitError> {
        match &self.audit {
            Some(audit) => audit.may_commit().map_err(|error| Arc::new(StoreError::from(error)).into()),
            None => Ok(()),
        }
    }

    /// Waits until a committed change may be acknowledged, as far as the audit log is concerned.
    pub(super) async fn audited(&self, serial: u64) -> Result<(), CommitError> {
        match &self.audit {
            Some(audit) => audit.durable(serial).await.map_err(|error| Arc::new(StoreError::from(error)).into()),
            None => Ok(()),
        }
    }
}

/// Rejected attempts. Those without a valid signature of a key that counts are none: anybody can make them.
impl Primary {
    /// An account JWT that the gate rejected.
    pub(super) fn audit_token(&self, token: &[u8], error: &CommitError, sender: &Sender) {
        let Some((audit, refusal)) = self.attempt(error, sender) else { return };
        // Everything else is rejected before, or instead of, the check of the signature.
        let is_signed = matches!(
            refusal,
            Refusal::WrongAccount { .. }
                | Refusal::SubjectKind(_)
                | Refusal::IdentityKeyUsed(_)
                | Refusal::Invalid(_)
                | Refusal::FromTheFuture { .. }
        );
        let Some(claims) = jwt::glance(token).filter(|_| is_signed) else { return };
        if self.counts(&claims.iss) {
            let keys = AccountKey::parse(&claims.sub).iter().map(AccountKey::text).collect();
            let name = Some(claims.name);
            audit.rejected(rejected(
                What { kind: "account", op: "put", keys, account: None, name },
                refusal.reason(),
                sender,
            ));
        }
    }

    /// An account JWT that the order of versions rejected.
    pub(super) fn audit_put(&self, entry: &Entry, error: &CommitError, sender: &Sender) {
        let Some((audit, refusal)) = self.attempt(error, sender) else { return };
        let name = jwt::glance(entry.token()).map(|claims| claims.name);
        let what = What { kind: "account", op: "put", keys: vec![entry.key().text()], account: None, name };
        audit.rejected(rejected(what, refusal.reason(), sender));
    }

    /// A delete request.
    pub(super) fn audit_delete(&self, request: &[u8], error: &CommitError, sender: &Sender) {
        let Some((audit, refusal)) = self.attempt(error, sender) else { return };
        let is_signed = matches!(
            refusal,
            Refusal::DeleteMalformed
                | Refusal::DeleteSystemAccount
                | Refusal::DeleteElsewhere(_)
                | Refusal::DeleteOlder { .. }
                | Refusal::FromTheFuture { .. }
        ) || refusal.is_conflict();
        if is_signed {
            let bare = jwt::given(request).ok().map(|text| Bytes::copy_from_slice(text.as_bytes()));
            let keys = bare
                .and_then(Tombstone::reopen)
                .iter()
                .flat_map(|request| request.keys())
                .map(AccountKey::text)
                .collect();
            let what = What { kind: "account", op: "delete", keys, account: None, name: None };
            audit.rejected(rejected(what, refusal.reason(), sender));
        }
    }

    /// An activation.
    pub(super) fn audit_activation(&self, token: &[u8], error: &CommitError, sender: &Sender) {
        let Some((audit, refusal)) = self.attempt(error, sender) else { return };
        let is_signed =
            refusal.is_conflict() || matches!(refusal, Refusal::Activation(ActivationRefusal::TooMany { .. }));
        let read = |token| self.gate.read_activation(token, SentFor::ANY, sender.via, clock::unix_seconds()).ok();
        if let Some(activation) = Some(token).filter(|_| is_signed).and_then(read) {
            let (keys, account) = (vec![activation.id().text()], Some(activation.account().text()));
            let what = What { kind: "activation", op: "activation", keys, account, name: None };
            audit.rejected(rejected(what, refusal.reason(), sender));
        }
    }

    /// An operator JWT.
    pub(super) fn audit_operator(&self, trust: &Trust, error: &WriteError, sender: &Sender) {
        let Some(audit) = &self.audit else { return };
        let reason = match error {
            WriteError::Refused(refusal) => refusal.reason(),
            WriteError::Withholds { .. } => "withholds",
            _ => return,
        };
        if self.counts(trust.issuer()) {
            let (keys, name) = (vec![trust.identity().text()], Some(trust.name().to_owned()));
            let what = What { kind: "operator", op: "operator", keys, account: None, name };
            audit.rejected(rejected(what, reason, sender));
        }
    }

    /// The log, and why an attempt was rejected. `None`: it was not, there is no log, or nobody attempted anything now.
    fn attempt<'a>(&self, error: &'a CommitError, sender: &Sender) -> Option<(&AuditLog, &'a Refusal)> {
        let audit = self.audit.as_ref()?;
        match error {
            CommitError::Refused(refusal) if matches!(sender.via, Via::Post | Via::Update | Via::EditedFile) => {
                Some((audit, refusal))
            }
            _ => None,
        }
    }

    /// Whether the operator vouches for a key, or it is the operator's identity key.
    fn counts(&self, issuer: &str) -> bool {
        self.gate.trust().is_some_and(|trust| trust.is_identity(issuer) || trust.vouches(issuer))
    }
}

fn rejected(what: What, reason: &'static str, sender: &Sender) -> Rejected {
    Rejected { at: clock::unix_millis(), reason, what, via: sender.via.label(), sender: sender.actor.clone() }
}
