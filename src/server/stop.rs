//! The signals, and the way to the end.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::StartError;
use crate::node::Node;

/// Not ready any more from the start. For `delay` everything is answered as before, and those who send requests turn
/// elsewhere meanwhile; then nothing new is taken, long answers end, requests under way get their time, and that is the
/// end. Returns whether they got it: a second signal takes it from them, and then the HTTP server is not waited for. It
/// ends with the process; once it stops gently, it cannot be told to hurry.
pub(super) async fn gently(node: &Arc<Node>, handle: &ServerHandle, delay: Duration) -> bool {
    tracing::info!("stopping account server");
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
