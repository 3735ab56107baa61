//! What expires: the operator JWT, certificates, the NATS user, accounts. It is said three days ahead, and when it has happened.

use super::{CheckStatus, CodedCheck, Node};
use crate::calendar::{period, utc_time};
use crate::store::StoreError;

/// How long before an expiry there is a warning, seconds.
const AHEAD: i64 = 3 * 86_400;
/// Accounts that expire are counted up to this number.
const MOST: usize = 1000;

/// When what this server needs expires, unix seconds; `None`: never, or there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiries {
    /// The operator JWT in force.
    pub operator: Option<i64>,
    /// The certificate of `http.tls`.
    pub certificate: Option<i64>,
    /// The certificate of `replica.tls`.
    pub client_certificate: Option<i64>,
    /// The user JWT of the NATS credentials.
    pub nats_user: Option<i64>,
}

impl Node {
    /// When what this server needs expires.
    pub fn expiries(&self) -> Expiries {
        let ends = |end: &i64| *end != 0;
        Expiries {
            operator: self.trust().map(|trust| trust.exp()).filter(ends),
            certificate: self.https.get().and_then(|files| files.not_after()),
            client_certificate: self.upstream().and_then(|upstream| upstream.certificate_end()),
            nats_user: self.nats().and_then(|nats| nats.user_end()).filter(ends),
        }
    }

    /// A check for each kind of expiry. Blocks for a query.
    pub(super) fn expiry_checks(&self, now: i64) -> [CodedCheck; 4] {
        let Expiries { operator, certificate, client_certificate, nats_user } = self.expiries();
        let operator = match (self.trust(), operator) {
            (None, _) => skip("no operator is configured"),
            (Some(_), None) => pass("the operator JWT never expires"),
            (Some(_), Some(end)) => verdict("the operator JWT", end, now, "sign a new one"),
        };
        let certificates = [("the certificate of http.tls", certificate), ("that of replica.tls", client_certificate)];
        let nats_user = match (self.nats().and_then(|nats| nats.user_end()), nats_user) {
            (None, _) => skip("there are no NATS credentials"),
            (Some(_), None) => pass("the NATS user never expires"),
            (Some(_), Some(end)) => verdict("the NATS user", end, now, "write renewed credentials to nats.creds"),
        };
        [
            coded("operator_expiry", operator),
            self.account_expiry(now),
            coded("certificate_expiry", worst(&certificates, now)),
            coded("nats_user_expiry", nats_user),
        ]
    }

    fn account_expiry(&self, now: i64) -> CodedCheck {
        let found = self.whole_journal().map(|journal| {
            Ok((journal.count_expiring(0, now, MOST)?, journal.count_expiring(now, now + AHEAD, MOST)?))
        });
        let verdict = match found {
            None => skip("this server does not store every account"),
            Some(Err(error)) => (CheckStatus::Warning, unknown(&error)),
            Some(Ok((0, 0))) => pass("no account has expired, or expires within 3 days"),
            Some(Ok((expired, expiring))) => accounts(expired, expiring),
        };
        coded("account_expiry", verdict)
    }
}

type Verdict = (CheckStatus, String);

fn coded(code: &'static str, (status, detail): Verdict) -> CodedCheck {
    CodedCheck { code, status, detail }
}

fn skip(detail: &str) -> Verdict {
    (CheckStatus::Skip, detail.to_owned())
}

fn pass(detail: &str) -> Verdict {
    (CheckStatus::Pass, detail.to_owned())
}

/// The verdict on something that expires.
fn verdict(what: &str, end: i64, now: i64, remedy: &str) -> Verdict {
    let (at, time) = (utc_time(end), period(now, end));
    if now > end {
        (CheckStatus::Fail, format!("{what} expired at {at}, {time} ago: {remedy}"))
    } else if end - now < AHEAD {
        (CheckStatus::Warning, format!("{what} expires at {at}, in {time}: {remedy}"))
    } else {
        (CheckStatus::Pass, format!("{what} expires at {at}"))
    }
}

