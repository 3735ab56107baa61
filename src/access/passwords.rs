//! Passwords: which ones are known to be right or wrong, and how the others are verified.
//!
//! A password that was right is remembered for as long as the stored hash of its user stays, so a client that goes on with the
//! same one costs no hashing, and depends on nobody. What is remembered is a keyed digest of the header, with a key that this
//! process makes up: neither the password nor anything that one could be guessed by.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Policy;
use super::lockout::{CredentialId, Lockout};
use super::password_hash::PasswordHash;
use super::queue::{HashQueue, QueuePlace};

/// Credentials that were right and are remembered at most.
const RIGHT: u64 = 10_000;
/// Credentials that were wrong and are remembered at most, and for how long.
const WRONG: u64 = 10_000;
const WRONG_FOR: Duration = Duration::from_secs(60);
/// How long a request waits until its password is verified.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a password was not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotVerified {
    /// It was not looked at, after several wrong ones.
    LockedOut(Duration),
    /// Too many others wait.
    Busy,
}

/// A login to be verified.
pub(super) struct Login {
    /// The number of the credential.
    pub(super) id: CredentialId,
    pub(super) user: String,
    pub(super) password: Zeroizing<Vec<u8>>,
    hash: Arc<PasswordHash>,
    is_user: bool,
    name: u64,
}

/// What is known of a login.
pub(super) enum KnownLogin {
    /// The password is that of the user with this hash.
    Right(Arc<PasswordHash>),
    /// It is not.
    Wrong,
    /// It has to be verified.
    New(Login),
}

