//! The cluster data: the one writer of what `daemon_status` shows.
//!
//! Hears: evaluations, monitors, the config watcher, the threads' blocks, events. Tells: the service monitors concerned by
//! a change, and subscribers of events. Readers never ask: they load the newest [`Snapshot`].
//! Restart: from the published snapshot; changes of the last few milliseconds are lost, and sent again by their owners.

mod outgoing;
mod peer;
mod reading;
mod shared_map;
mod snapshot;
mod state;
mod subscribers;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use model::{
    ConfigEntry, Deletion, HeartbeatMessage, InstanceMonitor, InstanceStatus, NodeMonitorData,
    NodeName, NodeStats, ObjectPath, SecretState, Timestamp,
};
use monitor::Standing;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

pub use outgoing::Outgoing;
pub(crate) use peer::MOST_HEAD;
pub use reading::Reading;
pub(crate) use reading::is_heavy;
pub use shared_map::SharedMap;
pub use snapshot::{ClusterInfo, NodeEntry, Snapshot};
pub use view::View;

use state::State;
use subscribers::{News, Patch, Subscribers};

use crate::config::{ConfigCell, LoadedConfig};
use crate::latest::AGAIN;
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

/// The local instance is gone, but peers still have to take its target over: only its monitor stays published.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DisownInstance(pub ObjectPath);

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
    /// Why, where that is no will of an operator; looked at with `frozen`.
    pub frozen_by: Option<String>,
    /// Load and memory.
    pub stats: Option<NodeStats>,
    /// The arbitrators as this node reaches them.
    pub arbitrators: Option<BTreeMap<String, Value>>,
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

/// Subscribes to events, patches included. Ends when the receiver is dropped.
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

/// How long changes are gathered before a snapshot is published.
const MERGE: Duration = Duration::from_millis(3);

/// The actor.
#[derive(Debug)]
pub struct ClusterData {
    cell: SnapshotCell,
    config: ConfigCell,
    state: State,
    subscribers: Subscribers,
    /// Whom to tell of changes, by object.
    monitors: BTreeMap<ObjectPath, Concerned>,
    /// Objects that name an object: their monitors are told of its changes.
    named_by: BTreeMap<ObjectPath, BTreeSet<ObjectPath>>,
    node_monitor: Option<Recipient<NodeViewChanged>>,
    generation: watch::Sender<u64>,
    outgoing: watch::Sender<Arc<Outgoing>>,
    /// Who waits until the peers have a generation of the local node data.
    awaiting: Vec<(u64, oneshot::Sender<()>)>,
    /// The alarm of the next publication.
    alarm: Option<SpawnHandle>,
    /// A panic in between means that the pending changes cannot be published.
    is_publishing: bool,
    /// Who has no room for a change, and whether they are told again soon.
    untold: Untold,
    is_untold_due: bool,
}

/// Who is to be told that something changed.
#[derive(Debug, Default)]
struct Untold {
    /// The node monitor, and whether data of nodes changed.
    node: bool,
    is_node: bool,
    /// The monitors of these objects.
    objects: BTreeSet<ObjectPath>,
}

impl Untold {
    fn is_empty(&self) -> bool {
        !self.node && self.objects.is_empty()
    }
}

#[derive(Debug)]
struct Concerned {
    related: Vec<ObjectPath>,
    priority: i64,
    monitor: Recipient<ViewChanged>,
}

impl ClusterData {
    /// An actor that publishes in `cell`, starting from what is there.
    #[must_use]
    pub fn new(cell: SnapshotCell, config: ConfigCell) -> Self {
        let state = State::new((**cell.load()).clone());
        let generation = watch::Sender::new(state.now.generation);
        Self {
            cell,
            config,
            state,
            subscribers: Subscribers::default(),
            monitors: BTreeMap::new(),
            named_by: BTreeMap::new(),
            node_monitor: None,
            generation,
            outgoing: watch::Sender::new(Arc::new(Outgoing::nothing())),
            awaiting: vec![],
            alarm: None,
            is_publishing: false,
            untold: Untold::default(),
            is_untold_due: false,
        }
    }

    /// What is known when the daemon starts: the cluster, and a node that is being initialized.
    #[must_use]
    pub fn first(nodename: NodeName, settings: NodePublic, config: &LoadedConfig) -> Snapshot {
        let mut state = State::new(Snapshot::empty(nodename));
        state.set_node(SetNode { settings: Some(settings), ..SetNode::default() });
        let old = state.now.clone();
        state.settle(&old, config, crate::clock::now());
        state.now
    }

