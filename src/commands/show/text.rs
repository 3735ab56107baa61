//! An account for people.

use std::io::{self, Write};

use super::names::Names;
use super::page::Page;
use super::{Shown, access, changes, delivery, limits, shares};
use crate::api::{AccountPage, AccountSummary};
use crate::commands::moments::Moments;
use crate::commands::shown::{Paint, called, printable};
use crate::jwt::{Account, Registered};

/// Writes all sections that have something in them.
pub(super) fn write(
    shown: &Shown,
    names: &Names<'_>,
    moments: &Moments,
    paint: Paint,
    out: &mut dyn Write,
) -> io::Result<()> {
    let page = &mut Page::new(paint, out);
    head(shown, moments, page)?;
    match &shown.claims {
        Some((_, account)) => {
            limits::write(&account.limits, page)?;
            shares::write(account, names, page)?;
            access::write(account, names, moments, page)?;
        }
        None if shown.account.claims.is_some() => {
            page.section("Claims")?;
            page.line("they cannot be read as those of an account; --json shows them")?;
        }
        None => {}
    }
    if let Some(history) = &shown.history {
        changes::write_history(history, moments, page)?;
    }
    match &shown.account.delivery {
        Some(delivery) => delivery::write(delivery, moments, page),
        None => Ok(()),
    }
}

fn head(shown: &Shown, moments: &Moments, page: &mut Page<'_>) -> io::Result<()> {
    let AccountPage { account, deleted, .. } = &shown.account;
    let claims = shown.claims.as_ref();
    page.title(&called(account.name.as_deref().unwrap_or_default(), &account.key))?;
    page.about("key", &printable(&account.key))?;
    let (style, text) = state(account);
    page.about_in(style, "state", &text)?;
    page.about("asked", &printable(&shown.place))?;
    if let Some(issuer) = &account.issuer {
        page.about("issuer", &printable(issuer))?;
    }
    if let Some(iat) = account.iat {
        page.about("issued", &moments.full(iat))?;
    }
    match (account.exp, account.iat) {
        (Some(exp), _) => page.about("expires", &moments.full(exp))?,
        (None, Some(_)) => page.about("expires", "never")?,
        (None, None) => {}
    }
    if let Some(nbf) = claims.map(|(claims, _)| claims.nbf).filter(|nbf| *nbf != 0) {
        page.about("not valid before", &moments.full(nbf))?;
    }
    if let Some(deleted) = deleted {
        let issuer = deleted.issuer.as_deref().map(|issuer| format!(", signed by {}", printable(issuer)));
        let since = moments.full(deleted.iat);
        page.about("deleted", &format!("by a request of {since}{}", issuer.unwrap_or_default()))?;
    }
    if let Some(at) = account.changed_at {
        let serial = account.serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
        let via = account.via.as_deref().map(printable).unwrap_or_default();
        page.about("changed", &format!("{}, by {via}{serial}", moments.full(at.div_euclid(1000))))?;
    }
    claims.map_or(Ok(()), |claims| more(claims, page))
}

/// What the claims say of the account itself.
fn more((_, account): &(Registered, Account), page: &mut Page<'_>) -> io::Result<()> {
    for (label, text) in [("description", &account.info.description), ("more about it", &account.info.info_url)] {
        if !text.is_empty() {
            page.about(label, &printable(text))?;
        }
    }
    if !account.common.tags.is_empty() {
        page.about("tags", &account.common.tags.iter().map(|tag| printable(tag)).collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

/// The state, and what it means.
fn state(account: &AccountSummary) -> (&'static str, String) {
    let (style, meaning) = match &*account.state {
        "live" => (Paint::GREEN, ""),
        "expired" => (Paint::YELLOW, "its JWT is served, and nats-servers reject it"),
        "withheld" => (Paint::YELLOW, "its JWT is not served: the operator JWT does not list the key that signed it"),
        "deleted" => (Paint::RED, "a delete request deleted it; what follows is its last JWT"),
        "removed" => (Paint::RED, "its file left the read-only folder; what follows is its last JWT"),
        "file" => (Paint::BOLD, "what the file says, compared with nothing"),
        _ => (Paint::YELLOW, ""),
    };
    let state = printable(&account.state);
    (style, if meaning.is_empty() { state } else { format!("{state}: {meaning}") })
}
