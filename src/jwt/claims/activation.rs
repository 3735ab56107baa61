//! Activation claims: an account's leave for another to import something.

use super::super::read::members;
use super::StreamKind;
use super::registered::Common;
use super::user::TimeRange;

/// The body of an activation token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activation {
    /// The subject that may be imported.
    pub subject: String,
    /// Stream or service.
    pub kind: StreamKind,
    /// The exporting account, if a signing key of it issued the token.
    pub issuer_account: String,
    /// Tags, kind and version.
    pub common: Common,
}

members!(Activation {
    "subject" => subject,
    "kind" => kind,
    "issuer_account" => issuer_account,
    "tags" => common.tags,
    "type" => common.kind,
    "version" => common.version,
});

/// The body of a version 1 activation token.
#[derive(Debug, Default)]
pub(in super::super) struct ActivationV1 {
    subject: String,
    kind: StreamKind,
    max: i64,
    payload: i64,
    src: String,
    times: Vec<TimeRange>,
}

members!(ActivationV1 {
    "subject" => subject,
    "type" => kind,
    "max" => max,
    "payload" => payload,
    "src" => src,
    "times" => times,
});

impl ActivationV1 {
    /// The same activation in today's form, which has no limits.
    pub(in super::super) fn migrate(self, issuer_account: String, common: Common) -> Activation {
        Activation { subject: self.subject, kind: self.kind, issuer_account, common }
    }
}
