//! The paths on which a token can arrive, and what each path allows.

use std::borrow::Cow;

use crate::jwt::{NotAJwt, given};
use crate::key::seed;

/// How a token came to the gate.
///
/// The path decides two things: whether a token that is expired (or dated in the future) is refused or kept, and who
/// wins between two versions with the same `iat`.
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
    /// What the command `import` brings from elsewhere to the folder of a stopped primary, or `store.import_from` at start.
    Import,
    /// A token that the configuration names, such as the system account's.
    Configured,
    /// The primary's change feed, on a replica.
    Feed,
    /// The answer to a replica's own GET at its upstream.
    Upstream,
    /// A claims update over NATS, heard by a replica: a hint that carries its own proof.
    Hint,
    /// What a replica kept on disk.
    Snapshot,
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
        Self::Snapshot,
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
            Self::Snapshot => "snapshot",
        }
    }

    /// The path behind a [`Via::label`], as the journal keeps it.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.label() == label)
    }

    /// Whether a person may have given it, so that it may be decorated as nsc and editors do. What machines send is bare.
    pub const fn is_given(self) -> bool {
        matches!(self, Self::Post | Self::EditedFile | Self::FirstScan)
    }

    /// The bare JWT in what came this way, without white space at its end.
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

    /// Whether somebody is asking for this very change now.
    ///
    /// Such a token must be valid now. One that is merely carried (a scan, the feed) was accepted earlier and is kept
    /// whatever the clock says meanwhile, as the earlier servers did.
    pub const fn demands_valid_time(self) -> bool {
        match self {
            Self::Post | Self::Update | Self::EditedFile | Self::Pack | Self::Hint => true,
            Self::FirstScan | Self::Import | Self::Configured | Self::Feed | Self::Upstream | Self::Snapshot => false,
        }
    }
}
