//! The client whose connection is judged.

use std::net::IpAddr;

use clap::ValueEnum;

use super::names::Names;

/// What is known of the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// The address that a nats-server sees.
    pub(super) from: Option<IpAddr>,
    pub(super) connection: ConnectionType,
    /// Unix seconds.
    pub(super) now: i64,
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ConnectionType {
    /// The NATS protocol over TCP or TLS
    Standard,
    /// The NATS protocol over WebSocket
    Websocket,
    /// A leafnode
    Leafnode,
    /// A leafnode over WebSocket
    LeafnodeWs,
    /// MQTT
    Mqtt,
    /// MQTT over WebSocket
    MqttWs,
}

impl ConnectionType {
    const ALL: [Self; 6] =
        [Self::Standard, Self::Websocket, Self::Leafnode, Self::LeafnodeWs, Self::Mqtt, Self::MqttWs];

    /// Its name in a user JWT.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Websocket => "WEBSOCKET",
            Self::Leafnode => "LEAFNODE",
            Self::LeafnodeWs => "LEAFNODE_WS",
            Self::Mqtt => "MQTT",
            Self::MqttWs => "MQTT_WS",
        }
    }

    /// Whether a list of connection types allows this one. nats-server drops the types that it does not know, and a list of
    /// nothing else allows none.
    pub(super) fn is_allowed_by(self, list: &[String]) -> bool {
        let is_known = |name: &String| Self::ALL.iter().any(|known| name.eq_ignore_ascii_case(known.name()));
        list.is_empty() || list.iter().filter(|name| is_known(name)).any(|name| name.eq_ignore_ascii_case(self.name()))
    }

    /// Whether it counts as a leafnode.
    pub(super) const fn is_leafnode(self) -> bool {
        matches!(self, Self::Leafnode | Self::LeafnodeWs)
    }
}

/// The command that edits a user, or the signing key whose template its users get.
pub(super) fn edit(names: &Names, flags: &str) -> String {
    match &names.role {
        Some(role) => names.pushed(&format!("nsc edit signing-key -a {} --sk {role} {flags}", names.account)),
        None => names.reissued(&format!("nsc edit user -a {} -n {} {flags}", names.account, names.user)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_nats_server_does_not_know_allow_nothing() {
        let allowed = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
            ConnectionType::Standard.is_allowed_by(&list)
        };
        assert!(allowed(&[]) && allowed(&["standard"]) && allowed(&["MQTT", "STANDARD"]));
        assert!(!allowed(&["MQTT"]) && !allowed(&["CARRIER_PIGEON"]) && !allowed(&["MQTT", "CARRIER_PIGEON"]));
    }
}
