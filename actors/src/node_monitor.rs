//! The node monitor: drives this node, and starts and ends the service monitors.
//!
//! Hears: configuration changes, cluster data changes, requests of operators, service monitors that wait for their turn.
//! Tells: the service monitors, the runner, the cluster data.
//! Restart: always; its data comes back from the cluster data, the service monitors go on meanwhile.

pub(crate) mod boot;
mod instances;
pub mod stats;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::{
    InstanceStatus, LocalExpect, MonitorStatus, NodeData, NodeMonitorStatus, ObjectPath, Status,
};
use monitor::{NodeChange, NodeCore, NodeEffect, NodeTiming};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::clock::{self, moment};
use crate::cluster_data::{
    ConcernNode, Emit, Flush, NodeViewChanged, RemoveInstance, SetInstance, SetNode, View,
};
use crate::config::LoadedConfig;
use crate::durable;
use crate::latest::{Latest, keep_on, post, post_to};
use crate::quorum::Surrender;
use crate::routes::Routes;
use crate::runner::{EvaluateLater, RunAction, StopActions};
use crate::service_monitor::{self, ConfigChanged, Leave, SetMonitor, Shared, ViewChanged};
use crate::supervision::ChildEvent;

/// Sets node monitor attributes; validated before by whoever took the request.
/// Applied at once, and published before the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetNodeMonitor(pub NodeChange);

/// Announces `maintenance` (or `upgrade`): from then on no decision is taken. Answers when it is published.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Announce {
    /// Announce `upgrade` instead.
    pub upgrade: bool,
}

/// An instance that is not down after all were to be shut down.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// Its object.
    pub path: ObjectPath,
    /// What its monitor does.
    pub status: MonitorStatus,
    /// Its state.
    pub avail: Option<Status>,
    /// Whether it was still to be shut down when the time was over.
    pub is_late: bool,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, status, avail, is_late } = self;
        match avail {
            _ if status.is_failed() => write!(f, "{path}: {status}"),
            _ if *is_late => write!(f, "timeout: {path}: still in state {status}"),
            Some(avail) => write!(f, "{path}: still {avail} after its shutdown"),
            None => write!(f, "{path}: not shut down"),
        }
    }
}

/// Shuts the local instances down, in order, then answers: the instances that were not down in time, or that failed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Left>")]
pub struct ShutdownInstances {
    /// Longest wait, none for no limit.
    pub time: Option<Duration>,
}

/// Freezes the node and shuts its instances down. Answers as [`ShutdownInstances`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Left>")]
pub struct Drain {
    /// Longest wait, none for no limit.
    pub time: Option<Duration>,
    /// It is the split action of the node.
    pub is_after_split: bool,
}

/// Takes a decision now, on one object or on all (request `wake_monitor`).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Wake(pub Option<ObjectPath>);

/// Configurations of these objects were loaded, changed or deleted: look at the newest. The first one tells that all
/// were read.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ObjectsChanged(pub Vec<ObjectPath>);

/// As many actions run as allowed: the service monitor wants to be told when one more may.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct WaitSlot {
    /// Its object.
    pub path: ObjectPath,
    /// Keyword `priority` of it: the lowest comes first.
    pub priority: i64,
}

/// One action less runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SlotFreed;

/// A service monitor ended: its object is gone.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Gone(pub ObjectPath);

/// Shortest time between two passes that look at all local instances.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause between two measures of load and memory.
const STATS: Duration = Duration::from_secs(30);
/// Messages that a service monitor may have waiting.
const QUEUE: usize = 16;

/// Whom the node monitor tells, by what it tells.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub node: Recipient<SetNode>,
    pub instance: Recipient<SetInstance>,
    pub remove: Recipient<RemoveInstance>,
    pub concern: Recipient<ConcernNode>,
    pub emit: Recipient<Emit>,
    pub flush: Recipient<Flush>,
    pub evaluate: Recipient<EvaluateLater>,
    pub run: Recipient<RunAction>,
    pub stop_actions: Recipient<StopActions>,
    pub root: Recipient<ChildEvent>,
    pub surrender: Recipient<Surrender>,
}

