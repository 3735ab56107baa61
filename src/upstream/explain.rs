//! Errors of the HTTP client, in words.

use super::clients::SECTION;
use crate::tls::explain;

/// All causes of an error, the nearest first. The URL is left out, because it may hold a password.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error with all its causes, for messages of commands. The URL is left out, because it may hold a password.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    match causes(error) {
        causes if causes.is_empty() => "the request failed".to_owned(),
        causes => format!("the request failed: {causes}"),
    }
}

/// What is wrong with TLS towards a server, and what to do. `None`: something else is wrong.
pub(super) fn tls_problem(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let found = match inner {
            Some(inner) => inner.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        match found {
            Some(rustls::Error::InvalidMessage(_)) => {
                return Some(
                    "it does not speak TLS, and the URL says https://: write http:// in primary, or turn TLS on there"
                        .to_owned(),
                );
            }
            Some(error) => return explain::connection(&error.to_string(), SECTION),
            None => {}
        }
        // The `source` of an io::Error skips the error inside it.
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
