//! Settings that take a token itself, or say where it is.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::key::AccountKey;

/// A JWT, or the file that contains it. The content is not checked here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TokenSource {
    /// The JWT, bare or decorated, without surrounding white space.
    Inline(String),
    /// A file with one JWT, bare or decorated.
    Path(PathBuf),
}

/// A bare JWT starts with the base64 of `{"`, and a decorated one has several lines. No usual file name does either.
fn is_token(text: &str) -> bool {
    let bare = text.trim_start_matches(['\u{feff}', '"', '\'']);
    bare.starts_with("eyJ") || text.contains("-----BEGIN") || text.contains('\n')
}

impl From<String> for TokenSource {
    fn from(text: String) -> Self {
        let trimmed = text.trim();
        if is_token(trimmed) { Self::Inline(trimmed.to_owned()) } else { Self::Path(PathBuf::from(text)) }
    }
}

impl From<TokenSource> for String {
    fn from(source: TokenSource) -> Self {
        match source {
            TokenSource::Inline(token) => token,
            TokenSource::Path(path) => path.to_string_lossy().into_owned(),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Tokens do not belong into logs.
            Self::Inline(token) => write!(f, "Inline({} bytes)", token.len()),
            Self::Path(path) => write!(f, "Path({path:?})"),
        }
    }
}

/// How the system account is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SystemAccount {
    /// Its public key; the JWT is in the store.
    Key(AccountKey),
    /// Its JWT, or a file with it.
    Token(TokenSource),
}

impl From<String> for SystemAccount {
    fn from(text: String) -> Self {
        match AccountKey::parse(text.trim()) {
            Ok(key) => Self::Key(key),
            Err(_) => Self::Token(TokenSource::from(text)),
        }
    }
}

impl From<SystemAccount> for String {
    fn from(account: SystemAccount) -> Self {
        match account {
            SystemAccount::Key(key) => key.to_string(),
            SystemAccount::Token(source) => source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_a_path() {
        for inline in [
            "eyJhbGciOi.x.y",
            "  eyJ0 \n",
            "\u{feff}eyJ0.x.y",
            "'eyJ0.x.y'",
            "-----BEGIN NATS OPERATOR JWT-----\neyJ\n",
            "# ours\n-----BEGIN NATS OPERATOR JWT-----\neyJ\n",
        ] {
            assert!(matches!(TokenSource::from(inline.to_owned()), TokenSource::Inline(_)), "{inline}");
        }
        for path in ["/etc/op.jwt", "op.jwt", "./eyJ.jwt"] {
            assert_eq!(TokenSource::from(path.to_owned()), TokenSource::Path(PathBuf::from(path)));
        }
    }

    #[test]
    fn a_system_account_may_be_a_key() {
        let pair = nkeys::KeyPair::new_account();
        let account = SystemAccount::from(pair.public_key());
        assert!(matches!(account, SystemAccount::Key(_)));
        assert_eq!(String::from(account), pair.public_key());
        let operator = nkeys::KeyPair::new_operator().public_key();
        assert!(matches!(SystemAccount::from(operator), SystemAccount::Token(TokenSource::Path(_))));
    }

    #[test]
    fn debug_output_keeps_tokens_out() {
        assert!(!format!("{:?}", TokenSource::from("eyJsecret".to_owned())).contains("secret"));
    }
}
