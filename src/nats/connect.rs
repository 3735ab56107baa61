//! Makes connections to NATS, and reports what happens to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, Event, Server, ServerError};
use parking_lot::Mutex;

use super::link::{Connected, Link, Purpose};
use super::permissions::MissingPermissions;
use super::setup::ConnectError;
use crate::backoff::drawn;
use crate::throttle::Throttle;

/// How often the connection is tried. Two answers that fail to come end it.
const PING: Duration = Duration::from_secs(5);
/// A connection that was dead all this time would have been noticed.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// Starts connecting, and goes on for ever in the background. Fails only on what waiting cannot cure.
pub async fn connect(link: &Arc<Link>, purpose: Purpose) -> Result<Arc<Connected>, ConnectError> {
    let (setup, used) = (&link.setup, Arc::new(Mutex::new(None)));
    let mut options = logging_in(link, &used);
    if let Some(root) = &setup.tls_root {
        options = options.add_root_certificates(root.clone());
    }
    if let Some((cert, key)) = &setup.tls_client {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    if link.servers.iter().any(async_nats::ServerAddr::is_websocket) {
        // A nats-server names the others by host and port, and the client library would take those for ordinary ports.
        options = options.ignore_discovered_servers();
    }
    let wait = setup.reconnect_wait;
    let permissions = Arc::new(MissingPermissions::default());
    let was_connected = AtomicBool::new(false);
    let (attempts, events, refused) = (Attempts::of(link), link.clone(), permissions.clone());
    let client = options
        .name(if purpose == Purpose::Packs { "nats-account-server packs" } else { "nats-account-server" })
        // Else we would hear our own announcements.
        .no_echo()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(setup.connect_timeout)
        .subscription_capacity(1 << 16)
        .reconnect_delay_callback(move |attempts| pause(attempts, wait))
        .ping_interval(PING)
        .reconnect_to_server_callback(move |servers, _| {
            attempts.explain(&servers);
            // Whichever it would be.
            async { None }
        })
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                // Another connection may have other permissions.
                refused.clear();
            }
            let known = matches!(&event, Event::ServerError(error) if refused.note(&error.to_string()));
            if !known {
                report(&event, purpose, &was_connected, &events);
            }
            async {}
        })
        .connect(link.servers.clone())
        .await
        .map_err(|error| ConnectError::Options(error.to_string()))?;
    let connected = Arc::new(Connected { purpose, client, permissions, link: link.clone(), used });
    link.add(connected.clone());
    Ok(connected)
}

/// Reads who we are at each attempt, and notes that in `used`.
fn logging_in(link: &Arc<Link>, used: &Arc<Mutex<Option<[u8; 32]>>>) -> ConnectOptions {
    let (link, used) = (link.clone(), used.clone());
    ConnectOptions::with_auth_callback(move |nonce| {
        let (link, used) = (link.clone(), used.clone());
        async move {
            let (auth, jwt) = link.user.auth(nonce).await?;
            *used.lock() = jwt;
            Ok(auth)
        }
    })
}

/// Says why each server could not be connected to, which the event of a failure does not.
struct Attempts {
    link: Arc<Link>,
    /// How often each server had failed in a row at the last look.
    failed: Mutex<HashMap<String, usize>>,
}

impl Attempts {
    fn of(link: &Arc<Link>) -> Self {
        Self { link: link.clone(), failed: Mutex::default() }
    }

    fn explain(&self, servers: &[Server]) {
        let mut before = self.failed.lock();
        // What failed earlier and was not tried again is no news.
        let has_failed = |server: &&Server| {
            let count = before.get(server.addr.as_url_str()).copied().unwrap_or(0);
            server.failed_attempts > 0 && server.failed_attempts != count
        };
        let failures: Vec<_> = servers
            .iter()
            .filter(has_failed)
            .filter_map(|server| Some(self.link.explain(server.last_error.as_ref()?, Some(&server.addr))))
            .collect();
        *before = servers.iter().map(|server| (server.addr.as_url_str().to_owned(), server.failed_attempts)).collect();
        if !failures.is_empty() {
            self.link.report(&failures);
        }
    }
}

/// Half to whole of the configured wait, so that a fleet does not come back in one moment; less at first.
fn pause(attempts: usize, wait: Duration) -> Duration {
    let wait = if attempts <= 1 { wait.min(Duration::from_millis(100)) } else { wait };
    drawn(wait, 0.5..=1.0)
}

/// `was_connected`: whether it was connected before.
fn report(event: &Event, purpose: Purpose, was_connected: &AtomicBool, link: &Arc<Link>) {
    match event {
        Event::Connected => {
            let is_first = !was_connected.swap(true, Ordering::Relaxed);
            let is_over = link.up(purpose);
            match purpose {
                Purpose::Packs if is_first => tracing::info!("connected to NATS for JWT syncing"),
                Purpose::Everyday if is_first => {
                    tracing::info!("connected to NATS for account and activation notifications");
                }
                _ if is_over => tracing::info!("nats reconnected"),
                _ => {}
            }
        }
        // Why, and whether it stays so, is told by the next attempt.
        Event::Disconnected if link.down(purpose) => tracing::info!("nats disconnected"),
        Event::LameDuckMode if purpose == Purpose::Everyday => {
            tracing::info!("the connected nats-server is about to stop");
        }
        Event::ServerError(ServerError::Other(error)) if is_end(error) => {
            let failure = link.explain(error, None);
            link.report(&[failure]);
        }
        Event::ServerError(error) => {
            static LINE: Throttle = Throttle::every(Duration::from_secs(10));
            if let Some(held_back) = LINE.turn(Instant::now()) {
                tracing::warn!("NATS reports an error: {error}{held_back}");
            }
        }
        // The others are told by `Attempts`.
        Event::ClientError(error) if error.to_string().contains("DNS error") => {
            let failure = link.explain(&error.to_string(), None);
            link.report(&[failure]);
        }
        Event::SlowConsumer(subscription) => {
            link.metrics.nats.slow_consumers.inc();
            // It is one event for each message.
            static LINE: Throttle = Throttle::every(Duration::from_secs(10));
            if let Some(held_back) = LINE.turn(Instant::now()) {
                tracing::warn!(
                    "dropped a message of NATS subscription {subscription}: messages arrive faster than they are \
                     read{held_back}"
                );
            }
        }
        Event::ClientError(error) => tracing::debug!("an attempt to connect to NATS failed: {error}"),
        Event::Closed | Event::Draining | Event::Disconnected | Event::LameDuckMode => {}
    }
}

/// Whether a nats-server says with this that the user may not stay.
fn is_end(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    ["authentication expired", "authentication revoked"].iter().any(|end| error.contains(end))
}
