//! What a node publishes of itself.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::alert::Alert;
use crate::cluster::{Deletion, ObjectServices};
use crate::expect::{GlobalExpect, LocalExpect, NodeMonitorStatus};
use crate::name::{NodeName, ObjectPath};
use crate::time::Timestamp;

/// The node monitor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeMonitorData {
    /// What it does now.
    #[serde(default)]
    pub status: NodeMonitorStatus,
    /// When `status` changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_updated: Option<Timestamp>,
    /// Target of the node.
    #[serde(default)]
    pub local_expect: Option<LocalExpect>,
    /// When `local_expect` changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_expect_updated: Option<Timestamp>,
    /// Target of all nodes: `frozen` or `thawed`.
    #[serde(default)]
    pub global_expect: Option<GlobalExpect>,
    /// When `global_expect` changed last, here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_expect_updated: Option<Timestamp>,
    /// When `global_expect` was set, where it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_expect_updated_origin: Option<Timestamp>,
}

/// Load and memory of a node.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeStats {
    /// Load average over 15 minutes, rounded to 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_15m: Option<f64>,
    /// Memory in MiB.
    #[serde(default)]
    pub mem_total: u64,
    /// Available memory in percent.
    #[serde(default)]
    pub mem_avail: u64,
    /// Swap in MiB.
    #[serde(default)]
    pub swap_total: u64,
    /// Free swap in percent.
    #[serde(default)]
    pub swap_avail: u64,
    /// Placement score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
}

/// Which secrets of the cluster a node has: their generations, and digests that tell them apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecretState {
    /// Generation of the secret in force.
    pub generation: u32,
    /// Digest of the secret in force; only while there is one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Digest of the next one, while it is handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether values are stored here that the secret in force does not open.
    #[serde(default, skip_serializing_if = "crate::cluster::is_false")]
    pub has_older: bool,
    /// Why the secret of this node can not be rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

/// A claim on a cluster lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Names the claim.
    pub id: String,
    /// When it was made.
    pub requested: Timestamp,
    /// The node that claims.
    pub requester: NodeName,
}

/// An arbitrator as a node reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArbitratorState {
    /// Its host.
    pub name: String,
    /// `up` when it gives its vote, else `down`.
    pub status: String,
}

/// Reads the entries that can be read: others do not count, as if they were not there.
fn readable<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let all = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let read = |(name, value)| Some((name, serde_json::from_value(value).ok()?));
    Ok(all.into_iter().filter_map(read).collect())
}

/// What decisions read of a node: `monitor.nodes.<node>`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeData {
    /// Compatibility level, 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compat: Option<u32>,
    /// API level, 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<u32>,
    /// Version of a deployed agent. Empty for nodes of this project: deployed agents warn of versions that differ, and
    /// leave out those that say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Version of a node of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The node monitor; absent for a node never heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<NodeMonitorData>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Storage ports.
    #[serde(default)]
    pub targets: Value,
    /// Objects; absent while the node has not published them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<ObjectServices>,
    /// Merged generation of each node.
    #[serde(default)]
    pub r#gen: BTreeMap<NodeName, u64>,
    /// Digest of node.conf: `{"csum": ..}`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Load and memory.
    #[serde(default)]
    pub stats: NodeStats,
    /// When the node was frozen, 0 if it is not; absent counts as unknown.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::cluster::serialize_some_frozen"
    )]
    pub frozen: Option<Timestamp>,
    /// Why it is frozen, where that is no will of an operator: [`Self::FROZEN_BY_SPLIT`], [`Self::FROZEN_BY_REJOIN`]. Never of
    /// deployed agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_by: Option<String>,
    /// Keyword `node.env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Claims on cluster locks, by the name of the lock.
    #[serde(default, deserialize_with = "readable")]
    pub locks: BTreeMap<String, Claim>,
    /// Reports to the collector.
    #[serde(default)]
    pub speaker: bool,
    /// Overload threshold in percent.
    #[serde(default)]
    pub min_avail_mem: u64,
    /// Overload threshold in percent.
    #[serde(default)]
    pub min_avail_swap: u64,
    /// The arbitrators as this node reaches them, by section; only with quorum.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "readable")]
    pub arbitrators: BTreeMap<String, ArbitratorState>,
    /// What its operators are told, by thread; never of deployed agents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "readable")]
    pub alerts: BTreeMap<String, Vec<Alert>>,
    /// Dialect spoken, `sealed` for nodes of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// The secrets that it has; absent for deployed agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretState>,
    /// Objects that were deleted, as long as some node may bring them back; never of deployed agents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deleted: BTreeMap<ObjectPath, Deletion>,
    /// When the data changed last.
    #[serde(default)]
    pub updated: Timestamp,
}

impl NodeData {
    /// The node lost a split, and froze itself.
    pub const FROZEN_BY_SPLIT: &'static str = "split";

    /// The node heard too few others when it started, and froze itself.
    pub const FROZEN_BY_REJOIN: &'static str = "rejoin";

    /// Whether it is frozen by its own decision: it thaws by itself, and nobody else follows it.
    #[must_use]
    pub fn has_frozen_itself(&self) -> bool {
        let reason = self.frozen_by.as_deref();
        matches!(reason, Some(Self::FROZEN_BY_SPLIT | Self::FROZEN_BY_REJOIN))
    }
}
