//! A primary whose backups can be restored, and what its changes are to a follower.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::super::*;
use super::{ACCOUNTS, Commit, Made};
use crate::feed::digest::{Ask, Difference, Short};
use crate::feed::{Change, Head, Subject};
use crate::gate::{Activation, OperatorChain, Position};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::journal::upstream::{Compared, ComparedContent, Fed, FedContent};

/// The name of its file.
const FILE: &str = "journal.sqlite";

pub(super) struct Upstream {
    pub(super) signer: Signer,
    accounts: Vec<KeyPair>,
    exporter: KeyPair,
    made: HashMap<Made, Arc<Entry>>,
    pub(super) journal: Journal,
    folder: tempfile::TempDir,
    committed: Vec<Write>,
}

impl Upstream {
    pub(super) fn new() -> Self {
        let accounts = (0..ACCOUNTS).map(|_| KeyPair::new_account()).collect();
        let (signer, exporter) = (Signer::new(), KeyPair::new_account());
        let folder = tempfile::tempdir().expect("a folder");
        let journal = primary(&folder.path().join(FILE));
        Self { signer, accounts, exporter, made: HashMap::new(), journal, folder, committed: Vec::new() }
    }

    pub(super) fn key(&self, account: u8) -> AccountKey {
        AccountKey::parse(&self.accounts[usize::from(account)].public_key()).expect("a key")
    }

    pub(super) fn entry(&mut self, made: Made) -> Arc<Entry> {
        let (signer, account) = (&self.signer, &self.accounts[usize::from(made.account)]);
        let entry = || signer.entry(account, NOW + made.iat, &made.name.to_string());
        self.made.entry(made).or_insert_with(entry).clone()
    }

    fn activation(&self, subject: u8, iat: i64, exp: i64) -> Activation {
        let claims = testkit::activation(&self.accounts[0].public_key(), &format!("subject{subject}"), iat);
        let token = sign(&testkit::with(claims, json!({ "exp": exp })), &self.exporter);
        Activation::reopen(token.as_bytes(), &Sha256::digest(&token).into()).expect("an activation")
    }

    fn activations(&self) -> [HashId; 2] {
        [0, 1].map(|subject| *self.activation(subject, 100, 0).id())
    }

    /// Every key that can have a state.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        let operator = crate::key::PublicKey::parse(&self.signer.operator.public_key()).expect("a key");
        let accounts = (0..ACCOUNTS).map(|account| Subject::Account(self.key(account)));
        let others = self.activations().map(Subject::Activation).into_iter().chain([Subject::Operator(operator)]);
        accounts.chain(others).collect()
    }

    fn write(&mut self, commit: &Commit) -> Write {
        match commit {
            Commit::Put(made) => put(&self.entry(*made)),
            Commit::Delete(accounts, iat) => {
                let accounts: Vec<_> = accounts.iter().map(|account| &self.accounts[usize::from(*account)]).collect();
                self.signer.delete(&accounts, NOW + iat)
            }
            Commit::Remove(account) => Write::Remove(self.key(*account), Via::EditedFile),
            Commit::Activation { subject, iat, exp } => Write::Activation {
                activation: Arc::new(self.activation(*subject, *iat, *exp)),
                via: Via::Post,
                limit: 100,
            },
            Commit::Forget(now) => Write::Forget { ids: self.activations().to_vec(), now: *now },
            Commit::Operator(iat) => {
                let operator = &self.signer.operator;
                let jwt = sign(&testkit::operator(operator, NOW + iat, &[]), operator);
                let trust = Trust::from_operator_jwt(&jwt, NOW).expect("an operator");
                Write::Operator(OperatorWrite::Set(Arc::new(OperatorChain::begin(Arc::new(trust)))))
            }
        }
    }

    /// Returns whether it is accepted.
    pub(super) async fn commit(&mut self, commit: &Commit) -> bool {
        let write = self.write(commit);
        let is_accepted = self.journal.commit(write.clone()).await.is_ok();
        if is_accepted {
            self.committed.push(write);
        }
        is_accepted
    }

    /// It goes on without the last `lost` writes, in another session if it was restored in the right way.
    pub(super) async fn roll_back(&mut self, lost: usize, is_same_session: bool) {
        self.committed.truncate(self.committed.len().saturating_sub(lost));
        let session = self.journal.head().session;
        self.folder = tempfile::tempdir().expect("a folder");
        let path = self.folder.path().join(FILE);
        self.journal = primary(&path);
        for write in &self.committed {
            self.journal.commit(write.clone()).await.expect("as before");
        }
        if is_same_session {
            self.journal.close().await;
            let connection = rusqlite::Connection::open(&path).expect("opens");
            connection.execute("UPDATE meta SET session = ?1", [session.0]).expect("set");
            drop(connection);
            self.journal = primary(&path);
        }
    }

    /// Whether it has this position in its history.
    pub(super) fn has(&self, at: &Head) -> bool {
        let head = self.journal.head();
        let is_reached = || match at.serial {
            0 => true,
            serial => self.change(serial - 1).is_some_and(|change| change.chain == at.chain),
        };
        head.session == at.session && (head == *at || (at.serial < head.serial && is_reached()))
    }

    /// The next change after a serial.
    pub(super) fn change(&self, serial: u64) -> Option<Arc<Change>> {
        self.journal.read_changes(serial, 1).expect("readable").pop()
    }

    /// How the state of a key differs from what a follower has of it.
    pub(super) fn compare(&self, key: Subject, have: Option<Short>) -> Vec<Compared> {
        let have = have.or_else(|| Short::parse("0123456789abcdef")).expect("a digest");
        let ask = Ask { have: BTreeMap::from([(key, have)]), ..Ask::default() };
        let told = self.journal.compare(&ask).expect("readable").expect("it has all");
        let as_of = told.head.position(told.head.serial);
        told.differences.iter().map(|difference| compared(difference, key, as_of)).collect()
    }
}