/// The verdict on all certificates: that on the one that expires first, and the ends of all.
fn worst(certificates: &[(&str, Option<i64>)], now: i64) -> Verdict {
    let mut ends: Vec<_> = certificates.iter().filter_map(|(what, end)| Some((end.as_ref()?, what))).collect();
    ends.sort();
    let verdicts: Vec<_> = ends.iter().map(|(end, what)| verdict(what, **end, now, "renew it")).collect();
    let Some((status, _)) = verdicts.first() else { return skip("this server has no certificate") };
    let details: Vec<_> = verdicts.iter().map(|(_, detail)| &**detail).collect();
    (*status, details.join("; "))
}

/// The verdict on accounts of which some have expired, or will soon. That cuts their clients off, which may be what was wanted,
/// and the server does its work.
fn accounts(expired: usize, expiring: usize) -> Verdict {
    let counted = |count: usize, one: &str, many: &str| {
        let (more, s) = (if count == MOST { " or more" } else { "" }, if count == 1 { "" } else { "s" });
        format!("{count}{more} account{s} {}", if count == 1 { one } else { many })
    };
    let mut details = Vec::new();
    if expired > 0 {
        let count = counted(expired, "has expired", "have expired");
        details.push(format!("{count}: renew or delete what /api/v1/accounts?state=expired lists"));
    }
    if expiring > 0 {
        let count = counted(expiring, "expires", "expire");
        details.push(format!("{count} within 3 days: /api/v1/accounts?state=live&expires_before=3d lists them"));
    }
    (CheckStatus::Warning, details.join("; "))
}

fn unknown(error: &StoreError) -> String {
    format!("cannot tell which accounts expire: {}", error.for_clients())
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_795_503_912;

    #[test]
    fn an_expiry_is_a_warning_from_three_days_before_and_a_failure_from_then_on() {
        for (now, status, text) in [
            (END - AHEAD, CheckStatus::Pass, "it expires at 2026-11-24 07:05:12 UTC"),
            (END - AHEAD + 1, CheckStatus::Warning, "it expires at 2026-11-24 07:05:12 UTC, in 2 days: renew it"),
            (END, CheckStatus::Warning, "in 0 seconds"),
            (END + 60, CheckStatus::Fail, "it expired at 2026-11-24 07:05:12 UTC, 1 minute ago: renew it"),
        ] {
            let (found, detail) = verdict("it", END, now, "renew it");
            assert!(found == status && detail.contains(text), "{now}: {detail}");
        }
    }

    #[test]
    fn the_certificate_that_expires_first_decides() {
        for (ends, status, order) in [
            ([None, None], CheckStatus::Skip, &[][..]),
            ([Some(END), None], CheckStatus::Pass, &["a expires"]),
            ([Some(END), Some(END - 2 * AHEAD)], CheckStatus::Fail, &["b expired", "; a expires"]),
            ([Some(END - AHEAD + 1), Some(END)], CheckStatus::Warning, &["a expires", "; b expires"]),
        ] {
            let (found, detail) = worst(&[("a", ends[0]), ("b", ends[1])], END - AHEAD);
            let places: Vec<_> = order.iter().map(|text| detail.find(text)).collect();
            assert!(found == status && places.iter().all(Option::is_some) && places.is_sorted(), "{ends:?}: {detail}");
        }
    }

    #[test]
    fn accounts_that_have_expired_or_will_are_a_warning() {
        for (expired, expiring, text) in [
            (0, 1, "1 account expires within 3 days: /api"),
            (1, 0, "1 account has expired: renew or delete"),
            (2, MOST, "lists; 1000 or more accounts expire within"),
        ] {
            let (found, detail) = accounts(expired, expiring);
            assert!(found == CheckStatus::Warning && detail.contains(text), "{detail}");
        }
    }
}
