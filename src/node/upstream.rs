//! What only the server upstream decides or answers: changes, and questions about digests.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::HeaderValue;

use super::{Backend, Node, Role, WriteError};
use crate::config::ReplicaWrites;
use crate::feed::Head;
use crate::feed::wire::{MAX_HOPS, NAME_PREFIX};
use crate::gate::{Refusal, SentFor};
use crate::key::AccountKey;
use crate::store::{StoreError, blocking};

/// The way to the primary, which a replica has.
pub trait Upstream: Backend {
    /// The URL of the server that is asked now, without credentials.
    fn primary(&self) -> String;

    /// The same URL as a client with credentials of its own would use it, without a slash at its end.
    fn public_url(&self) -> &str;

    /// What becomes of changes that clients send here.
    fn writes(&self) -> ReplicaWrites;

    /// The servers on the way upstream, the nearest first, as far as they say so.
    fn route(&self) -> Vec<String>;

    /// Seconds since the primary was last heard; `None`: never.
    fn primary_age(&self) -> Option<u64>;

    /// When the certificate that this replica shows upstream expires, unix seconds; `None`: it has none.
    fn certificate_end(&self) -> Option<i64>;

    /// Bytes of JWTs that this replica may fetch before clients ask for them; `None`: it fetches none, or all.
    fn room_for_unasked(&self) -> Option<u64>;

    /// How this replica relates to its upstream now.
    fn sync(&self) -> SyncState;

    /// Sends a change on. When there is an answer, what the primary accepted is stored here, too.
    fn forward<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Relayed, ForwardError>>;

    /// Asks a question about digests, and gives the answer as it is.
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Relayed, ForwardError>>;

    /// The accounts after `after` that are newer here than at the primary. Blocks for queries.
    fn ahead(&self, after: Option<&AccountKey>) -> Result<AheadPage, StoreError>;

    /// Judges a claims update that was heard over NATS: it is genuine or rejected, and may be old.
    fn hint<'a>(&'a self, token: &'a [u8], key: &'a AccountKey) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Judges an activation that was heard over NATS. The flag says whether it was news.
    fn hint_activation(&self, token: &[u8], sent_for: SentFor<'_>) -> Result<bool, Refusal>;
}

/// How a replica relates to its upstream.
#[derive(Debug, Clone, Copy)]
pub struct SyncState {
    /// Whether it stores everything that its upstream has.
    pub is_mirror: bool,
    /// Whether it follows the feed, has caught up with it, and heard the primary lately.
    pub is_following: bool,
    /// Up to where its log goes; `None`: it has not followed a feed yet.
    pub position: Option<Head>,
    /// The serial up to which everything that it serves without asking is current; `None`: likewise.
    pub confirmed: Option<u64>,
    /// Accounts of which upstream has something older, or nothing.
    pub ahead: u64,
}

impl SyncState {
    /// Whether it serves what its primary does.
    pub fn is_in_sync(&self) -> bool {
        self.is_following && self.lag() == Some(0)
    }

    /// How many changes of its log are not confirmed yet; `None`: it has no log.
    pub fn lag(&self) -> Option<u64> {
        Some(self.position?.serial.saturating_sub(self.confirmed?))
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardTarget {
    /// A JWT of this account is pushed.
    Push(AccountKey),
    /// A request to delete this account, and perhaps others.
    Delete(AccountKey),
    /// An activation is pushed.
    Activation,
    /// The operator's JWT is pushed.
    Operator,
    /// No change: a question for a sum of digests.
    Digests,
    /// No change: a question for what differs.
    Comparison,
}

impl ForwardTarget {
    /// Whether it changes nothing. A question goes on without our credentials, unless `access` here says what its client may
    /// do: they are for what this replica asks itself. A change goes on with them, if its client shows none: that is what
    /// `replica.writes: forward` is for.
    pub const fn is_question(self) -> bool {
        matches!(self, Self::Digests | Self::Comparison)
    }
}

impl std::fmt::Display for ForwardTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Push(key) => write!(f, "the JWT of {key}"),
            Self::Delete(key) => write!(f, "a request to delete {key}"),
            Self::Activation => f.write_str("an activation"),
            Self::Operator => f.write_str("the operator's JWT"),
            Self::Digests | Self::Comparison => f.write_str("a question about digests"),
        }
    }
}

