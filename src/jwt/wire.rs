//! The wire format: three base64url parts, claims, and the signature over them.
//!
//! The order of the checks and their texts are those of `Decode` and `DecodeGeneric` in `nats-io/jwt` v2.8.2. Two
//! things are stricter: a part has one spelling only (no line breaks, no stray bits in its last character), and keys
//! are canonical. So a token cannot be respelt without breaking its signature, except for the header of version 1,
//! which no signature covers.

use std::ops::Range;

use data_encoding::BASE64URL_NOPAD;

use super::claims::{
    Account, AccountV1, Activation, ActivationV1, AuthorizationRequest, AuthorizationResponse, Document, DocumentV1,
    Generic, Identifier, Moved, Operator, OperatorV1, Registered, User, UserV1,
};
use super::error::{DecodeError, MAX_TOKEN_BYTES};
use super::json::{self, Value};
use super::quote::quote;
use super::read::{Faults, FromJson, Members, members, read};
use crate::key::{Kind, PublicKey, Signers};

/// The header that nsc and the Go library write, `{"typ":"JWT","alg":"ed25519-nkey"}`. It need not be read each time.
const USUAL_HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ";

/// A token's claims, decoded, with its issuer's signature checked.
///
/// It does not say that the issuer is trusted, that times are right, or that the claims are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt<B> {
    /// The standard members.
    pub claims: Registered,
    /// The version of the claims: 1 or 2, whatever the header says.
    pub version: i64,
    /// The subject of the token.
    pub body: B,
    signed: Range<usize>,
}

impl<B> Jwt<B> {
    /// The part of `token` that the signature covers: the payload in version 1, header and payload in version 2.
    ///
    /// `token` is the text that was decoded. Two texts with an equal signing input are the same token; only the
    /// unsigned header of version 1 can differ.
    pub fn signing_input<'t>(&self, token: &'t str) -> &'t str {
        token.get(self.signed.clone()).unwrap_or_default()
    }

    /// The same token with its body turned into something else.
    pub(super) fn narrow<C>(self, turn: impl FnOnce(B) -> Result<C, DecodeError>) -> Result<Jwt<C>, DecodeError> {
        Ok(Jwt { claims: self.claims, version: self.version, body: turn(self.body)?, signed: self.signed })
    }
}

/// The body of a token whose kind was not known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An operator.
    Operator(Operator),
    /// An account.
    Account(Box<Account>),
    /// An activation.
    Activation(Activation),
    /// A user.
    User(Box<User>),
    /// A nats-server's question to an authorization service.
    AuthorizationRequest,
    /// The answer to it.
    AuthorizationResponse,
    /// Anything else.
    Generic(Generic),
}

/// Decodes a token of any kind, as the library's `Decode` does. `signers`: keys that sign many.
pub(super) fn decode(token: &str, signers: Option<&Signers>) -> Result<Jwt<Body>, DecodeError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(DecodeError::TooLarge(token.len()));
    }
    let chunks = Chunks::split(token)?;
    if chunks.header != USUAL_HEADER {
        Header::parse(chunks.header)?;
    }
    let payload = unbase64(chunks.payload)?;
    let tree = json::parse(&payload)?;
    let (version, claims, body) = load(&tree)?;
    let signature = unbase64(chunks.signature)?;

    let generation = if version <= 1 { 1 } else { 2 };
    let signed = chunks.verify(generation, &claims.iss, &signature, signers)?;
    body.check_issuer(&claims.iss)?;
    Ok(Jwt { claims, version, body, signed })
}

/// Reads claims by the kind that they state. Nothing is verified.
pub(super) fn claims(payload: &[u8]) -> Result<(Registered, Body), DecodeError> {
    let (_, claims, body) = load(&json::parse(payload)?)?;
    Ok((claims, body))
}

