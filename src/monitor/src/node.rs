//! The monitor of the local node: its life, its target, the end of the grace period.

use model::{GlobalExpect, LocalExpect, NodeMonitorData, NodeMonitorStatus, Timestamp};

use crate::{NodeEffect, World};

/// Keywords of the node that its monitor reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeTiming {
    /// Keyword `node.rejoin_grace_period` in seconds, default 90.
    pub rejoin_grace_period_secs: f64,
    /// Keyword `node.maintenance_grace_period` in seconds, default 60.
    pub maintenance_grace_period_secs: f64,
}

impl Default for NodeTiming {
    fn default() -> Self {
        Self { rejoin_grace_period_secs: 90.0, maintenance_grace_period_secs: 60.0 }
    }
}

/// A change of node monitor attributes, validated. `Some(None)` unsets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeChange {
    /// Status.
    pub status: Option<NodeMonitorStatus>,
    /// Target of the node.
    pub local_expect: Option<Option<LocalExpect>>,
    /// Target of all nodes.
    pub global_expect: Option<Option<GlobalExpect>>,
}

/// The monitor of the local node.
#[derive(Debug, Clone)]
pub struct NodeCore {
    monitor: NodeMonitorData,
    started: Timestamp,
    grace: bool,
}

impl NodeCore {
    /// A node that starts: `init`.
    #[must_use]
    pub fn new(started: Timestamp, timing: NodeTiming) -> Self {
        let _ = timing;
        Self { monitor: NodeMonitorData::default(), started, grace: true }
    }

    /// The node monitor data, as it is now.
    #[must_use]
    pub fn monitor(&self) -> &NodeMonitorData {
        &self.monitor
    }

    /// Whether the rejoin grace period runs ([`Conditions::grace`](crate::Conditions::grace)).
    #[must_use]
    pub fn in_grace(&self) -> bool {
        self.grace
    }

    /// Takes a validated request over. Call [`pass`](Self::pass) afterwards.
    pub fn apply(&mut self, now: Timestamp, change: &NodeChange) {
        let _ = (now, change, self.started);
    }

    /// Looks at everything and decides the next step.
    pub fn pass(&mut self, now: Timestamp, world: &dyn World) -> Vec<NodeEffect> {
        let _ = (now, world);
        vec![]
    }
}
