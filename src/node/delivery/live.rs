//! Which changed claims do not reach clients that are already connected.
//!
//! A nats-server that answers a claims update with `jwt updated` applies most of the JWT to connected clients at once.
//! The rest depends on its release. All of this was seen with real nats-servers from 2.9.10 to 2.15.1:
//! `docs/nats-servers.md` has the whole table, and `tests/resolver/peers` tries what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::release::Release;
use super::withdrawn::{self, is_lowered};
use crate::jwt::Account;
use crate::jwt::claims::{Export, StreamKind};

/// A claim, or a part of one, that at least one release does not apply to connected clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Permissions of users that have none of their own.
    DefaultPermissions,
    /// The authorization service, for clients that are connected.
    Authorization,
    /// The end of the authorization service, for new logins too.
    AuthorizationRemoved,
    /// Revocations, for clients that an authorization service placed into the account.
    Revocations,
    /// A lower limit of leafnode connections.
    Leaf,
    /// The limit in bytes.
    Data,
    /// How many answers an exported service gives.
    ResponseType,
    /// How long an exported service may take to answer.
    ResponseThreshold,
    /// Message tracing across exports and imports.
    AllowTrace,
    /// Where message traces go.
    Trace,
    /// The account that carries the replication of streams.
    ClusterTraffic,
}

/// A changed claim that does not reach the connected clients of a nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLive {
    /// The claim.
    pub claim: Claim,
    /// Whether the release is known. An unknown one is judged as the worst known one.
    pub release_known: bool,
}

/// The changed claims that do not reach connected clients when a nats-server applies `after` in place of `before`.
///
/// `version` is what the nats-server says of itself. An empty, strange or pre-release version is unknown: each claim
/// counts that any known release does not apply. A release after the newest known one is judged as that one.
pub fn not_live(before: &Account, after: &Account, version: &str) -> Vec<NotLive> {
    let release = Release::parse(version);
    let stays = |claim: &Claim| !release.is_some_and(|release| claim.facts().is_live(release));
    let found = Claim::ALL.into_iter().filter(|claim| stays(claim) && claim.is_changed(before, after));
    found.map(|claim| NotLive { claim, release_known: release.is_some() }).collect()
}

/// What is known of a claim.
struct ClaimFacts {
    label: &'static str,
    text: &'static str,
    /// The first release that has the trouble.
    since: Release,
    /// The first releases that apply the claim at once, as [`Release::has`] wants them. Empty: none does.
    live_from: &'static [Release],
}

impl ClaimFacts {
    /// A claim that every release has trouble with until `live_from`.
    const fn new(label: &'static str, text: &'static str, live_from: &'static [Release]) -> Self {
        Self { label, text, since: Release::new(0, 0, 0), live_from }
    }

    fn is_live(&self, release: Release) -> bool {
        release < self.since || release.has(self.live_from)
    }
}

/// The release that began to read `authorization`.
const AUTHORIZATION: Release = Release::new(2, 10, 0);
/// The releases that began to apply changed defaults and the end of `authorization`.
const REFRESHED: &[Release] = &[Release::new(2, 12, 12), Release::new(2, 14, 3)];
/// The release that began to disconnect revoked users of an authorization service.
const REVOKED: &[Release] = &[Release::new(2, 10, 17)];
/// The release that began to read `trace`, `allow_trace` and `cluster_traffic`.
const TRACED: &[Release] = &[Release::new(2, 11, 0)];
const UNREAD: &str = "nats-servers before 2.11.0 ignore the claim";

