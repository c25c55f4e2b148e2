//! The cluster data: what every node publishes, and what is computed from it (src/model/README.md, Cluster data).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checksum::ConfigCsum;
use crate::status::serialize_frozen;
use crate::{
    Frozen, GlobalExpect, Kind, LocalExpect, MonitorStatus, NodeMonitorStatus, NodeName,
    ObjectPath, Provisioned, Status, Timestamp, resolve_path,
};

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Whether and since when a resource is provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProvisionedState {
    /// Provisioned or not.
    pub state: bool,
    /// When the flag was written, absent without a flag file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
}

/// State of one resource of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// State.
    pub status: Status,
    /// `<group>.<driver>`.
    #[serde(rename = "type", default)]
    pub driver: String,
    /// What it is, for a reader.
    #[serde(default)]
    pub label: String,
    /// Provisioned state, absent for drivers that provision nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<ProvisionedState>,
    /// Left out of every action and state.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable: bool,
    /// Kept up on every node.
    #[serde(default, skip_serializing_if = "is_false")]
    pub standby: bool,
    /// Handled by the agent of the guest.
    #[serde(default, skip_serializing_if = "is_false")]
    pub encap: bool,
    /// Left out of `avail`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Runs the monitor action when down.
    #[serde(default, skip_serializing_if = "is_false")]
    pub monitor: bool,
    /// Restarts allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restart: u32,
    /// Lines `level: text` of the last evaluation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Driver facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub info: BTreeMap<String, Value>,
    /// Tags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Name of its resource set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
}

/// Marks a resource set that acts in parallel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubsetStatus {
    /// Always true when published.
    pub parallel: bool,
}

/// The `encap` key: true on a guest, what the guests reported on their host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EncapData {
    /// This instance runs in a guest.
    Guest(bool),
    /// Per container resource, what its guest reported.
    Host(BTreeMap<String, Value>),
}

/// Restart counter of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// Restarts done; one more than allowed once they are used up and acted upon.
    pub retries: u32,
    /// When the last one was counted.
    #[serde(default)]
    pub updated: Timestamp,
}

/// What the monitor of an instance does, and is asked to reach.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InstanceMonitor {
    /// What it does now.
    #[serde(default)]
    pub status: MonitorStatus,
    /// When `status` changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_updated: Option<Timestamp>,
    /// `leader` when the placement policy ranks this node first, else empty.
    #[serde(default)]
    pub placement: String,
    /// Target of this instance.
    #[serde(default)]
    pub local_expect: Option<LocalExpect>,
    /// When `local_expect` changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_expect_updated: Option<Timestamp>,
    /// Target of the object, as this node took it.
    #[serde(default)]
    pub global_expect: Option<GlobalExpect>,
    /// When `global_expect` changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_expect_updated: Option<Timestamp>,
    /// Restart counters by resource id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restart: BTreeMap<String, Restart>,
    /// Node to fence before taking over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stonith: Option<String>,
}

impl InstanceMonitor {
    /// Whether the placement policy ranks this node first.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.placement == "leader"
    }
}

/// State of one instance: `status.json`, and `services.status.<path>` of the node data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// When it was evaluated; absent or 0 for an instance that is none.
    #[serde(default)]
    pub updated: Timestamp,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Keyword `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Keyword `env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Placement policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// Topology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// When the instance was frozen, 0 if it is not; absent for kinds without instances.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_some_frozen"
    )]
    pub frozen: Option<Timestamp>,
    /// State of what matters; absent while the instance is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avail: Option<Status>,
    /// State of everything, warnings included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall: Option<Status>,
    /// State of the optional resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<Status>,
    /// State per driver group. Shared: thousands of instances have the same few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_group: Option<Arc<BTreeMap<String, Status>>>,
    /// The resources. Shared: a map has room for eleven, most instances have one or two, and copies of a status are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeMap<String, Arc<ResourceStatus>>>,
    /// Resource sets that act in parallel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<BTreeMap<String, SubsetStatus>>,
    /// Digest of the rest, to tell a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csum: Option<String>,
    /// Checksum of the configuration that it was evaluated from; absent from deployed agents.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::checksum::read"
    )]
    pub config_csum: Option<ConfigCsum>,
    /// Keyword `priority`, absent when 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Resources with a task running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<String>,
    /// Bounds of a flex object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex_target: Option<i64>,
    /// See `flex_target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex_min: Option<i64>,
    /// See `flex_target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex_max: Option<i64>,
    /// `Some(false)` when this node violates them, absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<bool>,
    /// Slaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slaves: Vec<String>,
    /// Parents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// Children.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// Keyword `orchestrate`, absent when `no`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrate: Option<String>,
    /// Number of slices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<i64>,
    /// A slice of a scaler.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scaler_slave: bool,
    /// Slices of a scaler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaler_slaves: Vec<String>,
    /// This node is a disaster recovery node of the object.
    #[serde(default, skip_serializing_if = "is_false")]
    pub drp: bool,
    /// Pool of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Size of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// Encapsulation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encap: Option<EncapData>,
    /// Provisioned state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<Provisioned>,
    /// The lost owner is to be fenced.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stonith: bool,
    /// The monitor; only in the cluster data, and always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<InstanceMonitor>,
    /// Kept from the data that the peer had before it restarted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preserved: bool,
}

