//! What people give instead of a JWT.

use crate::excerpt::excerpt;
use crate::key::Kind;
use crate::key::seed::DISCLOSED;

/// The kind of a text that is not a JWT, and what to do. The message fits after a file name, and never shows the
/// content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAJwt {
    /// Nothing, or white space.
    #[error("it is empty; a JWT is needed")]
    Empty,
    /// Bytes that are neither UTF-8 nor UTF-16.
    #[error("it is neither UTF-8 nor UTF-16 text: is it the right file?")]
    NotText,
    /// A private key: an nkeys seed of this kind, or a PEM block. Empty: the kind is not known.
    #[error("it has a private key in it{}: {DISCLOSED}", of_kind(.0))]
    PrivateKey(&'static str),
    /// A JWT and a seed, as in a user's creds file.
    #[error("it is a creds file, which has a private key in it: {DISCLOSED}")]
    Creds,
    /// A public nkey.
    #[error("it is the public key of {}; its JWT is needed, as nsc describe prints it with --raw", named(*.0))]
    PublicKey(Kind),
    /// More than one JWT.
    #[error("it has several JWTs in it; exactly one is needed")]
    Several,
    /// A line that begins a block, without the rest.
    #[error("its block between -----BEGIN and -----END is not complete: the JWT is needed on one line between the two")]
    Incomplete,
    /// A JWT without a block, and other text.
    #[error("there is other text around its JWT; remove it, or put the JWT between the two lines that nsc writes")]
    Surrounded,
    /// A JWT with white space in it.
    #[error("its JWT is broken into pieces by line ends or blanks; it is needed on one line")]
    Broken,
    /// It begins as a JWT does, but has another number of parts.
    #[error("it has {0} of the 3 parts of a JWT: is it cut off?")]
    Parts(usize),
    /// A certificate or another PEM block; its label.
    #[error("it is a PEM file ({}); a JWT is needed, as nsc describe prints it with --raw", excerpt(.0))]
    Pem(String),
    /// JSON.
    #[error("it is JSON; the signed JWT is needed, as nsc describe prints it with --raw")]
    Json,
    /// HTML or XML.
    #[error("it is a page of HTML or XML; a JWT is needed: did a download answer with an error page?")]
    Html,
    /// Any other text.
    #[error("it is plain text, and no JWT; a JWT is needed, as nsc describe prints it with --raw")]
    Text,
}

impl NotAJwt {
    /// Whether a private key was given.
    pub const fn is_private(&self) -> bool {
        matches!(self, Self::PrivateKey(_) | Self::Creds)
    }
}

/// The kind of the seed that a text is, by its second letter.
pub(super) fn of_seed(text: &str) -> &'static str {
    let is_alone = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match text.as_bytes() {
        [_, kind, ..] if is_alone => match kind.to_ascii_uppercase() {
            b'A' => "an account",
            b'C' => "a cluster",
            b'N' => "a server",
            b'O' => "an operator",
            b'U' => "a user",
            _ => "",
        },
        _ => "",
    }
}

fn of_kind(kind: &str) -> String {
    if kind.is_empty() { String::new() } else { format!(", the seed of {kind}") }
}

fn named(kind: Kind) -> String {
    let article = if matches!(kind, Kind::Account | Kind::Operator) { "an" } else { "a" };
    format!("{article} {kind}")
}
