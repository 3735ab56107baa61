//! A progress bar on a terminal, with log lines above it.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The bars on the terminal. Log lines are written above them.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// A bar, shown while this value lives. If standard error is not a terminal, nothing is shown.
#[derive(Debug)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar for `total` steps.
    pub fn new(what: &'static str, total: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = BARS.get_or_init(MultiProgress::new).add(ProgressBar::new(total));
        // A template that is wrong shows as indicatif's own.
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(Some(bar))
    }

    /// Sets the number of finished steps and the total, for work whose size is not known at the beginning.
    pub fn show(&self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// So many are done.
    pub fn set(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
            if let Some(bars) = BARS.get() {
                bars.remove(bar);
            }
        }
    }
}

/// Writes log lines to standard error, each in one piece.
#[derive(Debug, Default)]
pub(super) struct BarLines;

impl Write for BarLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match BARS.get() {
            Some(bars) => bars.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
