//! What is known of the account, the operator and the nats-servers, and where that is from.

use std::sync::Arc;

use super::fleet::Fleet;
use super::judge::AccountState;
use crate::gate::Trust;

/// The answers of one place.
#[derive(Debug)]
pub(super) struct Knowledge {
    /// The server or the folder that was asked.
    pub(super) place: String,
    pub(super) account: AccountState,
    /// The operator whose signature counts there.
    pub(super) operator: Option<Arc<Trust>>,
    pub(super) fleet: Fleet,
}
