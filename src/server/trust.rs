//! Whom to trust: the operator and the system account, from the settings.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::error::StartError;
use crate::clock;
use crate::config::{Settings, SystemAccount, TokenSource};
use crate::gate::{Gate, OperatorRefusal, Refusal, Trust};
use crate::jwt::{self, AccountJwt, NotAJwt};
use crate::key::{AccountKey, PublicKey};

/// Bytes of a file that are read: more than the longest JWT in UTF-16 has.
const LONGEST: u64 = 4 << 20;

/// What the settings say of whom to trust.
pub(crate) struct GivenTrust {
    /// The gate, with the configured operator.
    pub(crate) gate: Gate,
    /// The system account's JWT if it was given as one.
    pub(crate) system_jwt: Option<String>,
    /// Why the configured operator JWT cannot be used, so that the gate has none. It ends a first start; later, the one in
    /// force goes on.
    pub(crate) problem: Option<StartError>,
}

/// Reads what the settings name.
pub(crate) fn given(settings: &Settings) -> Result<GivenTrust, StartError> {
    let ahead = i64::try_from(settings.store.max_iat_ahead.as_secs()).unwrap_or(i64::MAX);
    let loaded = settings.operator.as_ref().map(load_operator).transpose();
    let usable = loaded.and_then(|trust| not_ahead(trust, ahead)).and_then(|trust| {
        check_system_account(settings, trust.as_ref())?;
        Ok(trust)
    });
    let (trust, problem) = match usable {
        Ok(trust) => (trust, None),
        Err(error) => (None, Some(error)),
    };
    let (system_account, system_jwt) = system_account(settings)?;
    if let Some(trust) = &trust {
        tracing::info!("Operator: {}", trust.identity());
        tracing::info!("Operator Name: {}", trust.name());
        for warning in trust.warnings() {
            tracing::warn!("operator JWT: {warning}");
        }
    }
    Ok(GivenTrust { gate: Gate::new(trust, system_account, ahead), system_jwt, problem })
}

/// The same, for a command that cannot do without the operator that is configured.
pub(crate) fn gate(settings: &Settings) -> Result<Gate, StartError> {
    let given = given(settings)?;
    given.problem.map_or(Ok(given.gate), Err)
}

fn not_ahead(trust: Option<Trust>, max: i64) -> Result<Option<Trust>, StartError> {
    let ahead = trust.as_ref().map_or(0, |trust| trust.iat().saturating_sub(clock::unix_seconds()));
    if ahead > max { Err(OperatorRefusal::FromTheFuture { ahead }.into()) } else { Ok(trust) }
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
            let token = SYSTEM_ACCOUNT.read(source)?;
            let decoded =
                AccountJwt::decode(&token).map_err(|error| SYSTEM_ACCOUNT.unusable(source, &Refusal::Decode(error)))?;
            tracing::info!("System Account: {}", decoded.claims.sub);
            tracing::info!("System Account Name: {}", decoded.claims.name);
            Ok((AccountKey::parse(&decoded.claims.sub).ok(), Some(token)))
        }
    }
}

/// Whether the configured system account, if there is one, is the operator's.
pub(crate) fn check_system_account(settings: &Settings, trust: Option<&Trust>) -> Result<(), StartError> {
    match (system_account(settings)?.0, trust.and_then(|trust| trust.system_account().copied())) {
        (Some(configured), Some(operator)) if configured != operator => {
            Err(StartError::SystemAccount { operator, configured })
        }
        _ => Ok(()),
    }
}

/// Reads the operator JWT that the settings name.
pub(crate) fn load_operator(source: &TokenSource) -> Result<Trust, StartError> {
    let text = OPERATOR.read(source)?;
    Trust::from_operator_jwt(&text, clock::unix_seconds()).map_err(|error| OPERATOR.unusable(source, &error))
}

/// Where a JWT is configured, for people. No more than the name of the file: clients read it, too.
pub(crate) fn place(source: &TokenSource) -> String {
    match source {
        TokenSource::Inline(_) => "(given as text)".to_owned(),
        TokenSource::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Reads an operator JWT from a file.
pub(crate) fn read_operator(path: &Path) -> Result<Arc<Trust>, StartError> {
    load_operator(&TokenSource::Path(path.to_owned())).map(Arc::new)
}

/// A setting that gives a JWT.
struct Wanted {
    what: &'static str,
    /// The error if it gives something else.
    problem: &'static str,
    setting: &'static str,
}

const OPERATOR: Wanted = Wanted { what: "the operator JWT", problem: "not a valid operator JWT", setting: "operator" };
const SYSTEM_ACCOUNT: Wanted = Wanted {
    what: "the system account JWT",
    problem: "the system account JWT cannot be used",
    setting: "system_account",
};

impl Wanted {
    /// Reads the bare JWT.
    fn read(&self, source: &TokenSource) -> Result<String, StartError> {
        let path = match source {
            TokenSource::Inline(text) => return self.bare(source, text.as_bytes()),
            TokenSource::Path(path) => path,
        };
        // People know the key of their operator, and give that.
        if let Some(key) = path.to_str().and_then(|text| PublicKey::parse(text.trim()).ok()) {
            return Err(self.unusable(source, &NotAJwt::PublicKey(key.kind())));
        }
        let short = self.what.trim_start_matches("the ").trim_end_matches(" JWT");
        tracing::info!("loading {short} from {}", path.display());
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
            .map_err(|source| StartError::Read { what: self.what, path: path.clone(), source })?;
        self.bare(source, &bytes)
    }

    fn bare(&self, source: &TokenSource, bytes: &[u8]) -> Result<String, StartError> {
        jwt::given(bytes).map(Cow::into_owned).map_err(|found| self.unusable(source, &found))
    }

    fn unusable(&self, source: &TokenSource, why: &dyn Display) -> StartError {
        let place = match source {
            TokenSource::Inline(_) => format!("the text in the setting {}", self.setting),
            TokenSource::Path(path) => path.display().to_string(),
        };
        // Said once.
        let why = why.to_string();
        let why = why.strip_prefix(self.problem).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&why).to_owned();
        StartError::NotUsable { problem: self.problem, place, why }
    }
}
