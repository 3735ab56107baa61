//! What is read: JWTs as each edge asks for them, their history, and lists of everything.
//!
//! Lists are those of a server that stores every account ([`Whole`]).

use std::sync::Arc;

use bytes::Bytes;

use super::{
    ActivationAnswer, Ages, Answer, History, LookupError, LookupNow, Miss, Node, Now, OldText, Served, StoreError,
    Whole,
};
use crate::clock;
use crate::gate::{Activation, Judged, Tombstone};
use crate::generation::Generation;
use crate::jwt::{Called, HashId};
use crate::key::AccountKey;
use crate::store::journal::ServedKeys;
use crate::store::{JournalReader, blocking};

impl Node {
    /// A JWT that can be served without waiting for anything.
    pub fn get_now(&self, key: &AccountKey) -> Option<Answer> {
        self.backend.at_hand(key)
    }

    /// An account for people: with its name, if its JWT is at hand.
    pub fn called(&self, key: &AccountKey) -> Called {
        self.backend.called(key)
    }

    /// What to say or do about an account for which [`Node::get_now`] has nothing. A primary reads its journal on the
    /// caller's thread while the journal answers quickly.
    pub fn look_now(&self, key: &AccountKey) -> Now {
        self.backend.look(key)
    }

    /// Moves whenever something happens to an account: an answer from before may no longer be right.
    pub fn generation(&self, key: &AccountKey) -> Generation {
        self.backend.generation(key)
    }

    /// Whether an answer, if nothing happened to its account since, can be given again without asking upstream.
    pub fn is_fresh(&self, answer: &Answer) -> bool {
        self.backend.is_fresh(answer)
    }

    /// How old an answer is; `None` on the primary itself.
    pub fn ages(&self, answer: &Answer) -> Option<Ages> {
        self.backend.ages(answer)
    }

    /// Whether the feed, as this server passes it on, says when an answer changes.
    pub fn is_confirmed(&self, answer: &Answer) -> bool {
        self.backend.is_confirmed(answer)
    }

    /// The JWT of an account. `Ok(None)`: there is none.
    pub async fn get(&self, key: &AccountKey) -> Result<Option<Answer>, LookupError> {
        self.backend.get(key).await
    }

    /// The versions that an account had. `Ok(None)`: this server keeps no history.
    pub async fn history(&self, key: &AccountKey) -> Result<Option<History>, LookupError> {
        let (key, gate) = (*key, self.gate.clone());
        self.of_past(&key, move |journal| History::read(journal, &gate.standing(), &key)).await
    }

    /// The text of one version of an account. `Ok(None)`: this server keeps no history.
    pub async fn text_of(&self, key: &AccountKey, serial: u64) -> Result<Option<OldText>, LookupError> {
        let key = *key;
        self.read_history(move |journal| OldText::read(journal, &key, serial)).await
    }

