//! What a message changed of a peer.

use std::collections::BTreeSet;

use model::{NodeData, ObjectPath};

/// What a message changed of a peer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Touched {
    /// Instances.
    pub status: BTreeSet<ObjectPath>,
    /// Configurations.
    pub config: BTreeSet<ObjectPath>,
    /// The rest.
    pub is_head: bool,
    /// What every monitor looks at.
    pub is_decisive: bool,
}

impl Touched {
    pub(crate) fn extend(&mut self, other: Self) {
        self.status.extend(other.status);
        self.config.extend(other.config);
        self.is_head |= other.is_head;
        self.is_decisive |= other.is_decisive;
    }
}

/// Whether every monitor looks at what differs.
pub fn is_decisive(old: &NodeData, new: &NodeData) -> bool {
    old.monitor != new.monitor
        || old.frozen != new.frozen
        || old.labels != new.labels
        || old.compat != new.compat
}
