//! An account's offers to others.

use std::borrow::Cow;
use std::fmt;

use super::super::error::DecodeError;
use super::super::json::Value;
use super::super::quote::quote;
use super::super::read::{Faults, FromJson, members};
use super::{Info, Revocations};

/// Whether an export, import or activation is a stream or a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamKind {
    /// The member was absent.
    #[default]
    Unknown,
    /// A stream.
    Stream,
    /// A service.
    Service,
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Stream => "stream",
            Self::Service => "service",
        })
    }
}

impl FromJson for StreamKind {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        let text = match value {
            // Unlike elsewhere, null does not mean absent here.
            Value::Null => "",
            Value::String(text) => text,
            other => {
                let error = faults.describe(other, "string");
                return faults.abort(error);
            }
        };
        match text {
            "stream" => *self = Self::Stream,
            "service" => *self = Self::Service,
            other => faults.abort(DecodeError::ExportType(quote(other))),
        }
    }
}

/// A subject that other accounts may import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// A name for people.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// Stream or service. The JSON member is `type`.
    pub kind: StreamKind,
    /// Whether importers need an activation token.
    pub token_req: bool,
    /// Revoked importers.
    pub revocations: Revocations,
    /// How many answers a service gives: empty, `Singleton`, `Stream` or `Chunked`.
    pub response_type: String,
    /// How long a service may take to answer, nanoseconds.
    pub response_threshold: i64,
    /// Where a service's latency is reported.
    pub service_latency: Option<ServiceLatency>,
    /// Which token of the subject, counted from 1, is the importer's key; 0: none.
    pub account_token_position: u64,
    /// Whether the export is advertised.
    pub advertise: bool,
    /// Whether messages may be traced into the account.
    pub allow_trace: bool,
    /// A description, for people.
    pub info: Info,
}

members!(Export {
    "name" => name,
    "subject" => subject,
    "type" => kind,
    "token_req" => token_req,
    "revocations" => revocations,
    "response_type" => response_type,
    "response_threshold" => response_threshold,
    "service_latency" => service_latency,
    "account_token_position" => account_token_position,
    "advertise" => advertise,
    "allow_trace" => allow_trace,
    "description" => info.description,
    "info_url" => info.info_url,
});

/// Latency reports of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceLatency {
    /// Which share of requests is measured.
    pub sampling: Sampling,
    /// Where the reports go.
    pub results: String,
}

members!(ServiceLatency { "sampling" => sampling, "results" => results });

/// Percent of requests; 0 is written `headers`: those whose headers ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling(pub i64);

impl FromJson for Sampling {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        let number = match value {
            Value::Null => Some(0),
            // The library compares the raw text, so an escape makes it a different one.
            Value::String(Cow::Borrowed(text)) if text.eq_ignore_ascii_case("headers") => Some(0),
            Value::Number(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => self.0 = number,
            None => {
                let error = faults.describe(value, "int");
                faults.abort(error);
            }
        }
    }
}
