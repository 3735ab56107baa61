//! Builds the rooms from the settings, runs them, and takes them down.
//!
//! HTTP comes first: it listens before NATS is connected and before a folder is imported, because a nats-server that
//! cannot reach it at start does not start.

mod access;
mod build;
mod error;
mod import;
mod inherited;
mod listen;
mod notify;
mod reload;
mod role;
mod stop;
pub(crate) mod trust;

use std::time::SystemTime;

use tokio::signal::unix::SignalKind;

pub use error::StartError;
pub use reload::Reload;

use crate::calendar;
use crate::config::Settings;
use crate::descriptors;
use build::Built;
use listen::{Certificates, Listening};
use reload::Live;
use role::Role;

/// Runs the server until a signal stops it. `reload`: how the settings are loaded again at a hang-up.
pub async fn run(settings: Settings, reload: Reload) -> Result<(), StartError> {
    tracing::info!("starting NATS Account server, version {}", env!("CARGO_PKG_VERSION"));
    tracing::info!("server time is {}", calendar::unix_date(SystemTime::now()));
    if let Err(error) = descriptors::raise() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let mut signals = stop::Signals::install()?;
    let hangups = stop::install(SignalKind::hangup())?;

    notify::status("opening the store");
    let Built { role, node, edge, system_jwt } = Built::of(&settings)?;
    let certificates = Certificates::load(&settings, &node)?;
    let access = access::of(&settings)?;
    let Listening { server, port, made } = listen::listen(&settings, &node, &certificates, &access)?;

    notify::status(&format!("listening on port {port}, starting"));
    let handle = server.handle();
    let live = Live { settings: settings.clone(), node: node.clone(), role: role.clone(), access, certificates };
    tokio::spawn(reload.at(hangups, live));
    let serving = tokio::spawn(server);
    tokio::spawn(node.clone().look_after_replicas());
    tokio::spawn(node.clone().look_after_metrics());
    let mut directory = None;
    // The role may take long to begin. A signal stops this server nevertheless.
    tokio::select! {
        begun = role.begin(&settings, &node, edge, system_jwt, port) => {
            directory = begun?;
            tracing::info!("nats-account-server is running");
            notify::ready();
            tokio::spawn(notify::watch(node.clone(), role.clone()));
            signals.wait().await;
        }
        () = signals.wait() => {}
    }

    if stop::gently(&node, &handle, settings.http.drain_delay).await {
        // The listener's own errors were logged; stopping asked for its end.
        let _ = serving.await;
    }
    drop(made);
    tracing::info!("http stopped");
    if let Some(mut directory) = directory {
        directory.finish(settings.http.shutdown_grace).await;
    }
    if let Role::Replica(replica) = &role {
        // Nothing is served any more.
        replica.farewell().await;
    }
    node.note_replicas(true).await;
    role.close().await;
    tracing::info!("stopped account server");
    Ok(())
}
