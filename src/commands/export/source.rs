//! Where exported accounts come from.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::{self, Sender};

use super::super::readable_journal_of;
use super::ExportItem;
use crate::backup::{self, Exported};
use crate::clock;
use crate::config::Settings;
use crate::gate::operator::{Arrival, Way};
use crate::gate::{Gate, Trust, Via};
use crate::upstream::{Access, pack_lines};

/// A server that stores every account, read.
pub(super) enum ExportSource {
    /// Its journal.
    Journal { path: PathBuf, trust: Option<Arc<Trust>>, arrival: Arrival },
    /// Its pack, over HTTP.
    Url(Box<ExportRemote>),
}

/// One that runs. Every JWT of its pack passes the gate.
pub(super) struct ExportRemote {
    url: reqwest::Url,
    access: Access,
    gate: Gate,
}

impl ExportSource {
    pub(super) fn of(url: Option<&str>, settings: &Settings, gate: Gate) -> Result<Self, String> {
        Ok(match url {
            Some(url) => Self::Url(Box::new(ExportRemote {
                url: pack_lines::url(url)?,
                access: Access::of_command(settings),
                gate,
            })),
            None => Self::Journal {
                path: readable_journal_of(settings)?,
                trust: gate.trust(),
                arrival: gate.arrival(Way::File, clock::unix_seconds()),
            },
        })
    }

    /// The operator whose accounts they are, if that is known.
    pub(super) fn operator(&self) -> Result<Option<Arc<Trust>>, String> {
        match self {
            Self::Url(remote) => Ok(remote.gate.trust()),
            Self::Journal { path, trust, arrival } => {
                backup::export(path, trust.clone(), arrival, |_| false).map_err(|error| error.to_string())
            }
        }
    }

    /// Tells all accounts. The error is why these were not all.
    pub(super) async fn read(self, items: Sender<ExportItem>) -> Result<(), String> {
        match self {
            Self::Journal { path, trust, arrival } => {
                let read = move || {
                    backup::export(&path, trust, &arrival, |found| {
                        let item = match found {
                            Exported::Account(entry) => ExportItem::Account(entry),
                            Exported::Deleted(key, at) => ExportItem::Deleted(key, at),
                            Exported::Damaged(key) => {
                                ExportItem::Bad(format!("{key}: its text in the journal is damaged"))
                            }
                        };
                        items.blocking_send(item).is_ok()
                    })
                };
                let read = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
                read.map(drop).map_err(|error| error.to_string())
            }
            Self::Url(remote) => {
                let ExportRemote { url, access, gate } = *remote;
                let (sender, mut lines) = mpsc::channel(1024);
                let fetching = tokio::spawn(async move { pack_lines::fetch(url, &access, sender).await });
                while let Some(line) = lines.recv().await {
                    let item = match line {
                        Ok(line) => {
                            match gate.admit(&line.token, Some(&line.key), Via::Upstream, clock::unix_seconds()) {
                                Ok(entry) => ExportItem::Account(Arc::new(entry)),
                                Err(refusal) => ExportItem::Bad(format!("{}: {refusal}", line.key)),
                            }
                        }
                        Err(number) => ExportItem::Bad(format!("line {number} {}", pack_lines::NO_LINE)),
                    };
                    if items.send(item).await.is_err() {
                        break;
                    }
                }
                fetching.await.map_err(|error| error.to_string())?
            }
        }
    }
}
