//! The cluster data: what every node publishes, and what is computed from it (src/model/README.md, Cluster data).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checksum::ConfigCsum;
use crate::expect::{GlobalExpect, LocalExpect, MonitorStatus};
use crate::kind::Kind;
use crate::last_failure::LastFailure;
use crate::name::{NodeName, ObjectPath, resolve_path};
use crate::status::{Frozen, Provisioned, Status, serialize_frozen};
use crate::time::Timestamp;

pub(crate) fn is_false(value: &bool) -> bool {
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

/// What a driver tells of a resource, by names of its own.
pub type DriverFacts = BTreeMap<String, Value>;

/// What the guest of each container resource reported, as it was written there: an agent of another version.
pub type GuestReports = BTreeMap<String, Value>;

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
    pub info: DriverFacts,
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
    Host(GuestReports),
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
    /// Why the last action on it failed, until one succeeds or `clear`; absent from deployed agents.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::last_failure::read"
    )]
    pub last_failure: Option<Box<LastFailure>>,
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

pub(crate) fn serialize_some_frozen<S: serde::Serializer>(
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
    /// Whether the node that tells it has no copy any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub followed: bool,
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
