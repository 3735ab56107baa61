//! The policy in force, and the judgement of clients by it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::credential::{self, Credential};
use super::passwords::{KnownLogin, Login, NotVerified, Passwords};
use super::policy::Seen;
use super::{Policy, Scopes, Verdict};

/// What a client presents.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'r> {
    /// The values of the header `Authorization`: of several, the first two.
    pub authorization: [Option<&'r [u8]>; 2],
    /// The subject alternative names of the certificate that it showed, which was verified.
    pub sans: Option<&'r Arc<[Box<str>]>>,
    /// Its address.
    pub address: IpAddr,
    /// The address as which it counts.
    pub counts_as: IpAddr,
}

/// Why a credential does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is wrong, or malformed.
    Wrong,
    /// It was not looked at, after several wrong ones: come again after this time.
    LockedOut(Duration),
    /// It was not looked at, because too many others wait.
    Busy,
}

/// A judgement that may have to wait.
enum Looked {
    Is(Verdict),
    Wrong,
    /// The password has to be verified.
    New(Login),
}

/// What a client has shown, and what it says on whose behalf: the judgement can be made again while it is being answered.
#[derive(Debug, Clone)]
pub struct Standing {
    seen: Seen,
    /// What the one that it speaks for may do.
    pub bound: Option<Scopes>,
}

/// A policy, and its number.
#[derive(Debug)]
pub struct InForce {
    /// The policy.
    pub policy: Policy,
    /// It grows with each policy.
    pub generation: u64,
}

/// Who may do what on this server.
#[derive(Debug)]
pub struct AccessControl {
    in_force: ArcSwap<InForce>,
    generation: AtomicU64,
    changes: watch::Sender<()>,
    passwords: Arc<Passwords>,
}

impl AccessControl {
    /// Access by this policy.
    pub fn new(policy: Policy) -> Self {
        Self {
            in_force: ArcSwap::from_pointee(InForce { policy, generation: 0 }),
            generation: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            passwords: Arc::default(),
        }
    }

    /// Puts another policy in force, also for requests that are being answered. Passwords that were verified stay so while
    /// their users have the same hash.
    pub fn replace(&self, policy: Policy) {
        let generation = self.generation() + 1;
        self.in_force.store(Arc::new(InForce { policy, generation }));
        self.generation.store(generation, Ordering::Release);
        self.changes.send_replace(());
    }

    /// The number of the policy in force.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The policy in force.
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Judges a client, if that is possible at once and its credential is not wrong.
    pub fn judge_now(&self, in_force: &InForce, presented: &Presented<'_>) -> Option<Verdict> {
        match self.look(in_force, presented) {
            Looked::Is(verdict) => Some(verdict),
            Looked::Wrong | Looked::New(_) => None,
        }
    }

    fn look(&self, in_force: &InForce, presented: &Presented<'_>) -> Looked {
        let policy = &in_force.policy;
        let header = match presented.authorization {
            [Some(header), None] if policy.knows_credentials() => header,
            [Some(_), Some(_)] if policy.knows_credentials() => return Looked::Wrong,
            _ => {
                let sans = presented.sans.map_or(&[][..], |sans| sans);
                return Looked::Is(policy.without_credential(sans, presented.address));
            }
        };
        match credential::read(header) {
            None => Looked::Wrong,
            Some(Credential::Bearer(token)) => policy.token(&token).cloned().map_or(Looked::Wrong, Looked::Is),
            Some(Credential::Basic { user, password }) => {
                match self.passwords.known(policy, header, user.clone(), password) {
                    Some(KnownLogin::Right(hash)) => {
                        policy.user(&user, &hash).cloned().map_or(Looked::Wrong, Looked::Is)
                    }
                    Some(KnownLogin::New(login)) => Looked::New(login),
                    Some(KnownLogin::Wrong) | None => Looked::Wrong,
                }
            }
        }
    }

    /// Judges a client. Waits for five seconds at most.
    pub async fn judge(&self, presented: &Presented<'_>) -> Result<(Verdict, Standing), Denied> {
        let in_force = self.in_force();
        let verdict = match self.look(&in_force, presented) {
            Looked::Is(verdict) => verdict,
            Looked::Wrong => return Err(Denied::Wrong),
            Looked::New(login) => {
                let user = login.user.clone();
                let verified = self.passwords.verify(login, presented.counts_as).await.map_err(|why| match why {
                    NotVerified::LockedOut(wait) => Denied::LockedOut(wait),
                    NotVerified::Busy => Denied::Busy,
                })?;
                let hash = verified.ok_or(Denied::Wrong)?;
                // By the policy that is in force now.
                let in_force = self.in_force();
                let verdict = in_force.policy.user(&user, &hash).cloned().ok_or(Denied::Wrong)?;
                return Ok((verdict, Standing { seen: Seen::User(user.into(), hash), bound: None }));
            }
        };
        let seen = in_force.policy.seen(&verdict).unwrap_or_else(|| Seen::Shown {
            sans: presented.sans.cloned().unwrap_or_default(),
            address: presented.address,
        });
        Ok((verdict, Standing { seen, bound: None }))
    }

