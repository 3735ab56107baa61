//! A row of the table, and how it is compared.

use std::fmt::Write as _;

use crate::support::Server;

/// Which server is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum On {
    /// A primary with a folder; no web page may use it.
    Primary,
    /// One whose folder is only read; pages of one origin may use it.
    ReadOnly,
    /// A replica of the primary; every page may use it.
    Replica,
}

/// What the body is to be. `{name}` stands for what the world calls so.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Any,
    Is(String),
    Starts(String),
    Has(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) on: On,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) sent: String,
    pub(crate) status: u16,
    /// Headers of the answer; an empty value means that there is none.
    pub(crate) told: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, method: &'static str, path: impl Into<String>, status: u16) -> Self {
        Self {
            name: name.into(),
            on: On::Primary,
            method,
            path: path.into(),
            headers: Vec::new(),
            sent: String::new(),
            status,
            told: Vec::new(),
            body: Body::Any,
        }
    }

    pub(crate) fn get(name: impl Into<String>, path: impl Into<String>, status: u16) -> Self {
        Self::new(name, "GET", path, status)
    }

    pub(crate) fn post(name: impl Into<String>, path: &str, sent: impl Into<String>, status: u16) -> Self {
        Self { sent: sent.into(), ..Self::new(name, "POST", path, status) }
    }

    pub(crate) fn on(self, on: On) -> Self {
        Self { on, ..self }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn tells(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.told.push((name, value.into()));
        self
    }

    pub(crate) fn is(self, body: impl Into<String>) -> Self {
        Self { body: Body::Is(body.into()), ..self }
    }

    pub(crate) fn empty(self) -> Self {
        self.is("")
    }

    pub(crate) fn starts(self, body: impl Into<String>) -> Self {
        Self { body: Body::Starts(body.into()), ..self }
    }

    pub(crate) fn has(self, body: impl Into<String>) -> Self {
        Self { body: Body::Has(body.into()), ..self }
    }
}

/// An answer, taken apart.
pub(crate) struct Parsed {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Parsed {
    /// Sends a request byte for byte, so that no client tidies its path.
    pub(crate) async fn of(
        server: &Server,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        sent: &str,
    ) -> Option<Self> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.host());
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        if !sent.is_empty() || method == "POST" {
            write!(text, "content-length: {}\r\n", sent.len()).unwrap();
        }
        write!(text, "\r\n{sent}").unwrap();
        Self::read(&server.http.raw(text.as_bytes()).await)
    }

    fn read(answer: &str) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut parsed = Self { status, headers, body: body.to_owned() };
        if parsed.header("transfer-encoding") == "chunked" {
            parsed.body = unchunked(body)?;
        }
        Some(parsed)
    }

    /// All values of a header.
    pub(crate) fn header(&self, name: &str) -> String {
        let values: Vec<&str> =
            self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }
}

/// A body in chunks, put together. `None`: its end is missing.
fn unchunked(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

/// All faults, for people.
pub(crate) fn told(faults: &[String]) -> String {
    faults.iter().fold(String::new(), |mut text, fault| {
        let _ = writeln!(text, "  {fault}");
        text
    })
}
