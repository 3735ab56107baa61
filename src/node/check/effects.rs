//! What a change would mean for imports: those of others from the account, and its own.

use std::collections::BTreeMap;
use std::time::Instant;

use super::importers;
use super::{Lookup, MAX_TEXT, Trial, shown};
use crate::calendar::utc_time;
use crate::excerpt::{excerpt, excerpt_of};
use crate::jwt::claims::Import;
use crate::jwt::{AccountJwt, Called, NotShared};
use crate::key::AccountKey;
use crate::store::StoreError;

/// Effects that are told at most; the others are counted.
const MOST: usize = 1000;
/// An activation that expires within so many seconds deserves a warning: three days.
const SOON: i64 = 3 * 86_400;

/// What happens to an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharingCode {
    /// Another account can no longer import what it imports now.
    ExportVanishes,
    /// No stored export matches an import.
    ImportUnmatched,
    /// The export needs an activation, and the import has none.
    ActivationMissing,
    /// The activation has expired.
    ActivationExpired,
    /// The exporter has revoked the activation.
    ActivationRevoked,
    /// The activation is for something else, or the exporter does not list the key that signed it.
    ActivationInvalid,
    /// The activation expires soon.
    ActivationExpiring,
}

impl SharingCode {
    /// All codes.
    pub const ALL: [Self; 7] = [
        Self::ExportVanishes,
        Self::ImportUnmatched,
        Self::ActivationMissing,
        Self::ActivationExpired,
        Self::ActivationRevoked,
        Self::ActivationInvalid,
        Self::ActivationExpiring,
    ];

    /// Its stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ExportVanishes => "export_vanishes",
            Self::ImportUnmatched => "import_unmatched",
            Self::ActivationMissing => "activation_missing",
            Self::ActivationExpired => "activation_expired",
            Self::ActivationRevoked => "activation_revoked",
            Self::ActivationInvalid => "activation_invalid",
            Self::ActivationExpiring => "activation_expiring",
        }
    }

    /// Whether an import does not work, or stops working. The others are warnings.
    pub const fn breaks(self) -> bool {
        !matches!(self, Self::ActivationExpiring)
    }

    /// That of an import which the account itself has.
    const fn of(why: &NotShared) -> Self {
        match why {
            NotShared::NoExport | NotShared::NotItsPlace(_) => Self::ImportUnmatched,
            NotShared::NoActivation => Self::ActivationMissing,
            NotShared::BadActivation(_) | NotShared::NotVouched(_) => Self::ActivationInvalid,
            NotShared::Expired(_) => Self::ActivationExpired,
            NotShared::Revoked => Self::ActivationRevoked,
        }
    }
}

/// What happens to one import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingEffect {
    /// What happens.
    pub code: SharingCode,
    /// The other account, as far as it is known: the importer, or the exporter.
    pub account: String,
    /// Its name, if it is known.
    pub name: Option<String>,
    /// The subject as the exporter knows it, or its beginning.
    pub subject: String,
    /// `stream` or `service`.
    pub kind: String,
    /// The same in words.
    pub text: String,
}

/// What happens to imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingEffects {
    /// The effects.
    pub listed: Vec<SharingEffect>,
    /// How many more there are.
    pub more: usize,
    /// Whether all stored accounts were looked at.
    pub complete: bool,
}

impl Default for SharingEffects {
    fn default() -> Self {
        Self { listed: Vec::new(), more: 0, complete: true }
    }
}

impl SharingEffects {
    pub(super) fn add(&mut self, code: SharingCode, other: &Other, import: &Import, text: String) {
        if self.listed.len() >= MOST {
            self.more += 1;
            return;
        }
        self.listed.push(SharingEffect {
            code,
            account: other.key.clone(),
            name: other.name.clone(),
            subject: excerpt_of(import.exported_subject(), MAX_TEXT).part().into_owned(),
            kind: import.kind.to_string(),
            text,
        });
    }
}

/// Another account of an effect.
pub(super) struct Other {
    key: String,
    name: Option<String>,
    /// As people know it.
    pub(super) called: String,
}

impl Other {
    pub(super) fn of(account: &AccountJwt) -> Self {
        let (key, name) = (&account.claims.sub, &account.claims.name);
        let called = AccountKey::parse(key).map(|key| Called::new(key, name.clone()).to_string());
        Self { called: called.unwrap_or_else(|_| key.clone()), key: key.clone(), name: shown(name) }
    }

