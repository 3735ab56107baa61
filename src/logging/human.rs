//! Lines for people.

use std::fmt::{self, Debug, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::{Escaping, MAX_FIELD, MAX_MESSAGE, is_of_source, libraries};
use crate::calendar::log_time;
use crate::excerpt::excerpt_of;

/// Formats `2026/11/23 23:50:56.236792 [INF] text key=value`, fields of enclosing spans last.
#[derive(Debug)]
pub(super) struct Human {
    time: bool,
    colors: bool,
    pid: Option<u32>,
}

impl Human {
    pub(super) fn new(time: bool, colors: bool, pid: bool) -> Self {
        Self { time, colors, pid: pid.then(std::process::id) }
    }

    fn label(&self, out: &mut Writer<'_>, level: Level) -> fmt::Result {
        let (label, color) = match level {
            Level::ERROR => ("ERR", 31),
            Level::WARN => ("WRN", 33),
            Level::INFO => ("INF", 32),
            Level::DEBUG => ("DBG", 36),
            Level::TRACE => ("TRC", 35),
        };
        if self.colors { write!(out, "[\x1b[{color}m{label}\x1b[0m] ") } else { write!(out, "[{label}] ") }
    }
}

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(out, "[{pid}] ")?;
        }
        if self.time {
            write!(out, "{} ", log_time(SystemTime::now()))?;
        }
        self.label(&mut out, *event.metadata().level())?;

        let mut line = HumanLine::default();
        event.record(&mut line);
        out.write_str(&line.message)?;
        write!(out, "{}", libraries::held_back())?;
        out.write_str(&line.fields)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                write!(out, " {}=", span.name())?;
                write!(Escaping(&mut out), "{{{fields}}}")?;
            }
        }
        writeln!(out)
    }
}

/// Message and fields of an event. The message comes first, whatever the order in the code.
#[derive(Default)]
struct HumanLine {
    message: String,
    fields: String,
}

impl HumanLine {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if is_of_source(field) {
            return;
        }
        let text = value.to_string();
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(Escaping(&mut self.message), "{}", excerpt_of(&text, MAX_MESSAGE))
        } else {
            write!(self.fields, " {}=", field.name())
                .and_then(|()| write!(Escaping(&mut self.fields), "{}", excerpt_of(&text, MAX_FIELD)))
        };
    }
}

impl Visit for HumanLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if plain || field.name() == "message" {
            self.add(field, format_args!("{value}"));
        } else {
            self.add(field, format_args!("\"{}\"", value.replace('"', "\\\"")));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::Registry as Registered;
    use tracing_subscriber::fmt::format::DefaultFields;

    use super::super::json::Json;
    use super::super::private::Private;
    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(human: Human, log: impl FnOnce()) -> String {
        lines(Private(human), log)
    }

    fn lines(
        format: impl FormatEvent<Registered, DefaultFields> + Send + Sync + 'static,
        log: impl FnOnce(),
    ) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .event_format(format)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_message_then_fields() {
        let line = logged(Human::new(false, false, false), || {
            tracing::info!(port = 9090, host = "a b", key = %"AB", "http listening");
            tracing::warn!("careful");
            tracing::error!("bad");
            tracing::debug!("detail");
            tracing::trace!("all");
        });
        let wanted =
            "[INF] http listening port=9090 host=\"a b\" key=AB\n[WRN] careful\n[ERR] bad\n[DBG] detail\n[TRC] all\n";
        assert_eq!(line, wanted);
    }

    #[test]
    fn where_a_library_made_a_line_is_left_out() {
        let log = || tracing::error!(log.target = "x", log.file = "/root/x.rs", log.line = 7, key = "v", "bad");
        assert_eq!(logged(Human::new(false, false, false), log), "[ERR] bad key=v\n");
    }

    #[test]
    fn a_client_cannot_write_lines() {
        let line = logged(Human::new(false, false, false), || {
            let span = tracing::info_span!("request", path = %"/x\n[INF] forged");
            let _entered = span.enter();
            tracing::info!(key = "a\nb", other = %"c\r\nd", "message {}", "with\nbreak\u{1b}[0m");
        });
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.starts_with(r"[INF] message with\nbreak\u{1b}[0m key=a\nb other=c\r\nd request="), "{line}");
    }

    #[test]
    fn a_private_key_is_not_written() {
        let seed = nkeys::KeyPair::new_account().seed().unwrap();
        let log = || {
            let span = tracing::info_span!("request", path = %format!("/jwt/v1/accounts/{seed}"));
            let _entered = span.enter();
            tracing::info!(key = %seed, other = seed, debug = ?seed, "message {seed}");
            tracing::info!("{}{seed}", "-".repeat(MAX_MESSAGE - 20));
            tracing::info!(target: "library", long = format!("{} {seed}", "-".repeat(MAX_FIELD - 20)), "{seed}");
        };
        for text in [lines(Private(Human::new(true, true, true)), log), lines(Private(Json), log)] {
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(!text.contains(&seed[..12]), "{text}");
            assert!(text.contains("message S…(private key, not shown)"), "{text}");
        }
    }

    #[test]
    fn time_pid_and_colors_are_chosen() {
        let line = logged(Human::new(true, false, true), || tracing::info!("x"));
        assert!(line.starts_with(&format!("[{}] 2", std::process::id())), "{line}");
        assert!(line.ends_with(" [INF] x\n"));
        let line = logged(Human::new(false, true, false), || tracing::error!("x"));
        assert_eq!(line, "[\u{1b}[31mERR\u{1b}[0m] x\n");
    }
}
