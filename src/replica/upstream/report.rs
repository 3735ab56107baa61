//! Telling a server who we are, and up to where what we serve is current.

use reqwest::{Method, StatusCode};
use tokio::sync::watch;

use super::{Server, Upstream, UpstreamError};
use crate::feed::wire::FollowerReport;

impl Upstream {
    /// The place in the list of the server that everything goes to, as it changes.
    pub(in crate::replica) fn watch(&self) -> watch::Receiver<usize> {
        self.current.subscribe()
    }

    /// How many servers there are.
    pub(in crate::replica) const fn count(&self) -> usize {
        self.servers.len()
    }

    /// Sends a report to the server at a place of the list. It neither waits for other requests, nor they for it, and whether it
    /// arrives says nothing of the server.
    pub(in crate::replica) async fn report(
        &self,
        place: usize,
        report: &FollowerReport,
    ) -> Result<StatusCode, UpstreamError> {
        match self.servers.get(place) {
            Some(server) => server.report(report).await,
            None => Err(UpstreamError::no_answer()),
        }
    }

    /// The URL of the server at a place of the list, without credentials.
    pub(in crate::replica) fn shown_at(&self, place: usize) -> &str {
        self.servers.get(place).map_or("", Server::shown)
    }
}

impl Server {
    async fn report(&self, report: &FollowerReport) -> Result<StatusCode, UpstreamError> {
        let request = self.request_now(Method::POST, "followers").json(report);
        let response = self.send(request).await?;
        Ok(response.status())
    }
}
