//! Requests for the digests of a server, and for what differs there.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::{UpstreamError, UpstreamServer};
use crate::feed::Subject;
use crate::feed::digest::{LeafPage, Prefix};
use crate::feed::wire::{BACKGROUND, DigestAnswer, DigestAsk, DigestPage};

/// The largest answer that is read, in bytes: about 1 MiB of text, the largest chain of operator JWTs, and the JSON
/// around them.
pub(crate) const MAX_ANSWER: usize = 4 << 20;
/// The time limit of an answer. No client waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest pause that an answer can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl UpstreamServer {
    /// A place of the digest tree.
    pub(crate) async fn digests(&self, prefix: Option<Prefix>) -> Result<DigestPage, UpstreamError> {
        let query = prefix.map_or_else(String::new, |prefix| format!("?prefix={}", digits(prefix)));
        self.read(self.slow_request(Method::GET, &format!("digests{query}"))).await
    }

    /// A page of the leaves under a prefix, or of all, that come after a key. `None`: the server is older and lists none.
    pub(crate) async fn leaves(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
    ) -> Result<Option<LeafPage>, UpstreamError> {
        let mut path = "digests?leaves=true".to_owned();
        path.extend(prefix.map(|prefix| format!("&prefix={}", digits(prefix))));
        path.extend(after.map(|after| format!("&after={}", after.text())));
        page_of(self.read(self.slow_request(Method::GET, &path)).await?, after)
    }

    /// What differs there from what is here.
    pub(crate) async fn compare(&self, ask: &DigestAsk) -> Result<DigestAnswer, UpstreamError> {
        self.read(self.slow_request(Method::POST, "digests").json(ask)).await
    }

    /// The same, with how long to wait before the next question, so that upstream has little work with it.
    pub(crate) async fn compare_in_background(
        &self,
        ask: &DigestAsk,
    ) -> Result<(DigestAnswer, Duration), UpstreamError> {
        let begun = Instant::now();
        let request = self.slow_request(Method::POST, &format!("digests?{BACKGROUND}=true")).json(ask);
        let answer: DigestAnswer = self.read(request).await?;
        // An older server does not know the parameter. It worked no longer than this.
        let pause = answer.pause.map_or_else(|| begun.elapsed() * 20, Duration::from_millis);
        Ok((answer, pause.min(LONGEST_PAUSE)))
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, UpstreamError> {
        let answer = async {
            let mut response = self.send(request).await?;
            match response.status() {
                StatusCode::OK => self.body_up_to(&mut response, MAX_ANSWER).await,
                status => Err(UpstreamError::Status(status)),
            }
        };
        let body = tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(UpstreamError::no_answer()))?;
        serde_json::from_slice(&body)
            .map_err(|error| UpstreamError::Transport(format!("cannot read its answer: {error}")))
    }
}

/// As a query has it.
fn digits(prefix: Prefix) -> String {
    data_encoding::HEXLOWER.encode(&prefix.bytes())
}

/// Reads the answer to a question for leaves after a key.
fn page_of(answer: DigestPage, after: Option<Subject>) -> Result<Option<LeafPage>, UpstreamError> {
    // An older server does not know the question and answers about the place.
    if answer.items.is_none() {
        return Ok(None);
    }
    let unreadable = |what: &str| UpstreamError::Transport(format!("cannot read its answer: {what}"));
    let page = answer.leaves().ok_or_else(|| unreadable("its position, sum or next key has another form"))?;
    // Else the list may never end.
    if page.next.is_some() && page.next <= after {
        return Err(unreadable("its next key is not after the one before"));
    }
    Ok(Some(page))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::clients::Clients;
    use super::super::{Access, Setup};
    use super::*;
    use crate::feed::SubjectKind;
    use crate::feed::wire::SERVER_HEADER;
    use crate::metrics::{Metrics, Profile};

    /// What a server makes of one answer, and how it was asked.
    async fn asked(
        prefix: Option<Prefix>,
        after: Option<Subject>,
        answer: &str,
    ) -> (Result<Option<LeafPage>, UpstreamError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let primary = format!("http://{}", listener.local_addr().expect("bound"));
        let setup =
            Setup { primaries: vec![primary.clone()], timeout: Duration::from_secs(1), access: Access::default() };
        let metrics = Arc::new(Metrics::new(Profile::replica()).expect("metrics"));
        let (clients, _) = Clients::load(&setup, "nas-test".into(), metrics).expect("clients");
        let server = UpstreamServer::new(&primary, clients).expect("a URL");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.expect("a request");
            }
            let head = format!("HTTP/1.1 200 OK\r\n{SERVER_HEADER}: nas-other\r\ncontent-length: {}\r\n", answer.len());
            stream.write_all(format!("{head}connection: close\r\n\r\n{answer}").as_bytes()).await.expect("sent");
            String::from_utf8(request).expect("a request").lines().next().unwrap_or_default().to_owned()
        };
        tokio::join!(server.leaves(prefix, after), serve)
    }

    fn answer(more: &str) -> String {
        let (session, chain) = ("5".repeat(32), "6".repeat(64));
        format!(r#"{{"session":"{session}","serial":9,"chain":"{chain}","floor":0,"sum":"0123456789abcdef"{more}}}"#)
    }

    #[tokio::test]
    async fn leaves_are_asked_for_page_by_page_and_an_older_server_has_none() {
        let key = |n: u8| Subject::from_raw(SubjectKind::Account, [n; 32]);
        let item = |n: u8| format!(r#"["{}","000000000000000{n}","account"]"#, key(n).text());
        let next = |n: u8| format!(r#","items":[{}],"next":"{}""#, item(n), key(n).text());
        let (page, line) = asked(None, None, &answer(&next(1))).await;
        let page = page.expect("an answer").expect("a page");
        assert_eq!(line, "GET /jwt/v1/digests?leaves=true HTTP/1.1");
        assert_eq!((page.head.serial, &*page.sum.to_string(), page.next), (9, "0123456789abcdef", Some(key(1))));
        assert_eq!(page.leaves.iter().map(|listed| listed.key).collect::<Vec<_>>(), [key(1)]);

        let (page, line) = asked(Some(Prefix::Node(2)), Some(key(1)), &answer(r#","items":[]"#)).await;
        let page = page.expect("an answer").expect("a page");
        assert_eq!(line, format!("GET /jwt/v1/digests?leaves=true&prefix=02&after={} HTTP/1.1", key(1).text()));
        assert_eq!((page.leaves.len(), page.next), (0, None));

        for older in ["", r#","children":{"07":"5d21e08a94c3b716"}"#] {
            assert!(matches!(asked(None, None, &answer(older)).await.0, Ok(None)), "{older}");
        }
        for (what, after, text) in [
            ("the same key again", Some(key(1)), answer(&next(1))),
            ("an earlier key", Some(key(2)), answer(&next(1))),
            ("no key", None, answer(r#","items":[],"next":"A""#)),
            ("no leaf", None, answer(r#","items":[["A","0123456789abcdef","account"]]"#)),
            ("no sum", None, answer(r#","items":[]"#).replace("89abcdef", "")),
            ("no session", None, answer(r#","items":[]"#).replace("55", "")),
        ] {
            let error = asked(None, after, &text).await.0.expect_err(what).to_string();
            assert!(error.starts_with("cannot read its answer: "), "{what}: {error}");
        }
    }
}