    /// Asks the journal about an account's past, on a thread that may block. `Ok(None)`: this server keeps no history.
    async fn read_history<T: Send + 'static>(
        &self,
        query: impl FnOnce(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, LookupError> {
        let journal = match (self.ledger(), self.whole()) {
            (Some(ledger), _) => ledger.journal().clone(),
            (None, Whole::Stored { journal, .. }) => journal,
            (None, Whole::NotYet(why)) => return Err(LookupError::NotYet(why)),
            (None, Whole::Never) => return Ok(None),
        };
        Ok(Some(blocking(move || query(&journal)).await?))
    }

    /// The same, once the account's file is imported: until it is looked up, it may not be.
    pub(in crate::node) async fn of_past<T: Send + 'static>(
        &self,
        key: &AccountKey,
        query: impl FnOnce(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, LookupError> {
        if let Some(ledger) = self.ledger() {
            ledger.find(key).await?;
        }
        self.read_history(query).await
    }

    /// The JWT of an account, if that can be told without waiting. One that has expired is none.
    pub fn lookup_now(&self, key: &AccountKey) -> LookupNow {
        self.backend.lookup_now(key)
    }

    /// The JWT of an account. `None`: there is none, or it cannot be told for certain. A replica asks its primary, and
    /// answers only with what its feed confirms.
    pub async fn lookup(&self, key: &AccountKey) -> Option<Bytes> {
        self.backend.lookup(key).await
    }

    /// What to do about an activation that is not at hand. A primary looks.
    pub fn miss_activation(&self, id: &HashId) -> Miss {
        self.backend.miss_activation(id)
    }

    /// The activation of a hash, if the account that issued it vouches for it now.
    pub async fn activation(&self, id: &HashId) -> Result<ActivationAnswer, LookupError> {
        Ok(match self.judged_activation(id).await? {
            Some((activation, None)) => ActivationAnswer::Served(activation),
            Some((_, Some(fault))) => ActivationAnswer::Refused(fault),
            None => ActivationAnswer::Absent,
        })
    }

    /// The activation of a hash, and why it may not be served now. `None`: there is none, or it has expired.
    pub(in crate::node) async fn judged_activation(
        &self,
        id: &HashId,
    ) -> Result<Option<(Arc<Activation>, Option<String>)>, LookupError> {
        let found = self.backend.activation(id).await?;
        let Some(judged) = found.filter(|judged| !judged.activation().is_expired(clock::unix_seconds())) else {
            return Ok(None);
        };
        let fault = self.fault(&judged).await?;
        Ok(Some((judged.activation().clone(), fault)))
    }

    async fn fault(&self, judged: &Judged) -> Result<Option<String>, LookupError> {
        let account = judged.activation().account();
        let answer = match self.get_now(account) {
            Some(answer) => Some(answer),
            None => match self.get(account).await {
                Ok(answer) => answer,
                Err(LookupError::Withheld(withheld)) => return Ok(Some(withheld.to_string())),
                Err(error) => return Err(error),
            },
        };
        Ok(match answer {
            Some(answer) => judged.fault(answer.entry()),
            None => Some(format!("the account {account} that issued the activation is not held any more")),
        })
    }

    /// The request that deleted an account, while it is deleted.
    pub async fn tombstone(&self, key: &AccountKey) -> Result<Option<Arc<Tombstone>>, StoreError> {
        let key = *key;
        self.read(move |ledger| ledger.journal().tombstone(&key)).await
    }

    /// Whether every account that a request names is deleted now: to send the request again harms none of them.
    pub async fn are_all_deleted(&self, request: &Arc<Tombstone>) -> Result<bool, StoreError> {
        let request = request.clone();
        self.read(move |ledger| ledger.journal().are_all_deleted(request.keys())).await
    }

    /// XOR of the SHA-256 of each JWT that is served now; see [`JournalReader::pack_hash`](crate::store::JournalReader::pack_hash).
    /// `Ok(None)`: not every account is stored here.
    pub async fn pack_hash(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let Some(journal) = self.whole_journal() else { return Ok(None) };
        journal.pack_hash(clock::unix_seconds()).await.map(Some)
    }

    /// The next JWTs that are served now, after `after` in the order of accounts' keys; see
    /// [`JournalReader::served`](crate::store::JournalReader::served). `Ok(None)`: not every account is stored here.
    pub async fn served(&self, after: Option<AccountKey>, limit: usize) -> Result<Option<Served>, StoreError> {
        self.list(move |journal| journal.served(after.as_ref(), limit, clock::unix_seconds())).await
    }

    /// The next accounts that are served now, after `after` in the order of their keys; see
    /// [`JournalReader::served_keys`](crate::store::JournalReader::served_keys). `Ok(None)`: not every account is stored here.
    pub async fn served_keys(&self, after: Option<AccountKey>, limit: usize) -> Result<Option<ServedKeys>, StoreError> {
        self.list(move |journal| journal.served_keys(after.as_ref(), limit, clock::unix_seconds())).await
    }
}
