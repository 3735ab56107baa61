//! The members that every token has, and the frame around its body.

use super::super::json::Value;
use super::super::read::{Faults, FromJson, Members, members};

/// The standard claims of RFC 7519, and the name. Absent texts are empty, absent times 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Audience.
    pub aud: String,
    /// Identifier: a digest of the other members here. It says nothing about the body.
    pub jti: String,
    /// The public key that signed.
    pub iss: String,
    /// A name for people.
    pub name: String,
    /// Whom the token is about.
    pub sub: String,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires after, Unix seconds; 0: never.
    pub exp: i64,
    /// Not valid before, Unix seconds; 0: always.
    pub nbf: i64,
}

members!(Registered {
    "aud" => aud,
    "exp" => exp,
    "jti" => jti,
    "iat" => iat,
    "iss" => iss,
    "name" => name,
    "nbf" => nbf,
    "sub" => sub,
});

/// The members at the end of every body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// Tags.
    pub tags: Vec<String>,
    /// The kind of claims, as `account`. The JSON member is `type`.
    pub kind: String,
    /// Version of the claims.
    pub version: i64,
}

members!(Common { "tags" => tags, "type" => kind, "version" => version });

/// The members that decide how the rest is read.
#[derive(Debug, Default)]
pub(in super::super) struct Identifier {
    kind: String,
    nats: Common,
}

members!(Identifier { "type" => kind, "nats" => nats });

impl Identifier {
    /// The kind of claims: version 1 says it at the top.
    pub(in super::super) fn kind(&self) -> &str {
        if self.kind.is_empty() { &self.nats.kind } else { &self.kind }
    }

    /// The version; 0 if there is none.
    pub(in super::super) fn version(&self) -> i64 {
        if self.kind.is_empty() { self.nats.version } else { 1 }
    }
}

/// A version 2 token: standard claims around a body.
#[derive(Debug, Default)]
pub(in super::super) struct Document<B> {
    pub(in super::super) registered: Registered,
    pub(in super::super) body: B,
}

impl<B: FromJson> Members for Document<B> {
    fn member(&mut self, name: &str, value: &Value<'_>, faults: &mut Faults) -> bool {
        if name == "nats" {
            faults.member("nats", &mut self.body, value);
            return true;
        }
        self.registered.member(name, value, faults)
    }
}

/// A version 1 token, which has some of the body's members at the top.
#[derive(Debug, Default)]
pub(in super::super) struct DocumentV1<B> {
    pub(in super::super) document: Document<B>,
    pub(in super::super) moved: Moved,
}

/// Members that version 2 has in the body.
#[derive(Debug, Default)]
pub(in super::super) struct Moved {
    tags: Vec<String>,
    kind: String,
    pub(in super::super) issuer_account: String,
}

members!(Moved { "tags" => tags, "type" => kind, "issuer_account" => issuer_account });

impl Moved {
    /// The body's last members after the move.
    pub(in super::super) fn common(&mut self) -> Common {
        Common { tags: std::mem::take(&mut self.tags), kind: std::mem::take(&mut self.kind), version: 1 }
    }
}

impl<B: FromJson> Members for DocumentV1<B> {
    fn member(&mut self, name: &str, value: &Value<'_>, faults: &mut Faults) -> bool {
        self.moved.member(name, value, faults) || self.document.member(name, value, faults)
    }
}
