//! Proving that connected clients feel a change.
//!
//! A nats-server that runs a JWT may still have connections that the JWT should have ended, or that go on with claims
//! from before. So after a change that takes something away, its connections of the account are looked at.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::CompareContext;
use super::answer::ClientConnection;
use super::ask::AskError;
use crate::calendar::parse_rfc3339;
use crate::jwt::{Account, AccountJwt, AnyJwt, is_revoked};
use crate::key::AccountKey;
use crate::node::{Claim, Compared, Loaded, ReplacedVersion, Server, Withdrawn, not_live};

/// Connections that are asked for at once. Each takes about 1.25 KB, and a leafnode connection breaks with an answer that is
/// larger than `max_payload`, usually 1 MiB.
const PAGE: usize = 500;
/// Pages that are looked at.
const PAGES: usize = 128;
/// Changes of which it is remembered what they took away.
const MAX_CHANGES: usize = 10_000;
/// Connections that are closed after one look.
const MAX_KICKS: usize = 1024;

/// A change that affects connected clients.
#[derive(Debug)]
pub(super) struct Felt {
    /// The claims before; `None`: they are not stored any more, and the change may have taken anything away.
    before: Option<Account>,
    after: Account,
}

/// The latest changes, by serial. `None`: connected clients have nothing to feel.
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<HashMap<u64, Option<Arc<Felt>>>>);

impl Proofs {
    fn get(&self, serial: u64) -> Option<Option<Arc<Felt>>> {
        self.0.lock().get(&serial).cloned()
    }

    fn put(&self, serial: u64, felt: Option<Arc<Felt>>) {
        let mut known = self.0.lock();
        if known.len() >= MAX_CHANGES {
            // They are found out again when they are wanted.
            known.clear();
        }
        known.insert(serial, felt);
    }
}

impl Felt {
    /// `None`: connected clients lose nothing, on any release.
    fn of(before: Option<Account>, after: Account) -> Option<Self> {
        let is_felt = match &before {
            None => !after.revocations.is_empty() || after.limits.conn >= 0,
            // Of an unknown release the worst is assumed.
            Some(before) => !Withdrawn::between(before, &after).is_empty() || !not_live(before, &after, "").is_empty(),
        };
        is_felt.then_some(Self { before, after })
    }

    /// The claims that do not reach connected clients of a nats-server, and those that it does not apply at all.
    fn lagging(&self, version: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let claims = self.before.as_ref().map(|before| not_live(before, &self.after, version)).unwrap_or_default();
        // No release enforces that limit: there is nothing that could be in force.
        let claims = claims.iter().map(|one| one.claim).filter(|claim| *claim != Claim::Data);
        let (until_reconnect, never): (Vec<Claim>, Vec<Claim>) =
            claims.partition(|claim| claim.ends_with_connections());
        let labels = |claims: Vec<Claim>| claims.into_iter().map(Claim::label).collect();
        (labels(until_reconnect), labels(never))
    }

    /// Whether a connection is one that the account's JWT does not allow.
    fn forbids(&self, key: &AccountKey, connection: &ClientConnection) -> bool {
        let ClientConnection { authorized_user, issuer_key, jwt, .. } = connection;
        let is_unknown_issuer =
            !issuer_key.is_empty() && *issuer_key != key.text() && !self.after.signing_keys.contains(issuer_key);
        // Of a user whose JWT is not shown or cannot be read, the worst is assumed.
        let iat = AnyJwt::decode(jwt).map_or(0, |decoded| decoded.claims.iat);
        is_unknown_issuer || (!authorized_user.is_empty() && is_revoked(&self.after.revocations, authorized_user, iat))
    }
}