/// Decodes a token without regard to its kind, as the library's `DecodeGeneric` does.
pub(super) fn decode_generic(token: &str) -> Result<Jwt<Generic>, DecodeError> {
    let chunks = Chunks::split(token)?;
    let header = Header::parse(chunks.header)?;
    let payload = unbase64(chunks.payload)?;
    let tree = json::parse(&payload)?;
    let loose: LooseDocument = read(&tree)?;
    let signature = unbase64(chunks.signature)?;

    let generation = if header.alg == "ed25519" { 1 } else { 2 };
    let Document { registered: claims, mut body } = loose.document;
    let signed = chunks.verify(generation, &claims.iss, &signature, None)?;
    if generation == 1 {
        body.adopt(loose.kind, loose.tags)?;
    }
    Ok(Jwt { claims, version: i64::from(generation), body, signed })
}

pub(super) struct Chunks<'t> {
    token: &'t str,
    pub(super) header: &'t str,
    pub(super) payload: &'t str,
    pub(super) signature: &'t str,
}

impl<'t> Chunks<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, DecodeError> {
        let mut parts = token.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(payload), Some(signature), None) => Ok(Self { token, header, payload, signature }),
            _ => Err(DecodeError::Chunks),
        }
    }

    /// Checks the signature, and says which part of the token it covers.
    fn verify(
        &self,
        generation: u8,
        iss: &str,
        signature: &[u8],
        signers: Option<&Signers>,
    ) -> Result<Range<usize>, DecodeError> {
        let payload_end = self.header.len() + 1 + self.payload.len();
        let signed = if generation == 1 { self.header.len() + 1..payload_end } else { 0..payload_end };
        let key = PublicKey::parse(iss).map_err(|_| DecodeError::Signature(generation))?;
        let message = &self.token.as_bytes()[signed.clone()];
        let is_genuine = match signers {
            Some(signers) => signers.verify(&key, message, signature),
            None => key.verify(message, signature),
        };
        if is_genuine { Ok(signed) } else { Err(DecodeError::Signature(generation)) }
    }
}

/// The bytes of a part in its one spelling.
pub(super) fn unbase64(chunk: &str) -> Result<Vec<u8>, DecodeError> {
    BASE64URL_NOPAD.decode(chunk.as_bytes()).map_err(|error| DecodeError::Base64(error.position))
}

#[derive(Default)]
pub(super) struct Header {
    pub(super) typ: String,
    pub(super) alg: String,
}

members!(Header { "typ" => typ, "alg" => alg });

impl Header {
    /// Reads a header, whatever it says.
    pub(super) fn read(chunk: &str) -> Result<Self, DecodeError> {
        let bytes = unbase64(chunk)?;
        read(&json::parse(&bytes)?)
    }

    fn parse(chunk: &str) -> Result<Self, DecodeError> {
        let header = Self::read(chunk)?;
        if !header.typ.eq_ignore_ascii_case("jwt") {
            return Err(DecodeError::HeaderType(quote(&header.typ)));
        }
        // The kelvin sign is a k to Go.
        match header.alg.replace('\u{212A}', "k").to_ascii_lowercase().as_str() {
            "ed25519" | "ed25519-nkey" => Ok(header),
            _ => Err(DecodeError::Algorithm(quote(&header.alg))),
        }
    }
}