fn primary(path: &Path) -> Journal {
    Journal::open(&Options::primary(Some(path.to_owned()), 2, 1), |_, _| {}).expect("opens")
}

/// A change as it comes by the feed. `rejected`: the gate does.
pub(super) fn fed(change: &Change, is_rejected: bool) -> Fed {
    let item = crate::feed::wire::Item::from(change);
    let digest = item.link().expect("of this format").1;
    let content = match &change.content {
        Content::Put(entry) if is_rejected => FedContent::Rejected(vec![*entry.key()]),
        Content::Put(entry) => FedContent::Put(entry.clone()),
        Content::Superseded { key, .. } => FedContent::Superseded(*key),
        Content::Delete(tombstone) => FedContent::Delete(tombstone.clone()),
        Content::Removed { key, identity, .. } => FedContent::Removed(*key, *identity),
        Content::Activation(activation) => FedContent::Activation(activation.clone()),
        Content::PastActivation { id, .. } => FedContent::OtherActivation(*id, None),
        Content::Forgotten { id, .. } => FedContent::Forgotten(*id),
        Content::Operator(chain) => FedContent::Operator(*chain.in_force().identity(), *chain.in_force().version()),
        Content::Passed(item) => panic!("a primary passes nothing on: {item:?}"),
    };
    Fed { item: Arc::new(item), chain: change.chain, digest, content }
}

fn compared(difference: &Difference, key: Subject, as_of: Position) -> Compared {
    let (serial, content) = match difference {
        Difference::Nothing(key) => (0, ComparedContent::Nothing(*key)),
        Difference::Deletion(change, stands) => match &change.content {
            Content::Delete(tombstone) => (change.serial, ComparedContent::Delete(tombstone.clone(), stands.clone())),
            other => panic!("{other:?} is no deletion"),
        },
        Difference::Change(change) => {
            let content = match &change.content {
                Content::Put(entry) => ComparedContent::Put(entry.clone()),
                Content::Removed { key, digest, identity } => {
                    ComparedContent::Removed { key: *key, identity: *identity, digest: *digest }
                }
                Content::Activation(activation) => ComparedContent::Activation(activation.clone()),
                Content::Operator(chain) => {
                    let item = Arc::new(crate::feed::wire::Item::from(change));
                    ComparedContent::Operator(*chain.in_force().identity(), *chain.in_force().version(), item)
                }
                other => panic!("{other:?} is no state of {key:?}"),
            };
            (change.serial, content)
        }
    };
    Compared { as_of, serial, content }
}
