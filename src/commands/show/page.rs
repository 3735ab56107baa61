//! Lines in sections.

use std::io::{self, Write};

use crate::commands::shown::Paint;

/// Room for what a line is about, in characters.
const LABEL: usize = 24;

/// A page that is written.
pub(super) struct Page<'o> {
    paint: Paint,
    out: &'o mut dyn Write,
}

impl<'o> Page<'o> {
    pub(super) const fn new(paint: Paint, out: &'o mut dyn Write) -> Self {
        Self { paint, out }
    }

    /// What the page is about.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", self.paint.text(Paint::BOLD, text))
    }

    /// The beginning of a section.
    pub(super) fn section(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out)?;
        self.title(title)
    }

    /// A line about something.
    pub(super) fn about(&mut self, label: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {label:<LABEL$}  {text}")
    }

    /// The same in a colour.
    pub(super) fn about_in(&mut self, style: &str, label: &str, text: &str) -> io::Result<()> {
        let text = self.paint.text(style, text);
        self.about(label, &text)
    }

    /// A line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {text}")
    }
}
