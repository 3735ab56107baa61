//! What an account exports and imports, and where its messages go instead.

use std::io;

use super::names::Names;
use super::page::Page;
use crate::commands::shown::printable;
use crate::jwt::Account;
use crate::jwt::claims::{Export, Import, WeightedMapping};

pub(super) fn write(account: &Account, names: &Names<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let (exports, imports): (Vec<_>, Vec<_>) =
        (account.exports.iter().flatten().collect(), account.imports.iter().flatten().collect());
    if !exports.is_empty() {
        page.section(&format!("Exports ({})", exports.len()))?;
        exports.into_iter().try_for_each(|shared| page.line(&export(shared)))?;
    }
    if !imports.is_empty() {
        page.section(&format!("Imports ({})", imports.len()))?;
        imports.into_iter().try_for_each(|shared| page.line(&import(shared, names)))?;
    }
    if !account.mappings.is_empty() {
        page.section(&format!("Mappings ({})", account.mappings.len()))?;
        for (from, to) in &account.mappings {
            let to: Vec<_> = to.iter().map(mapping).collect();
            page.line(&format!("{} → {}", printable(from), to.join(", ")))?;
        }
    }
    Ok(())
}

fn export(export: &Export) -> String {
    let mut facts = vec![if export.token_req { "importers need an activation" } else { "public" }.to_owned()];
    if export.account_token_position > 0 {
        facts.push(format!("token {} of the subject is the importer's key", export.account_token_position));
    }
    if !matches!(&*export.response_type, "" | "Singleton") {
        facts.push(format!("answers: {}", printable(&export.response_type).to_lowercase()));
    }
    if let Some(latency) = &export.service_latency {
        let share = match latency.sampling.0 {
            0 => "if headers ask for it".to_owned(),
            percent => format!("of {percent} %"),
        };
        facts.push(format!("latency {share} to {}", printable(&latency.results)));
    }
    if !export.revocations.is_empty() {
        facts.push(format!("{} revoked", export.revocations.len()));
    }
    if export.advertise {
        facts.push("advertised".to_owned());
    }
    format!(
        "{} {}{}: {}",
        export.kind,
        printable(&export.subject),
        name(&export.name, &export.subject),
        facts.join(", ")
    )
}

fn import(import: &Import, names: &Names<'_>) -> String {
    let from = names.called(&import.account);
    let here = if import.local_subject.is_empty() { &import.to } else { &import.local_subject };
    let mut facts = Vec::new();
    if !here.is_empty() {
        facts.push(format!("here {}", printable(here)));
    }
    if !import.token.is_empty() {
        facts.push("with an activation".to_owned());
    }
    if import.share {
        facts.push("shows who asks".to_owned());
    }
    let facts = if facts.is_empty() { String::new() } else { format!(": {}", facts.join(", ")) };
    format!("{} {}{} from {from}{facts}", import.kind, printable(&import.subject), name(&import.name, &import.subject))
}

/// The name of a share, if it says anything.
fn name(name: &str, subject: &str) -> String {
    if name.is_empty() || name == subject { String::new() } else { format!(" ({})", printable(name)) }
}

fn mapping(to: &WeightedMapping) -> String {
    let weight = if to.weight == 0 { 100 } else { to.weight };
    let cluster = if to.cluster.is_empty() { String::new() } else { format!(" in {}", printable(&to.cluster)) };
    format!("{} {weight} %{cluster}", printable(&to.subject))
}
