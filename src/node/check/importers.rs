//! The accounts that import from an account, and what they would lose.

use std::collections::HashMap;
use std::time::Instant;

use super::Trial;
use super::effects::{Other, SharingCode, SharingEffects, described, reason};
use crate::jwt::AccountJwt;
use crate::jwt::claims::Import;
use crate::key::AccountKey;
use crate::store::StoreError;
use crate::store::journal::Mentions;

/// The text of exporters that is read, at most, in bytes.
const MOST_TEXT: usize = 8 << 20;

/// An account that exports something now.
struct Exporter {
    now: AccountJwt,
    other: Other,
}

/// Adds what importers of these accounts would lose. `new`: the next version of the only one; `None`: they are deleted.
pub(super) fn find(
    trial: &Trial,
    keys: &[AccountKey],
    new: Option<&AccountJwt>,
    until: Instant,
    effects: &mut SharingEffects,
) -> Result<(), StoreError> {
    let exporters = exporters(trial, keys, effects)?;
    // Without exports there is nothing to lose.
    let keys: Vec<AccountKey> = keys.iter().filter(|key| exporters.contains_key(&key.text())).copied().collect();
    if keys.is_empty() {
        return Ok(());
    }
    let Some(mentions) = Mentions::of(&keys) else {
        effects.complete = false;
        return Ok(());
    };
    effects.complete &= mentions.is_whole();
    let mut from = None;
    loop {
        let piece = trial.journal.mentioning(&mentions, from)?;
        for entry in piece.found.iter().filter(|entry| trial.gate.vouches(entry.issuer())) {
            let Ok(importer) = AccountJwt::decode(entry.text()) else { continue };
            for import in importer.body.imports.iter().flatten() {
                if let Some(exporter) = exporters.get(&import.account) {
                    of_import(trial, (exporter, new), &importer, import, effects);
                }
            }
        }
        from = piece.next;
        if from.is_none() {
            return Ok(());
        }
        if Instant::now() >= until {
            effects.complete = false;
            return Ok(());
        }
    }
}

/// Those of the accounts that export something now, by their keys.
fn exporters(
    trial: &Trial,
    keys: &[AccountKey],
    effects: &mut SharingEffects,
) -> Result<HashMap<String, Exporter>, StoreError> {
    let (mut found, mut text) = (HashMap::new(), 0);
    for key in keys {
        if text > MOST_TEXT {
            effects.complete = false;
            break;
        }
        let Ok(now) = trial.exporter(&key.text())? else { continue };
        if !now.body.exports.is_empty() {
            text += now.body.exports.iter().flatten().map(|export| export.subject.len() + 256).sum::<usize>();
            let other = Other::of(&now);
            found.insert(key.text(), Exporter { now, other });
        }
    }
    Ok(found)
}

fn of_import(
    trial: &Trial,
    (exporter, new): (&Exporter, Option<&AccountJwt>),
    importer: &AccountJwt,
    import: &Import,
    effects: &mut SharingEffects,
) {
    let key = &importer.claims.sub;
    // What an account imports from itself is among its own imports.
    if *key == import.account || exporter.now.shares(import, key, trial.now).is_err() {
        return;
    }
    let why = match new.map(|new| new.shares(import, key, trial.now)) {
        Some(Ok(_)) => return,
        Some(Err(why)) => reason(&why, &exporter.other.called),
        None => format!("{} would be deleted", exporter.other.called),
    };
    let other = Other::of(importer);
    let text = format!("{} can no longer import {}: {why}", other.called, described(import));
    effects.add(SharingCode::ExportVanishes, &other, import, text);
}
