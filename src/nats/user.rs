//! The user of all connections: the credentials file as it is now, and what is said about it.

use std::path::PathBuf;
use std::sync::Arc;

use async_nats::{Auth, AuthError};
use parking_lot::Mutex;

use super::creds::{self, Creds, CredsError, CredsFacts, Life};
use super::explain::Who;
use crate::clock;
use crate::config::Login;
use crate::key::AccountKey;
use crate::metrics::Metrics;

/// The NATS user of this server.
pub(super) struct User {
    login: Option<Login>,
    metrics: Arc<Metrics>,
    state: Mutex<UserState>,
    /// One read at a time: on a disk that does not answer, each would hold a thread.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct UserState {
    path: Option<PathBuf>,
    /// What the file held when it was last readable.
    facts: Option<CredsFacts>,
    /// Why the file cannot be used, as it was reported.
    reported: Option<String>,
    /// Why the file could not be used at the latest look. It may be about to be completed.
    suspect: Option<String>,
    /// The JWT whose end was reported as near.
    ending: Option<[u8; 32]>,
    /// Why the user's account is the wrong one, as it was reported.
    outside: Option<String>,
}

/// How often the file is read by those who do not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At intervals: what is broken is reported at the second look.
    Routine,
    /// At the start, or because an operator asked: what is broken is reported at once.
    AtOnce,
}

impl User {
    pub(super) fn new(path: Option<PathBuf>, login: Option<Login>, metrics: Arc<Metrics>) -> Self {
        let state = Mutex::new(UserState { path, ..UserState::default() });
        Self { login, metrics, state, turn: Arc::default() }
    }

    /// Another file from now on.
    pub(super) fn set_path(&self, path: Option<PathBuf>) {
        let mut state = self.state.lock();
        if state.path != path {
            *state = UserState { path, outside: state.outside.take(), ..UserState::default() };
            self.metrics.expiry.nats_user.show(None);
        }
    }

    /// Whether a credentials file is configured.
    pub(super) fn has_file(&self) -> bool {
        self.state.lock().path.is_some()
    }

    /// Reads the file, and signs the nonce of a nats-server. Also returns which JWT it is.
    pub(super) async fn auth(&self, nonce: Vec<u8>) -> Result<(Auth, Option<[u8; 32]>), AuthError> {
        let mut auth = Auth::new();
        match &self.login {
            Some(Login::User(name, password)) => {
                (auth.username, auth.password) = (Some(name.clone()), Some(password.clone()));
            }
            Some(Login::Token(token)) => auth.token = Some(token.clone()),
            None => {}
        }
        let read = self.read(move |creds| {
            let Creds { jwt, pair, facts } = creds;
            let signature = pair.sign(&nonce).map_err(|error| AuthError::new(error.to_string()))?;
            Ok::<_, AuthError>((jwt, signature, facts))
        });
        let Some(read) = read.await else { return Ok((auth, None)) };
        // The task that looks at the file at intervals decides how it is reported.
        let (jwt, signature, facts) = read.map_err(|error| AuthError::new(error.to_string()))??;
        let digest = facts.digest;
        self.accept(facts);
        (auth.jwt, auth.signature) = (Some(jwt), Some(signature));
        Ok((auth, Some(digest)))
    }

    /// Reads the file, and reports what is broken, or is whole again. `Err`: why it cannot be used.
    pub(super) async fn look(&self, look: Look) -> Result<(), String> {
        let Some(read) = self.read(|creds| creds.facts).await else { return Ok(()) };
        let error = match read {
            Ok(facts) => {
                self.accept(facts);
                return Ok(());
            }
            Err(error) => error.to_string(),
        };
        let mut state = self.state.lock();
        let is_confirmed = look == Look::AtOnce || state.suspect.as_ref() == Some(&error);
        if is_confirmed
            && state.reported.as_ref() != Some(&error)
            && let Some(path) = &state.path
        {
            tracing::warn!(
                "cannot use the NATS credentials (nats.creds) {}: {error}. The file is read again at each attempt to connect",
                path.display()
            );
            state.reported = Some(error.clone());
        }
        state.suspect = Some(error.clone());
        Err(error)
    }

    /// What is done with the content of the file, on a thread that may wait. None: no file is configured.
    async fn read<T: Send + 'static>(
        &self,
        make: impl FnOnce(Creds) -> T + Send + 'static,
    ) -> Option<Result<T, CredsError>> {
        let path = self.state.lock().path.clone()?;
        let turn = self.turn.clone().lock_owned().await;
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            creds::read(&path).map(make)
        });
        Some(reading.await.unwrap_or_else(|error| Err(CredsError::Read(std::io::Error::other(error)))))
    }

    fn accept(&self, facts: CredsFacts) {
        let mut state = self.state.lock();
        state.suspect = None;
        if state.reported.take().is_some()
            && let Some(path) = &state.path
        {
            tracing::info!("the NATS credentials {} can be used again", path.display());
        }
        self.metrics.expiry.nats_user.show(Some(facts.exp));
        state.facts = Some(facts);
    }

    /// What the file held when it was last readable.
    pub(super) fn facts(&self) -> Option<CredsFacts> {
        self.state.lock().facts.clone()
    }

    /// Whom we log in as, to say why that fails.
    pub(super) fn who(&self) -> Who {
        let state = self.state.lock();
        let expired = |facts: &CredsFacts| facts.exp != 0 && facts.exp <= clock::unix_seconds() + 1;
        match (&state.path, &self.login) {
            (Some(_), _) => Who::User {
                expired: state.facts.as_ref().filter(|facts| expired(facts)).map(CredsFacts::end),
                outside: state.outside.clone(),
            },
            (None, Some(_)) => Who::Login,
            (None, None) => Who::Nobody,
        }
    }

    /// Reports that the user's JWT expires soon, once. Returns how far its end is away.
    pub(super) fn report_life(&self) -> Life {
        let mut state = self.state.lock();
        let Some(facts) = state.facts.clone() else { return Life::Long };
        let life = facts.life(clock::unix_seconds());
        if life == Life::Short && state.ending != Some(facts.digest) {
            state.ending = Some(facts.digest);
            let path = state.path.clone().unwrap_or_default();
            tracing::warn!(
                user = facts.user,
                "the user's JWT in the NATS credentials {} expires on {}; write renewed credentials to that file",
                path.display(),
                facts.end()
            );
        }
        life
    }

    /// Compares the user's account with the system account. Reports a difference when it begins or changes, and its end.
    pub(super) fn report_account(&self, system: Option<AccountKey>) {
        let mut state = self.state.lock();
        let found = match (&state.facts, system) {
            (Some(facts), Some(system)) if facts.account != system => Some(format!(
                "the user of nats.creds is of the account {}, but the operator's system account is {system}; use the \
                 credentials of a user of the system account, or nats-servers and this server do not hear each other",
                facts.account
            )),
            _ => None,
        };
        if state.outside == found {
            return;
        }
        match &found {
            Some(outside) => tracing::warn!("{outside}"),
            None if state.facts.is_none() => {}
            None => tracing::info!("the user of nats.creds is of the system account"),
        }
        state.outside = found;
    }

    /// Why the user's account is the wrong one. It names no file.
    pub(super) fn outside(&self) -> Option<String> {
        self.state.lock().outside.clone()
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("login", &self.login).finish_non_exhaustive()
    }
}