/// Reads claims by the kind and version that they state. Generic claims have version -1 here, as in the library.
fn load(tree: &Value<'_>) -> Result<(i64, Registered, Body), DecodeError> {
    let identifier: Identifier = read(tree)?;
    let version = identifier.version();
    if version > 2 {
        return Err(DecodeError::Newer);
    }
    let (claims, body) = match (identifier.kind(), version) {
        ("operator", 1) => old(tree, |body: OperatorV1, mut moved| Body::Operator(body.migrate(moved.common())))?,
        ("operator", 2) => new(tree, Body::Operator)?,
        ("account", 1) => old(tree, |body: AccountV1, mut moved| Body::Account(body.migrate(moved.common()).into()))?,
        ("account", 2) => new(tree, |mut body: Account| {
            // Tiers replace the untiered limits, as in the library.
            if !body.limits.tiered.is_empty() {
                body.limits.jetstream = Default::default();
            }
            Body::Account(Box::new(body))
        })?,
        ("activation", 1) => old(tree, |body: ActivationV1, mut moved| {
            let common = moved.common();
            Body::Activation(body.migrate(moved.issuer_account, common))
        })?,
        ("activation", 2) => new(tree, Body::Activation)?,
        ("user", 1) => old(tree, |body: UserV1, mut moved| {
            let common = moved.common();
            Body::User(Box::new(body.migrate(moved.issuer_account, common)))
        })?,
        ("user", 2) => new(tree, |body: User| Body::User(Box::new(body)))?,
        ("operator" | "account" | "activation" | "user", other) => return Err(DecodeError::Version(other)),
        ("authorization_request", _) => new(tree, |_: AuthorizationRequest| Body::AuthorizationRequest)?,
        ("authorization_response", _) => new(tree, |_: AuthorizationResponse| Body::AuthorizationResponse)?,
        ("cluster", _) => return Err(DecodeError::Retired("ClusterClaims")),
        ("server", _) => return Err(DecodeError::Retired("ServerClaims")),
        _ => {
            let (claims, body) = new(tree, Body::Generic)?;
            return Ok((-1, claims, body));
        }
    };
    Ok((version, claims, body))
}

fn new<B: FromJson + Default>(
    tree: &Value<'_>,
    turn: impl FnOnce(B) -> Body,
) -> Result<(Registered, Body), DecodeError> {
    let document: Document<B> = read(tree)?;
    Ok((document.registered, turn(document.body)))
}

fn old<B: FromJson + Default>(
    tree: &Value<'_>,
    turn: impl FnOnce(B, Moved) -> Body,
) -> Result<(Registered, Body), DecodeError> {
    let DocumentV1 { document, moved }: DocumentV1<B> = read(tree)?;
    Ok((document.registered, turn(document.body, moved)))
}

impl Body {
    /// The kind's name, as `account`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Account(_) => "account",
            Self::Activation(_) => "activation",
            Self::User(_) => "user",
            Self::AuthorizationRequest => "authorization_request",
            Self::AuthorizationResponse => "authorization_response",
            Self::Generic(_) => "generic",
        }
    }

    /// Refuses an issuer of a kind that cannot issue such claims.
    fn check_issuer(&self, iss: &str) -> Result<(), DecodeError> {
        let (kinds, text): (&[Kind], _) = match self {
            Self::Operator(_) => (&[Kind::Operator], "operator"),
            Self::Account(_) | Self::Activation(_) => (&[Kind::Account, Kind::Operator], "account operator"),
            Self::User(_) | Self::AuthorizationResponse => (&[Kind::Account], "account"),
            Self::AuthorizationRequest => (&[Kind::Server], "server"),
            Self::Generic(_) => return Ok(()),
        };
        let known = PublicKey::parse(iss).is_ok_and(|key| kinds.contains(&key.kind()));
        if known { Ok(()) } else { Err(DecodeError::Issuer(text)) }
    }
}

/// The members that `DecodeGeneric` reads: the body's last ones count at the top level.
#[derive(Default)]
struct LooseDocument {
    document: Document<Generic>,
    kind: String,
    tags: Vec<String>,
    version: i64,
}

impl Members for LooseDocument {
    fn member(&mut self, name: &str, value: &Value<'_>, faults: &mut Faults) -> bool {
        match name {
            "type" => faults.member("type", &mut self.kind, value),
            "tags" => faults.member("tags", &mut self.tags, value),
            "version" => faults.member("version", &mut self.version, value),
            _ => return self.document.member(name, value, faults),
        }
        true
    }
}
