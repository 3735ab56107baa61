//! Who may use an account, and what they may do.

use std::io;

use super::names::Names;
use super::page::Page;
use crate::commands::limits::{bytes, count, responses, some, subjects};
use crate::commands::moments::Moments;
use crate::commands::shown::printable;
use crate::jwt::Account;
use crate::jwt::claims::{Permissions, UserScope};

/// Revocations that are shown; the others are counted.
const REVOCATIONS: usize = 20;

pub(super) fn write(account: &Account, names: &Names<'_>, moments: &Moments, page: &mut Page<'_>) -> io::Result<()> {
    signing_keys(account, page)?;
    revocations(account, moments, page)?;
    if account.default_permissions != Permissions::default() {
        page.section("Default permissions")?;
        permissions(&account.default_permissions).iter().try_for_each(|(label, text)| page.about(label, text))?;
    }
    authorization(account, names, page)?;
    if let Some(trace) = &account.trace {
        let share = if trace.sampling == 0 { 100 } else { trace.sampling };
        page.section("Message traces")?;
        page.line(&format!("{share} % to {}", printable(&trace.destination)))?;
    }
    if !account.cluster_traffic.is_empty() {
        page.section("Cluster traffic")?;
        page.line(&printable(&account.cluster_traffic))?;
    }
    Ok(())
}

fn signing_keys(account: &Account, page: &mut Page<'_>) -> io::Result<()> {
    let keys: Vec<_> = account.signing_keys.iter().collect();
    if keys.is_empty() {
        return Ok(());
    }
    page.section(&format!("Signing keys ({})", keys.len()))?;
    for (key, scope) in keys {
        match scope {
            None => page.line(&printable(key))?,
            Some(scope) => {
                let role = if scope.role.is_empty() {
                    "a scope".to_owned()
                } else {
                    format!("role {}", printable(&scope.role))
                };
                page.line(&format!("{}: {role}", printable(key)))?;
                template(scope).iter().try_for_each(|text| page.line(&format!("  {text}")))?;
            }
        }
    }
    Ok(())
}

/// What users of a scoped signing key may do: what is not as it is without a scope.
fn template(scope: &UserScope) -> Vec<String> {
    let template = &scope.template;
    let mut lines: Vec<_> =
        permissions(&template.permissions).into_iter().map(|(label, text)| format!("{label}: {text}")).collect();
    if !scope.description.is_empty() {
        lines.insert(0, printable(&scope.description));
    }
    let limits = [
        ("subscriptions", template.subs, count(template.subs)),
        ("data", template.data, bytes(template.data)),
        ("message size", template.payload, bytes(template.payload)),
    ];
    let limits: Vec<_> = limits
        .into_iter()
        .filter(|(_, limit, _)| *limit >= 0)
        .map(|(label, _, text)| format!("{label} {text}"))
        .collect();
    if !limits.is_empty() {
        lines.push(format!("limits: {}", limits.join(", ")));
    }
    if !template.src.0.is_empty() {
        lines.push(format!("only from: {}", some(&template.src.0)));
    }
    if !template.times.is_empty() {
        let times: Vec<_> = template.times.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
        lines.push(format!("only at: {} {}", some(&times), printable(&template.times_location)).trim_end().to_owned());
    }
    if !template.allowed_connection_types.is_empty() {
        lines.push(format!("only by: {}", some(&template.allowed_connection_types)));
    }
    for (is_set, text) in [(template.bearer_token, "bearer tokens"), (template.proxy_required, "only through a proxy")]
    {
        if is_set {
            lines.push(text.to_owned());
        }
    }
    lines
}

fn permissions(permissions: &Permissions) -> Vec<(&'static str, String)> {
    let Permissions { publish, subscribe, response } = permissions;
    let mut lines = vec![
        ("publish", subjects(&publish.allow, &publish.deny)),
        ("subscribe", subjects(&subscribe.allow, &subscribe.deny)),
    ];
    lines.extend(response.as_ref().map(|response| ("respond to requests", responses(response.max, response.ttl))));
    lines
}

fn revocations(account: &Account, moments: &Moments, page: &mut Page<'_>) -> io::Result<()> {
    let revoked = &account.revocations;
    if revoked.is_empty() {
        return Ok(());
    }
    page.section(&format!("Revocations ({})", revoked.len()))?;
    // The key of everybody comes first in the order of texts.
    for (user, until) in revoked.iter().take(REVOCATIONS) {
        let user = if user == "*" { "every user".to_owned() } else { printable(user) };
        page.line(&format!("{user}: JWTs issued up to {}", moments.full(*until)))?;
    }
    match revoked.len().saturating_sub(REVOCATIONS) {
        0 => Ok(()),
        more => page.line(&format!("and {more} more; --json shows all")),
    }
}

fn authorization(account: &Account, names: &Names<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let service = &account.authorization;
    if service.auth_users.is_empty() && service.allowed_accounts.is_empty() && service.xkey.is_empty() {
        return Ok(());
    }
    page.section("Authorization service")?;
    page.about("its users", &some(&service.auth_users))?;
    let assigned: Vec<_> = service
        .allowed_accounts
        .iter()
        .map(|key| if key == "*" { "every account".to_owned() } else { names.called(key) })
        .collect();
    if !assigned.is_empty() {
        page.about("accounts it may assign", &some(&assigned))?;
    }
    if service.xkey.is_empty() { Ok(()) } else { page.about("encrypted for", &printable(&service.xkey)) }
}