    /// Waits until a client that is being answered may no longer do what it needs.
    pub async fn lost(&self, standing: &Standing, needed: Scopes) {
        let mut changes = self.changes.subscribe();
        loop {
            let scopes = self.in_force.load().policy.again(&standing.seen);
            let scopes = standing.bound.map_or(scopes, |bound| scopes.both(bound));
            if scopes.lacks(needed).is_some() || changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::config::{Access, AccessNetwork, AccessToken, AccessUser, Scope, Secret};

    const BASIC: &[u8] = b"Basic bnNjOnNlY3JldA==";

    fn access(anonymous: &[Scope]) -> Access {
        let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string();
        let sha256 = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest("token"));
        Access {
            anonymous: anonymous.to_vec(),
            users: vec![AccessUser { name: "nsc".into(), password: Secret::from(hash), scopes: vec![Scope::List] }],
            tokens: vec![AccessToken { name: "ci".into(), sha256: Secret::from(sha256), scopes: vec![Scope::List] }],
            ..Access::default()
        }
    }

    fn presented<'r>(headers: &[&'r [u8]]) -> Presented<'r> {
        let address = IpAddr::V4([10, 0, 0, 1].into());
        let authorization = [headers.first().copied(), headers.get(1).copied()];
        Presented { authorization, sans: None, address, counts_as: address }
    }

    async fn judged(control: &AccessControl, headers: &[&[u8]]) -> Result<String, Denied> {
        let (verdict, _) = control.judge(&presented(headers)).await?;
        Ok(format!("{}: {}", verdict.principal, verdict.scopes))
    }

    #[tokio::test]
    async fn a_credential_decides_alone_and_a_wrong_one_is_an_error() {
        let control = AccessControl::new(Policy::of(&access(&[Scope::Read])).unwrap());
        assert_eq!(judged(&control, &[]).await.unwrap(), "anonymous: read");
        for _ in 0..2 {
            assert_eq!(judged(&control, &[BASIC]).await.unwrap(), "user nsc: list");
        }
        assert_eq!(judged(&control, &[b"Bearer token"]).await.unwrap(), "token ci: list");
        for headers in [
            &[&b"Basic bnNjOnNlY3JlVA=="[..]][..],
            &[b"Basic bm9ib2R5OnNlY3JldA=="],
            &[b"Bearer Token"],
            &[b"Bearer secret"],
            &[b"Digest x"],
            &[b""],
            &[BASIC, BASIC],
            &[b"Bearer token", b"Bearer token"],
        ] {
            assert_eq!(judged(&control, headers).await, Err(Denied::Wrong), "{headers:?}");
        }
        // Without users and tokens the header is a proxy's affair.
        let open = AccessControl::new(Policy::of(&Access::default()).unwrap());
        assert_eq!(judged(&open, &[b"Digest x", b"y"]).await.unwrap(), "anonymous: read, list, push");
    }

    #[tokio::test]
    async fn who_may_no_longer_learns_of_it_at_once() {
        let control = AccessControl::new(Policy::of(&access(&[Scope::List])).unwrap());
        let list = Scopes::one(Scope::List);
        let (_, user) = control.judge(&presented(&[BASIC])).await.unwrap();
        let (_, token) = control.judge(&presented(&[b"Bearer token"])).await.unwrap();
        let (_, anonymous) = control.judge(&presented(&[])).await.unwrap();
        let behind = Standing { bound: Some(Scopes::NONE), ..user.clone() };
        assert!(control.lost(&behind, list).now_or_never().is_some());
        let lost = |standing: &Standing| control.lost(standing, list).now_or_never().is_some();
        assert_eq!([lost(&user), lost(&token), lost(&anonymous)], [false; 3]);
        let mut waiting = Box::pin(control.lost(&user, list));
        assert!(waiting.as_mut().now_or_never().is_none());
        control.replace(Policy::of(&access(&[])).unwrap());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!([lost(&user), lost(&token), lost(&anonymous)], [false, false, true]);
        let mut network = access(&[]);
        network.networks = vec![AccessNetwork { cidr: "10.0.0.0/8".parse().unwrap(), scopes: vec![Scope::List] }];
        network.users[0].scopes = vec![Scope::Read];
        network.tokens[0].name = "renamed".into();
        control.replace(Policy::of(&network).unwrap());
        assert!(waiting.now_or_never().is_some());
        assert_eq!([lost(&user), lost(&token), lost(&anonymous)], [true, false, false]);
        let mut changed = access(&[]);
        changed.users[0].password = Secret::from(bcrypt::hash_with_salt("secret", 4, [8; 16]).unwrap().to_string());
        control.replace(Policy::of(&changed).unwrap());
        assert!(lost(&user), "the same password with another hash may be another password");
    }
}
