//! An HTTP client that shows everything and follows nothing.

use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// A header's value; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            // A server answers 408 on a connection that was opened and not used for 5 s. On a busy machine the client would take that
            // for the answer to its next request.
            .pool_idle_timeout(Duration::from_secs(3))
            .build()
            .unwrap();
        Self::with(client, base)
    }

    pub(crate) fn with(client: reqwest::Client, base: &str) -> Self {
        Self { client, base: base.to_owned() }
    }

    /// Where the server is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A request to be completed by the test.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        read(self.request("POST", path).body(body)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        read(self.request("DELETE", path).body(body)).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request).await.unwrap()
    }

    /// A request that may fail because the server dies under it.
    pub(crate) async fn try_post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Result<Reply> {
        read(self.request("POST", path).body(body)).await
    }

    pub(crate) async fn try_delete(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Result<Reply> {
        read(self.request("DELETE", path).body(body)).await
    }

    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Reply> {
        read(self.request("GET", path)).await
    }

    /// Sends bytes as they stand and reads to the end of the connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.base.trim_start_matches("http://")).await.unwrap();
        // A server that has answered already may have closed its side.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The sum of a metric over all label sets that contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let name = format!("nats_account_server_{name}");
        let text = self.get("/metrics").await.expect(200).body;
        text.lines()
            .filter(|line| {
                line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
            })
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, body: response.text().await? })
}