    /// Publishes soon.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        if self.alarm.is_none() && !self.state.dirty.is_empty() {
            self.alarm = Some(ctx.run_later(MERGE, |this, ctx| {
                this.alarm = None;
                this.publish(ctx);
            }));
        }
    }

    /// Publishes what changed, and tells whom it concerns.
    fn publish(&mut self, ctx: &mut Context<Self>) {
        if self.state.dirty.is_empty() {
            return;
        }
        self.is_publishing = true;
        let old = self.cell.load_full();
        let now = crate::clock::now();
        let changes = self.state.settle(&old, &self.config.load(), now);
        let new = Arc::new(self.state.now.clone());
        self.cell.store(new.clone());
        self.is_publishing = false;
        if !self.subscribers.is_empty() {
            let patch = Patch { old, new: new.clone(), changes: changes.clone(), now };
            self.subscribers.tell(News::Patch(Box::new(patch)));
            self.tell_subscribers(ctx);
        }
        self.generation.send_replace(new.generation);
        let is_due = self.state.take_send_due() | changes.is_local();
        self.prepare_outgoing(new, is_due);
        self.tell_monitors(&changes, ctx);
    }

    /// Tells subscribers what they are not told yet, outside of this actor, one thing after the other.
    fn tell_subscribers(&mut self, ctx: &mut Context<Self>) {
        let Some((mut crowd, news)) = self.subscribers.take() else { return };
        let telling = tokio::task::spawn_blocking(move || {
            crowd.tell_all(news);
            crowd
        });
        ctx.spawn(telling.into_actor(self).map(|told, this, ctx| {
            this.subscribers.give_back(told.ok());
            this.tell_subscribers(ctx);
        }));
    }

    /// Makes ready what goes to the peers; `is_due`: at once, else with their next beat.
    fn prepare_outgoing(&self, snapshot: Arc<Snapshot>, is_due: bool) {
        let outgoing = Outgoing::new(self.state.exchange.sending(), snapshot);
        self.outgoing.send_if_modified(|current| {
            // The same full is not serialized again.
            if is_due || !current.is_as_good_as(&outgoing) {
                *current = Arc::new(outgoing);
            }
            is_due
        });
    }

    /// Tells those who wait for acknowledgements that have come.
    fn release(&mut self) {
        let state = &self.state;
        for (_, done) in self.awaiting.extract_if(.., |(generation, _)| state.is_acked(*generation))
        {
            _ = done.send(());
        }
    }

    fn tell_monitors(&mut self, changes: &state::Dirty, ctx: &mut Context<Self>) {
        self.untold.node |= self.node_monitor.is_some();
        self.untold.is_node |= changes.concerns_all();
        if changes.concerns_all() {
            self.untold.objects.extend(self.monitors.keys().cloned());
        } else {
            for path in changes.objects() {
                let naming = self.named_by.get(path).into_iter().flatten();
                self.untold.objects.extend(naming.chain(std::iter::once(path)).cloned());
            }
        }
        self.tell_untold(ctx);
    }

    /// Tells who is not told yet. One that has no room is told later, once: peers change what concerns it as often as
    /// they like.
    fn tell_untold(&mut self, ctx: &mut Context<Self>) {
        let Untold { node, is_node, objects } = std::mem::take(&mut self.untold);
        if node && let Some(node_monitor) = &self.node_monitor {
            let changed = NodeViewChanged { is_node };
            if let Err(SendError::Full(_)) = node_monitor.try_send(changed) {
                (self.untold.node, self.untold.is_node) = (true, is_node);
            }
        }
        let told = objects.into_iter().map(|path| (self.monitors.get(&path), path));
        let mut told: Vec<_> = told.filter_map(|(monitor, path)| Some((monitor?, path))).collect();
        told.sort_by_key(|(concerned, _)| concerned.priority);
        for (concerned, path) in told {
            if let Err(SendError::Full(_)) = concerned.monitor.try_send(ViewChanged) {
                self.untold.objects.insert(path);
            }
        }
        if !self.untold.is_empty() && !std::mem::replace(&mut self.is_untold_due, true) {
            ctx.run_later(AGAIN, |this, ctx| {
                this.is_untold_due = false;
                this.tell_untold(ctx);
            });
        }
    }

    fn forget(&mut self, path: &ObjectPath) {
        for related in self.monitors.remove(path).into_iter().flat_map(|old| old.related) {
            if let Some(naming) = self.named_by.get_mut(&related) {
                naming.remove(path);
                if naming.is_empty() {
                    self.named_by.remove(&related);
                }
            }
        }
    }
}

impl Actor for ClusterData {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!(generation = self.state.now.generation; "cluster data started");
        self.schedule(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("cluster data stopped");
    }
}

impl Supervised for ClusterData {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.alarm = None;
        self.is_untold_due = false;
        self.subscribers.on_restart();
        // What was accepted stays, unless it is what cannot be published.
        if std::mem::take(&mut self.is_publishing) {
            self.state = State::new((**self.cell.load()).clone());
        }
    }
}

/// Handles a message by one change of the state.
macro_rules! changes {
    ($($message:ty => |$state:ident, $msg:pat_param| $body:expr;)+) => {
        $(impl Handler<$message> for ClusterData {
            type Result = ();

            fn handle(&mut self, $msg: $message, ctx: &mut Context<Self>) {
                let $state = &mut self.state;
                $body;
                self.schedule(ctx);
            }
        })+
    };
}