/// The passwords of one server.
#[derive(Debug)]
pub(super) struct Passwords {
    key: [u8; 32],
    /// With the hash that each was verified with: it counts while the user has that hash.
    right: moka::sync::Cache<CredentialId, Arc<PasswordHash>>,
    wrong: moka::sync::Cache<CredentialId, Arc<PasswordHash>>,
    lockout: Lockout,
    queue: Arc<HashQueue>,
    /// Verifications that are awaited. All requests with one credential share one.
    under_way: Mutex<HashMap<CredentialId, watch::Receiver<Option<bool>>>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            key: rand::random(),
            right: moka::sync::Cache::new(RIGHT),
            wrong: moka::sync::Cache::builder().max_capacity(WRONG).time_to_live(WRONG_FOR).build(),
            lockout: Lockout::default(),
            queue: Arc::default(),
            under_way: Mutex::default(),
        }
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Passwords {
    /// What is known of a login. `header`: the header as it came. `None`: there are no users.
    pub(super) fn known(
        &self,
        policy: &Policy,
        header: &[u8],
        user: String,
        password: Zeroizing<Vec<u8>>,
    ) -> Option<KnownLogin> {
        let (id, name) = (self.number(b"header", header), self.number(b"name", user.as_bytes()));
        let name = name.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 1;
        let (hash, is_user) = policy.hash(&user, name)?;
        let is_of = |known: Option<Arc<PasswordHash>>| known.is_some_and(|known| known.text() == hash.text());
        if is_user && is_of(self.right.get(&id)) {
            return Some(KnownLogin::Right(hash));
        }
        if is_of(self.wrong.get(&id)) {
            return Some(KnownLogin::Wrong);
        }
        Some(KnownLogin::New(Login { id, user, password, hash, is_user, name }))
    }

    /// Verifies a login that is new. Returns the hash of the user if the password is right, and `None` if it is wrong. `address`:
    /// the address as which the client counts.
    pub(super) async fn verify(
        self: &Arc<Self>,
        login: Login,
        address: IpAddr,
    ) -> Result<Option<Arc<PasswordHash>>, NotVerified> {
        let hash = login.hash.clone();
        let mut answer = self.begin(login, address)?;
        let answered = tokio::time::timeout(PATIENCE, answer.wait_for(Option::is_some)).await;
        match answered {
            Ok(Ok(is_right)) => Ok(is_right.unwrap_or(false).then_some(hash)),
            Ok(Err(_)) | Err(_) => Err(NotVerified::Busy),
        }
    }

    fn begin(self: &Arc<Self>, login: Login, address: IpAddr) -> Result<watch::Receiver<Option<bool>>, NotVerified> {
        let mut under_way = self.under_way.lock();
        if let Some(answer) = under_way.get(&login.id) {
            return Ok(answer.clone());
        }
        let Login { id, password, hash, is_user, name, .. } = login;
        let (client, now) = ((address, name), Instant::now());
        self.lockout.admit(client, &id, now).map_err(NotVerified::LockedOut)?;
        let is_suspect = self.lockout.is_suspect(address, now);
        let place = QueuePlace { address, is_suspect, comes_again: self.lockout.was_turned_away(&id) };
        let (tell, answer) = watch::channel(None);
        let this = Arc::downgrade(self);
        let job = Box::new(move || {
            // First of all, whoever it is: the time must not tell.
            let is_right = hash.verify(&password) & is_user;
            if let Some(this) = this.upgrade() {
                // Before the answer, which another request may wait for that begins right after it.
                if is_right {
                    this.right.insert(id, hash);
                    this.lockout.passed(client);
                } else {
                    this.wrong.insert(id, hash);
                    this.lockout.failed(client, Instant::now());
                }
                this.under_way.lock().remove(&id);
            }
            tell.send_replace(Some(is_right));
            is_right
        });
        if !self.queue.push(place, job) {
            self.lockout.turned_away(&id);
            return Err(NotVerified::Busy);
        }
        under_way.insert(id, answer.clone());
        Ok(answer)
    }

    fn number(&self, what: &[u8], text: &[u8]) -> CredentialId {
        Sha256::new().chain_update(self.key).chain_update(what).chain_update([0]).chain_update(text).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Access, AccessUser, Scope, Secret};

    fn policy(password: &str) -> Policy {
        let hash = bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap().to_string();
        let user = AccessUser { name: "nsc".into(), password: Secret::from(hash), scopes: vec![Scope::Push] };
        Policy::of(&Access { users: vec![user], ..Access::default() }).unwrap()
    }

    fn known(passwords: &Passwords, policy: &Policy, user: &str, password: &str) -> KnownLogin {
        let header = format!("Basic {user}:{password}");
        let password = Zeroizing::new(password.as_bytes().to_vec());
        passwords.known(policy, header.as_bytes(), user.to_owned(), password).unwrap()
    }

    /// `None`: it is known already.
    async fn verify(
        passwords: &Arc<Passwords>,
        policy: &Policy,
        user: &str,
        password: &str,
        from: u8,
    ) -> Option<Result<bool, NotVerified>> {
        let KnownLogin::New(login) = known(passwords, policy, user, password) else { return None };
        let verified = passwords.verify(login, IpAddr::V4([192, 0, 2, from].into())).await;
        Some(verified.map(|hash| hash.is_some()))
    }

    #[tokio::test]
    async fn each_password_is_hashed_once_while_its_users_hash_stays() {
        let (passwords, first) = (Arc::new(Passwords::default()), policy("secret"));
        assert_eq!(verify(&passwords, &first, "nsc", "secret", 1).await, Some(Ok(true)));
        assert_eq!(verify(&passwords, &first, "nsc", "Secret", 1).await, Some(Ok(false)));
        assert_eq!(
            verify(&passwords, &first, "nobody", "secret", 1).await,
            Some(Ok(false)),
            "the password of another user"
        );
        for policy in [&first, &policy("secret")] {
            assert!(matches!(known(&passwords, policy, "nsc", "secret"), KnownLogin::Right(_)));
            assert!(matches!(known(&passwords, policy, "nsc", "Secret"), KnownLogin::Wrong));
            assert!(matches!(known(&passwords, policy, "nobody", "secret"), KnownLogin::Wrong));
        }
        let changed = policy("Secret");
        assert_eq!(verify(&passwords, &changed, "nsc", "secret", 1).await, Some(Ok(false)));
        assert_eq!(verify(&passwords, &changed, "nsc", "Secret", 1).await, Some(Ok(true)));
    }

    #[tokio::test]
    async fn many_requests_with_one_new_password_share_its_verification() {
        let (passwords, policy) = (Arc::new(Passwords::default()), policy("secret"));
        let all = (0..500).map(|_| verify(&passwords, &policy, "nsc", "secret", 1));
        for verified in futures_util::future::join_all(all).await {
            assert!(matches!(verified, None | Some(Ok(true))), "{verified:?}");
        }
        assert!(passwords.under_way.lock().is_empty());
    }

    #[tokio::test]
    async fn guesses_lock_out_and_leave_a_known_password_and_other_names_alone() {
        let (passwords, policy) = (Arc::new(Passwords::default()), policy("secret"));
        assert_eq!(verify(&passwords, &policy, "nsc", "secret", 1).await, Some(Ok(true)));
        let mut locked_out = false;
        for guess in 0..10 {
            let verified = verify(&passwords, &policy, "nsc", &format!("guess {guess}"), 1).await;
            locked_out |= matches!(verified, Some(Err(NotVerified::LockedOut(wait))) if wait > Duration::ZERO);
        }
        assert!(locked_out);
        assert!(matches!(known(&passwords, &policy, "nsc", "secret"), KnownLogin::Right(_)));
        assert_eq!(
            verify(&passwords, &policy, "other", "secret", 1).await,
            Some(Ok(false)),
            "another name has its own turn"
        );
        assert_eq!(verify(&passwords, &policy, "nsc", "third", 2).await, Some(Ok(false)), "and so has another address");
    }

    #[tokio::test]
    async fn a_flood_of_names_is_turned_away_at_once() {
        let (passwords, policy) = (Arc::new(Passwords::default()), policy("secret"));
        let names: Vec<_> = (0..200).map(|number| format!("name {number}")).collect();
        let all = names.iter().map(|name| verify(&passwords, &policy, name, "guess", 1));
        let verified = futures_util::future::join_all(all).await;
        let busy = verified.iter().filter(|verified| **verified == Some(Err(NotVerified::Busy))).count();
        assert!(busy >= 100, "{busy}");
    }
}
