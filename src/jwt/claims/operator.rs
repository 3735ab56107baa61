//! Operator claims.

use super::super::read::members;
use super::registered::Common;

/// The body of an operator JWT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// Keys that may issue accounts, in addition to the operator's own.
    pub signing_keys: Vec<String>,
    /// Where account JWTs are hosted.
    pub account_server_url: String,
    /// Where the operator's nats-servers are.
    pub operator_service_urls: Vec<String>,
    /// The system account's public key.
    pub system_account: String,
    /// The oldest nats-server that may run for the operator, as `2.10.0`.
    pub assert_server_version: String,
    /// Whether accounts must be signed with a signing key, not with the operator's own.
    pub strict_signing_key_usage: bool,
    /// Tags, kind and version.
    pub common: Common,
}

members!(Operator {
    "signing_keys" => signing_keys,
    "account_server_url" => account_server_url,
    "operator_service_urls" => operator_service_urls,
    "system_account" => system_account,
    "assert_server_version" => assert_server_version,
    "strict_signing_key_usage" => strict_signing_key_usage,
    "tags" => common.tags,
    "type" => common.kind,
    "version" => common.version,
});

/// The body of a version 1 operator JWT.
#[derive(Debug, Default)]
pub(in super::super) struct OperatorV1 {
    operator: Operator,
}

members!(OperatorV1 {
    "signing_keys" => operator.signing_keys,
    "account_server_url" => operator.account_server_url,
    "operator_service_urls" => operator.operator_service_urls,
    "system_account" => operator.system_account,
});

impl OperatorV1 {
    /// The same operator in today's form.
    pub(in super::super) fn migrate(self, common: Common) -> Operator {
        Operator { common, ..self.operator }
    }
}
