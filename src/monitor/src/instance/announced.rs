//! An announced start.

use model::InstanceMonitor;

/// An announced start as peers are told of it.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(super) monitor: InstanceMonitor,
    /// Number of the local data that tell it.
    pub(super) generation: u64,
}