impl InstanceStatus {
    /// Slaves and slices of the object `path`, which has this instance: those without namespace are in its own.
    pub fn all_slaves(&self, path: &ObjectPath) -> impl Iterator<Item = ObjectPath> {
        let names = self.slaves.iter().chain(&self.scaler_slaves);
        names.filter_map(|name| ObjectPath::parse(&resolve_path(name, path.namespace())).ok())
    }

    /// Whether it was evaluated from another configuration than this one, as far as can be told at `now`.
    ///
    /// Times tell it of a status without checksum only, and only where a new evaluation changes what they tell: a file may
    /// be dated ahead of the clock, and its object would be neither evaluated nor started until then.
    #[must_use]
    pub fn is_outdated(&self, config: &ConfigEntry, now: Timestamp) -> bool {
        match self.config_csum {
            Some(csum) => ConfigCsum::parse(&config.csum) != Some(csum),
            None => self.updated < config.updated && config.updated <= now,
        }
    }

    /// Whether the instance counts: it was evaluated.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.updated.0 > 0.0
    }
}

fn serialize_some_frozen<S: serde::Serializer>(
    frozen: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serialize_frozen(&frozen.unwrap_or_default(), serializer)
}

/// What a node publishes of the configuration of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Modification time of the file.
    pub updated: Timestamp,
    /// MD5 of the file's bytes, in hex.
    pub csum: String,
    /// Nodes and disaster recovery nodes, sorted.
    pub scope: Vec<NodeName>,
}

/// An object that was deleted, of which some node may still have a copy that would bring it back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Deletion {
    /// Keyword `id` of the object, where it had one: another object of the same path is not meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When: copies that were written later are not meant.
    pub at: Timestamp,
    /// Whether what it had provisioned goes, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub purged: bool,
}

/// Objects of a node: their instances and configurations. Entries are shared between snapshots.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ObjectServices {
    /// Instances.
    #[serde(default)]
    pub status: BTreeMap<ObjectPath, Arc<InstanceStatus>>,
    /// Configurations.
    #[serde(default)]
    pub config: BTreeMap<ObjectPath, Arc<ConfigEntry>>,
}

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
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_older: bool,
    /// Why the secret of this node can not be rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
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
        serialize_with = "serialize_some_frozen"
    )]
    pub frozen: Option<Timestamp>,
    /// Why it is frozen, where that is no will of an operator: [`Self::FROZEN_BY_SPLIT`]. Never of deployed agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_by: Option<String>,
    /// Keyword `node.env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Cluster locks: `{"id", "requester", "requested"}` by name.
    #[serde(default)]
    pub locks: BTreeMap<String, Value>,
    /// Reports to the collector.
    #[serde(default)]
    pub speaker: bool,
    /// Overload threshold in percent.
    #[serde(default)]
    pub min_avail_mem: u64,
    /// Overload threshold in percent.
    #[serde(default)]
    pub min_avail_swap: u64,
    /// The arbitrators as this node reaches them, `{"name", "status"}` by section; only with quorum.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arbitrators: BTreeMap<String, Value>,
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
}

/// State of an object over all its instances: `monitor.services.<path>`. All absent for kinds without instances.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Aggregate {
    /// Over the instances' avail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avail: Option<Status>,
    /// Over the instances' frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// Over the instances' overall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall: Option<Status>,
    /// `optimal`, `non-optimal` or `n/a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// Over the instances' provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<Provisioned>,
    /// Number of slices of a scaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<i64>,
    /// A slice of a scaler.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scaler_slave: bool,
}
