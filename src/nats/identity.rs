//! How a nats-server names itself in what it sends.

use serde::Deserialize;

use crate::node::Server;

/// Longer names are cut.
const MAX_NAME: usize = 256;

/// The object `server` of a reply, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    ver: String,
}

impl From<Identity> for Server {
    fn from(identity: Identity) -> Self {
        let Identity { id, name, cluster, host, ver } = identity;
        Self { id: cut(id), name: cut(name), cluster: cut(cluster), host: cut(host), version: cut(ver) }
    }
}

impl Server {
    /// One that does not say who it is.
    pub(super) fn unnamed() -> Self {
        let none = String::new;
        Self { id: none(), name: "unnamed".into(), cluster: none(), host: none(), version: none() }
    }
}

fn cut(text: String) -> String {
    if text.len() <= MAX_NAME { text } else { text.chars().take(MAX_NAME / 4).collect() }
}