/// What others are to be told, and have no room for: the last of each.
#[derive(Debug, Default)]
struct Posts {
    surrender: Option<Surrender>,
    stop_actions: Option<StopActions>,
    evaluate: BTreeSet<ObjectPath>,
    monitors: BTreeMap<ObjectPath, SetMonitor>,
    changed: BTreeMap<ObjectPath, ConfigChanged>,
    leaving: BTreeMap<ObjectPath, Leave>,
    /// They are told again after a while.
    is_due: bool,
}

impl Posts {
    fn has_any(&self) -> bool {
        self.surrender.is_some()
            || self.stop_actions.is_some()
            || !self.evaluate.is_empty()
            || !self.monitors.is_empty()
            || !self.changed.is_empty()
            || !self.leaving.is_empty()
    }
}

/// The actor.
#[derive(Debug)]
pub struct NodeMonitor {
    shared: Arc<Shared>,
    tell: Neighbours,
    /// What the cluster data is told of the node.
    told: Latest<&'static str, SetNode>,
    core: NodeCore,
    /// What had no room where it was sent.
    unsent: Posts,
    /// The objects whose monitors are seen to, some at a time.
    to_follow: BTreeSet<ObjectPath>,
    /// The objects were read once.
    is_loaded: bool,
    /// The start of the node is under way.
    is_beginning: bool,
    /// This is not the first life of the actor: the start of the node is over.
    is_resumed: bool,
    waiting: BTreeSet<(i64, ObjectPath)>,
    /// Who waits for the instances to be down.
    releases: Vec<oneshot::Sender<()>>,
    alarm: Option<SpawnHandle>,
    /// The next pass that looks at all instances.
    pause: Option<SpawnHandle>,
}

