//! Translates errors of the TLS library to texts that say what to do.
//!
//! Some callers have the library's error, others only its text, so this module reads the text.

/// The TLS problem of a connection, or `None` if it was something else. `text`: the library's message. `section`: the
/// settings of this side, such as `replica.tls`.
pub fn connection(text: &str, section: &str) -> Option<String> {
    if let Some((_, alert)) = text.split_once("received fatal alert: ") {
        return Some(match alert.split([' ', ':', ';']).next().unwrap_or(alert) {
            "CertificateRequired" => {
                format!("it wants a client certificate: name one in {section}.cert, and its key in {section}.key")
            }
            alert => format!("it rejects the TLS connection with {alert}; does it accept our certificate?"),
        });
    }
    let (_, problem) = text.split_once("invalid peer certificate: ")?;
    Some(match TlsFaultKind::of(problem) {
        TlsFaultKind::Issuer => format!(
            "its certificate is of an authority that is not trusted here: name a file with that authority in {section}.root"
        ),
        TlsFaultKind::Version => format!("its certificate {VERSION}"),
        TlsFaultKind::Name => format!(
            "its certificate is for another name ({problem}): use a name of the certificate in the URL, or issue the certificate \
             again with this one in subjectAltName"
        ),
        TlsFaultKind::Expired => {
            format!("its certificate has expired ({problem}): renew it there, or set the clock here")
        }
        TlsFaultKind::NotYet => {
            format!("its certificate is not valid yet ({problem}): are the clocks here and there right?")
        }
        TlsFaultKind::Usage => {
            "its certificate is not for servers: issue it again with serverAuth in extendedKeyUsage".to_owned()
        }
        TlsFaultKind::Authority => {
            "its certificate is that of an authority (CA:TRUE): issue one for the server with that authority".to_owned()
        }
        TlsFaultKind::Other => format!("its certificate is rejected: {problem}"),
    })
}

/// The problem of a certificate in a file. `text`: the library's message.
pub fn certificate(text: &str) -> String {
    match TlsFaultKind::of(text) {
        TlsFaultKind::Version => format!("it {VERSION}"),
        _ => text.to_owned(),
    }
}

const VERSION: &str = "is of X.509 version 1, which TLS libraries reject: issue it again as version 3, with the names of the server in \
                       subjectAltName (openssl does so with -extfile or -addext)";

/// Kinds of problems.
#[derive(Debug, PartialEq, Eq)]
enum TlsFaultKind {
    Issuer,
    Version,
    Name,
    Expired,
    NotYet,
    Usage,
    Authority,
    Other,
}

impl TlsFaultKind {
    fn of(problem: &str) -> Self {
        let table = [
            ("UnknownIssuer", Self::Issuer),
            ("UnsupportedCertVersion", Self::Version),
            ("not valid for name", Self::Name),
            ("NotValidForName", Self::Name),
            ("certificate expired", Self::Expired),
            ("Expired", Self::Expired),
            ("certificate not valid yet", Self::NotYet),
            ("NotValidYet", Self::NotYet),
            ("EkuError", Self::Usage),
            ("InvalidPurpose", Self::Usage),
            ("CaUsedAsEndEntity", Self::Authority),
        ];
        table.into_iter().find(|(text, _)| problem.contains(text)).map_or(Self::Other, |(_, kind)| kind)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{AlertDescription, CertificateError, Error, OtherError};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct ToldFault(&'static str);

    /// The texts are those of the library in use: another release of it may have others.
    #[test]
    fn every_problem_says_what_to_do() {
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from("a.example").expect("a name");
        let other = |text| CertificateError::Other(OtherError(std::sync::Arc::new(ToldFault(text))));
        let table: [(Error, &str); 10] = [
            (CertificateError::UnknownIssuer.into(), "name a file with that authority in x.tls.root"),
            (
                CertificateError::ExpiredContext { time: time(9), not_after: time(5) }.into(),
                "its certificate has expired (",
            ),
            (CertificateError::NotValidYetContext { time: time(5), not_before: time(9) }.into(), "is not valid yet ("),
            (
                CertificateError::NotValidForNameContext { expected: name, presented: vec!["b.example".to_owned()] }
                    .into(),
                "is for another name (certificate not valid for name \"a.example\"",
            ),
            (CertificateError::NotValidForName.into(), "is for another name ("),
            (other("UnsupportedCertVersion").into(), "issue it again as version 3"),
            (CertificateError::InvalidPurpose.into(), "is not for servers"),
            (CertificateError::BadSignature.into(), "its certificate is rejected: BadSignature"),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "name one in x.tls.cert, and its key in x.tls.key",
            ),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "with HandshakeFailure; does it accept"),
        ];
        for (error, said) in table {
            // As a part of a longer text.
            let text = connection(&format!("IO error: {error}"), "x.tls").expect("it is about TLS");
            assert!(text.contains(said), "{error}: {text}");
        }
        assert_eq!(connection("connection refused", "x.tls"), None);
        assert!(
            certificate("invalid peer certificate: Other(OtherError(UnsupportedCertVersion))").starts_with("it is of")
        );
        assert_eq!(certificate("BadEncoding"), "BadEncoding");
    }
}