/// A change on its way to the primary.
pub struct Write {
    /// What it is about.
    pub target: ForwardTarget,
    /// The query of its URL, as it came.
    pub query: Option<String>,
    /// The headers that came with it, of those that [`Write::HEADERS`] names, and the ids of the request, in lower case.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// Whether this server decided by its own settings who the client is. Then the request goes on with this server's own
    /// credentials, if it has any, and not with the client's.
    pub lends_credentials: bool,
    /// The token.
    pub body: Bytes,
    /// How long the primary waits for receipts.
    pub wait: Duration,
}

impl Write {
    /// The headers that matter to the primary.
    pub const HEADERS: [&'static str; 4] = ["accept", "authorization", "content-type", "via"];

    /// The values of one of the headers.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(found, _)| *found == name).map(|(_, value)| &value[..])
    }

    /// How the primary is asked: the method, and the path with its query.
    pub fn path(&self) -> (Method, String) {
        let (method, mut path) = match self.target {
            ForwardTarget::Push(key) => (Method::POST, format!("accounts/{key}")),
            ForwardTarget::Delete(key) => (Method::DELETE, format!("accounts/{key}")),
            ForwardTarget::Activation => (Method::POST, "activations".to_owned()),
            ForwardTarget::Operator => (Method::POST, "operator".to_owned()),
            ForwardTarget::Digests => (Method::GET, "digests".to_owned()),
            ForwardTarget::Comparison => (Method::POST, "digests".to_owned()),
        };
        if let Some(query) = &self.query {
            path.push('?');
            path.push_str(query);
        }
        (method, path)
    }

    /// The `Via` header with which this replica, whose name is `name`, passes it on. The error is the number of replicas that
    /// it has passed, if these are too many or this one is among them.
    pub fn via(&self, name: &str) -> Result<HeaderValue, usize> {
        let mut via = self.values("via").collect::<Vec<_>>().join(&b", "[..]);
        // Other proxies stand there as well, and do not count.
        let words = || via.split(|byte| b" \t,".contains(byte)).filter(|word| word.starts_with(NAME_PREFIX.as_bytes()));
        let hops = words().count();
        if hops >= MAX_HOPS || words().any(|word| word == name.as_bytes()) {
            return Err(hops);
        }
        if !via.is_empty() {
            via.extend_from_slice(b", ");
        }
        via.extend_from_slice(format!("1.1 {name}").as_bytes());
        // It is made of what came as header values.
        HeaderValue::from_bytes(&via).map_err(|_| hops)
    }
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Among the headers is what the client shows to say who it is.
        f.debug_struct("Write").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The primary's answer.
#[derive(Debug)]
pub struct Relayed {
    /// Its status.
    pub status: u16,
    /// Its headers that matter to the client, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer of the primary.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Too many changes wait for the primary already, so this one was not sent.
    #[error("too many requests wait for the primary {0} already")]
    Busy(String),
    /// The way leads from replica to replica. It was not sent.
    #[error("it has come here by way of {hops} replicas, and the primary of this one is {primary}")]
    Loop {
        /// Replicas that it has passed, this one included if it was here before.
        hops: usize,
        /// The primary.
        primary: String,
    },
    /// There is no connection to the primary, so it was not sent.
    #[error("{primary}: {reason}")]
    Unreachable {
        /// The primary.
        primary: String,
        /// What went wrong.
        reason: String,
    },
    /// It was sent, or begun to be sent, and then something went wrong.
    #[error("{primary}: {reason}")]
    Lost {
        /// The primary.
        primary: String,
        /// What went wrong.
        reason: String,
    },
    /// It was sent, and there is no answer.
    #[error("{primary} has not answered within {} s", limit.as_secs())]
    TimedOut {
        /// The primary.
        primary: String,
        /// How long was waited.
        limit: Duration,
    },
}

impl ForwardError {
    /// Its label in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::Loop { .. } => "loop",
            Self::Unreachable { .. } => "unreachable",
            Self::Lost { .. } => "lost",
            Self::TimedOut { .. } => "timeout",
        }
    }
}

/// A question about digests, as a client sent it.
#[derive(Debug)]
pub struct Question {
    /// The query of its URL.
    pub query: Option<String>,
    /// The headers that came with it, of those that [`Write::HEADERS`] names, in lower case.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// What is compared; `None`: a sum is asked for.
    pub body: Option<Bytes>,
    /// See [`Write::lends_credentials`].
    pub lends_credentials: bool,
}

