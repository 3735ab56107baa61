//! What the service manager is told (`sd_notify(3)`): that the server is ready, reloads its settings or stops, what it does, and
//! that it is alive. Without `NOTIFY_SOCKET` nothing is sent.
//!
//! A task of the runtime sends the sign of life, each time after the journal's writer has answered. If either is stuck, the sign
//! stays away, and the service manager restarts the server.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use super::role::Role;
use crate::clock;
use crate::node::{Check, Node};

/// How often the status text is brought up to date, at least.
const STATUS: Duration = Duration::from_secs(10);
/// Signs of life in the time after which the service manager misses them.
const SIGNS: u32 = 4;
/// The longest status text, in characters. Parts of it come from other servers.
const MAX_STATUS: usize = 500;

/// Says what the server does.
pub(super) fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

/// Says that the server does its work, at the start or after a reload.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// Says that the settings are being loaded again. [`ready`] must follow.
pub(super) fn reloading() {
    let status = NotifyState::Status("reloading the settings");
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now, status]),
        Err(error) => tracing::warn!("cannot tell the service manager of the reload: {error}"),
    }
}

/// Says that the server stops.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Sends signs of life, if they are wanted, and the status text whenever it has changed, until the server stops.
pub(super) async fn watch(node: Arc<Node>, role: Role) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let pace = watchdog.map_or(STATUS, |time| (time / SIGNS).min(STATUS));
    let mut told = String::new();
    // A writer that has ended gives no more signs of life.
    while role.journal().ping_writer().await.is_ok() && !node.is_leaving() {
        let mut states = Vec::new();
        if watchdog.is_some() {
            states.push(NotifyState::Watchdog);
        }
        let text = describe(&node, &role);
        if text != told {
            states.push(NotifyState::Status(&text));
        }
        send(&states);
        told = text;
        tokio::time::sleep(pace).await;
    }
}

/// The state of the server in one line.
fn describe(node: &Node, role: &Role) -> String {
    let checks = node.checks();
    let ready = if checks.iter().any(Check::holds_up) { "not ready" } else { "ready" };
    let name = if node.is_writable() { "primary" } else { "replica" };
    let journal = role.journal();
    let mut text = format!("{name}, {ready}; accounts: {}; serial: {}", journal.count(), journal.head().serial);
    let replicas = node.replicas().counts(clock::uptime_millis());
    let known = replicas.in_sync + replicas.behind + replicas.silent;
    if known > 0 {
        text.push_str(&format!("; replicas in sync: {} of {known}", replicas.in_sync));
    }
    for Check { name, detail, .. } in checks.iter().filter(|check| !check.ok) {
        text.push_str(&format!("; {name}: {detail}"));
    }
    one_line(&text)
}

/// A text that cannot be read as another assignment, and is not too long.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").chars().take(MAX_STATUS).collect()
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot reach the service manager: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(one_line("nats: refused\nMAINPID=1"), "nats: refused MAINPID=1");
        assert_eq!(one_line(&"é".repeat(MAX_STATUS + 1)), "é".repeat(MAX_STATUS));
    }
}
