//! Asking a signing service, as a plain request on a subject that is configured.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Request;
use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::timeout;

use super::Link;
use crate::node::{NoAnswer, Sign};

/// Sends requests to the signing service.
#[derive(Debug)]
pub(super) struct Signer {
    link: Arc<Link>,
    subject: String,
    timeout: Duration,
}

impl Signer {
    /// Asks on `subject` and waits at most `timeout` for each answer.
    pub(super) const fn new(link: Arc<Link>, subject: String, timeout: Duration) -> Self {
        Self { link, subject, timeout }
    }

    async fn ask(&self, token: Bytes) -> Result<Bytes, NoAnswer> {
        // Else the client library would send it when the connection is back, after the client has given up.
        let connected = self.link.everyday().filter(|connected| connected.is_connected());
        let connected = connected.ok_or(NoAnswer::NotConnected)?;
        let client = connected.client();
        // An inbox of its own, because the one that the client library shares keeps a note of each request that is never
        // answered. No headers: a signing service may take them for a part of the JWT.
        let request = Request::new().payload(token).inbox(client.new_inbox()).timeout(None);
        match timeout(self.timeout, client.send_request(self.subject.clone(), request)).await {
            Ok(Ok(message)) => Ok(message.payload),
            Ok(Err(error)) => Err(NoAnswer::Failed(match error.kind() {
                // In the words of the Go client, which scripts know.
                RequestErrorKind::NoResponders => "nats: no responders available for request".into(),
                RequestErrorKind::MaxPayloadExceeded => "nats: maximum payload exceeded".into(),
                _ => format!("nats: {error}"),
            })),
            Err(_) if !connected.is_connected() => Err(NoAnswer::NotConnected),
            Err(_) => Err(NoAnswer::TimedOut(self.timeout)),
        }
    }
}

impl Sign for Signer {
    fn sign(&self, token: Bytes) -> BoxFuture<'_, Result<Bytes, NoAnswer>> {
        self.ask(token).boxed()
    }
}
