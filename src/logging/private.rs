//! Keeps private keys out of log lines, whether they come from this program, its libraries, or a client.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::key::seed;

/// Formats lines as another does, without the private keys in them.
#[derive(Debug)]
pub(super) struct Private<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Private<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        out.write_str(&seed::redact(&line))
    }
}
