//! The paths on which a token can arrive, and what each path allows.

use std::borrow::Cow;

use crate::jwt::{NotAJwt, given};
use crate::key::seed;

/// The path of a token to the gate.
///
/// The path decides two things: whether a token that has expired (or is dated in the future) is rejected, and which of
/// two versions with the same `iat` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A `POST` over HTTP at the primary.
    Post,
    /// A claims update over NATS at the primary.
    Update,
    /// A file in the token folder, changed while the server knew it.
    EditedFile,
    /// A line of a peer's pack.
    Pack,
    /// The token folder as found at start.
    FirstScan,
    /// The command `import` on the folder of a stopped primary, or `store.import_from` at start.
    Import,
    /// A token that the configuration names, such as the system account's.
    Configured,
    /// The primary's change feed, on a replica.
    Feed,
    /// The answer to a replica's own GET at its upstream.
    Upstream,
    /// A claims update over NATS, heard by a replica: a hint that carries its own proof.
    Hint,
    /// The store of a mirror, when it becomes the primary: what no primary had ordered.
    Promotion,
}

impl Via {
    /// Every path, for tables and metrics.
    pub const ALL: [Self; 11] = [
        Self::Post,
        Self::Update,
        Self::EditedFile,
        Self::Pack,
        Self::FirstScan,
        Self::Import,
        Self::Configured,
        Self::Feed,
        Self::Upstream,
        Self::Hint,
        Self::Promotion,
    ];

    /// The name in logs and metric labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Update => "update",
            Self::EditedFile => "file",
            Self::Pack => "pack",
            Self::FirstScan => "scan",
            Self::Import => "import",
            Self::Configured => "config",
            Self::Feed => "feed",
            Self::Upstream => "upstream",
            Self::Hint => "hint",
            Self::Promotion => "promotion",
        }
    }

    /// The path of a [`Via::label`], as stored in the journal.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.label() == label)
    }

    /// Whether a person may have given it, so that it may be decorated as nsc and editors do. What machines send is bare.
    pub const fn is_given(self) -> bool {
        matches!(self, Self::Post | Self::EditedFile | Self::FirstScan)
    }

    /// The bare JWT in the text of this path, without white space at its end.
    pub(super) fn bare(self, bytes: &[u8]) -> Result<Cow<'_, str>, NotAJwt> {
        if self.is_given() {
            return given(bytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotAJwt::NotText)?.trim_ascii_end();
        // A JWT begins so, and is one word. What else is wrong with it, the decoder says.
        let may_be_one = text.starts_with("ey") && !text.bytes().any(|byte| byte.is_ascii_whitespace());
        if !may_be_one && seed::is_in(text) {
            return Err(NotAJwt::PrivateKey(""));
        }
        Ok(Cow::Borrowed(text))
    }

    /// Whether a client requests this change now.
    ///
    /// Such a token must be valid now. A token of a scan or the feed was accepted earlier, and is stored whatever the
    /// clock says, as on the Go servers.
    pub const fn demands_valid_time(self) -> bool {
        match self {
            Self::Post | Self::Update | Self::EditedFile | Self::Pack | Self::Hint => true,
            Self::FirstScan | Self::Import | Self::Configured | Self::Feed | Self::Upstream | Self::Promotion => false,
        }
    }
}
