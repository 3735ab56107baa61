//! Proving that connected clients feel a change.
//!
//! A nats-server that runs a JWT may still have connections that the JWT should have ended, or that go on with claims
//! from before. So after a change that takes something away, its connections of the account are looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Shared;
use super::answer::Connection;
use super::ask::AskError;
use crate::jwt::{Account, AccountJwt, AnyJwt, is_revoked};
use crate::key::AccountKey;
use crate::node::{Compared, Loaded, Server, not_live};
use crate::primary::Primary;
use crate::store::StoreError;

/// Connections that are asked for at once.
const PAGE: usize = 1024;
/// Pages that are looked at.
const PAGES: usize = 64;
/// Changes of which it is remembered what they took away.
const MAX_CHANGES: usize = 10_000;
/// Connections that are closed after one look.
const MAX_KICKS: usize = 1024;

/// What a change took away.
#[derive(Debug)]
pub(super) struct Taken {
    /// The claims before; `None`: not kept.
    before: Option<Account>,
    after: Account,
}

/// What the latest changes took away, by serial. `None`: nothing.
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<HashMap<u64, Option<Arc<Taken>>>>);

impl Proofs {
    fn get(&self, serial: u64) -> Option<Option<Arc<Taken>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&serial).cloned()
    }

    fn put(&self, serial: u64, taken: Option<Arc<Taken>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CHANGES {
            // They are found out again when they are wanted.
            known.clear();
        }
        known.insert(serial, taken);
    }
}

impl Taken {
    /// Compares two versions of an account. `None`: connected clients lose nothing.
    fn of(before: Option<Account>, after: Account) -> Option<Self> {
        let takes = match &before {
            None => !after.revocations.is_empty() || after.limits.conn >= 0,
            Some(before) => {
                let is_new = |(key, until): (&String, &i64)| before.revocations.get(key).is_none_or(|old| old < until);
                let is_lower =
                    after.limits.conn >= 0 && (before.limits.conn < 0 || after.limits.conn < before.limits.conn);
                after.revocations.iter().any(is_new)
                    || is_lower
                    || before.signing_keys.iter().any(|(key, _)| !after.signing_keys.contains(key))
                    || !not_live(before, &after, "").is_empty()
            }
        };
        takes.then_some(Self { before, after })
    }

    /// Whether a connection is one that the account's JWT does not allow.
    fn forbids(&self, key: &AccountKey, connection: &Connection) -> bool {
        let Connection { authorized_user, issuer_key, jwt, .. } = connection;
        let is_unknown_issuer =
            !issuer_key.is_empty() && *issuer_key != key.text() && !self.after.signing_keys.contains(issuer_key);
        // Of a user whose JWT is not shown or cannot be read, the worst is assumed.
        let iat = AnyJwt::decode(jwt).map_or(0, |decoded| decoded.claims.iat);
        is_unknown_issuer || (!authorized_user.is_empty() && is_revoked(&self.after.revocations, authorized_user, iat))
    }
}

impl Shared {
    /// Looks for connections that should have ended with the change, or that do not feel it, and closes them if that is
    /// wanted.
    pub(super) async fn prove(
        &self,
        server: &Arc<Server>,
        key: AccountKey,
        loaded: &Loaded,
        compared: &mut Compared,
    ) -> Result<(), AskError> {
        let Some(taken) = self.taken(key, compared.serial).await else { return Ok(()) };
        let lagging = taken.before.as_ref().map(|before| not_live(before, &taken.after, &server.version));
        let lagging = lagging.unwrap_or_default();
        compared.connections_left = Some(0);
        if loaded.connections == 0 {
            return Ok(());
        }
        let (mut left, mut count) = (Vec::new(), 0);
        for page in 0.. {
            if page == PAGES {
                return Err(AskError::Unusable(format!("it has more than {count} connections of the account")));
            }
            let answer = self.asker.connections(&server.id, &key, page * PAGE, PAGE).await?;
            let connections = answer.connections.unwrap_or_default();
            count += connections.len();
            let is_last = connections.len() < PAGE;
            for connection in connections {
                let is_old = || !lagging.is_empty() && is_before(&connection.start, &loaded.applied_at);
                if taken.forbids(&key, &connection) {
                    left.push(connection.cid);
                } else if is_old() {
                    left.push(connection.cid);
                    compared.lagging.clone_from(&lagging);
                }
            }
            if is_last {
                break;
            }
        }
        let allowed = usize::try_from(taken.after.limits.conn).unwrap_or(usize::MAX);
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
            self.metrics.kicked.inc();
        }
        let (name, count) = (server.name.escape_debug(), left.len().min(MAX_KICKS));
        tracing::info!(
            account = %key,
            server = %name,
            "closed {count} connections of {key} on nats-server {name}, which went on with what was taken from them"
        );
        Ok(())
    }

    /// What a change took away, found out once.
    async fn taken(&self, key: AccountKey, serial: u64) -> Option<Arc<Taken>> {
        if let Some(known) = self.proofs.get(serial) {
            return known;
        }
        let primary = self.primary.clone();
        let read = tokio::task::spawn_blocking(move || read(&primary, &key, serial)).await;
        let taken = match read.map_err(|_| StoreError::Closed).flatten() {
            Ok(taken) => taken.map(Arc::new),
            Err(error) => {
                tracing::error!(account = %key, "cannot read the versions of {key}: {error}");
                return None;
            }
        };
        self.proofs.put(serial, taken.clone());
        taken
    }
}

fn read(primary: &Primary, key: &AccountKey, serial: u64) -> Result<Option<Taken>, StoreError> {
    let journal = primary.journal();
    let versions = journal.versions(key)?;
    let decoded = |serial| -> Result<Option<Account>, StoreError> {
        let text = journal.text_of(key, serial)?;
        let text = text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        Ok(text.and_then(|text| AccountJwt::decode(text).ok()).map(|decoded| decoded.body))
    };
    let Some(after) = decoded(serial)? else { return Ok(None) };
    let older = versions.iter().rev().find(|version| version.serial < serial);
    let before = match older {
        Some(older) => decoded(older.serial)?,
        // It never had another one.
        None if journal.fact(key, Some(serial))?.is_some_and(|fact| !fact.has_older) => return Ok(None),
        None => None,
    };
    Ok(Taken::of(before, after))
}

/// Whether one moment is before another; both as RFC 3339. What cannot be read is.
fn is_before(one: &str, other: &str) -> bool {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => one < other,
        _ => true,
    }
}