impl Claim {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 11] = [
        Self::DefaultPermissions,
        Self::Authorization,
        Self::AuthorizationRemoved,
        Self::Revocations,
        Self::Leaf,
        Self::Data,
        Self::ResponseType,
        Self::ResponseThreshold,
        Self::AllowTrace,
        Self::Trace,
        Self::ClusterTraffic,
    ];

    /// Its stable name, for metrics, JSON and documents.
    pub fn label(self) -> &'static str {
        self.facts().label
    }

    /// What happens instead, for people.
    pub fn text(self) -> &'static str {
        self.facts().text
    }

    /// The first release of each line that applies it to connected clients; lines after the last one do too. Empty: no
    /// known release does.
    pub fn live_from(self) -> &'static [Release] {
        self.facts().live_from
    }

    /// Whether it is in force when no connection from before is left. The others come into force when the nats-server
    /// restarts, or never on its release.
    pub const fn ends_with_connections(self) -> bool {
        matches!(self, Self::DefaultPermissions | Self::Authorization | Self::Revocations | Self::Leaf)
    }

    const fn facts(self) -> ClaimFacts {
        match self {
            Self::DefaultPermissions => ClaimFacts::new(
                "default_permissions",
                "connected clients keep the default permissions that they got at login",
                REFRESHED,
            ),
            Self::Authorization => ClaimFacts::new(
                "authorization",
                "connected clients stay as they were authorized; nats-servers before 2.10.0 ignore the claim",
                &[],
            ),
            Self::AuthorizationRemoved => ClaimFacts {
                since: AUTHORIZATION,
                ..ClaimFacts::new(
                    "authorization_removed",
                    "new logins still go to the authorization service until the nats-server restarts",
                    REFRESHED,
                )
            },
            Self::Revocations => ClaimFacts {
                since: AUTHORIZATION,
                ..ClaimFacts::new(
                    "revocations",
                    "clients that an authorization service placed into the account stay connected",
                    REVOKED,
                )
            },
            Self::Leaf => {
                ClaimFacts::new("limits.leaf", "connected leafnodes stay; the nats-server only rejects new ones", &[])
            }
            Self::Data => ClaimFacts::new("limits.data", "no nats-server enforces this limit", &[]),
            Self::ResponseType => ClaimFacts::new(
                "exports.response_type",
                "accounts that import the service use the old type until their own JWT changes",
                &[],
            ),
            Self::ResponseThreshold => ClaimFacts::new(
                "exports.response_threshold",
                "a nats-server reads it only when it first loads the account after a restart",
                &[],
            ),
            Self::AllowTrace => ClaimFacts::new("allow_trace", UNREAD, TRACED),
            Self::Trace => ClaimFacts::new("trace", UNREAD, TRACED),
            Self::ClusterTraffic => ClaimFacts::new("cluster_traffic", UNREAD, TRACED),
        }
    }

    /// Whether the change from `before` to `after` concerns it.
    fn is_changed(self, before: &Account, after: &Account) -> bool {
        let authorized = |account: &Account| !account.authorization.auth_users.is_empty();
        match self {
            Self::DefaultPermissions => before.default_permissions != after.default_permissions,
            Self::Authorization => {
                (authorized(before) || authorized(after)) && before.authorization != after.authorization
            }
            Self::AuthorizationRemoved => authorized(before) && !authorized(after),
            Self::Revocations => !withdrawn::revoked(before, after).is_empty(),
            Self::Leaf => is_lowered(before.limits.leaf, after.limits.leaf),
            Self::Data => before.limits.data != after.limits.data,
            Self::ResponseType => {
                // A service that is new has no importer yet that knows another type.
                services(before, after)
                    .any(|(old, new)| old.is_some_and(|old| response_type(old) != response_type(new)))
            }
            Self::ResponseThreshold => services(before, after)
                .any(|(old, new)| old.map_or(0, |old| old.response_threshold) != new.response_threshold),
            Self::AllowTrace => traced(before) != traced(after),
            Self::Trace => before.trace != after.trace,
            Self::ClusterTraffic => cluster_traffic(before) != cluster_traffic(after),
        }
    }
}

/// The services that `after` exports, each with what it was before.
fn services<'a>(
    before: &'a Account,
    after: &'a Account,
) -> impl Iterator<Item = (Option<&'a Export>, &'a Export)> + use<'a> {
    let exported =
        |account: &'a Account| account.exports.iter().flatten().filter(|export| export.kind == StreamKind::Service);
    let old: BTreeMap<_, _> = exported(before).map(|export| (export.subject.as_str(), export)).collect();
    exported(after).map(move |export| (old.get(export.subject.as_str()).copied(), export))
}

/// A nats-server takes an absent type for `Singleton`.
fn response_type(export: &Export) -> &str {
    if export.response_type.is_empty() { "Singleton" } else { &export.response_type }
}

/// A nats-server takes an absent account for `system`.
fn cluster_traffic(account: &Account) -> &str {
    if account.cluster_traffic.is_empty() { "system" } else { &account.cluster_traffic }
}

/// The exports and imports across which messages may be traced: exporter (empty: this account) and subject.
fn traced(account: &Account) -> BTreeSet<(&str, &str)> {
    let exports = account.exports.iter().flatten().filter(|export| export.allow_trace);
    let imports = account.imports.iter().flatten().filter(|import| import.allow_trace);
    let exports = exports.map(|export| ("", export.subject.as_str()));
    exports.chain(imports.map(|import| (import.account.as_str(), import.subject.as_str()))).collect()
}

impl fmt::Display for NotLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.claim.label(), self.claim.text())?;
        for (n, release) in self.claim.live_from().iter().enumerate() {
            write!(f, "{}{release}", if n == 0 { "; live from " } else { " and " })?;
        }
        if !self.release_known {
            f.write_str("; the release is unknown and judged as the worst known one")?;
        }
        Ok(())
    }
}
