//! Log lines on standard error.
//!
//! Lines for people look like those of nats-server, so that people and tools can read both:
//!
//! ```text
//! 2026/11/23 23:50:56.236792 [INF] http listening on port 9090 port=9090
//! ```
//!
//! Keys and addresses in a line come from clients. So control characters are escaped, or a request could forge log
//! lines. Private keys are never shown. The length of messages and fields is limited. So is the number of lines of
//! libraries, unless `RUST_LOG` asks for them.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{Log, LogFormat, LogLevel};

mod bar;
mod human;
mod json;
mod libraries;
mod private;

pub use bar::Bar;

use human::Human;
use json::Json;
use libraries::Libraries;
use private::Private;

/// The longest message of a line, in bytes.
const MAX_MESSAGE: usize = 2048;
/// The longest value of a field, in bytes.
const MAX_FIELD: usize = 256;

/// Libraries whose failures this program reports itself, once, with what to do. `notify` reports a watched folder that
/// is gone, which is no fault. A name is also a prefix: `rustls` includes `rustls_platform_verifier`.
const SILENT: &str = "actix_http=off,async_nats=off,hyper=off,reqwest=off,rustls=off,tokio_websockets=off";

/// Logging of this process, once started.
#[derive(Clone, Debug)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging for the whole process; a second call is an error.
///
/// `RUST_LOG` has the last word on levels where it is set; a text in it that cannot be read is logged and left alone.
pub fn init(log: &Log) -> Result<Logging, TryInitError> {
    let rust_log = std::env::var("RUST_LOG").ok();
    let libraries = rust_log.as_deref().is_none_or(|text| text.trim().is_empty()).then(Libraries::default);
    let (filter, complaint) = filter(log.level, rust_log);
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter).with(libraries);
    let lines = tracing_subscriber::fmt::layer().with_writer(bar::BarLines::default);
    match log.format {
        LogFormat::Json => registry.with(lines.event_format(Private(Json))).try_init()?,
        LogFormat::Human => {
            let colors = log.colors && std::io::stderr().is_terminal();
            registry.with(lines.event_format(Private(Human::new(log.time, colors, log.pid)))).try_init()?;
        }
    }
    if let Some(complaint) = complaint {
        tracing::warn!("RUST_LOG is not used: {complaint}");
    }
    Ok(Logging { filter: handle })
}

impl Logging {
    /// Changes the level while the process runs. `RUST_LOG` still has the last word.
    pub fn set_level(&self, level: LogLevel) {
        let (filter, _) = filter(level, std::env::var("RUST_LOG").ok());
        // It fails only when logging is gone, and then there is nowhere to say so.
        let _ = self.filter.reload(filter);
    }
}

/// The filter, and the fault of `RUST_LOG` if it has one.
///
/// The level is for this program. Libraries log warnings only, or `-D` would hide requests among their lines. With
/// `trace` they log a little more, and `RUST_LOG` sets each of them.
fn filter(level: LogLevel, rust_log: Option<String>) -> (EnvFilter, Option<String>) {
    let complaint = match rust_log.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(text) => match EnvFilter::try_new(text) {
            Ok(filter) => return (filter, None),
            Err(error) => Some(error.to_string()),
        },
    };
    let (own, libraries) = match level {
        LogLevel::Error => ("error", "error"),
        LogLevel::Warn => ("warn", "warn"),
        LogLevel::Info => ("info", "warn"),
        LogLevel::Debug => ("debug", "warn"),
        LogLevel::Trace => ("trace", "info"),
    };
    (EnvFilter::new(format!("{libraries},{SILENT},notify=error,nats_account_server={own}")), complaint)
}

/// Writes `text` with its control characters escaped, those of Unicode that turn or break lines included.
fn escape(out: &mut dyn std::fmt::Write, text: &str) -> std::fmt::Result {
    for c in text.chars() {
        match c {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c.is_control() || is_format(c) => write!(out, "\\u{{{:x}}}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

/// Whether a field tells where in the source of a library a line was made: a path of the machine that built this program.
fn is_of_source(field: &tracing::field::Field) -> bool {
    field.name().starts_with("log.")
}

/// Line separators, and the marks that change the direction of a text or are not seen.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A writer that escapes what passes through.
struct Escaping<'a>(&'a mut dyn std::fmt::Write);

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        escape(self.0, text)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn nothing_from_outside_starts_a_line() {
        let table = [
            ("plain é", "plain é"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\0\u{7f}\u{85}", "\\u{0}\\u{7f}\\u{85}"),
            ("a\u{2028}b\u{202e}c", "a\\u{2028}b\\u{202e}c"),
        ];
        for (given, wanted) in table {
            let mut out = String::new();
            write!(Escaping(&mut out), "{given}").unwrap();
            assert_eq!(out, wanted);
        }
    }

    #[test]
    fn rust_log_has_the_last_word_if_it_can_be_read() {
        let shown = |text: Option<&str>| {
            let (filter, complaint) = filter(LogLevel::Debug, text.map(str::to_owned));
            (filter.to_string(), complaint.is_some())
        };
        let own = filter(LogLevel::Debug, None).0.to_string();
        for part in ["nats_account_server=debug", "async_nats=off", "rustls=off", "notify=error"] {
            assert!(own.contains(part), "{own}");
        }
        assert_eq!(shown(None), (own.clone(), false));
        assert_eq!(shown(Some("")), (own.clone(), false));
        assert_eq!(shown(Some("info")), ("info".to_owned(), false));
        assert_eq!(shown(Some("a=b=c")), (own, true));
    }
}
