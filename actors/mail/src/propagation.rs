//! What the propagation hears.

use crate::hearer::hearer;
use actix::prelude::*;
use model::ObjectPath;

/// Notes that an object is deleted, before its files go: no copy of it comes back. Answers once that is durable.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), String>")]
pub struct Delete {
    /// The object.
    pub path: ObjectPath,
    /// What it had provisioned goes, too.
    pub purged: bool,
    /// Deletes the local copy, too, before it answers. Else who asks does.
    pub is_carried_out: bool,
}

hearer! {
    /// The propagation.
    ToPropagation {
        delete: Delete,
    }
}
