//! What the user of our connection is not permitted to do, as the nats-server says it.
//!
//! A missing permission is easily made and hard to see: nothing fails, messages just do not come. So each one is kept, for
//! the readiness report, and logged once for each connection.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// Subjects that are kept. Some of ours have a part that differs with each message.
const KEPT: usize = 32;

/// The permissions that were found missing on the connection of now.
#[derive(Debug, Default)]
pub(super) struct MissingPermissions(Mutex<BTreeSet<String>>);

impl MissingPermissions {
    /// Takes in an error of the nats-server. Returns whether it is about a permission that is known to be missing.
    pub(super) fn note(&self, error: &str) -> bool {
        let Some(what) = violation(error) else { return false };
        let mut kept = self.0.lock();
        if kept.contains(&what) {
            return true;
        }
        if kept.len() < KEPT {
            tracing::warn!("the NATS user is not permitted to {what}: allow it (docs/nats.md lists what is needed)");
            kept.insert(what);
        }
        true
    }

    /// Forgets everything: there is another connection.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// What is missing, as in `subscribe to $SYS.REQ.CLAIMS.LIST`.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }
}

/// What an error of the kind `Permissions Violation for Subscription to "subject"` forbids. The part of a subject that is
/// ours alone, such as the account of an announcement or the end of an inbox, is left out.
fn violation(error: &str) -> Option<String> {
    let start = error.to_ascii_lowercase().find("permissions violation for ")?;
    let rest = &error[start + "permissions violation for ".len()..];
    let (kind, subject) = rest.split_once(" to ")?;
    // Behind the subject of a queue subscription comes the name of the group.
    let subject = subject.trim().trim_matches('\'').split('"').find(|part| !part.is_empty())?;
    let tokens = subject.split('.').enumerate().map(|(at, token)| match token {
        token if at > 0 && (token.len() >= 22 || token.bytes().all(|byte| byte.is_ascii_digit())) => "*",
        token => token,
    });
    let subject = tokens.collect::<Vec<_>>().join(".");
    let verb = if kind.to_ascii_lowercase().starts_with("sub") { "subscribe" } else { "publish" };
    Some(format!("{verb} to {}", subject.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_permission_is_named_as_it_would_be_granted() {
        let account = "ADYHLT7GPVHAE2S4T5QBZ3RSP5TXL3NVGTSYMTIVBXMCQ5BOD2HLY3QO";
        for (error, wanted) in [
            (
                r#"'Permissions Violation for Subscription to "$SYS.REQ.CLAIMS.LIST"'"#.into(),
                "subscribe to $SYS.REQ.CLAIMS.LIST",
            ),
            (
                r#"nats: permissions violation for subscription to "$SYS.REQ.CLAIMS.PACK" using queue "responder""#
                    .into(),
                "subscribe to $SYS.REQ.CLAIMS.PACK",
            ),
            (
                format!(r#"Permissions Violation for Publish to "$SYS.REQ.ACCOUNT.{account}.CLAIMS.UPDATE""#),
                "publish to $SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
            ),
            (
                r#"Permissions Violation for Subscription to "_INBOX.K2YBDY8ADCfKCrB9VBTBQm.*""#.into(),
                "subscribe to _INBOX.*.*",
            ),
        ] {
            assert_eq!(violation(&error).as_deref(), Some(wanted), "{error}");
        }
        assert_eq!(violation("'Maximum Payload Violation'"), None);
    }

    #[test]
    fn each_is_kept_once_and_their_number_is_bounded() {
        let denied = MissingPermissions::default();
        for subject in 0..100 {
            assert!(denied.note(&format!(r#"Permissions Violation for Publish to "s{subject}""#)));
            assert!(denied.note(r#"Permissions Violation for Publish to "s0""#));
        }
        assert_eq!(denied.all().len(), KEPT);
        denied.clear();
        assert!(denied.all().is_empty());
        assert!(!denied.note("'Authorization Violation'"));
    }
}
