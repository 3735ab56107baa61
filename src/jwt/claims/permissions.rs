//! Which subjects may be used.

use super::super::read::members;

/// Permissions of a user, or of the users of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// To publish.
    pub publish: Permission,
    /// To subscribe; an entry may name a queue after a blank.
    pub subscribe: Permission,
    /// To answer requests.
    pub response: Option<ResponsePermission>,
}

members!(Permissions { "pub" => publish, "sub" => subscribe, "resp" => response });

/// Subjects that are allowed and denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permission {
    /// Allowed; empty: all.
    pub allow: Vec<String>,
    /// Denied.
    pub deny: Vec<String>,
}

members!(Permission { "allow" => allow, "deny" => deny });

/// Permission to publish to the reply subjects of received requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponsePermission {
    /// How many messages.
    pub max: i64,
    /// For how long, nanoseconds.
    pub ttl: i64,
}

members!(ResponsePermission { "max" => max, "ttl" => ttl });
