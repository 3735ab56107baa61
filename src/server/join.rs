//! Joining NATS: what each role says and hears there.

use std::sync::Arc;

use super::error::StartError;
use crate::config::{ResolverMode, Settings};
use crate::nats::{self, Announcer, Link, Purpose, Reconcile, Resolver, Signer};
use crate::node::Node;

/// Takes a primary's part on NATS, if that is configured.
pub(super) async fn primary(settings: &Settings, node: &Arc<Node>) -> Result<(), StartError> {
    let Some(setup) = nats::Setup::of(&settings.nats) else {
        node.receipts().switch_off();
        tracing::info!("NATS is not configured, server will not fire notifications on update");
        return Ok(());
    };
    tracing::info!("connecting to NATS for notifications");
    let receipts_timeout = setup.receipts_timeout;
    let link = Link::new(setup, node.metrics().clone())?;
    tokio::spawn(link.clone().watch(node.clone()));
    let connected = nats::connect(&link, Purpose::Everyday).await?;
    let options = nats::Options::of(&settings.nats);
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
            tracing::info!("JWTs that accounts signed themselves are sent to the signing service on {subject}");
            node.set_signer(Arc::new(Signer::new(connected.clone(), subject, settings.nats.sign_request_timeout)));
        }
        tokio::spawn(nats::hear_activations(connected.clone(), node.clone()));
    }
    let reconcile = Reconcile::of(&settings.nats);
    let (announcer, reconciler) = Announcer::start(connected.clone(), node, receipts_timeout, reconcile);
    node.set_announcer(announcer);
    if let Some(reconciler) = reconciler {
        node.set_comparer(reconciler);
    }
    Resolver::start(connected, packs, node.clone(), &options).await;
    Ok(())
}

/// Takes a replica's part on NATS, if that is configured.
pub(super) async fn replica(settings: &Settings, node: &Arc<Node>) -> Result<(), StartError> {
    let Some(setup) = nats::Setup::of(&settings.nats) else { return Ok(()) };
    tracing::info!("connecting to NATS for notifications");
    let link = Link::new(setup, node.metrics().clone())?;
    tokio::spawn(link.clone().watch(node.clone()));
    let connected = nats::connect(&link, Purpose::Everyday).await?;
    node.set_nats(connected.clone());
    Resolver::start(connected.clone(), None, node.clone(), &nats::Options::of(&settings.nats)).await;
    if !link.has_creds() {
        tokio::spawn(nats::listen_for_nats_servers(connected.clone()));
    }
    tokio::spawn(nats::hear(connected.clone(), node.clone()));
    tokio::spawn(nats::hear_activations(connected, node.clone()));
    Ok(())
}
