//! A NATS client, as an application would use one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::error::DemoError;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a user waits who has been cut off.
const NEVER: Duration = Duration::from_secs(3600);

/// A connected user.
#[derive(Debug)]
pub(super) struct User {
    name: &'static str,
    client: Client,
    events: UnboundedReceiver<(Instant, Event)>,
}

impl User {
    /// Connects with a credentials file. Does not come back when it is cut off.
    pub(super) async fn connect(name: &'static str, url: &str, creds: &Path) -> Result<Self, DemoError> {
        let (sender, events) = unbounded_channel();
        // The library waits before every attempt, the first one included.
        let first = AtomicBool::new(true);
        let options = ConnectOptions::with_credentials_file(creds)
            .await
            .map_err(|error| DemoError::file("read", creds, &error))?
            .name(format!("demo {name}"))
            .connection_timeout(PATIENCE)
            .max_reconnects(1)
            .reconnect_delay_callback(
                move |_| if first.swap(false, Ordering::Relaxed) { Duration::ZERO } else { NEVER },
            )
            .event_callback(move |event| {
                // Nobody listens any more: then nobody wants to know.
                let _ = sender.send((Instant::now(), event));
                std::future::ready(())
            });
        let failed = |reason: String| DemoError::new(format!("{name} cannot connect: {reason}"));
        let client = timeout(PATIENCE, options.connect(url))
            .await
            .map_err(|_| failed("no answer".into()))?
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { name, client, events })
    }

    /// Sends a message to another connection of the account, and waits until it is there.
    pub(super) async fn greet(&self, other: &Self) -> Result<(), DemoError> {
        let failed =
            |reason: String| DemoError::new(format!("{} cannot send {} a message: {reason}", self.name, other.name));
        let mut inbox = other.client.subscribe("demo.hello").await.map_err(|error| failed(error.to_string()))?;
        // What the other one hears from itself tells that the server knows of the subscription.
        for sender in [other, self] {
            sender.client.publish("demo.hello", "hello".into()).await.map_err(|error| failed(error.to_string()))?;
            match timeout(PATIENCE, inbox.next()).await {
                Ok(Some(_)) => {}
                Ok(None) => return Err(failed("the subscription has ended".into())),
                Err(_) => return Err(failed("it does not arrive".into())),
            }
        }
        Ok(())
    }

    /// Waits until the server cuts this user off. Gives the moment, and the reason that the server named.
    pub(super) async fn cut_off(&mut self) -> Result<(Instant, String), DemoError> {
        let mut reason = None;
        let end = timeout(PATIENCE, async {
            while let Some((at, event)) = self.events.recv().await {
                match event {
                    Event::ServerError(error) => {
                        reason = Some(error.to_string().trim_start_matches("nats: ").to_owned());
                    }
                    Event::Disconnected | Event::Closed => return Some(at),
                    _ => {}
                }
            }
            None
        });
        match end.await {
            Ok(Some(at)) => Ok((at, reason.unwrap_or_else(|| "no reason given".into()))),
            Ok(None) | Err(_) => Err(DemoError::new(format!(
                "the nats-server did not disconnect {} in {} s",
                self.name,
                PATIENCE.as_secs()
            ))),
        }
    }
}
