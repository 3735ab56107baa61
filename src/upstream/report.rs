//! Reports to a server: which replica this is, and up to where it is current.

use reqwest::{Method, StatusCode};
use tokio::sync::watch;

use super::{Upstream, UpstreamError, UpstreamServer};
use crate::feed::wire::FollowerReport;

impl Upstream {
    /// The index of the current server, as it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.current.subscribe()
    }

    /// The number of servers.
    pub(crate) const fn count(&self) -> usize {
        self.servers.len()
    }

    /// Sends a report to the server at an index of the list. It takes no place of other requests, and its failure does
    /// not count against the server.
    pub(crate) async fn report(&self, place: usize, report: &FollowerReport) -> Result<StatusCode, UpstreamError> {
        match self.servers.get(place) {
            Some(server) => server.report(report).await,
            None => Err(UpstreamError::no_answer()),
        }
    }

    /// The URL of the server at an index of the list, without credentials.
    pub(crate) fn shown_at(&self, place: usize) -> &str {
        self.servers.get(place).map_or("", UpstreamServer::shown)
    }
}

impl UpstreamServer {
    async fn report(&self, report: &FollowerReport) -> Result<StatusCode, UpstreamError> {
        let request = self.request_now(Method::POST, "followers").json(report);
        let response = self.send(request).await?;
        Ok(response.status())
    }
}