impl CompareContext {
    /// Looks for connections that should have ended with the change, or that do not feel it, and closes them if that is
    /// wanted.
    pub(super) async fn prove(
        &self,
        server: &Arc<Server>,
        key: AccountKey,
        loaded: &Loaded,
        compared: &mut Compared,
    ) -> Result<(), AskError> {
        let Some(felt) = self.felt(key, compared.serial).await else { return Ok(()) };
        let (until_reconnect, never) = felt.lagging(&server.version);
        compared.connections_left = Some(0);
        compared.lagging = never;
        if loaded.connections == 0 {
            return Ok(());
        }
        let (mut left, mut count, mut page) = (Vec::new(), 0, 0);
        loop {
            if page == PAGES {
                return Err(AskError::Unusable(format!("it has more than {count} connections of the account")));
            }
            let answer = self.asker.connections(&server.id, &key, page * PAGE, PAGE).await?;
            let connections = answer.connections.unwrap_or_default();
            count += connections.len();
            let is_last = connections.len() < PAGE;
            for connection in connections {
                let is_old = || !until_reconnect.is_empty() && is_before(&connection.start, &loaded.applied_at);
                if felt.forbids(&key, &connection) || is_old() {
                    left.push(connection.cid);
                }
            }
            if is_last {
                break;
            }
            page += 1;
        }
        if !left.is_empty() {
            compared.lagging.extend(until_reconnect);
        }
        let allowed = usize::try_from(felt.after.limits.conn).unwrap_or(usize::MAX);
        let too_many = count.saturating_sub(allowed);
        compared.connections_left = u64::try_from(left.len().max(too_many)).ok();
        if self.kick {
            self.kick_all(server, key, &left).await?;
        }
        Ok(())
    }

    async fn kick_all(&self, server: &Server, key: AccountKey, left: &[u64]) -> Result<(), AskError> {
        if left.is_empty() {
            return Ok(());
        }
        for cid in left.iter().take(MAX_KICKS) {
            self.asker.kick(&server.id, *cid).await?;
            self.metrics.delivery.kicked.inc();
        }
        let (name, count) = (server.name.escape_debug(), left.len().min(MAX_KICKS));
        tracing::info!(
            account = %key,
            server = %name,
            "closed {count} connections of {} on nats-server {name}: they still used what a change withdrew",
            self.node.called(&key)
        );
        Ok(())
    }

    /// How a change affects connected clients, found out once.
    async fn felt(&self, key: AccountKey, serial: u64) -> Option<Arc<Felt>> {
        if let Some(known) = self.proofs.get(serial) {
            return known;
        }
        let felt = match self.node.version_and_before(key, serial).await {
            Ok(replaced) => replaced.and_then(felt).map(Arc::new),
            Err(error) => {
                tracing::error!(account = %key, "cannot read the versions of {}: {error}", self.node.called(&key));
                return None;
            }
        };
        self.proofs.put(serial, felt.clone());
        felt
    }
}

fn felt(replaced: ReplacedVersion) -> Option<Felt> {
    let decoded = |text: &[u8]| Some(AccountJwt::decode(std::str::from_utf8(text).ok()?).ok()?.body);
    let after = decoded(&replaced.text)?;
    Felt::of(replaced.before.as_deref().and_then(decoded), after)
}

/// Whether one moment is before another; both as RFC 3339. What cannot be read is.
fn is_before(one: &str, other: &str) -> bool {
    match (parse_rfc3339(one), parse_rfc3339(other)) {
        (Some(one), Some(other)) => one < other,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_compared_however_many_digits_they_have() {
        assert!(is_before("2026-11-29T09:54:22.4Z", "2026-11-29T09:54:22.405752026Z"));
        assert!(is_before("2026-11-29T10:54:22+01:00", "2026-11-29T09:54:23Z"));
        assert!(!is_before("2026-11-29T09:54:23Z", "2026-11-29T09:54:22.999Z"));
        assert!(is_before("", "2026-11-29T09:54:22Z"), "the worst is assumed");
    }

    #[test]
    fn only_what_takes_something_away_has_to_be_felt() {
        let open = Account {
            limits: crate::jwt::claims::OperatorLimits { conn: -1, ..Default::default() },
            ..Default::default()
        };
        let mut revoking = open.clone();
        revoking.revocations.insert("U".into(), 5);
        let mut limited = open.clone();
        limited.limits.conn = 3;
        for (before, after, is_felt) in [
            (Some(&open), &open, false),
            (Some(&open), &revoking, true),
            (Some(&revoking), &revoking, false),
            (Some(&revoking), &open, false),
            (Some(&open), &limited, true),
            (Some(&limited), &open, false),
            // What was before is not stored any more.
            (None, &open, false),
            (None, &revoking, true),
            (None, &limited, true),
        ] {
            assert_eq!(Felt::of(before.cloned(), after.clone()).is_some(), is_felt, "{before:?} {after:?}");
        }
    }
}