    /// One of which nothing is stored. `key`: as an import has it, which may be anything.
    fn unknown(key: &str) -> Self {
        let key = excerpt_of(key, MAX_TEXT).part().into_owned();
        Self { called: key.clone(), key, name: None }
    }
}

/// What an import is, in words.
pub(super) fn described(import: &Import) -> String {
    format!("the {} {}", import.kind, excerpt(import.exported_subject()))
}

/// Why it does not work, in words. `exporter`: as people know it.
pub(super) fn reason(why: &NotShared, exporter: &str) -> String {
    match why {
        NotShared::NoExport => format!("no export of {exporter} covers it"),
        NotShared::NotItsPlace(place) => {
            format!("the export of {exporter} demands the key of the importer as token {place} of the subject")
        }
        NotShared::NoActivation => format!("the export of {exporter} needs an activation, and the import has none"),
        NotShared::BadActivation(text) => format!("the activation in the import cannot be used: {text}"),
        NotShared::NotVouched(key) => format!("{exporter} does not list the key {key} that signed the activation"),
        NotShared::Expired(at) => format!("the activation in the import expired at {}", utc_time(*at)),
        NotShared::Revoked => format!("{exporter} has revoked the activation in the import"),
    }
}

/// What a new version of an account would mean.
pub(super) fn of_account(
    trial: &Trial,
    key: &AccountKey,
    new: &AccountJwt,
    until: Instant,
) -> Result<SharingEffects, StoreError> {
    let mut effects = SharingEffects::default();
    of_own_imports(trial, new, until, &mut effects)?;
    importers::find(trial, &[*key], Some(new), until, &mut effects)?;
    Ok(effects)
}

/// What the deletion of accounts would mean.
pub(super) fn of_deletion(trial: &Trial, keys: &[AccountKey], until: Instant) -> Result<SharingEffects, StoreError> {
    let mut effects = SharingEffects::default();
    importers::find(trial, keys, None, until, &mut effects)?;
    Ok(effects)
}

/// The imports of a new version that would not work, or not for long.
fn of_own_imports(
    trial: &Trial,
    new: &AccountJwt,
    until: Instant,
    effects: &mut SharingEffects,
) -> Result<(), StoreError> {
    let mut by_exporter: BTreeMap<&str, Vec<&Import>> = BTreeMap::new();
    for import in new.body.imports.iter().flatten() {
        by_exporter.entry(&import.account).or_default().push(import);
    }
    for (exporter, imports) in by_exporter {
        if Instant::now() >= until {
            effects.complete = false;
            return Ok(());
        }
        let found = if exporter == new.claims.sub { Ok(new.clone()) } else { trial.exporter(exporter)? };
        match found {
            Ok(account) => {
                let other = Other::of(&account);
                imports.iter().for_each(|import| of_own_import(trial, new, import, (&account, &other), effects));
            }
            Err(why) => {
                let other = Other::unknown(exporter);
                for import in imports {
                    let text = format!("{} cannot be imported from {}: {why}", described(import), other.called);
                    effects.add(SharingCode::ImportUnmatched, &other, import, text);
                }
            }
        }
    }
    Ok(())
}

fn of_own_import(
    trial: &Trial,
    new: &AccountJwt,
    import: &Import,
    (exporter, other): (&AccountJwt, &Other),
    effects: &mut SharingEffects,
) {
    match exporter.shares(import, &new.claims.sub, trial.now) {
        Ok(Some(expires)) if expires <= trial.now.saturating_add(SOON) => {
            let until = utc_time(expires);
            let text = format!("the activation for {} of {} expires at {until}", described(import), other.called);
            effects.add(SharingCode::ActivationExpiring, other, import, text);
        }
        Ok(_) => {}
        Err(why) => {
            let because = reason(&why, &other.called);
            let text = format!("{} cannot be imported from {}: {because}", described(import), other.called);
            effects.add(SharingCode::of(&why), other, import, text);
        }
    }
}

impl Trial {
    /// The JWT of an account that exports something, or why it exports nothing.
    pub(super) fn exporter(&self, key: &str) -> Result<Result<AccountJwt, &'static str>, StoreError> {
        let Ok(key) = AccountKey::parse(key) else { return Ok(Err("this is no account key")) };
        Ok(match self.lookup(&key)? {
            // What is stored was decoded before.
            Lookup::Served(stored) => AccountJwt::decode(stored.entry.text()).map_err(|_| "its JWT cannot be read"),
            Lookup::Withheld(_) => {
                Err("its JWT is withheld, because the operator JWT does not list the key that signed it")
            }
            Lookup::Absent => Err("the account is not stored here, or was deleted"),
        })
    }
}
