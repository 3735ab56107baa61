//! Joining NATS: what each role says and hears there.

use std::sync::Arc;

use super::error::StartError;
use crate::config::{ResolverMode, Settings};
use crate::nats::{self, Announcer, Link, Purpose, Reconcile, Resolver, Signer};
use crate::node::Node;
use crate::primary::Primary;
use crate::replica::Replica;

/// Takes a primary's part on NATS, if that is configured.
pub(super) async fn primary(settings: &Settings, node: &Arc<Node>, primary: &Arc<Primary>) -> Result<(), StartError> {
    let Some(setup) = setup(settings) else {
        node.receipts().switch_off();
        tracing::info!("NATS is not configured, server will not fire notifications on update");
        return Ok(());
    };
    tracing::info!("connecting to NATS for notifications");
    let receipts_timeout = setup.receipts_timeout;
    let link = Link::new(setup, node.metrics().clone())?;
    tokio::spawn(link.clone().watch(node.clone()));
    let connected = nats::connect(&link, Purpose::Everyday).await?;
    let options = options(settings);
    let packs = match options.mode {
        ResolverMode::Off => {
            node.set_nats(connected.clone());
            None
        }
        _ => {
            let packs = nats::connect(&link, Purpose::Packs).await?;
            node.set_nats(Arc::new(nats::Both(connected.clone(), packs.clone())));
            Some(packs)
        }
    };
    if node.is_writable() {
        if let Some(subject) = settings.nats.sign_request_subject.clone() {
            tracing::info!("sending self-signed account JWTs to the signing service on {subject}");
            node.set_signer(Arc::new(Signer::new(connected.clone(), subject, settings.nats.sign_request_timeout)));
        }
        tokio::spawn(nats::hear_activations(connected.clone(), node.clone()));
    }
    let reconcile =
        settings.nats.reconcile.then_some(Reconcile { rate: settings.nats.reconcile_rate, kick: settings.nats.kick });
    let (announcer, reconciler) =
        Announcer::start(connected.clone(), node, primary.clone(), receipts_timeout, reconcile);
    node.set_announcer(announcer);
    if let Some(reconciler) = reconciler {
        node.set_comparer(reconciler);
    }
    Resolver::start(connected, packs, node.clone(), &options).await;
    Ok(())
}

/// Takes a replica's part on NATS, if that is configured.
pub(super) async fn replica(settings: &Settings, node: &Arc<Node>, replica: &Arc<Replica>) -> Result<(), StartError> {
    let Some(setup) = setup(settings) else { return Ok(()) };
    tracing::info!("connecting to NATS for notifications");
    let link = Link::new(setup, node.metrics().clone())?;
    tokio::spawn(link.clone().watch(node.clone()));
    let connected = nats::connect(&link, Purpose::Everyday).await?;
    node.set_nats(connected.clone());
    Resolver::start(connected.clone(), None, node.clone(), &options(settings)).await;
    if !link.has_creds() {
        tokio::spawn(nats::listen_for_nats_servers(connected.clone()));
    }
    tokio::spawn(nats::hear(connected.clone(), replica.clone(), node.clone()));
    tokio::spawn(nats::hear_activations(connected, node.clone()));
    Ok(())
}

const fn options(settings: &Settings) -> nats::Options {
    let nats = &settings.nats;
    nats::Options { mode: nats.resolver, responder: nats.pack_responder, sync_interval: nats.sync_interval }
}

/// How to connect, if that is configured.
pub(crate) fn setup(settings: &Settings) -> Option<nats::Setup> {
    let nats = &settings.nats;
    (!nats.servers.is_empty()).then(|| nats::Setup {
        servers: nats.servers.clone(),
        creds: nats.creds.clone(),
        connect_timeout: nats.connect_timeout,
        reconnect_wait: nats.reconnect_wait,
        tls_root: nats.tls.root.clone(),
        tls_client: nats.tls.cert.clone().zip(nats.tls.key.clone()),
        receipts_timeout: nats.receipts_timeout,
    })
}
