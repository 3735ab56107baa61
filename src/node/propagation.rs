//! What can be told of one change's way to the nats-servers: the journal's facts and the receipts in one.

use std::time::Duration;

use serde::Serialize;

use super::receipts::{Delivery, Progress, Server};
use super::{CUTTING_OFF, Node};
use crate::gate::Via;
use crate::key::AccountKey;
use crate::store::StoreError;
use crate::store::journal::Fact;

/// The way of one change to the nats-servers. Its JSON form is what clients are shown.
#[derive(Debug, Serialize)]
pub struct Propagation {
    /// The account.
    pub account: String,
    /// The change's place in the order.
    pub serial: u64,
    /// Issue time of the JWT, or of the delete request, unix seconds.
    pub iat: i64,
    /// SHA-256 of what its signer signed, 64 hexadecimal digits.
    pub identity: String,
    /// When it was committed, unix milliseconds.
    pub committed_at: i64,
    /// When it was first announced, unix milliseconds.
    pub announced_at: Option<i64>,
    /// Whether every nats-server that was there then has answered, and there is one.
    pub complete: bool,
    /// Who answered, in the order in which the answers came.
    pub servers: Vec<Told>,
    /// Who was there and has not answered.
    pub silent: Vec<Silent>,
    /// For people: what else there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The same in a word.
    #[serde(skip)]
    pub stand: Stand,
}

/// The answer of a nats-server.
#[derive(Debug, Serialize)]
pub struct Told {
    /// The id that it made at its start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `updated`, `skipped` (it does not have the account loaded) or `error`.
    pub outcome: &'static str,
    /// Milliseconds from the announcement to the answer.
    pub after_ms: f64,
    /// Why it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A nats-server that has not answered.
#[derive(Debug, Serialize)]
pub struct Silent {
    /// The id that it made at its start.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It was announced.
    Announced,
    /// It is still to be announced.
    Pending,
    /// A later change took its place, and no receipt is kept; it may never have been announced.
    Superseded,
    /// It is none that is announced.
    NotAnnounced,
    /// NATS is not configured.
    NotConfigured,
    /// No receipt is kept.
    Unknown,
}

impl Node {
    /// What is known of a change of an account, of its newest unless a serial is given. `Ok(None)`: there is no such
    /// change.
    pub async fn propagation(&self, key: &AccountKey, serial: Option<u64>) -> Result<Option<Propagation>, StoreError> {
        let primary = self.primary()?;
        let fact = async || {
            let (primary, key) = (primary.clone(), *key);
            let read = tokio::task::spawn_blocking(move || primary.journal().fact(&key, serial));
            read.await.map_err(|_| StoreError::Closed)?
        };
        if let Some(fact) = fact().await? {
            return Ok(Some(self.told(key, &fact)));
        }
        // Until it is looked up, its file may not be imported.
        primary.lookup(key).await?;
        Ok(fact().await?.map(|fact| self.told(key, &fact)))
    }

    fn told(&self, key: &AccountKey, fact: &Fact) -> Propagation {
        let (stand, note, delivery) = self.stand(fact);
        let (announced_at, complete, answers, silent) = match delivery {
            Some(Delivery { announced_at, complete, answers, silent, .. }) => {
                (Some(announced_at), complete, answers, silent)
            }
            None => (None, false, Vec::new(), Vec::new()),
        };
        let receipts = answers.into_iter().map(|answer| Told {
            id: answer.server.id.clone(),
            name: answer.server.name.clone(),
            outcome: answer.outcome.label(),
            after_ms: tenths(answer.after),
            error: answer.error.map(Into::into),
        });
        Propagation {
            account: key.text(),
            serial: fact.serial,
            iat: fact.iat,
            identity: data_encoding::HEXLOWER.encode(&fact.identity),
            committed_at: fact.at,
            announced_at,
            complete,
            servers: receipts.collect(),
            silent: silent.iter().map(|server| Silent::from(&**server)).collect(),
            note,
            stand,
        }
    }

    /// Waits until nothing more is to come about a change, for `limit` at most, or until this server stops.
    pub async fn wait_for_receipts(&self, serial: u64, limit: Duration) {
        tokio::select! {
            () = self.receipts.settled(serial) => {}
            () = tokio::time::sleep(limit) => {}
            () = self.draining.cancelled() => {}
        }
    }

    fn stand(&self, fact: &Fact) -> (Stand, Option<String>, Option<Delivery>) {
        let replaced = fact.newest != fact.serial;
        let later = || format!("a later change of the account has taken its place: serial {}", fact.newest);
        let progress = self.receipts.progress(fact.serial);
        if let Progress::Announced(delivery) = progress {
            let note = delivery.trouble.as_ref().map(|trouble| format!("it cannot be announced: {trouble}"));
            let note = note.or_else(|| nobody(&delivery)).or_else(|| replaced.then(later)).or_else(|| removed(fact));
            return (Stand::Announced, note, Some(delivery));
        }
        if fact.deletes {
            return (
                Stand::NotAnnounced,
                Some(format!("a deletion has no receipts: {CUTTING_OFF}; push one before the deletion")),
                None,
            );
        }
        let (stand, note) = match progress {
            Progress::Off => {
                (Stand::NotConfigured, "NATS is not configured on this server: no nats-server is told".into())
            }
            _ if fact.via == Via::FirstScan => (
                Stand::NotAnnounced,
                "it came with the folder when this server started, which is no news: it is not announced".into(),
            ),
            _ if replaced => (Stand::Superseded, format!("no receipt of it is kept, and {}", later())),
            Progress::Pending if self.nats.get().is_some_and(|nats| nats.is_connected()) => {
                (Stand::Pending, "it is not announced yet".into())
            }
            Progress::Pending => (Stand::Pending, "it is not announced yet: there is no connection to NATS".into()),
            _ => (Stand::Unknown, UNKNOWN.into()),
        };
        (stand, Some(note), None)
    }
}

const UNKNOWN: &str = "nothing is known of its way: receipts are kept in memory, of the latest 10000 changes and for \
                       an hour, and not beyond a restart";
const NOBODY: &str = "no nats-server has answered so far, nor said that it is there: is the user that nats.creds \
                      names one of the system account?";

fn nobody(delivery: &Delivery) -> Option<String> {
    (delivery.answers.is_empty() && delivery.silent.is_empty()).then(|| NOBODY.into())
}

fn removed(fact: &Fact) -> Option<String> {
    fact.removed.then(|| "its file has left the folder since, which is not announced".into())
}

/// Milliseconds with one digit behind the point.
fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

impl From<&Server> for Silent {
    fn from(server: &Server) -> Self {
        Self { id: server.id.clone(), name: server.name.clone() }
    }
}
