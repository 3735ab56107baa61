//! What a failure to connect means, and what to do about it.

use crate::excerpt::excerpt_of;

/// What failed. It decides whether a failure is the one that was reported before; texts are no good for that, because some
/// name the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// The credentials file cannot be used, or the user is of another account, which is reported by itself.
    Reported,
    /// The nats-server rejects the user.
    Rejected,
    /// The user's JWT has expired.
    Expired,
    /// A host name is unknown.
    Dns,
    /// Anything else, by its text without digits.
    Other(String),
}

impl Fault {
    /// Whether it is about the user, and so the same at every nats-server.
    pub(super) const fn is_of_user(&self) -> bool {
        matches!(self, Self::Reported | Self::Rejected | Self::Expired)
    }
}

/// Whom we log in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody: there are no credentials.
    Nobody,
    /// A user with a password, or a token, of the addresses.
    Login,
    /// The user of the credentials file.
    User {
        /// When its JWT expired, for people.
        expired: Option<String>,
        /// What is wrong with its account, for people.
        outside: Option<String>,
    },
}

/// The longest part of a text from outside that counts, in bytes.
const LONGEST: usize = 300;

/// What an error of the client library or of the nats-server means. `scheme` is that of the address.
pub(super) fn explain(error: &str, scheme: &str, who: &Who) -> (Fault, String) {
    let (mut plain, lower) = (error, error.to_ascii_lowercase());
    for prefix in ["IO error: ", "TLS error: ", "nats: "] {
        plain = plain.strip_prefix(prefix).unwrap_or(plain);
    }
    let plain = excerpt_of(plain, LONGEST).part();
    let plain = plain.trim_matches('\'');
    let has = |part: &str| lower.contains(part);
    if has("failed signing nonce") {
        return (Fault::Reported, "the file of nats.creds cannot be used".to_owned());
    }
    if has("user authentication expired") {
        return (Fault::Expired, expired(who));
    }
    if has("authorization violation") {
        return rejected(who);
    }
    if has("dns error") {
        return (
            Fault::Dns,
            "the host name cannot be resolved; check nats.servers, and DNS on this machine".to_owned(),
        );
    }
    let hint = HINTS.iter().find(|(parts, _)| parts.iter().any(|part| has(part))).map(|(_, hint)| *hint);
    let hint = match hint {
        None if scheme.starts_with("ws") => Some("does the nats-server have a websocket block for this port?"),
        hint => hint,
    };
    let text = hint.map_or_else(|| plain.to_owned(), |hint| format!("{plain}; {hint}"));
    (Fault::Other(plain.chars().filter(|letter| !letter.is_ascii_digit()).collect()), text)
}

/// Parts of errors in small letters, and what to do.
const HINTS: [(&[&str], &str); 16] = [
    (&["connection refused"], "nothing listens there: check the address, and whether the nats-server runs"),
    (
        &["unknownissuer", "badsignature"],
        "nats.tls.root must name the authority that issued the nats-server's certificate",
    ),
    (
        &["not valid for name", "notvalidforname"],
        "use a name in nats.servers that the nats-server's certificate is issued for",
    ),
    (&["certificate expired", "invalid peer certificate: expired"], "renew the nats-server's certificate"),
    (&["not valid yet"], "the nats-server's certificate begins later, or a clock is wrong"),
    (&["causedasendentity"], "the nats-server must use a certificate of its own, not that of an authority"),
    (&["invalid peer certificate"], "the nats-server's certificate cannot be accepted"),
    (&["certificaterequired"], "the nats-server demands a client certificate: set nats.tls.cert and nats.tls.key"),
    (&["corrupt message", "invalidcontenttype"], "there is no TLS at this address: use nats:// or ws://"),
    (&["expected info, got nothing"], "is it the client port of a nats-server, and without handshake_first?"),
    (&["expected info"], "is it the client port of a nats-server?"),
    (&["maximum connections exceeded"], "raise max_connections in the nats-server; this server needs two"),
    (&["maximum account active connections"], "raise the limit of connections in the JWT of the system account"),
    (
        &["authentication revoked"],
        "the account revoked this user: write the credentials of another user to the file of nats.creds",
    ),
    (&["account authentication expired"], "the JWT of the user's account has expired: push a new one"),
    (&["timed out"], "no answer came within nats.connect_timeout: check the address, and firewalls"),
];

