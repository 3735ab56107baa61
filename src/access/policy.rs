//! What the settings say about who may do what.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::password_hash::PasswordHash;
use super::{Principal, Scopes, Verdict};
use crate::config::Access;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The hash of a user cannot be used.
    #[error("access.users: the password of {name} cannot be used: {why}")]
    Password {
        /// The user.
        name: String,
        /// What is wrong with the hash.
        why: String,
    },
    /// The digest of a token cannot be used.
    #[error("access.tokens: the sha256 of {0} is not 64 hexadecimal digits")]
    Token(String),
}

/// Who may do what.
#[derive(Debug)]
pub struct Policy {
    anonymous: Verdict,
    users: HashMap<Arc<str>, KnownUser>,
    /// The hashes of the users in their order: names that are unknown are verified against one of them, too.
    hashes: Vec<Arc<PasswordHash>>,
    tokens: Vec<KnownToken>,
    certificates: Vec<KnownCertificate>,
    /// The longest prefix first.
    networks: Vec<(IpNet, Verdict)>,
}

#[derive(Debug)]
struct KnownUser {
    hash: Arc<PasswordHash>,
    verdict: Verdict,
}

#[derive(Debug)]
struct KnownToken {
    sha256: [u8; 32],
    verdict: Verdict,
}

#[derive(Debug)]
struct KnownCertificate {
    pattern: Box<str>,
    scopes: Scopes,
}

impl Policy {
    /// The policy that the settings make.
    pub fn of(settings: &Access) -> Result<Self, PolicyError> {
        let mut users = HashMap::new();
        let mut hashes = Vec::new();
        for user in &settings.users {
            let hash = PasswordHash::parse(user.password.reveal())
                .map_err(|why| PolicyError::Password { name: user.name.clone(), why })?;
            let (hash, name) = (Arc::new(hash), Arc::<str>::from(&*user.name));
            hashes.push(hash.clone());
            let verdict = Verdict { principal: Principal::User(name.clone()), scopes: Scopes::of(&user.scopes) };
            users.insert(name, KnownUser { hash, verdict });
        }
        let mut tokens = Vec::new();
        for token in &settings.tokens {
            let digest = HEXLOWER_PERMISSIVE.decode(token.sha256.reveal().as_bytes()).ok();
            let sha256 = digest.and_then(|digest| digest.try_into().ok());
            let sha256 = sha256.ok_or_else(|| PolicyError::Token(token.name.clone()))?;
            let principal = Principal::Token(Arc::from(&*token.name));
            tokens.push(KnownToken { sha256, verdict: Verdict { principal, scopes: Scopes::of(&token.scopes) } });
        }
        let certificates = settings.certificates.iter().map(|known| KnownCertificate {
            pattern: known.san.to_ascii_lowercase().into(),
            scopes: Scopes::of(&known.scopes),
        });
        let mut networks: Vec<_> = settings
            .networks
            .iter()
            .map(|known| {
                let principal = Principal::Network(known.cidr.to_string().into());
                (known.cidr, Verdict { principal, scopes: Scopes::of(&known.scopes) })
            })
            .collect();
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        Ok(Self {
            anonymous: Verdict { principal: Principal::Anonymous, scopes: Scopes::of(&settings.anonymous) },
            users,
            hashes,
            tokens,
            certificates: certificates.collect(),
            networks,
        })
    }

    /// Whether credentials are looked at. Without users and tokens they are the affair of a proxy in front.
    pub fn knows_credentials(&self) -> bool {
        !self.users.is_empty() || !self.tokens.is_empty()
    }

    /// What everybody may do, if there is nothing by which one client differs from another.
    pub fn for_all(&self) -> Option<Scopes> {
        let is_uniform = !self.knows_credentials() && self.certificates.is_empty() && self.networks.is_empty();
        is_uniform.then_some(self.anonymous.scopes)
    }

    /// What somebody may do that shows nothing and comes from an address that is not named.
    pub const fn anonymous(&self) -> Scopes {
        self.anonymous.scopes
    }

    /// The holder of a token. Takes the same time whichever token it is, or none.
    pub(super) fn token(&self, token: &[u8]) -> Option<&Verdict> {
        let digest = Sha256::digest(token);
        let mut found = None;
        for known in &self.tokens {
            if known.sha256[..].ct_eq(&digest).into() {
                found = Some(&known.verdict);
            }
        }
        found
    }

    /// A user, if its stored hash is still this one.
    pub(super) fn user(&self, name: &str, hash: &PasswordHash) -> Option<&Verdict> {
        self.users.get(name).filter(|known| known.hash.text() == hash.text()).map(|known| &known.verdict)
    }

