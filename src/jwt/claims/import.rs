//! An account's imports from others.

use super::super::read::members;
use super::StreamKind;

/// A subject imported from another account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// A name for people.
    pub name: String,
    /// The subject there.
    pub subject: String,
    /// The account that exports it.
    pub account: String,
    /// The activation token, if the export needs one.
    pub token: String,
    /// The subject here, as it was written before `local_subject`.
    pub to: String,
    /// The subject here.
    pub local_subject: String,
    /// Stream or service. The JSON member is `type`.
    pub kind: StreamKind,
    /// Whether the exporter learns the requester's identity.
    pub share: bool,
    /// Whether messages may be traced across.
    pub allow_trace: bool,
}

members!(Import {
    "name" => name,
    "subject" => subject,
    "account" => account,
    "token" => token,
    "to" => to,
    "local_subject" => local_subject,
    "type" => kind,
    "share" => share,
    "allow_trace" => allow_trace,
});