/// An account that is newer here.
#[derive(Debug)]
pub enum Ahead {
    /// Its JWT.
    Held(AccountKey, Bytes),
    /// It was deleted, by this request.
    Deleted(AccountKey, Bytes),
    /// It is known to be newer, but what makes it so is not here.
    Missing(AccountKey),
}

/// A piece of what is newer here.
#[derive(Debug)]
pub struct AheadPage {
    /// In the order of their keys.
    pub accounts: Vec<Ahead>,
    /// The account after which the next piece begins; `None`: this was the last one.
    pub next: Option<AccountKey>,
}

impl Ahead {
    /// The account.
    pub const fn key(&self) -> &AccountKey {
        match self {
            Self::Held(key, _) | Self::Deleted(key, _) | Self::Missing(key) => key,
        }
    }

    /// Bytes of its text.
    pub fn text(&self) -> usize {
        match self {
            Self::Held(_, text) | Self::Deleted(_, text) => text.len(),
            Self::Missing(_) => 0,
        }
    }
}

/// What becomes of a change that a client sends here.
#[derive(Debug)]
pub enum Writes<'n> {
    /// It is stored here.
    Here,
    /// It is rejected; the error says where it belongs.
    Refused(WriteError),
    /// The client is sent to the primary, at this URL without a slash at its end.
    Redirected(&'n str),
    /// It is sent on to the primary.
    Forwarded(&'n dyn Upstream),
}

impl Node {
    /// The way to the primary, on a replica.
    pub fn upstream(&self) -> Option<&dyn Upstream> {
        match &self.role {
            Role::Primary(_) => None,
            Role::Replica(replica) => Some(&**replica),
        }
    }

    /// What becomes of a change that a client sends here.
    pub fn writes(&self) -> Writes<'_> {
        match (&self.role, self.writable()) {
            (_, Ok(_)) => Writes::Here,
            (Role::Primary(_), Err(error)) => Writes::Refused(error),
            (Role::Replica(replica), Err(error)) => match replica.writes() {
                ReplicaWrites::Refuse => Writes::Refused(error),
                ReplicaWrites::Redirect => Writes::Redirected(replica.public_url()),
                ReplicaWrites::Forward => Writes::Forwarded(&**replica),
            },
        }
    }

    /// A piece of what is newer here than at the primary, after an account, and that primary's URL. `None`: this is no
    /// replica.
    pub async fn ahead(&self, after: Option<AccountKey>) -> Result<Option<(AheadPage, String)>, StoreError> {
        let Role::Replica(replica) = &self.role else { return Ok(None) };
        let (asked, primary) = (replica.clone(), replica.public_url().to_owned());
        let page = blocking(move || asked.ahead(after.as_ref())).await?;
        Ok(Some((page, primary)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::wire::new_name;

    fn write(via: &[&str]) -> Write {
        Write {
            target: ForwardTarget::Activation,
            query: None,
            headers: via.iter().map(|value| ("via", value.as_bytes().to_owned())).collect(),
            lends_credentials: false,
            body: Bytes::new(),
            wait: Duration::ZERO,
        }
    }

    #[test]
    fn a_change_passes_a_few_replicas_and_each_of_them_once() {
        let name = &new_name();
        assert_eq!(write(&[]).via(name).expect("the first"), format!("1.1 {name}"));
        let four = (0..4).map(|hop| format!("1.1 {NAME_PREFIX}{hop}")).collect::<Vec<_>>().join(",");
        let others = ["1.1 varnish (cache, old), 2 envoy", &*four];
        assert_eq!(write(&others).via(name).expect("four before"), format!("{}, {}, 1.1 {name}", others[0], others[1]));
        assert_eq!(write(&[others[1], others[1]]).via(name), Err(8));
        assert_eq!(write(&["1.1 x", &format!("1.1 a,1.1\t{name}")]).via(name), Err(1));
    }

    #[test]
    fn who_the_client_is_is_not_shown() {
        let mut write = write(&[]);
        write.headers.push(("authorization", b"Bearer hush".to_vec()));
        assert_eq!(format!("{write:?}"), "Write { target: Activation, .. }");
    }
}