    /// The hash to verify a password with, and whether it is that of this user. For an unknown name it is some user's, so that
    /// the time tells nothing. `any`: the same number for the same name. `None`: there are no users.
    pub(super) fn hash(&self, name: &str, any: u64) -> Option<(Arc<PasswordHash>, bool)> {
        if let Some(known) = self.users.get(name) {
            return Some((known.hash.clone(), true));
        }
        let place = any.checked_rem(self.hashes.len() as u64)?;
        Some((self.hashes.get(usize::try_from(place).ok()?)?.clone(), false))
    }

    /// A client without a credential: by the names in its certificate, else by its address.
    pub(super) fn without_credential(&self, sans: &[Box<str>], address: IpAddr) -> Verdict {
        match self.certificate(sans) {
            Some((san, scopes)) => Verdict { principal: Principal::Certificate(san.into()), scopes },
            None => self.address(address).clone(),
        }
    }

    /// The scopes of the same client.
    pub fn scopes_without_credential(&self, sans: &[Box<str>], address: IpAddr) -> Scopes {
        self.certificate(sans).map_or_else(|| self.address(address).scopes, |(_, scopes)| scopes)
    }

    /// The first entry that means one of these names, and that name.
    fn certificate<'n>(&self, sans: &'n [Box<str>]) -> Option<(&'n str, Scopes)> {
        self.certificates.iter().find_map(|known| {
            let san = sans.iter().find(|san| is_meant(&known.pattern, san))?;
            Some((&**san, known.scopes))
        })
    }

    fn address(&self, address: IpAddr) -> &Verdict {
        let address = address.to_canonical();
        let named = self.networks.iter().find(|(network, _)| network.contains(&address));
        named.map_or(&self.anonymous, |(_, verdict)| verdict)
    }

    /// What a client may do that another policy may have judged.
    pub(super) fn again(&self, seen: &Seen) -> Scopes {
        match seen {
            Seen::User(name, hash) => self.user(name, hash).map_or(Scopes::NONE, |verdict| verdict.scopes),
            Seen::Token(sha256) => {
                let known = self.tokens.iter().find(|known| known.sha256 == *sha256);
                known.map_or(Scopes::NONE, |known| known.verdict.scopes)
            }
            Seen::Shown { sans, address } => self.scopes_without_credential(sans, *address),
        }
    }

    /// By what a judgement can be made again, for a credential that verified.
    pub(super) fn seen(&self, verdict: &Verdict) -> Option<Seen> {
        match verdict.principal.shown() {
            Principal::User(name) => Some(Seen::User(name.clone(), self.users.get(name)?.hash.clone())),
            Principal::Token(name) => {
                let is_it =
                    |known: &&KnownToken| matches!(&known.verdict.principal, Principal::Token(known) if known == name);
                Some(Seen::Token(self.tokens.iter().find(is_it)?.sha256))
            }
            _ => None,
        }
    }
}

/// What a client has shown, for as long as it is being answered.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// The password of a user, with this stored hash.
    User(Arc<str>, Arc<PasswordHash>),
    /// The token with this digest.
    Token([u8; 32]),
    /// No credential.
    Shown { sans: Arc<[Box<str>]>, address: IpAddr },
}

