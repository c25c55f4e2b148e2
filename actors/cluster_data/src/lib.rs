//! The cluster data: the one writer of what `daemon_status` shows.
//!
//! Hears: evaluations, monitors, the config watcher, the threads' blocks, events. Tells: the service monitors concerned by
//! a change, and subscribers of events. Readers never ask: they load the newest [`Snapshot`].
//! Restart: from the published snapshot; changes of the last few milliseconds are lost, and sent again by their owners.

mod kept;
mod locks;
mod orphans;
mod subscribers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use model::{NodeName, ObjectPath, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::orphans::Orphans;
use crate::subscribers::{News, Patch, Subscribers};
use dataset::changes::{NodeFacts, NodePublic};
use dataset::config::{ConfigCell, LoadedConfig};
use dataset::outgoing::Outgoing;
use dataset::snapshot::{Snapshot, SnapshotCell};
use dataset::state::{State, dirty};
use link::heavy::Held;
use mail::cluster_data::{
    AskFull, AwaitAcked, Concern, ConcernNode, DisownInstance, Emit, Flush, ForgetPeer,
    HeartbeatHeard, NodeViewChanged, RemoveInstance, SetConfigEntries, SetInstance,
    SetInstanceMonitor, SetNode, SetStanding, SetThread, Subscribe, WatchGeneration, WatchOutgoing,
};
use mail::history::{Changed, ToHistory};
use mail::latest::AGAIN;
use mail::service_monitor::ViewChanged;
use metrics::counts::Counts;

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
    /// Who keeps what happened, and what it has no room for.
    history: Option<ToHistory>,
    unkept: Option<Changed>,
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
    /// The turns of large messages that are not published yet.
    turns: Vec<Held>,
    counts: Arc<Counts>,
    /// What lost peers ran.
    orphans: Orphans,
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
        let state = State::new((**cell.load()).clone(), machine::clock::now());
        let generation = watch::Sender::new(state.now.generation);
        Self {
            cell,
            config,
            state,
            subscribers: Subscribers::default(),
            monitors: BTreeMap::new(),
            named_by: BTreeMap::new(),
            node_monitor: None,
            history: None,
            unkept: None,
            generation,
            outgoing: watch::Sender::new(Arc::new(Outgoing::nothing())),
            awaiting: vec![],
            alarm: None,
            is_publishing: false,
            untold: Untold::default(),
            is_untold_due: false,
            turns: vec![],
            counts: Arc::default(),
            orphans: Orphans::default(),
        }
    }

    /// The same, whose changes and events somebody keeps.
    #[must_use]
    pub fn kept_by(self, history: ToHistory) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The same, that counts events in `counts`.
    #[must_use]
    pub fn counting(self, counts: Arc<Counts>) -> Self {
        Self { subscribers: Subscribers::counting(counts.clone()), counts, ..self }
    }

    /// What is known when the daemon starts: the cluster, and a node that is being initialized.
    #[must_use]
    pub fn first(nodename: NodeName, settings: NodePublic, config: &LoadedConfig) -> Snapshot {
        let mut state = State::new(Snapshot::empty(nodename), machine::clock::now());
        state.set_node(NodeFacts { settings: Some(settings), ..NodeFacts::default() });
        let old = state.now.clone();
        state.settle(&old, config, machine::clock::now());
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
        let now = machine::clock::now();
        let changes = self.state.settle(&old, &self.config.load(), now);
        let new = Arc::new(self.state.now.clone());
        self.cell.store(new.clone());
        self.is_publishing = false;
        self.keep(&old, &new, &changes, now);
        let turns = std::mem::take(&mut self.turns);
        if !self.subscribers.is_empty() {
            let changes = changes.clone();
            let patch = Patch { old, new: new.clone(), changes, now, turns };
            self.subscribers.tell(News::Patch(Box::new(patch)));
            self.tell_subscribers(ctx);
        }
        self.generation.send_replace(new.generation);
        let is_due = self.state.take_send_due() | changes.is_local();
        self.prepare_outgoing(new, is_due);
        self.tell_monitors(&changes, ctx);
    }

    /// Has what changed kept. What there is no room for is told with the next change.
    fn keep(
        &mut self,
        old: &Arc<Snapshot>,
        new: &Arc<Snapshot>,
        changes: &dirty::Dirty,
        now: Timestamp,
    ) {
        let Some(history) = &self.history else { return };
        let objects = changes.objects().cloned();
        let changed = match self.unkept.take() {
            Some(mut unkept) => {
                unkept.objects.extend(objects);
                Changed { new: new.clone(), now, ..unkept }
            }
            None => Changed { old: old.clone(), new: new.clone(), objects: objects.collect(), now },
        };
        if let Err(SendError::Full(changed)) = history.try_send(changed) {
            self.unkept = Some(changed);
        }
    }

    /// Tells subscribers what they are not told yet, outside of this actor, one thing after the other.
    fn tell_subscribers(&mut self, ctx: &mut Context<Self>) {
        let Some(telling) = self.subscribers.take() else { return };
        // A task of its own: it ends also when this actor falls meanwhile.
        let telling = actix_rt::spawn(telling.run());
        ctx.spawn(telling.into_actor(self).map(|_, this, ctx| {
            this.subscribers.on_told();
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

    fn tell_monitors(&mut self, changes: &dirty::Dirty, ctx: &mut Context<Self>) {
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
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        self.turns.clear();
        self.is_untold_due = false;
        self.subscribers.on_restart();
        self.tell_subscribers(ctx);
        // What was accepted stays, unless it is what cannot be published.
        if std::mem::take(&mut self.is_publishing) {
            self.state = State::new((**self.cell.load()).clone(), machine::clock::now());
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
    SetNode => |state, SetNode(facts)| state.set_node(facts);
    SetStanding => |state, SetStanding(standing)| state.set_standing(standing);
    SetThread => |state, msg| state.set_thread(msg.id, msg.block);
}

impl Handler<Emit> for ClusterData {
    type Result = ();

    fn handle(&mut self, event: Emit, ctx: &mut Context<Self>) {
        if let Some(history) = &self.history {
            // Events that come faster than a disk can write are lost.
            _ = history.try_send(event.clone());
        }
        if matches!(event.id, "resource_restart" | "stdby_resource_restart") {
            self.counts.on_resource_restart();
        }
        if let ("instance_start", Some(path)) = (event.id, &event.path)
            && self.orphans.on_start(path, event.facts.reason, Instant::now())
        {
            self.counts.tallies.on_takeover();
        }
        if !self.subscribers.is_empty() {
            let document = self.state.event(
                event.id,
                event.path.as_ref(),
                &event.facts,
                machine::clock::now(),
            );
            let now = (self.cell.load_full(), machine::clock::now());
            self.subscribers.tell(News::Event(event.path, document, Box::new(now)));
            self.tell_subscribers(ctx);
        }
    }
}

impl Handler<Subscribe> for ClusterData {
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, subscribe: Subscribe, ctx: &mut Context<Self>) -> Self::Result {
        // What it is told first is what the next patch starts from.
        self.publish(ctx);
        self.subscribers.keep(self.config.load().node.listener.event_buffer);
        let now = (self.cell.load_full(), machine::clock::now());
        let documents = self.subscribers.add(subscribe, now);
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
        let HeartbeatHeard { from, message, reading, turn } = heard;
        let config = self.config.load();
        let is_member =
            self.state.now.cluster.nodes.contains(&from) || config.node.drpnodes.contains(&from);
        if from == self.state.now.nodename || !is_member {
            return;
        }
        self.turns.extend(turn);
        let received = self.state.hear(&from, message, reading, machine::clock::moment());
        if let Some(error) = received.error {
            log::info!(peer:% = from, error:% = error; "change of a peer not applied: all is asked for");
        }
        if self.state.dirty.is_empty() {
            self.turns.clear();
        }
        self.release();
        self.schedule(ctx);
    }
}

impl Handler<ForgetPeer> for ClusterData {
    type Result = ();

    fn handle(&mut self, ForgetPeer(peer): ForgetPeer, ctx: &mut Context<Self>) {
        self.orphans.on_lost(&peer, &self.cell.load(), Instant::now());
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
