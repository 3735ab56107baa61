//! Activations that the primary sends, on the feed or in a comparison.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Activations;
use crate::clock;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState};
use crate::gate::{Activation, ActivationRefusal, Refusal, SentFor, Via};
use crate::jwt::HashId;
use crate::store::journal::upstream::{ComparedContent, FedContent};

/// What an activation of upstream is.
enum Read {
    /// It is to be stored.
    Stored(Arc<Activation>),
    /// It is known which version it is.
    Known(Arc<Activation>),
    /// It is none.
    Unreadable,
}

impl Activations {
    /// What a change of the feed does. A replica judges whether the account vouches for it when a client asks. A mirror
    /// stores it only if its account is known here, because anyone can make an account and sign any number of activations.
    ///
    /// `jwt`: its text. A version that was replaced comes without it, and its successor follows.
    pub(in crate::replica) fn fed(&self, id: &HashId, jwt: Option<&str>) -> FedContent {
        self.forget(id);
        match jwt.map(|jwt| self.read(id, jwt)) {
            Some(Read::Stored(activation)) => FedContent::Activation(activation),
            Some(Read::Known(activation)) => FedContent::OtherActivation(*id, Some(*activation.identity())),
            Some(Read::Unreadable) => FedContent::Unknown,
            // A later change replaced it.
            None => FedContent::OtherActivation(*id, None),
        }
    }

    /// What a comparison found.
    pub(in crate::replica) fn compared(&self, id: &HashId, jwt: &str) -> Option<ComparedContent> {
        self.forget(id);
        match self.read(id, jwt) {
            Read::Stored(activation) => Some(ComparedContent::Activation(activation)),
            Read::Known(activation) => {
                let subject = Subject::Activation(*id);
                let leaf = Leaf::of(&subject, &LeafState::Held(*activation.identity()));
                Some(ComparedContent::Leaf(subject, leaf))
            }
            Read::Unreadable => None,
        }
    }

    fn read(&self, id: &HashId, jwt: &str) -> Read {
        let digest = Sha256::digest(jwt).into();
        let Some(activation) = Activation::reopen(jwt.as_bytes(), &digest).filter(|activation| activation.id() == id)
        else {
            return Read::Unreadable;
        };
        let activation = Arc::new(activation);
        if !self.env.is_mirror() {
            return Read::Known(activation);
        }
        let admitted = self.env.gate.read_activation(jwt.as_bytes(), SentFor::id(id), Via::Feed, clock::unix_seconds());
        match admitted {
            Ok(unproven) if self.held.was_seen(unproven.account()) => Read::Stored(activation),
            Ok(unproven) => {
                self.refused(id, &ActivationRefusal::UnknownAccount(*unproven.account()).into());
                Read::Known(activation)
            }
            Err(refusal) => {
                self.refused(id, &refusal);
                Read::Known(activation)
            }
        }
    }

    fn refused(&self, id: &HashId, refusal: &Refusal) {
        self.env.refused(Via::Feed, refusal, format_args!("the activation {id} of the primary"));
    }
}
