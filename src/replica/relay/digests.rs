//! Digests, which only a server that holds everything has: a cache asks its primary in the name of who asks here.

use crate::node::{ForwardError, Question, Relayed, Target, Write};
use crate::replica::Replica;

impl Replica {
    /// Asks the primary, and gives its answer as it is.
    pub async fn relay_digests(&self, question: Question) -> Result<Relayed, ForwardError> {
        let target = if question.body.is_some() { Target::Comparison } else { Target::Digests };
        let Question { query, headers, body } = question;
        let body = body.unwrap_or_default();
        self.relay(&Write { target, query, headers, body, wait: std::time::Duration::ZERO }).await
    }
}
