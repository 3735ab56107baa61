//! Account claims.

use std::collections::BTreeMap;

use super::super::read::members;
use super::limits::LimitsV1;
use super::registered::Common;
use super::{Export, Import, OperatorLimits, Permissions, Revocations, SigningKeys};

/// The body of an account JWT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Imports; one that was written `null` is `None`.
    pub imports: Vec<Option<Import>>,
    /// Exports; one that was written `null` is `None`.
    pub exports: Vec<Option<Export>>,
    /// The operator's limits.
    pub limits: OperatorLimits,
    /// Keys that may issue users and activations, in addition to the account's own.
    pub signing_keys: SigningKeys,
    /// Revoked users.
    pub revocations: Revocations,
    /// Permissions of users whose own JWT has none.
    pub default_permissions: Permissions,
    /// Where messages published to a subject go instead.
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// The authorization service that decides about users instead of the account.
    pub authorization: ExternalAuthorization,
    /// Message tracing.
    pub trace: Option<Trace>,
    /// The account of cluster traffic: empty, `system` or `owner`.
    pub cluster_traffic: String,
    /// A description of the account, for people.
    pub info: Info,
    /// Tags, kind and version.
    pub common: Common,
}

members!(Account {
    "imports" => imports,
    "exports" => exports,
    "limits" => limits,
    "signing_keys" => signing_keys,
    "revocations" => revocations,
    "default_permissions" => default_permissions,
    "mappings" => mappings,
    "authorization" => authorization,
    "trace" => trace,
    "cluster_traffic" => cluster_traffic,
    "description" => info.description,
    "info_url" => info.info_url,
    "tags" => common.tags,
    "type" => common.kind,
    "version" => common.version,
});

/// One of the subjects that a mapping leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightedMapping {
    /// The subject.
    pub subject: String,
    /// Percent of the messages; 0 stands for 100.
    pub weight: u8,
    /// The cluster in which it counts; empty: everywhere.
    pub cluster: String,
}

members!(WeightedMapping { "subject" => subject, "weight" => weight, "cluster" => cluster });

/// Authorization by a service of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalAuthorization {
    /// The users that answer for the service.
    pub auth_users: Vec<String>,
    /// The accounts that it may assign, or `*`.
    pub allowed_accounts: Vec<String>,
    /// The curve key that requests are encrypted for.
    pub xkey: String,
}

members!(ExternalAuthorization { "auth_users" => auth_users, "allowed_accounts" => allowed_accounts, "xkey" => xkey });

/// Where message traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The subject. The JSON member is `dest`.
    pub destination: String,
    /// Percent of the messages; 0 stands for 100.
    pub sampling: i64,
}

members!(Trace { "dest" => destination, "sampling" => sampling });

/// Description and address, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Its description.
    pub description: String,
    /// Where to read more.
    pub info_url: String,
}

/// The body of a version 1 account JWT.
#[derive(Debug, Default)]
pub(in super::super) struct AccountV1 {
    imports: Vec<Option<Import>>,
    exports: Vec<Option<Export>>,
    limits: LimitsV1,
    signing_keys: Vec<String>,
    revocations: Revocations,
}

members!(AccountV1 {
    "imports" => imports,
    "exports" => exports,
    "limits" => limits,
    "signing_keys" => signing_keys,
    "revocations" => revocations,
});

impl AccountV1 {
    /// The same account in today's form.
    pub(in super::super) fn migrate(self, common: Common) -> Account {
        Account {
            imports: self.imports,
            exports: self.exports,
            limits: self.limits.into_limits(),
            signing_keys: SigningKeys::from_plain(self.signing_keys),
            revocations: self.revocations,
            common,
            ..Account::default()
        }
    }
}