impl NodeMonitor {
    /// The node monitor of a daemon.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        let (data, runner) = (&routes.cluster_data, &routes.runner);
        let tell = Neighbours {
            node: data.clone().recipient(),
            instance: data.clone().recipient(),
            remove: data.clone().recipient(),
            concern: data.clone().recipient(),
            emit: data.clone().recipient(),
            flush: data.clone().recipient(),
            evaluate: runner.clone().recipient(),
            run: runner.clone().recipient(),
            stop_actions: runner.clone().recipient(),
            root: routes.root.clone().recipient(),
            surrender: routes.quorum.clone().recipient(),
        };
        let shared = Shared::new(
            routes.paths.clone(),
            routes.snapshot.clone(),
            routes.config.clone(),
            routes.monitors.clone(),
            service_monitor::Neighbours::new(routes),
        );
        Self::with(shared, tell)
    }

    /// A node monitor with these neighbours.
    #[must_use]
    pub fn with(shared: Arc<Shared>, tell: Neighbours) -> Self {
        let core = NodeCore::new(moment(), timing(&shared.config.load()));
        Self {
            shared,
            told: Latest::new(tell.node.clone()),
            tell,
            core,
            unsent: Posts::default(),
            to_follow: BTreeSet::new(),
            is_loaded: false,
            is_beginning: false,
            is_resumed: false,
            waiting: BTreeSet::new(),
            releases: vec![],
            alarm: None,
            pause: None,
        }
    }

    /// Takes a decision and carries it out.
    fn pass(&mut self, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        // Without the objects, all of them would seem evaluated.
        let is_followed = self.is_loaded && self.to_follow.is_empty();
        if !is_followed && self.core.monitor().status == NodeMonitorStatus::Init {
            return;
        }
        let before = self.core.monitor().status.clone();
        let effects = {
            let (snapshot, config) = (self.shared.snapshot.load(), self.shared.config.load());
            let view = View::new(&snapshot, &config, self.core.in_grace());
            self.core.pass(moment(), &view)
        };
        self.shared.set_grace(self.core.in_grace());
        let after = &self.core.monitor().status;
        if before != *after {
            log::info!(from:% = before, to:% = after; "node monitor status");
        }
        for effect in effects {
            self.carry_out(effect, ctx);
        }
    }

    fn carry_out(&mut self, effect: NodeEffect, ctx: &mut Context<Self>) {
        log::trace!(effect:? = effect; "node effect");
        match effect {
            NodeEffect::Publish(monitor) => self.publish(*monitor, ctx),
            NodeEffect::Freeze => self.freeze(Some(""), ctx),
            NodeEffect::FreezeAfterSplit => self.freeze(Some(NodeData::FROZEN_BY_SPLIT), ctx),
            NodeEffect::Thaw => self.freeze(None, ctx),
            NodeEffect::FreezeInstance(path) => {
                if let Err(error) = durable::touch(&self.shared.paths.instance_frozen(&path)) {
                    log::error!(path:% = path, error:% = error; "instance not frozen");
                }
                self.unsent.evaluate.insert(path);
                self.post(ctx);
            }
            NodeEffect::SetInstance { path, change } => {
                // It has to see what this node does before, or it would start what is to be shut down.
                let published = self.tell.flush.send(Flush);
                ctx.spawn(published.into_actor(self).map(move |_, this, ctx| {
                    this.unsent.monitors.insert(path, SetMonitor(change));
                    this.post(ctx);
                }));
            }
            NodeEffect::LoseSplit => {
                self.unsent.surrender = Some(Surrender);
                self.post(ctx);
            }
            NodeEffect::Released => {
                for waiter in self.releases.drain(..) {
                    _ = waiter.send(());
                }
            }
            NodeEffect::WakeAfter(seconds) => {
                let delay =
                    Duration::try_from_secs_f64(seconds.max(0.001)).unwrap_or(Duration::MAX);
                if let Some(alarm) = self.alarm.take() {
                    ctx.cancel_future(alarm);
                }
                self.alarm = Some(ctx.run_later(delay, |this, ctx| {
                    this.alarm = None;
                    this.pass(ctx);
                }));
            }
            NodeEffect::Event(event) => {
                log::info!(reason = event.reason; "{}", event.id);
                let mut data = Map::new();
                if !event.reason.is_empty() {
                    data.insert("reason".to_owned(), event.reason.into());
                }
                if let Some(peer) = &event.peer {
                    data.insert("peer".to_owned(), Value::from(peer.as_str()));
                }
                // Whoever does not keep up loses events.
                _ = self.tell.emit.try_send(Emit { id: event.id.to_owned(), path: None, data });
            }
        }
    }

    /// Tells others what they are to be told, and what has no room again and again.
    fn post(&mut self, ctx: &mut Context<Self>) {
        if self.post_again() && !std::mem::replace(&mut self.unsent.is_due, true) {
            keep_on(ctx, |this: &mut Self| {
                this.unsent.is_due = this.post_again();
                this.unsent.is_due
            });
        }
    }

    /// True: something has no room.
    fn post_again(&mut self) -> bool {
        let registry = self.shared.registry.load_full();
        let Posts { surrender, stop_actions, evaluate, monitors, changed, leaving, .. } =
            &mut self.unsent;
        post(surrender, |message| self.tell.surrender.try_send(message));
        post(stop_actions, |message| self.tell.stop_actions.try_send(message));
        post_to(monitors, |path, message| match registry.get(path) {
            Some(monitor) => monitor.try_send(message),
            None => Ok(()),
        });
        post_to(changed, |path, message| match registry.get(path) {
            Some(monitor) => monitor.try_send(message),
            None => Ok(()),
        });
        post_to(leaving, |path, message| match registry.get(path) {
            Some(monitor) => monitor.try_send(message),
            None => Ok(()),
        });
        if !evaluate.is_empty() {
            let paths = std::mem::take(evaluate).into_iter().collect();
            let asked = self.tell.evaluate.try_send(EvaluateLater(paths));
            if let Err(SendError::Full(EvaluateLater(paths))) = asked {
                evaluate.extend(paths);
            }
        }
        self.unsent.has_any()
    }

    fn publish(&mut self, monitor: model::NodeMonitorData, ctx: &mut Context<Self>) {
        let set = SetNode { monitor: Some(monitor), ..SetNode::default() };
        self.tell_node("monitor", set, ctx);
    }

    /// Tells the cluster data something of the node: the last of each kind, when it has no room.
    fn tell_node(&mut self, kind: &'static str, set: SetNode, ctx: &mut Context<Self>) {
        if self.told.send(kind, set) {
            keep_on(ctx, |this: &mut Self| this.told.again());
        }
    }

    /// Sets the flag of the node, with its reason in it, or removes it, and publishes it.
    fn freeze(&mut self, reason: Option<&str>, ctx: &mut Context<Self>) {
        let file = self.shared.paths.node_frozen();
        let done = match reason {
            Some(reason) => durable::write_at(&file, reason.as_bytes(), 0o644, clock::system()),
            None => durable::remove(&file),
        };
        if let Err(error) = done {
            log::error!(error:% = error; "frozen flag of the node not changed");
        }
        self.publish_frozen(ctx);
    }

    fn publish_frozen(&mut self, ctx: &mut Context<Self>) {
        let file = self.shared.paths.node_frozen();
        let frozen = Some(boot::modified(&file));
        let frozen_by = crate::regular::words(&file).filter(|reason| !reason.is_empty());
        self.tell_node("frozen", SetNode { frozen, frozen_by, ..SetNode::default() }, ctx);
    }

    /// Passes soon, if nothing else makes it pass before: it looks at all instances.
    fn pass_soon(&mut self, ctx: &mut Context<Self>) {
        if self.pause.is_none() {
            self.pause = Some(ctx.run_later(PAUSE, |this, ctx| {
                this.pause = None;
                this.pass(ctx);
            }));
        }
    }

    /// Whether its decisions look at the local instances.
    fn looks_at_instances(&self) -> bool {
        use NodeMonitorStatus::{Draining, Init, Rejoin, Shutting};
        matches!(self.core.monitor().status, Init | Rejoin | Draining | Shutting)
    }

    fn measure(&mut self, ctx: &mut Context<Self>) {
        let stats = Some(stats::measure().0);
        self.tell_node("stats", SetNode { stats, ..SetNode::default() }, ctx);
        ctx.run_later(STATS, |this, ctx| this.measure(ctx));
    }

    /// Waits until the instances are down, or the time is over; answers with those that are not.
    fn released(
        &mut self,
        time: Option<Duration>,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<Vec<Left>> {
        let (done, end) = oneshot::channel();
        self.releases.push(done);
        self.pass(ctx);
        let (shared, flush) = (self.shared.clone(), self.tell.flush.clone());
        Box::pin(async move {
            match time {
                None => _ = end.await,
                Some(time) => _ = tokio::time::timeout(time, end).await,
            }
            // What was found after the last action counts.
            _ = flush.send(Flush).await;
            let snapshot = shared.snapshot.load();
            let instances = snapshot.local().into_iter().flat_map(|local| local.status.iter());
            instances.filter_map(|(path, status)| left_of(path, status)).collect()
        })
    }

    /// Answers when what is decided is published.
    fn published(&self) -> ResponseFuture<()> {
        let flush = self.tell.flush.send(Flush);
        Box::pin(async move {
            _ = flush.await;
        })
    }
}

