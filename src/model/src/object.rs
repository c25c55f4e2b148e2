//! What the configuration of an object asks of the monitors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::NodeName;

words! {
    /// How many instances run.
    Topology {
        /// One.
        Failover = "failover",
        /// `flex_target` of them.
        Flex = "flex",
        /// As the nodes say: never orchestrated.
        Span = "span",
    }
}

words! {
    /// When the monitors act without being asked.
    Orchestrate {
        /// Never.
        No = "no",
        /// Start on the natural leader, no takeover.
        Start = "start",
        /// Start and take over.
        Ha = "ha",
    }
}

words! {
    /// How candidates are ranked.
    PlacementPolicy {
        /// Not at all.
        None = "none",
        /// As the `nodes` keyword lists them.
        NodesOrder = "nodes order",
        /// By load, lowest first.
        LoadAvg = "load avg",
        /// The nodes list, rotated by the slice number.
        Shift = "shift",
        /// By a digest of object and node.
        Spread = "spread",
        /// By score, highest first.
        Score = "score",
    }
}

/// Effective bounds of a flex object (src/conf/README.md, What the monitors read).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlexBounds {
    /// Keyword `flex_min`, clamped.
    pub min: i64,
    /// Keyword `flex_max`, clamped.
    pub max: i64,
    /// Keyword `flex_target`, not clamped; `min` when unset.
    pub target: i64,
}

/// What the monitors need to know of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct ResourceSettings {
    /// Keyword `restart`, default 0: how often a down resource is restarted.
    pub restart: u32,
    /// Keyword `restart_delay` in seconds, default 0: shortest time between two restarts.
    pub restart_delay: f64,
    /// Keyword `restart_reset` in seconds, default 60: how long a resource has to stay up until its restarts are forgotten. Until
    /// then the next ones wait, longer each time. 0: forgotten as soon as it is up, as deployed agents do.
    pub restart_reset: f64,
    /// Keyword `monitor`, default false: run the monitor action when restarts are used up.
    pub monitor: bool,
    /// Standby on this node.
    pub standby: bool,
    /// Disabled, by its own flag or the object's.
    pub disabled: bool,
    /// Left out of `avail`, errors ignored.
    pub optional: bool,
    /// Keyword `provision` or `unprovision` is false: ignored in the provisioned state.
    pub ignore_provisioned: bool,
    /// Driver group and type, `app.simple`.
    pub driver: String,
}

/// What the configuration of one object asks of the monitors, as evaluated on the local node.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectSettings {
    /// Keyword `nodes`, in its order.
    pub nodes: Vec<NodeName>,
    /// Keyword `drpnodes`, in its order.
    pub drpnodes: Vec<NodeName>,
    /// Nodes that run instances together with this one: `nodes`, or `drpnodes` on one of these. A foreign node, where what
    /// was started before may run on, is not among them.
    pub peers: Vec<NodeName>,
    /// Keyword `topology`, default failover.
    pub topology: Topology,
    /// Keyword `orchestrate`, default no.
    pub orchestrate: Orchestrate,
    /// Keyword `placement`, default nodes order.
    pub placement: PlacementPolicy,
    /// Flex bounds.
    pub flex: FlexBounds,
    /// Keyword `priority`, default 100: 0 is orchestrated first.
    pub priority: i64,
    /// Keyword `disable`: the whole object.
    pub disabled: bool,
    /// Keyword `constraints`: false excludes the node.
    pub constraints: bool,
    /// Keyword `rollback`, default true.
    pub rollback: bool,
    /// Keyword `stonith`, default false.
    pub stonith: bool,
    /// Keyword `parents`, resolved in the namespace, `path[@node]`.
    pub parents: Vec<String>,
    /// Keyword `children`, resolved.
    pub children: Vec<String>,
    /// Keyword `slaves`, resolved.
    pub slaves: Vec<String>,
    /// Keyword `scale`: number of slices of a scaler.
    pub scale: Option<i64>,
    /// Keyword `scaler_slave`: a slice.
    pub scaler_slave: bool,
    /// Keywords `hard_affinity`, `hard_anti_affinity`, `soft_affinity`, `soft_anti_affinity`, resolved.
    pub hard_affinity: BTreeSet<String>,
    /// See `hard_affinity`.
    pub hard_anti_affinity: BTreeSet<String>,
    /// See `hard_affinity`.
    pub soft_affinity: BTreeSet<String>,
    /// See `hard_affinity`.
    pub soft_anti_affinity: BTreeSet<String>,
    /// Keyword `monitor_action`: `reboot`, `crash`, `freezestop`, `switch`, or unset.
    pub monitor_action: Option<String>,
    /// The resources, shared as those of [`InstanceStatus`](crate::InstanceStatus).
    pub resources: BTreeMap<String, Arc<ResourceSettings>>,
}

impl Default for ObjectSettings {
    fn default() -> Self {
        Self {
            nodes: vec![],
            drpnodes: vec![],
            peers: vec![],
            topology: Topology::Failover,
            orchestrate: Orchestrate::No,
            placement: PlacementPolicy::NodesOrder,
            flex: FlexBounds { min: 1, max: 1, target: 1 },
            priority: 100,
            disabled: false,
            constraints: true,
            rollback: true,
            stonith: false,
            parents: vec![],
            children: vec![],
            slaves: vec![],
            scale: None,
            scaler_slave: false,
            hard_affinity: BTreeSet::new(),
            hard_anti_affinity: BTreeSet::new(),
            soft_affinity: BTreeSet::new(),
            soft_anti_affinity: BTreeSet::new(),
            monitor_action: None,
            resources: BTreeMap::new(),
        }
    }
}
