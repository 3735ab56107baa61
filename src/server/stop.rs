//! The signals, and the way to the end.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::StartError;
use super::notify;
use crate::node::Node;

/// Stops serving. The server is not ready any more from the start.
///
/// 1. For `delay` it answers everything as before, while clients move elsewhere.
/// 2. It accepts no more requests, and long answers end.
/// 3. Requests in flight get their time.
///
/// Returns whether they got it. A second signal ends the wait: the HTTP server then ends with the process, because it cannot
/// be hurried once it stops gently.
pub(super) async fn gently(node: &Arc<Node>, handle: &ServerHandle, delay: Duration) -> bool {
    tracing::info!("stopping account server");
    notify::stopping();
    node.leave();
    let again = again();
    tokio::pin!(again);
    if !delay.is_zero() {
        tracing::info!("not ready any more; still answering requests for {delay:?}");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = &mut again => {
                node.drain();
                return false;
            }
        }
    }
    node.drain();
    tracing::info!("stopping http server");
    tokio::select! {
        () = handle.stop(true) => {
            tracing::info!("http server stopped");
            true
        }
        () = again => false,
    }
}

/// Returns at the next signal.
async fn again() {
    match Signals::install() {
        Ok(mut signals) => signals.wait().await,
        Err(_) => std::future::pending().await,
    }
    tracing::warn!("second stop signal: exiting now");
}

/// The signals that end the process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn install() -> Result<Self, StartError> {
        Ok(Self { terminate: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
    }

    pub(super) async fn wait(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "terminated",
            _ = self.interrupt.recv() => "interrupt",
        };
        tracing::info!("received sig-{name}, shutting down");
    }
}

pub(super) fn install(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| StartError::Other(format!("cannot handle signals: {error}")))
}
