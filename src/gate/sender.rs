//! The sender of a change, and the path of it.

use std::sync::Arc;

use super::Via;
use crate::key::seed;

/// The client that sent a change, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: Box<str>,
    /// The subject of the certificate that it showed, with the certificate's fingerprint.
    pub tls: Option<Arc<str>>,
    /// Whom the request came from, as its credentials say: `user nsc`.
    pub principal: Option<Box<str>>,
    /// The id of its request.
    pub request_id: Option<Box<str>>,
}

impl Client {
    /// One of which only the address is known.
    pub fn at(address: impl Into<Box<str>>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }

    /// What the journal stores with a change: the address, then the certificate, then the principal, with tabs in between.
    pub fn stored(&self) -> String {
        // Whoever made the certificate chose its names, and a replica the names of its clients.
        let plain = |text: &str| seed::redact(text).replace('\t', " ");
        let tls = self.tls.as_deref().map(plain);
        match (tls, self.principal.as_deref().map(plain)) {
            (None, None) => self.address.to_string(),
            (Some(tls), None) => format!("{}\t{tls}", self.address),
            (tls, Some(principal)) => format!("{}\t{}\t{principal}", self.address, tls.unwrap_or_default()),
        }
    }

    /// Reads that back.
    pub fn of_stored(text: &str) -> Self {
        let mut fields = text.splitn(3, '\t').map(|field| Some(field).filter(|field| !field.is_empty()));
        let mut next = || fields.next().flatten();
        let address = next().unwrap_or_default();
        Self { tls: next().map(Into::into), principal: next().map(Into::into), ..Self::at(address) }
    }
}

/// The sender of a change. `None`: unknown.
pub type Actor = Option<Arc<Client>>;

/// The path of a change, and who sent it. This server remembers both; they do not travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The path on which it came.
    pub via: Via,
    /// The sender.
    pub actor: Actor,
}

impl Sender {
    /// A path, and who used it.
    pub const fn new(via: Via, actor: Actor) -> Self {
        Self { via, actor }
    }

    /// The id of the request, if it is known.
    pub fn request_id(&self) -> Option<&str> {
        self.actor.as_ref()?.request_id.as_deref()
    }
}

impl From<Via> for Sender {
    fn from(via: Via) -> Self {
        Self::new(via, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_read_back_as_it_was_stored() {
        let with = |tls: &str| Client { tls: Some(tls.into()), ..Client::at("192.0.2.7") };
        let named = Client { principal: Some("user nsc".into()), ..Client::at("192.0.2.7") };
        let both = Client { principal: named.principal.clone(), ..with("sha256:0f CN=deploy") };
        let older = [Client::at("192.0.2.7"), Client::at("2001:db8::1"), with("sha256:0f CN=deploy,O=A\\tB")];
        for client in older.into_iter().chain([named, both]) {
            assert_eq!(Client::of_stored(&client.stored()), client);
        }
        let seed = crate::testkit::seed(&nkeys::KeyPair::new_account());
        assert!(!with(&format!("CN={seed}")).stored().contains(&seed));
    }
}