/// What is left of an instance that was to be shut down; none if it is down.
fn left_of(path: &ObjectPath, instance: &InstanceStatus) -> Option<Left> {
    let monitor = instance.monitor.as_ref()?;
    let is_late = monitor.local_expect == Some(LocalExpect::Shutdown);
    let has_resources = instance.resources.as_ref().is_some_and(|all| !all.is_empty());
    // A shutdown that ended well, and had no effect.
    let is_active = has_resources
        && matches!(instance.avail, Some(Status::Up | Status::Warn | Status::StdbyUp));
    let is_left = is_late || monitor.status == MonitorStatus::ShutdownFailed || is_active;
    is_left.then(|| Left {
        path: path.clone(),
        status: monitor.status.clone(),
        avail: instance.avail.clone(),
        is_late,
    })
}

/// What the node's monitor reads of its configuration.
pub(crate) fn timing(config: &LoadedConfig) -> NodeTiming {
    NodeTiming { rejoin_grace_period_secs: config.node.rejoin_grace_period.as_secs_f64() }
}

impl Actor for NodeMonitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("node monitor started");
        let concern = ConcernNode(ctx.address().recipient());
        self.tell.concern.do_send(concern);
        if !self.is_resumed {
            let signs = boot::signs(&self.shared.paths);
            let mut core = NodeCore::new(moment(), timing(&self.shared.config.load()))
                .known_freezes(signs.known_freezes);
            if signs.is_upgrade {
                core = core.after_upgrade();
            } else if signs.is_frozen_by_kernel {
                core = core.frozen_by_kernel();
            }
            self.core = core;
        }
        self.publish(self.core.monitor().clone(), ctx);
        self.publish_frozen(ctx);
        self.measure(ctx);
        if !self.shared.config.load().is_loaded {
            return;
        }
        if self.is_resumed {
            self.is_loaded = true;
            self.follow(self.objects(), ctx);
            self.pass_soon(ctx);
        } else {
            self.begin(ctx);
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("node monitor stopped");
    }
}

