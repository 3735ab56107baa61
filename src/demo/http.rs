//! A small HTTP client: what curl would do.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::error::DemoError;
use super::process::Process;
use crate::upstream::body;

/// The largest answer, in bytes.
const MOST: usize = 4 << 20;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process may take to answer at all, or to come to an expected answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Status and body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Speaks HTTP on the loopback interface.
#[derive(Debug, Clone)]
pub(super) struct Http(reqwest::Client);

impl Http {
    pub(super) fn new() -> Result<Self, DemoError> {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map(Self)
            .map_err(|error| DemoError::new(format!("cannot set up HTTP: {error}")))
    }

    pub(super) async fn get(&self, url: &str) -> Result<Reply, DemoError> {
        reply(url, self.0.get(url)).await
    }

    pub(super) async fn post(&self, url: &str, token: &str) -> Result<Reply, DemoError> {
        let request = self.0.post(url).header("content-type", "application/jwt").body(token.to_owned());
        reply(url, request).await
    }

    /// Asks until the answer is as expected, every half a millisecond at first. Fails if the process ends before.
    pub(super) async fn wait(
        &self,
        process: &mut Process,
        url: &str,
        expected: impl Fn(&Reply) -> bool,
    ) -> Result<(), DemoError> {
        self.poll(url, expected, || process.check()).await?.map_err(|last| {
            DemoError::with_log(
                format!("{url} did not answer as expected in {} s: {last}", PATIENCE.as_secs()),
                process.log(),
            )
        })
    }

    /// Asks until the body is the expected one.
    pub(super) async fn wait_for_body(&self, url: &str, body: &str) -> Result<(), DemoError> {
        self.poll(url, |reply| reply.status == 200 && reply.body == body, || Ok(())).await?.map_err(|last| {
            DemoError::new(format!("{url} did not change as expected in {} s: {last}", PATIENCE.as_secs()))
        })
    }

    async fn poll(
        &self,
        url: &str,
        expected: impl Fn(&Reply) -> bool,
        mut check: impl FnMut() -> Result<(), DemoError>,
    ) -> Result<Result<(), String>, DemoError> {
        let started = Instant::now();
        loop {
            check()?;
            let last = match self.get(url).await {
                Ok(reply) if expected(&reply) => return Ok(Ok(())),
                Ok(reply) => format!("status {}", reply.status),
                Err(error) => error.to_string(),
            };
            let waited = started.elapsed();
            if waited > PATIENCE {
                return Ok(Err(last));
            }
            sleep((waited / 20).clamp(Duration::from_micros(500), Duration::from_millis(20))).await;
        }
    }
}

async fn reply(url: &str, request: reqwest::RequestBuilder) -> Result<Reply, DemoError> {
    let failed = |error: reqwest::Error| DemoError::new(format!("no answer from {url}: {}", root(&error)));
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = body::text(&mut response, MOST).await;
    let body = body.map_err(|error| DemoError::new(format!("no answer from {url}: {}", root(&error))))?;
    Ok(Reply { status, body })
}

/// The innermost reason, which is the one that people understand.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
