//! The operator at the start: from an earlier process, or the configured one.

use std::sync::Arc;

use super::Operators;
use crate::clock;
use crate::feed::digest::{Leaf, LeafState};
use crate::feed::{Head, Subject};
use crate::gate::operator::{self, Begun, Way};
use crate::gate::{OperatorChange, Standing};
use crate::replica::BeginError;
use crate::store::StoreError;

impl Operators {
    /// Trusts the operator of the earlier process, and then the configured one if that may replace it. Fails if the
    /// configured one contradicts the store.
    pub(in crate::replica) fn begin(&self) -> Result<(), BeginError> {
        self.stand_at_start()?;
        Ok(self.doubt_at_start()?)
    }

    /// Limits the position if upstream ordered an operator JWT that is not in force here: an earlier process did not apply it,
    /// and the limit of that process ended with it. Upstream is asked which one is newer.
    fn doubt_at_start(&self) -> Result<(), StoreError> {
        let (standing, position) = (self.env.gate.standing(), self.held.store.position());
        // Without an operator, the first one is pinned: see `pin`.
        let (Some(chain), Some(position)) = (standing.chain(), position) else { return Ok(()) };
        let trust = chain.in_force();
        let key = Subject::Operator(*trust.identity());
        let own = Leaf::of(&key, &LeafState::Held(*trust.version())).short();
        let ordered = self.held.store.ordered_operators()?;
        if ordered.iter().any(|(subject, leaf)| *subject != key || leaf.short() != own) {
            self.held.positions.doubt_operator(Head::beginning(position.session));
        }
        Ok(())
    }

    fn stand_at_start(&self) -> Result<(), BeginError> {
        let reader = self.held.store.reader();
        let (kept, withdrawn) = (reader.operator()?.map(Arc::new), reader.withdrawn()?);
        let configured = self.env.gate.trust();
        let before = Standing::restore(kept.clone(), withdrawn);
        let arrival = self.env.gate.arrival(Way::FollowerFile, clock::unix_seconds());
        let change_to = self.env.setup.change_operator.as_ref();
        let chain = match operator::begin(kept.as_deref(), configured.as_ref(), change_to, &arrival)
            .map_err(BeginError::Operator)?
        {
            Begun::Kept => None,
            Begun::Refused(refusal) => {
                tracing::warn!(
                    "the configured operator JWT is not used; the one in the store stays in force: {refusal}"
                );
                None
            }
            Begun::First(chain) | Begun::Next(chain) => Some(chain),
            Begun::Changed(chain) => {
                tracing::warn!(
                    "the operator changes to {}: nothing that the former one signed will be served",
                    chain.anchor().identity()
                );
                Some(chain)
            }
        };
        let Some(chain) = chain else {
            self.env.gate.set_standing(before);
            return Ok(());
        };
        if kept.is_some() {
            let change = OperatorChange::to(&before, &chain);
            change.log();
            self.count(&change);
        } else {
            chain.log_first();
        }
        let standing = before.after(Arc::new(chain));
        self.held.store.note_operator(&standing);
        self.env.gate.set_standing(standing);
        Ok(())
    }
}
