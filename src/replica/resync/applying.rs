//! Applies pages one after the other, while the next ones are fetched and checked.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Resync, ResyncError};
use crate::feed::wire::DigestAnswer;
use crate::gate::Position;

/// Pages that are being applied: at most one is written while the next one is checked.
#[derive(Debug)]
pub(super) struct Applying {
    resync: Arc<Resync>,
    last: Option<JoinHandle<Result<(), ResyncError>>>,
}

impl Applying {
    pub(super) const fn by(resync: Arc<Resync>) -> Self {
        Self { resync, last: None }
    }

    /// Begins to apply a page. The error may be that of the page before.
    pub(super) async fn take(&mut self, answer: DigestAnswer, as_of: Position) -> Result<(), ResyncError> {
        let resync = self.resync.clone();
        let read = tokio::spawn(async move { resync.read_all(answer, as_of).await });
        self.end().await?;
        let resync = self.resync.clone();
        self.last = Some(tokio::spawn(async move {
            let differences = read.await.map_err(|_| ResyncError::Outdated)??;
            resync.write(differences).await
        }));
        Ok(())
    }

    /// Waits until everything is applied.
    pub(super) async fn end(&mut self) -> Result<(), ResyncError> {
        match self.last.take() {
            Some(last) => last.await.map_err(|_| ResyncError::Outdated)?,
            None => Ok(()),
        }
    }
}
