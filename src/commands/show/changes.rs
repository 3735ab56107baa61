//! The versions of an account, and what differs between two of them.

use std::io::{self, Write};

use super::page::Page;
use crate::api::{Version, VersionDiff, VersionList};
use crate::commands::moments::Moments;
use crate::commands::shown::{Paint, called, printable};

/// Versions that are shown; the others are counted.
const VERSIONS: usize = 20;

pub(super) fn write_history(history: &VersionList, moments: &Moments, page: &mut Page<'_>) -> io::Result<()> {
    if history.versions.is_empty() {
        return Ok(());
    }
    page.section(&format!("History ({})", moments.zone()))?;
    history.versions.iter().take(VERSIONS).try_for_each(|version| page.line(&one(version, moments)))?;
    match history.versions.len().saturating_sub(VERSIONS) {
        0 => Ok(()),
        more => page.line(&format!("and {more} earlier ones")),
    }
}

/// Writes what differs, in words.
pub(super) fn write_diff(
    name: &str,
    diff: &VersionDiff,
    moments: &Moments,
    paint: Paint,
    out: &mut dyn Write,
) -> io::Result<()> {
    let page = &mut Page::new(paint, out);
    page.title(&called(name, &diff.account))?;
    if let Some(from) = &diff.from {
        page.about("from", &one(from, moments))?;
    }
    page.about("to", &one(&diff.to, moments))?;
    page.section("Changes")?;
    diff.text.iter().try_for_each(|text| page.line(&printable(text)))?;
    if diff.more == 0 { Ok(()) } else { page.line(&format!("and {} more claims", diff.more)) }
}

fn one(version: &Version, moments: &Moments) -> String {
    let serial = version.serial.map_or_else(|| "no serial".to_owned(), |serial| format!("serial {serial}"));
    let principal = version.principal.as_deref();
    let by = principal.map(|principal| format!(" by {}", printable(principal))).unwrap_or_default();
    let tls = version.tls.as_deref().map(|tls| format!(", {}", printable(tls))).unwrap_or_default();
    let actor = version.actor.as_deref().map(|actor| format!(" from {}{tls}", printable(actor))).unwrap_or_default();
    let is_current = if version.current { ", served" } else { "" };
    let at = moments.minute(version.at.div_euclid(1000));
    format!("{serial:<12}  {at}  {}{by}{actor}{is_current}", printable(&version.via))
}
