//! What the cluster data hears, and what it tells.

use crate::hearer::hearer;
use std::sync::Arc;

use actix::prelude::*;
use model::{
    ConfigEntry, EventFacts, HeartbeatMessage, InstanceMonitor, InstanceStatus, NodeName,
    ObjectPath, thread,
};
use monitor::Standing;
use tokio::sync::{mpsc, watch};

use crate::service_monitor::ViewChanged;
use crate::stream::{Item, Since};
use dataset::changes::NodeFacts;
use dataset::outgoing::Outgoing;
use dataset::reading::Reading;
use link::heavy::Held;

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

/// The local instance is gone, but peers still have to take its target over: only its monitor stays published.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DisownInstance(pub ObjectPath);

/// Configurations of objects were read, changed or deleted (none).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetConfigEntries(pub Vec<(ObjectPath, Option<ConfigEntry>)>);

/// What the local node publishes of itself besides its objects changed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetNode(pub NodeFacts);

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
    pub block: Option<thread::Block>,
}

/// Something happened that subscribers of events want to know. The state of the object is added.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Emit {
    /// Event id, `instance_start`.
    pub id: &'static str,
    /// The object it is about.
    pub path: Option<ObjectPath>,
    /// What it tells.
    pub facts: EventFacts,
}

/// Subscribes to events, patches included. Ends when the receiver is dropped.
///
/// A subscriber that does not read loses documents: the gap in the patch ids tells it to reload.
#[derive(Message)]
#[rtype(result = "mpsc::Receiver<Item>")]
pub struct Subscribe {
    /// Objects wanted; none for all.
    pub filter: Option<ObjectFilter>,
    /// Start with a document of kind `full`.
    pub full: bool,
    /// Tell what is lost, by a document of kind `gap` and a `full` after it.
    pub gaps: bool,
    /// Go on behind this item; what was told since and is not kept any more is a gap.
    pub since: Option<Since>,
}

/// Asks for a watch on the generation: it changes each time a snapshot is published.
#[derive(Debug, Message)]
#[rtype(result = "watch::Receiver<u64>")]
pub struct WatchGeneration;

/// A peer was heard: opened, read, and sent by who it says. Ignored when it is no node of the cluster.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HeartbeatHeard {
    /// The sender.
    pub from: NodeName,
    /// What it says.
    pub message: HeartbeatMessage,
    /// What a large one makes of the data of the peer, worked out before.
    pub reading: Option<Box<Reading>>,
    /// The turn of a large one: the next one is read once this one is merged, and what it replaces is no longer needed.
    pub turn: Option<Held>,
}

impl HeartbeatHeard {
    /// What a peer says, to be read by the cluster data.
    #[must_use]
    pub const fn new(from: NodeName, message: HeartbeatMessage) -> Self {
        Self { from, message, reading: None, turn: None }
    }
}

/// A peer is lost: its data go, and the generations known of it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ForgetPeer(pub NodeName);

/// How the local node stands with the members: changes what every monitor may decide.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SetStanding(pub Standing);

/// Asks a peer for all of its data, although the local node has them.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct AskFull(pub NodeName);

/// Asks for a watch on what goes to the peers: it changes when that shall be sent at once.
#[derive(Debug, Message)]
#[rtype(result = "watch::Receiver<Arc<Outgoing>>")]
pub struct WatchOutgoing;

/// Publishes pending changes now. Answers with the generation.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct Flush;

/// Publishes pending changes now, and answers when no peer takes decisions without them any more: each has acknowledged
/// them, is leaving itself, or is forgotten. At once on a node that knows of no peer. No limit of time.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct AwaitAcked;

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
    /// Keyword `priority` of the object: the lowest is told first.
    pub priority: i64,
    /// Whom to tell; none ends it.
    pub monitor: Option<Recipient<ViewChanged>>,
}

/// The node monitor wants to be told of each publication.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ConcernNode(pub Recipient<NodeViewChanged>);

/// A snapshot was published.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct NodeViewChanged {
    /// Data of nodes changed, or the members of the cluster. Else only objects did.
    pub is_node: bool,
}

hearer! {
    /// The cluster data.
    ToClusterData {
        set_instance: SetInstance,
        set_instance_monitor: SetInstanceMonitor,
        remove_instance: RemoveInstance,
        disown_instance: DisownInstance,
        set_config_entries: SetConfigEntries,
        set_node: SetNode,
        set_thread: SetThread,
        emit: Emit,
        subscribe: Subscribe,
        watch_generation: WatchGeneration,
        heartbeat_heard: HeartbeatHeard,
        forget_peer: ForgetPeer,
        set_standing: SetStanding,
        ask_full: AskFull,
        watch_outgoing: WatchOutgoing,
        flush: Flush,
        await_acked: AwaitAcked,
        claim_lock: ClaimLock,
        release_lock: ReleaseLock,
        concern: Concern,
        concern_node: ConcernNode,
    }
}
