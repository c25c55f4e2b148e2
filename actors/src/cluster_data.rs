//! The cluster data: the one writer of what `daemon_status` shows.
//!
//! Hears: evaluations, monitors, the config watcher, the threads' blocks, events. Tells: the service monitors concerned by
//! a change, and subscribers of events. Readers never ask: they load the newest [`Snapshot`].
//! Restart: from the published snapshot; changes of the last few milliseconds are lost, and sent again by their owners.

mod snapshot;

use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use model::{
    ConfigEntry, InstanceMonitor, InstanceStatus, NodeMonitorData, NodeName, NodeStats, ObjectPath,
    Timestamp,
};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

pub use snapshot::{ClusterInfo, Snapshot};

use crate::service_monitor::ViewChanged;

/// Where the newest snapshot is found.
pub type SnapshotCell = Arc<ArcSwap<Snapshot>>;

/// Whether a subscriber wants to hear of an object.
pub type ObjectFilter = Arc<dyn Fn(&ObjectPath) -> bool + Send + Sync>;

/// The local instance was evaluated. Its monitor data is kept: only [`SetInstanceMonitor`] changes it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetInstance {
    /// The object.
    pub path: ObjectPath,
    /// What was found.
    pub status: Box<InstanceStatus>,
}

/// The monitor of the local instance changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetInstanceMonitor {
    /// The object.
    pub path: ObjectPath,
    /// All of its monitor data.
    pub monitor: Box<InstanceMonitor>,
}

/// The local instance is no more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RemoveInstance(pub ObjectPath);

/// Configurations of objects were read, changed or deleted (none).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetConfigEntries(pub Vec<(ObjectPath, Option<ConfigEntry>)>);

/// What a node publishes of itself besides its objects. Absent fields stay as they are.
#[derive(Debug, Default, Clone, Message)]
#[rtype(result = "()")]
pub struct SetNode {
    /// The node monitor.
    pub monitor: Option<NodeMonitorData>,
    /// When the node was frozen, 0 if it is not.
    pub frozen: Option<Timestamp>,
    /// Load and memory.
    pub stats: Option<NodeStats>,
    /// What node.conf says.
    pub settings: Option<NodePublic>,
}

/// What the node and cluster configuration makes public.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct NodePublic {
    /// Section `labels`.
    pub labels: std::collections::BTreeMap<String, String>,
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

/// The block of a thread as `daemon_status` shows it: `state`, `created`, `configured` and its own keys.
///
/// Send it at once when the state changes; counters at most every few seconds, and only if they moved: each change is a
/// new generation.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetThread {
    /// Thread id: `listener`, `monitor`, `scheduler`, `hb#1.rx`, …
    pub id: String,
    /// Its block; none removes it.
    pub block: Option<Value>,
}

/// Something happened that subscribers of events want to know: `data` without `monitor`, `service`, `instance`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Emit {
    /// Event id, `instance_start`.
    pub id: String,
    /// The object it is about.
    pub path: Option<ObjectPath>,
    /// Further keys: `reason`, `rid`, …
    pub data: Map<String, Value>,
}

/// Subscribes to events, patches included (wire.md §5.14). Ends when the receiver is dropped.
///
/// A subscriber that does not read loses documents: the gap in the patch ids tells it to reload.
#[derive(Message)]
#[rtype(result = "mpsc::Receiver<Arc<str>>")]
pub struct Subscribe {
    /// Objects wanted; none for all.
    pub filter: Option<ObjectFilter>,
    /// Start with a document of kind `full`.
    pub full: bool,
}

/// Asks for a watch on the generation: it changes each time a snapshot is published.
#[derive(Debug, Message)]
#[rtype(result = "watch::Receiver<u64>")]
pub struct WatchGeneration;

/// Publishes pending changes now. Answers with the generation.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct Flush;

/// Claims a cluster lock for a node. Answers with its id, or none while another holder has it.
#[derive(Debug, Message)]
#[rtype(result = "Option<String>")]
pub struct ClaimLock {
    /// Name of the lock.
    pub name: String,
    /// Who claims it.
    pub requester: NodeName,
}

/// Releases a cluster lock; nothing happens when the id is not the holder's.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReleaseLock {
    /// Name of the lock.
    pub name: String,
    /// The id that [`ClaimLock`] gave.
    pub id: String,
}

/// A service monitor wants to be told when what it decides from changes: its object, and those it names.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Concern {
    /// The object.
    pub path: ObjectPath,
    /// Parents, children, slaves, affinities.
    pub related: Vec<ObjectPath>,
    /// Whom to tell; none ends it.
    pub monitor: Option<Recipient<ViewChanged>>,
}

/// The actor.
#[derive(Debug)]
pub struct ClusterData {
    cell: SnapshotCell,
}

impl ClusterData {
    /// An actor that publishes in `cell`, starting from what is there.
    #[must_use]
    pub fn new(cell: SnapshotCell) -> Self {
        Self { cell }
    }
}

impl Actor for ClusterData {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!(generation = self.cell.load().generation(); "cluster data started");
    }
}
