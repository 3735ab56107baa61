//! Lines for machines: a JSON object each.

use std::fmt::{self, Debug};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{MAX_FIELD, MAX_MESSAGE, is_of_source, libraries};
use crate::calendar::rfc3339_micros;
use crate::excerpt::excerpt_of;

/// Formats `{"timestamp":"2026-11-23T23:50:56.236792Z","level":"INFO","message":"text","key":"value"}`.
#[derive(Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = JsonLine::default();
        line.0.insert("timestamp".to_owned(), rfc3339_micros(SystemTime::now()).into());
        line.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.0.insert("message".to_owned(), "".into());
        event.record(&mut line);
        let held_back = libraries::held_back().0;
        if held_back > 0 {
            line.0.insert("held_back".to_owned(), held_back.into());
        }
        writeln!(out, "{}", Value::Object(line.0))
    }
}

#[derive(Default)]
struct JsonLine(Map<String, Value>);

impl JsonLine {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        if !is_of_source(field) {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }
}

impl Visit for JsonLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        let most = if field.name() == "message" { MAX_MESSAGE } else { MAX_FIELD };
        self.add(field, excerpt_of(value, most).to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}
