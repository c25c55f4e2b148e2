//! What changes the cluster data.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ArbitratorState, Deletion, NodeMonitorData, NodeName, NodeStats, ObjectPath, SecretState,
    Timestamp,
};

use crate::snapshot::ClusterInfo;

/// What a node publishes of itself besides its objects. Absent fields stay as they are.
#[derive(Debug, Default, Clone)]
pub struct NodeFacts {
    /// The node monitor.
    pub monitor: Option<NodeMonitorData>,
    /// When the node was frozen, 0 if it is not.
    pub frozen: Option<Timestamp>,
    /// Why, where that is no will of an operator; looked at with `frozen`.
    pub frozen_by: Option<String>,
    /// Load and memory.
    pub stats: Option<NodeStats>,
    /// The arbitrators as this node reaches them.
    pub arbitrators: Option<BTreeMap<String, ArbitratorState>>,
    /// Peers that shut down in order, and have not been heard since: they run nothing, and have no vote to give.
    pub departed: Option<BTreeSet<NodeName>>,
    /// Which secrets of the cluster it has.
    pub secret: Option<SecretState>,
    /// Objects that were deleted, and that some node may bring back.
    pub deleted: Option<BTreeMap<ObjectPath, Deletion>>,
    /// What node.conf says.
    pub settings: Option<NodePublic>,
}

/// What the node and cluster configuration makes public.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct NodePublic {
    /// Section `labels`.
    pub labels: BTreeMap<String, String>,
    /// Keyword `node.env`.
    pub env: String,
    /// MD5 of node.conf, in hex.
    pub config_csum: String,
    /// Keyword `node.min_avail_mem`, percent.
    pub min_avail_mem: u64,
    /// Keyword `node.min_avail_swap`, percent.
    pub min_avail_swap: u64,
    /// Name, id and members of the cluster.
    pub cluster: ClusterInfo,
}