changes! {
    SetInstance => |state, msg| state.set_instance(msg.path, *msg.status);
    SetInstanceMonitor => |state, msg| state.set_monitor(msg.path, *msg.monitor);
    DisownInstance => |state, DisownInstance(path)| state.disown_instance(path);
    RemoveInstance => |state, RemoveInstance(path)| state.remove_instance(&path);
    SetConfigEntries => |state, SetConfigEntries(entries)| state.set_configs(entries);
    SetNode => |state, msg| state.set_node(msg);
    SetStanding => |state, SetStanding(standing)| state.set_standing(standing);
    SetThread => |state, msg| state.set_thread(msg.id, msg.block);
}

impl Handler<Emit> for ClusterData {
    type Result = ();

    fn handle(&mut self, event: Emit, ctx: &mut Context<Self>) {
        if !self.subscribers.is_empty() {
            let document = self.state.event(&event, crate::clock::now());
            self.subscribers.tell(News::Event(event.path, document));
            self.tell_subscribers(ctx);
        }
    }
}

impl Handler<Subscribe> for ClusterData {
    type Result = MessageResult<Subscribe>;

    fn handle(
        &mut self,
        Subscribe { filter, full }: Subscribe,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        // What it is told first is what the next patch starts from.
        self.publish(ctx);
        let first = full.then(|| (self.cell.load_full(), crate::clock::now()));
        let documents = self.subscribers.add(filter, first);
        self.tell_subscribers(ctx);
        MessageResult(documents)
    }
}

impl Handler<WatchGeneration> for ClusterData {
    type Result = MessageResult<WatchGeneration>;

    fn handle(&mut self, _: WatchGeneration, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.generation.subscribe())
    }
}

impl Handler<HeartbeatHeard> for ClusterData {
    type Result = ();

    fn handle(&mut self, heard: HeartbeatHeard, ctx: &mut Context<Self>) {
        let HeartbeatHeard { from, message, reading } = heard;
        let config = self.config.load();
        let is_member =
            self.state.now.cluster.nodes.contains(&from) || config.node.drpnodes.contains(&from);
        if from == self.state.now.nodename || !is_member {
            return;
        }
        let received = self.state.hear(&from, message, reading, crate::clock::moment());
        if let Some(error) = received.error {
            log::info!(peer:% = from, error:% = error; "change of a peer not applied: all is asked for");
        }
        self.release();
        self.schedule(ctx);
    }
}

impl Handler<ForgetPeer> for ClusterData {
    type Result = ();

    fn handle(&mut self, ForgetPeer(peer): ForgetPeer, ctx: &mut Context<Self>) {
        if self.state.forget_peer(&peer) {
            log::info!(peer:% = peer; "peer forgotten");
        }
        self.release();
        // Who forgets it decides on what is left.
        self.publish(ctx);
    }
}

impl Handler<AskFull> for ClusterData {
    type Result = ();

    fn handle(&mut self, AskFull(peer): AskFull, ctx: &mut Context<Self>) {
        self.state.ask_full(&peer);
        self.schedule(ctx);
    }
}

impl Handler<WatchOutgoing> for ClusterData {
    type Result = MessageResult<WatchOutgoing>;

    fn handle(&mut self, _: WatchOutgoing, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.outgoing.subscribe())
    }
}

impl Handler<Flush> for ClusterData {
    type Result = u64;

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) -> u64 {
        self.publish(ctx);
        self.state.now.generation
    }
}

impl Handler<AwaitAcked> for ClusterData {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: AwaitAcked, ctx: &mut Context<Self>) -> Self::Result {
        self.publish(ctx);
        let (done, acked) = oneshot::channel();
        self.awaiting.push((self.state.exchange.generation(), done));
        self.release();
        Box::pin(async move {
            _ = acked.await;
        })
    }
}

impl Handler<ClaimLock> for ClusterData {
    type Result = Option<String>;

    fn handle(&mut self, lock: ClaimLock, ctx: &mut Context<Self>) -> Option<String> {
        let id = self.state.claim_lock(&lock.name, &lock.requester, crate::clock::now());
        // Who got it may look for it at once.
        self.publish(ctx);
        id
    }
}

impl Handler<ReleaseLock> for ClusterData {
    type Result = ();

    fn handle(&mut self, lock: ReleaseLock, ctx: &mut Context<Self>) {
        self.state.release_lock(&lock.name, &lock.id);
        self.publish(ctx);
    }
}

impl Handler<Concern> for ClusterData {
    type Result = ();

    fn handle(&mut self, concern: Concern, _: &mut Context<Self>) {
        let Concern { path, related, priority, monitor } = concern;
        self.forget(&path);
        let Some(monitor) = monitor else { return };
        for other in &related {
            self.named_by.entry(other.clone()).or_default().insert(path.clone());
        }
        self.monitors.insert(path, Concerned { related, priority, monitor });
    }
}

impl Handler<ConcernNode> for ClusterData {
    type Result = ();

    fn handle(&mut self, ConcernNode(node_monitor): ConcernNode, _: &mut Context<Self>) {
        self.node_monitor = Some(node_monitor);
    }
}

#[cfg(test)]
mod tests;