/// Whether a pattern in lower case means a subject alternative name. A star stands for one label.
fn is_meant(pattern: &str, san: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern.eq_ignore_ascii_case(san),
        Some(parent) => san.split_once('.').is_some_and(|(label, rest)| {
            // Names with a scheme are no DNS names.
            !label.is_empty() && !label.contains([':', '/', '@', '*']) && rest.eq_ignore_ascii_case(parent)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessCertificate, AccessNetwork, AccessToken, AccessUser, Scope, Secret};

    const READ: &[Scope] = &[Scope::Read];
    const PUSH: &[Scope] = &[Scope::Push];

    fn settings() -> Access {
        let network =
            |cidr: &str, scopes: &[Scope]| AccessNetwork { cidr: cidr.parse().unwrap(), scopes: scopes.to_vec() };
        let certificate = |san: &str, scopes: &[Scope]| AccessCertificate { san: san.into(), scopes: scopes.to_vec() };
        let hash = bcrypt::hash_with_salt("x", 4, [7; 16]).unwrap().to_string();
        Access {
            anonymous: READ.to_vec(),
            users: vec![AccessUser { name: "nsc".into(), password: Secret::from(hash), scopes: PUSH.to_vec() }],
            tokens: ["one", "two"]
                .map(|name| AccessToken {
                    name: name.into(),
                    sha256: Secret::from(data_encoding::HEXUPPER.encode(&Sha256::digest(name))),
                    scopes: PUSH.to_vec(),
                })
                .into(),
            certificates: vec![
                certificate("r1.replicas.example", &[Scope::Read, Scope::List]),
                certificate("*.replicas.example", READ),
                certificate("spiffe://example/r1", PUSH),
                certificate("10.0.0.7", PUSH),
            ],
            networks: vec![
                network("10.0.0.0/8", PUSH),
                network("10.1.0.0/16", &[]),
                network("fd00::/8", READ),
                network("10.1.2.3/32", READ),
            ],
        }
    }

    #[test]
    fn each_client_is_what_it_shows() {
        let policy = Policy::of(&settings()).unwrap();
        for (sans, address, principal, scopes) in [
            (&[][..], "192.0.2.1", "anonymous", "read"),
            (&[], "10.9.9.9", "network 10.0.0.0/8", "push"),
            (&[], "10.1.9.9", "network 10.1.0.0/16", ""),
            (&[], "10.1.2.3", "network 10.1.2.3/32", "read"),
            (&[], "::ffff:10.9.9.9", "network 10.0.0.0/8", "push"),
            (&[], "fd00::1", "network fd00::/8", "read"),
            (&[], "fe80::1", "anonymous", "read"),
            (&["r1.replicas.example"], "10.1.9.9", "certificate r1.replicas.example", "read, list"),
            (&["R2.Replicas.Example"], "10.1.9.9", "certificate R2.Replicas.Example", "read"),
            (&["other.example", "r3.replicas.example"], "192.0.2.1", "certificate r3.replicas.example", "read"),
            (&["a.b.replicas.example"], "192.0.2.1", "anonymous", "read"),
            (&[".replicas.example"], "192.0.2.1", "anonymous", "read"),
            (&["*.replicas.example"], "10.9.9.9", "network 10.0.0.0/8", "push"),
            (&["replicas.example"], "10.9.9.9", "network 10.0.0.0/8", "push"),
            (&["spiffe://x.replicas.example"], "10.9.9.9", "network 10.0.0.0/8", "push"),
            (&["spiffe://example/r1"], "192.0.2.1", "certificate spiffe://example/r1", "push"),
            (&["10.0.0.7"], "192.0.2.1", "certificate 10.0.0.7", "push"),
        ] {
            let sans: Vec<Box<str>> = sans.iter().map(|san| Box::from(*san)).collect();
            let address: IpAddr = address.parse().unwrap();
            let verdict = policy.without_credential(&sans, address);
            assert_eq!(
                (verdict.principal.to_string(), verdict.scopes.to_string()),
                (principal.into(), scopes.into()),
                "{sans:?} {address}"
            );
            assert_eq!(policy.scopes_without_credential(&sans, address), verdict.scopes);
        }
        assert_eq!(policy.token(b"two").unwrap().principal.to_string(), "token two");
        assert_eq!(policy.token(b"three"), None);
    }

    #[test]
    fn an_unknown_name_costs_as_much_as_a_known_one() {
        let policy = Policy::of(&settings()).unwrap();
        assert!(policy.hash("nsc", 7).unwrap().1);
        let (hash, is_user) = policy.hash("nobody", 7).unwrap();
        assert!(!is_user && hash.text() == policy.hash("nsc", 0).unwrap().0.text());
        assert!(Policy::of(&Access::default()).unwrap().hash("nobody", 7).is_none());
    }

    #[test]
    fn a_policy_without_differences_is_the_same_for_all() {
        assert_eq!(Policy::of(&Access::default()).unwrap().for_all().unwrap().to_string(), "read, list, push");
        let closed = Policy::of(&Access { anonymous: Vec::new(), ..Access::default() }).unwrap();
        assert_eq!(closed.for_all(), Some(Scopes::NONE));
        let Access { users, tokens, certificates, networks, .. } = settings();
        for access in [
            Access { users, ..Access::default() },
            Access { tokens, ..Access::default() },
            Access { certificates, ..Access::default() },
            Access { networks, ..Access::default() },
        ] {
            assert_eq!(Policy::of(&access).unwrap().for_all(), None);
        }
    }

    #[test]
    fn an_unusable_hash_names_its_user() {
        let mut access = settings();
        access.users[0].password = Secret::from("$2b$13$secret".to_owned());
        let error = Policy::of(&access).unwrap_err().to_string();
        assert!(
            error.starts_with("access.users: the password of nsc cannot be used: its bcrypt cost is 13"),
            "{error}"
        );
        assert!(!error.contains("secret"));
    }
}
