//! This server on NATS: its parts are made without a connection, so that the node can be made with them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::connect::connect;
use super::link::Purpose;
use super::reconcile::{self, Comparer, Reconcile};
use super::resolver::{Resolver, ResolverPolicy};
use super::setup::ConnectError;
use super::{Announcer, Connected, Link, Setup, Signer, activations, announce, discovery, loaded, replica_updates};
use crate::config::{Nats, ReplicaMode};
use crate::metrics::Metrics;
use crate::node::{Again, Links, Node};

/// The parts of a server on NATS.
#[derive(Debug)]
pub struct Edge {
    link: Arc<Link>,
    policy: Arc<ResolverPolicy>,
    sync_interval: Duration,
    /// `None`: this is a replica.
    primary: Option<PrimaryParts>,
}

/// The parts that only a primary has.
#[derive(Debug)]
struct PrimaryParts {
    announcer: Arc<Announcer>,
    asked: mpsc::Receiver<Again>,
    comparer: Option<(Arc<Comparer>, Reconcile)>,
    /// With the subject of the signing service.
    signer: Option<(Arc<Signer>, String)>,
}

impl Edge {
    /// As the settings say. `replica`: what it keeps, if this is one. `None`: NATS is not configured. Fails only on what
    /// waiting cannot cure.
    pub fn of(nats: &Nats, replica: Option<ReplicaMode>, metrics: Arc<Metrics>) -> Result<Option<Self>, ConnectError> {
        let Some(setup) = Setup::of(nats) else { return Ok(None) };
        let link = Link::new(setup, metrics)?;
        let policy = Arc::new(ResolverPolicy::of(nats, replica));
        let primary = replica.is_none().then(|| PrimaryParts::of(nats, &link));
        Ok(Some(Self { link, policy, sync_interval: nats.sync_interval, primary }))
    }

    /// What the node knows of it.
    pub fn links(&self) -> Links {
        let mut links =
            Links { connection: Some(self.link.clone()), policy: Some(self.policy.clone()), ..Links::default() };
        if let Some(primary) = &self.primary {
            links.announcer = Some(primary.announcer.clone());
            if let Some((comparer, _)) = &primary.comparer {
                links.comparer = Some(comparer.clone());
            }
            if let Some((signer, _)) = &primary.signer {
                links.signer = Some(signer.clone());
            }
        }
        links
    }

    /// Starts connecting, and goes on for ever in the background. Fails only on what waiting cannot cure.
    pub async fn start(self, node: &Arc<Node>) -> Result<(), ConnectError> {
        tracing::info!("connecting to NATS for notifications");
        tokio::spawn(self.link.clone().watch(node.clone()));
        let connected = connect(&self.link, Purpose::Everyday).await?;
        let packs = if self.policy.may_list() { Some(connect(&self.link, Purpose::Packs).await?) } else { None };
        match self.primary {
            Some(primary) => primary.start(&connected, node),
            None => {
                if !self.link.has_creds() {
                    tokio::spawn(discovery::listen_for_nats_servers(connected.clone()));
                }
                tokio::spawn(replica_updates::hear(connected.clone(), node.clone()));
                tokio::spawn(loaded::fetch(connected.clone(), node.clone()));
                tokio::spawn(activations::hear_activations(connected.clone(), node.clone()));
            }
        }
        Resolver::start(connected, packs, self.sync_interval, node.clone(), self.policy).await;
        Ok(())
    }
}

impl PrimaryParts {
    fn of(nats: &Nats, link: &Arc<Link>) -> Self {
        let (announcer, asked) = Announcer::new(link.clone());
        let comparer = Reconcile::of(nats).map(|options| (Arc::new(Comparer::new(link.clone())), options));
        let signer = nats
            .sign_request_subject
            .clone()
            .map(|subject| (Arc::new(Signer::new(link.clone(), subject.clone(), nats.sign_request_timeout)), subject));
        Self { announcer, asked, comparer, signer }
    }

    fn start(self, connected: &Arc<Connected>, node: &Arc<Node>) {
        if node.is_writable() {
            if let Some((_, subject)) = &self.signer {
                tracing::info!("sending self-signed account JWTs to the signing service on {subject}");
            }
            tokio::spawn(activations::hear_activations(connected.clone(), node.clone()));
        }
        let comparer = self.comparer.map(|(comparer, options)| {
            let requests = self.announcer.requests();
            reconcile::start(connected.clone(), node.clone(), comparer.clone(), requests, options);
            comparer
        });
        announce::start(connected.clone(), node, self.asked, comparer);
    }
}
