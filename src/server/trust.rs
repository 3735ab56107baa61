//! Whom to trust: the operator and the system account, from the settings.

use super::error::StartError;
use crate::clock;
use crate::config::{Settings, SystemAccount, TokenSource};
use crate::gate::{Gate, Trust};
use crate::key::AccountKey;

/// The gate, and the system account's JWT if it was given as one.
pub(crate) fn gate(settings: &Settings) -> Result<(Gate, Option<String>), StartError> {
    let trust = settings.operator.as_ref().map(load_operator).transpose()?;
    let (system_account, system_jwt) = system_account(settings)?;
    if let Some(trust) = &trust {
        same_system_account(system_account, trust)?;
    }
    match &trust {
        Some(trust) => {
            tracing::info!("Operator: {}", trust.identity());
            tracing::info!("Operator Name: {}", trust.name());
            for warning in trust.warnings() {
                tracing::warn!("operator JWT: {warning}");
            }
        }
        None => tracing::warn!("No Operator is configured - You will NOT be able to push jwt to this account server"),
    }
    let ahead = i64::try_from(settings.store.max_iat_ahead.as_secs()).unwrap_or(i64::MAX);
    Ok((Gate::new(trust, system_account, ahead), system_jwt))
}

/// The system account that is configured, by its key or by its JWT.
fn system_account(settings: &Settings) -> Result<(Option<AccountKey>, Option<String>), StartError> {
    match &settings.system_account {
        None => Ok((None, None)),
        Some(SystemAccount::Key(key)) => {
            tracing::info!("System Account: {key}");
            Ok((Some(*key), None))
        }
        Some(SystemAccount::Token(source)) => {
            let text = read_token("the system account JWT", source)?;
            let token = crate::jwt::decorated::trim(crate::jwt::decorated::token(&text)).to_owned();
            let decoded = crate::jwt::AccountJwt::decode(&token)
                .map_err(|error| StartError::SystemAccountJwt(error.to_string()))?;
            tracing::info!("System Account: {}", decoded.claims.sub);
            tracing::info!("System Account Name: {}", decoded.claims.name);
            Ok((AccountKey::parse(&decoded.claims.sub).ok(), Some(token)))
        }
    }
}

/// Whether the configured system account, if there is one, is the operator's.
pub(crate) fn check_system_account(settings: &Settings, trust: &Trust) -> Result<(), StartError> {
    same_system_account(system_account(settings)?.0, trust)
}

fn same_system_account(configured: Option<AccountKey>, trust: &Trust) -> Result<(), StartError> {
    match (configured, trust.system_account().copied()) {
        (Some(configured), Some(operator)) if configured != operator => {
            Err(StartError::SystemAccount { operator, configured })
        }
        _ => Ok(()),
    }
}

pub(crate) fn load_operator(source: &TokenSource) -> Result<Trust, StartError> {
    let text = read_token("the operator JWT", source)?;
    Ok(Trust::from_operator_jwt(&text, clock::unix_seconds())?)
}

fn read_token(what: &'static str, source: &TokenSource) -> Result<String, StartError> {
    match source {
        TokenSource::Inline(text) => Ok(text.clone()),
        TokenSource::Path(path) => {
            tracing::info!(
                "loading {} from {}",
                what.trim_start_matches("the ").trim_end_matches(" JWT"),
                path.display()
            );
            std::fs::read_to_string(path).map_err(|source| StartError::Read { what, path: path.clone(), source })
        }
    }
}
