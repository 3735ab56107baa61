//! Digests, which only a server that holds everything has: a cache asks its primary in the name of who asks here.

use std::time::Duration;

use bytes::Bytes;

use super::{ForwardError, Forwarding, Relayed, Target, Write};

/// A question about digests, as a client sent it.
#[derive(Debug)]
pub struct Question {
    /// The query of its URL.
    pub query: Option<String>,
    /// The headers that came with it, of those that [`Write::HEADERS`] names, in lower case.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// What is compared; `None`: a sum is asked for.
    pub body: Option<Bytes>,
}

impl Forwarding {
    /// Asks the primary, and gives its answer as it is.
    pub(in crate::replica) async fn ask(&self, question: Question) -> Result<Relayed, ForwardError> {
        let target = if question.body.is_some() { Target::Comparison } else { Target::Digests };
        let Question { query, headers, body } = question;
        let body = body.unwrap_or_default();
        self.relay(&Write { target, query, headers, body, wait: Duration::ZERO }).await
    }
}