impl Supervised for NodeMonitor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        let snapshot = self.shared.snapshot.load();
        let monitor = snapshot.local().and_then(|local| local.data.monitor.clone());
        let grace = self.shared.is_grace();
        let started = self.core.started();
        let releases = std::mem::take(&mut self.releases);
        let waiting = std::mem::take(&mut self.waiting);
        let mut next = Self::with(self.shared.clone(), self.tell.clone());
        next.core = NodeCore::new(started, timing(&self.shared.config.load()))
            .resume(monitor.unwrap_or_else(|| self.core.monitor().clone()), grace);
        *self = Self { is_resumed: true, releases, waiting, ..next };
    }
}

impl Handler<ObjectsChanged> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, ObjectsChanged(paths): ObjectsChanged, ctx: &mut Context<Self>) {
        self.core.set_timing(timing(&self.shared.config.load()));
        if self.is_loaded {
            self.follow(paths, ctx);
            self.pass(ctx);
        } else {
            self.begin(ctx);
        }
    }
}

impl Handler<NodeViewChanged> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, changed: NodeViewChanged, ctx: &mut Context<Self>) {
        if self.looks_at_instances() {
            self.pass_soon(ctx);
        } else if changed.is_node {
            self.pass(ctx);
        }
    }
}

impl Handler<SetNodeMonitor> for NodeMonitor {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        SetNodeMonitor(change): SetNodeMonitor,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        {
            let (snapshot, config) = (self.shared.snapshot.load(), self.shared.config.load());
            let view = View::new(&snapshot, &config, self.core.in_grace());
            self.core.apply(moment(), &change, &view);
        }
        self.pass(ctx);
        self.published()
    }
}

impl Handler<Announce> for NodeMonitor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Announce { upgrade }: Announce, ctx: &mut Context<Self>) -> Self::Result {
        self.core.announce(moment(), upgrade);
        self.pass(ctx);
        self.published()
    }
}

impl Handler<ShutdownInstances> for NodeMonitor {
    type Result = ResponseFuture<Vec<Left>>;

    fn handle(&mut self, asked: ShutdownInstances, ctx: &mut Context<Self>) -> Self::Result {
        self.unsent.stop_actions = Some(StopActions);
        self.post(ctx);
        self.core.shut_down(moment());
        self.released(asked.time, ctx)
    }
}

impl Handler<Drain> for NodeMonitor {
    type Result = ResponseFuture<Vec<Left>>;

    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        if drain.is_after_split {
            self.core.drain_after_split(moment());
        } else {
            self.core.drain(moment());
        }
        self.released(drain.time, ctx)
    }
}

impl Handler<Wake> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, Wake(path): Wake, ctx: &mut Context<Self>) {
        let registry = self.shared.registry.load();
        match path {
            Some(path) => {
                // One that has no room is about to look anyway.
                if let Some(monitor) = registry.get(&path) {
                    _ = monitor.try_send(ViewChanged);
                }
            }
            None => {
                self.publish_frozen(ctx);
                for monitor in registry.values() {
                    _ = monitor.try_send(ViewChanged);
                }
                self.pass(ctx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_of_a_shutdown_is_told_by_name_and_state() {
        let left = |avail: &str, monitor: Value| {
            let status = json!({
                "updated": 1.0, "avail": avail, "monitor": monitor,
                "resources": {"app#1": {"type": "app.simple", "status": avail, "label": ""}},
            });
            let status: InstanceStatus = serde_json::from_value(status).unwrap();
            let path = ObjectPath::parse("h1").unwrap();
            left_of(&path, &status).map(|left| left.to_string())
        };
        assert_eq!(left("down", json!({"status": "idle"})), None);
        assert_eq!(left("n/a", json!({"status": "idle"})), None);
        let failed = left("up", json!({"status": "shutdown failed"}));
        assert_eq!(failed.as_deref(), Some("h1: shutdown failed"));
        let late = left("up", json!({"status": "shutdown", "local_expect": "shutdown"}));
        assert_eq!(late.as_deref(), Some("timeout: h1: still in state shutdown"));
        let still = left("up", json!({"status": "idle"}));
        assert_eq!(still.as_deref(), Some("h1: still up after its shutdown"));
    }
}
