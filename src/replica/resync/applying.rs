//! Applies pages while the next ones are fetched.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Resync, ResyncError};
use crate::feed::wire::DigestAnswer;
use crate::gate::Position;

/// Pages that are checked or written at the same time, of about 1 MiB each. With fewer, the processors wait for the disk and for
/// the next page.
const MOST: usize = 4;

/// Pages that are being applied.
#[derive(Debug)]
pub(super) struct Applying {
    resync: Arc<Resync>,
    pages: VecDeque<JoinHandle<Result<(), ResyncError>>>,
}

impl Applying {
    pub(super) const fn by(resync: Arc<Resync>) -> Self {
        Self { resync, pages: VecDeque::new() }
    }

    /// Begins to apply a page. The error may be that of a page before.
    pub(super) async fn take(&mut self, answer: DigestAnswer, as_of: Position) -> Result<(), ResyncError> {
        self.end_but(MOST - 1).await?;
        let resync = self.resync.clone();
        self.pages.push_back(tokio::spawn(async move {
            let differences = resync.read_all(answer, as_of).await?;
            resync.write(differences).await
        }));
        Ok(())
    }

    /// Waits until everything is applied.
    pub(super) async fn end(&mut self) -> Result<(), ResyncError> {
        self.end_but(0).await
    }

    /// Waits until no more than some pages are left.
    async fn end_but(&mut self, left: usize) -> Result<(), ResyncError> {
        while self.pages.len() > left
            && let Some(page) = self.pages.pop_front()
        {
            page.await.map_err(|_| ResyncError::Outdated)??;
        }
        Ok(())
    }
}