fn rejected(who: &Who) -> (Fault, String) {
    let text = match who {
        Who::Nobody => {
            "NATS rejects connections without a login (authorization violation); set nats.creds to the credentials of a \
             user of the system account"
        }
        Who::Login => "NATS rejects the user or token in nats.servers (authorization violation); check it",
        Who::User { expired: Some(_), .. } => return (Fault::Expired, expired(who)),
        Who::User { outside: Some(outside), .. } => {
            return (Fault::Reported, format!("NATS rejects this user (authorization violation): {outside}"));
        }
        Who::User { .. } => {
            "NATS rejects this user; if the system account's JWT has not been pushed yet, push it now. Otherwise check \
             that the nats-server trusts this operator, and that the user is not revoked (authorization violation)"
        }
    };
    (Fault::Rejected, text.to_owned())
}

fn expired(who: &Who) -> String {
    let when = match who {
        Who::User { expired: Some(when), .. } => format!(" on {when}"),
        _ => String::new(),
    };
    format!(
        "the user's JWT in nats.creds expired{when}; write new credentials to that file, which is read at each attempt"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_says_what_to_do() {
        let user = Who::User { expired: None, outside: None };
        for (error, said) in [
            ("IO error: Connection refused (os error 111)", "Connection refused (os error 111); nothing listens there"),
            ("IO error: invalid peer certificate: BadSignature", "BadSignature; nats.tls.root must name"),
            ("IO error: invalid peer certificate: UnknownIssuer", "UnknownIssuer; nats.tls.root must name"),
            (
                "IO error: invalid peer certificate: certificate not valid for name \"h\"; certificate is only valid for DnsName(\"x\")",
                "use a name in nats.servers",
            ),
            (
                "IO error: invalid peer certificate: certificate expired: verification time 1795970000 (UNIX), but",
                "renew the nats-server's certificate",
            ),
            ("IO error: received fatal alert: CertificateRequired", "CertificateRequired; the nats-server demands"),
            ("IO error: received corrupt message of type InvalidContentType", "use nats://"),
            ("IO error: expected INFO, got nothing", "client port of a nats-server"),
            ("IO error: nats: maximum connections exceeded", "raise max_connections"),
            ("nats: 'User Authentication Revoked'", "the account revoked this user"),
            ("nats: Account Authentication Expired", "push a new one"),
            ("timed out", "timed out; no answer came"),
            ("DNS error: failed to lookup", "the host name cannot be resolved"),
            ("authorization violation: nats: authorization violation", "push it now"),
            ("nats: User Authentication Expired", "write new credentials"),
            ("nats: something new", "something new"),
        ] {
            let (_, text) = explain(error, "nats", &user);
            assert!(text.contains(said), "{error}: {text}");
        }
        assert!(explain("IO error: x", "wss", &user).1.contains("websocket block"));
    }

    #[test]
    fn a_rejection_depends_on_whom_we_log_in_as() {
        let (when, outside) = ("2026-11-29 07:05:12 UTC".to_owned(), "it is of another account".to_owned());
        for (who, fault, said) in [
            (Who::Nobody, Fault::Rejected, "set nats.creds"),
            (Who::Login, Fault::Rejected, "user or token in nats.servers"),
            (Who::User { expired: Some(when), outside: None }, Fault::Expired, "expired on 2026-11-29 07:05:12"),
            (Who::User { expired: None, outside: Some(outside) }, Fault::Reported, "it is of another account"),
            (
                Who::User { expired: None, outside: None },
                Fault::Rejected,
                "NATS rejects this user; if the system account's JWT has not been pushed yet, push it now",
            ),
        ] {
            let (found, text) = explain("authorization violation: nats: authorization violation", "nats", &who);
            assert_eq!(found, fault, "{who:?}");
            assert!(text.contains(said), "{who:?}: {text}");
        }
    }

    #[test]
    fn a_failure_is_the_same_one_when_only_its_times_differ() {
        let of =
            |at: u64| explain(&format!("certificate expired: verification time {at} (UNIX)"), "nats", &Who::Nobody).0;
        assert_eq!(of(17), of(123_456));
        assert_ne!(of(17), explain("timed out", "nats", &Who::Nobody).0);
    }

    #[test]
    fn a_long_text_from_outside_is_cut() {
        assert!(explain(&"x".repeat(100_000), "nats", &Who::Nobody).1.len() <= LONGEST);
    }
}
