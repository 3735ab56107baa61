//! The subjects of the account-resolver protocol.

use crate::key::AccountKey;

/// Asks for the JWT of an account.
pub(super) const LOOKUP: &str = "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP";
/// A new JWT. Full and cache resolvers listen.
pub(super) const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";
/// A new JWT of this account. Every nats-server listens.
pub(super) const ACCOUNT_UPDATE: &str = "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE";
/// The same, as it was before nats-server 2.2.
pub(super) const OLD_UPDATE: &str = "$SYS.ACCOUNT.*.CLAIMS.UPDATE";
/// Which accounts are there?
pub(super) const LIST: &str = "$SYS.REQ.CLAIMS.LIST";
/// Forget these accounts.
pub(super) const DELETE: &str = "$SYS.REQ.CLAIMS.DELETE";
/// All JWTs, unless they are those that the asker has.
pub(super) const PACK: &str = "$SYS.REQ.CLAIMS.PACK";
/// One of this group gets each PACK.
pub(super) const RESPONDERS: &str = "responder";

/// The subject on which an account's JWT is asked for.
pub(super) fn lookup(key: &AccountKey) -> String {
    format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP")
}

/// The subject on which every nats-server is told of an account's JWT.
pub(super) fn update(key: &AccountKey) -> String {
    format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.UPDATE")
}

/// The account that a subject of LOOKUP names, if it is a key.
pub(super) fn looked_up(subject: &str) -> Option<AccountKey> {
    AccountKey::parse(subject.strip_prefix("$SYS.REQ.ACCOUNT.")?.strip_suffix(".CLAIMS.LOOKUP")?).ok()
}

/// The account that one of the three subjects of UPDATE names; `None`: it names none. What is no key is an error.
pub(super) fn updated(subject: &str) -> Result<Option<AccountKey>, NoKey> {
    if subject == UPDATE {
        return Ok(None);
    }
    let rest = subject.strip_prefix("$SYS.REQ.ACCOUNT.").or_else(|| subject.strip_prefix("$SYS.ACCOUNT."));
    let key = rest.and_then(|rest| rest.strip_suffix(".CLAIMS.UPDATE")).ok_or(NoKey)?;
    AccountKey::parse(key).map(Some).map_err(|_| NoKey)
}

/// Where an account's key should be, there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_an_account_by_its_canonical_key_only() {
        let key = AccountKey::from_raw([7; 32]);
        assert_eq!(looked_up(&lookup(&key)), Some(key));
        assert_eq!(updated(&update(&key)), Ok(Some(key)));
        assert_eq!(updated(&format!("$SYS.ACCOUNT.{key}.CLAIMS.UPDATE")), Ok(Some(key)));
        assert_eq!(updated(UPDATE), Ok(None));
        let lower = key.to_string().to_ascii_lowercase();
        for junk in ["", "junk", "*", ">", "A", &lower, "../../etc", "\u{1}", &"A".repeat(55), &"B".repeat(56)] {
            assert_eq!(looked_up(&format!("$SYS.REQ.ACCOUNT.{junk}.CLAIMS.LOOKUP")), None, "{junk}");
            assert_eq!(updated(&format!("$SYS.REQ.ACCOUNT.{junk}.CLAIMS.UPDATE")), Err(NoKey), "{junk}");
        }
        assert_eq!(updated("$SYS.REQ.CLAIMS.LIST"), Err(NoKey));
    }
}
