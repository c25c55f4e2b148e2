//! The node monitor: drives this node, and starts and ends the service monitors.
//!
//! Hears: configuration changes, cluster data changes, requests of operators, service monitors that wait for their turn.
//! Tells: the service monitors, the runner, the cluster data, the root (alerts).
//! Restart: always; its data comes back from the cluster data, the service monitors go on meanwhile.

pub mod boot;
mod doubles;
mod facts;
mod instances;
mod released;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::{NodeMonitorStatus, ObjectPath, thread};
use monitor::{NodeCore, NodeEffect};
use tokio::sync::oneshot;

use crate::node::doubles::Doubles;
use crate::service::shared;
use crate::service::shared::Shared;
use dataset::view::View;
use machine::clock::moment;
use machine::durable;
use mail::cluster_data::{
    ConcernNode, Emit, Flush, NodeViewChanged, RemoveInstance, SetInstance, SetNode,
};
use mail::latest::{Latest, keep_on, post, post_to};
use mail::mail::Mail;
use mail::node_monitor::{
    Announce, Drain, Left, ObjectsChanged, SetNodeMonitor, ShutdownInstances, Wake,
};
use mail::quorum::Surrender;
use mail::root::ThreadReport;
use mail::runner::{EvaluateLater, RunAction, StopActions};
use mail::service_monitor::{ConfigChanged, Leave, SetMonitor, ViewChanged};
use supervision::ChildEvent;

/// Shortest time between two passes that look at all local instances.
const PAUSE: Duration = Duration::from_millis(50);
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
    pub report: Recipient<ThreadReport>,
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
    /// What runs twice.
    doubles: Doubles,
    /// Who waits for the instances to be down.
    releases: Vec<oneshot::Sender<()>>,
    alarm: Option<SpawnHandle>,
    /// The next pass that looks at all instances.
    pause: Option<SpawnHandle>,
}

impl NodeMonitor {
    /// The node monitor of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let (data, runner) = (&mail.cluster_data, &mail.runner);
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
            root: mail.root.clone().recipient(),
            report: mail.root.clone().recipient(),
            surrender: mail.quorum.clone().recipient(),
        };
        let shared = Shared::new(
            mail.paths.clone(),
            mail.snapshot.clone(),
            mail.config.clone(),
            mail.monitors.clone(),
            shared::Neighbours::new(mail),
        );
        Self::with(shared, tell)
    }

    /// A node monitor with these neighbours.
    #[must_use]
    pub fn with(shared: Arc<Shared>, tell: Neighbours) -> Self {
        let core = NodeCore::new(moment(), shared.config.load().timing());
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
            doubles: Doubles::default(),
            releases: vec![],
            alarm: None,
            pause: None,
        }
    }

    /// Looks soon at what runs on several nodes.
    fn look_for_doubles(&mut self, ctx: &mut Context<Self>) {
        if self.doubles.ask() {
            ctx.run_later(doubles::PAUSE, |this, ctx| {
                let (snapshot, config) = (this.shared.snapshot.load(), this.shared.config.load());
                let looked = this.doubles.look(&snapshot, &config);
                if looked.is_to_repeat {
                    this.look_for_doubles(ctx);
                }
                if let Some(alerts) = looked.alerts {
                    this.tell.report.do_send(ThreadReport::alerts(thread::MONITOR, alerts));
                }
            });
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
            NodeEffect::FreezeItself(reason) => self.freeze(Some(reason), ctx),
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
                let told = Emit { id: event.id, path: None, facts: event.facts() };
                // Whoever does not keep up loses events.
                _ = self.tell.emit.try_send(told);
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

    /// Answers when what is decided is published.
    fn published(&self) -> ResponseFuture<()> {
        let flush = self.tell.flush.send(Flush);
        Box::pin(async move {
            _ = flush.await;
        })
    }
}

impl Actor for NodeMonitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("node monitor started");
        let concern = ConcernNode(ctx.address().recipient());
        self.tell.concern.do_send(concern);
        if !self.is_resumed {
            let signs = boot::signs(&self.shared.paths);
            let mut core = NodeCore::new(moment(), self.shared.config.load().timing())
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
        next.core = NodeCore::new(started, self.shared.config.load().timing())
            .resume(monitor.unwrap_or_else(|| self.core.monitor().clone()), grace);
        *self = Self { is_resumed: true, releases, waiting, ..next };
    }
}

impl Handler<ObjectsChanged> for NodeMonitor {
    type Result = ();

    fn handle(&mut self, ObjectsChanged(paths): ObjectsChanged, ctx: &mut Context<Self>) {
        self.core.set_timing(self.shared.config.load().timing());
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
        self.look_for_doubles(ctx);
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
