//! What the blacklist keeper hears.

use crate::hearer::hearer;
use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;

use link::blacklist::BlacklistView;

/// Where the blacklist is read and told.
#[derive(Debug, Clone)]
pub struct BlacklistRoute {
    /// The newest counts.
    pub view: Arc<BlacklistView>,
    /// The keeper.
    pub keeper: ToBlacklist,
}

/// A message of this sender is invalid. Answered when the count is in force.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Invalid {
    /// Its address.
    pub sender: IpAddr,
    /// What is wrong with the message.
    pub reason: wire::Refusal,
}

/// A message of this sender opened. Answered when the sender is forgotten.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Valid(pub IpAddr);

/// Forgets everybody (`daemon_blacklist_clear`).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Clear;

hearer! {
    /// The blacklist keeper.
    ToBlacklist {
        invalid: Invalid,
        valid: Valid,
        clear: Clear,
    }
}
