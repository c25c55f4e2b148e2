//! The monitor of the local node: its life, its target, the end of the grace period
//! (src/monitor/README.md, Node monitor).

mod emptying;
mod grace;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    GlobalExpect, InstanceMonitor, InstanceStatus, LocalExpect, MonitorStatus, NodeData,
    NodeMonitorData, NodeMonitorStatus, NodeName, ObjectPath, Status, Timestamp,
};

use crate::effect::{Change, Event, NodeEffect};
use crate::instance::ALARM_MARGIN_SECS;
use crate::instance::rules::is_exclusive;
use crate::moment::Moment;
pub(crate) use crate::node::emptying::to_shut_down;
use crate::peers_frozen::Freezes;
use crate::standing::Standing;
use crate::world::{Life, World, live_nodes};

/// How long a node drains at least.
const DRAINING_SECS: f64 = 1.0;

/// How long the monitor of an instance may take to tell that it was asked, beyond which its times are not asked any more.
const ASKED_SECS: f64 = 1.0;

/// How long a peer is waited for that is there and still evaluates its instances, whatever the grace period: its default.
const EVALUATING_SECS: f64 = 90.0;

/// Keywords of the node that its monitor reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeTiming {
    /// Keyword `node.rejoin_grace_period` in seconds, default 90: how long the peers are waited for at the start.
    pub rejoin_grace_period_secs: f64,
}

impl Default for NodeTiming {
    fn default() -> Self {
        Self { rejoin_grace_period_secs: 90.0 }
    }
}

impl NodeTiming {
    /// What is left of the grace period of a node that started so long ago, in seconds; negative once it has expired.
    ///
    /// Beside deployed agents: a short period does not end over a peer that is heard and in `init`. Thousands of services
    /// may take longer than that to evaluate, and the nodes that are ready would freeze themselves.
    #[must_use]
    pub fn grace_left_secs(&self, since_start: f64, world: &dyn World) -> f64 {
        let is_evaluating = live_nodes(world).any(|(node, data)| {
            let status = data.monitor.as_ref().map(|monitor| &monitor.status);
            node != world.local_node() && status == Some(&NodeMonitorStatus::Init)
        });
        let period = self.rejoin_grace_period_secs;
        let period = if is_evaluating { period.max(EVALUATING_SECS) } else { period };
        period - since_start
    }
}

/// A change of node monitor attributes, validated. `Some(None)` unsets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeChange {
    /// Status.
    pub status: Option<NodeMonitorStatus>,
    /// Target of the node.
    pub local_expect: Option<Option<LocalExpect>>,
    /// Target of all nodes.
    pub global_expect: Option<Option<GlobalExpect>>,
}

/// The monitor of the local node.
///
/// Use: [`pass`](Self::pass) when node data, a local instance or the list of local objects change, after each request,
/// and on its alarms. In `init`, while it drains and while it shuts, a pass looks at all local instances.
#[derive(Debug, Clone)]
pub struct NodeCore {
    monitor: NodeMonitorData,
    published: Option<NodeMonitorData>,
    timing: NodeTiming,
    started: Moment,
    /// When `status` changed.
    status_since: Duration,
    grace: bool,
    /// Since when a majority of the members is there, as long as the grace period waits for the others.
    majority_since: Option<Duration>,
    is_upgrade: bool,
    known_freezes: Freezes,
    /// Why the node is to be frozen at its start.
    freeze_at_start: Option<&'static str>,
    /// The flag as asked for, until the node data show it.
    asked_frozen: Option<bool>,
    /// An operator wants the freeze that was the node's own, until the node data show that.
    is_taken_over: bool,
    /// The instances are to be asked to shut down by the next pass.
    to_ask: bool,
    /// Instances asked to shut down.
    asked: BTreeMap<ObjectPath, Asked>,
    is_released: bool,
    /// The members refuse the node, and it was frozen for that.
    is_left_out: bool,
    effects: Vec<NodeEffect>,
}

impl NodeCore {
    /// A node that starts: `init`.
    #[must_use]
    pub fn new(started: impl Into<Moment>, timing: NodeTiming) -> Self {
        let started = started.into();
        let monitor = NodeMonitorData {
            status: NodeMonitorStatus::Init,
            status_updated: Some(started.wall),
            ..NodeMonitorData::default()
        };
        Self {
            monitor,
            published: None,
            timing,
            started,
            status_since: started.steady,
            grace: true,
            majority_since: None,
            is_upgrade: false,
            known_freezes: Freezes::default(),
            freeze_at_start: None,
            asked_frozen: None,
            is_taken_over: false,
            to_ask: false,
            asked: BTreeMap::new(),
            is_released: false,
            is_left_out: false,
            effects: vec![],
        }
    }

    /// The actor was restarted, not the daemon: goes on with the data that it published.
    #[must_use]
    pub fn resume(mut self, monitor: NodeMonitorData, grace: bool) -> Self {
        self.monitor = monitor;
        self.grace = grace;
        self
    }

    /// The daemon starts after an upgrade: the node is frozen until all nodes have joined.
    #[must_use]
    pub fn after_upgrade(mut self) -> Self {
        self.is_upgrade = true;
        self.freeze_at_start = Some("upgrade");
        self
    }

    /// The kernel command line asks to freeze the node.
    #[must_use]
    pub fn frozen_by_kernel(mut self) -> Self {
        self.freeze_at_start = Some("kern_freeze");
        self
    }

    /// What the peers had frozen when the daemon ended in order last: that is not followed.
    #[must_use]
    pub fn known_freezes(mut self, freezes: Freezes) -> Self {
        self.known_freezes = freezes;
        self
    }

    /// New values of the keywords.
    pub fn set_timing(&mut self, timing: NodeTiming) {
        self.timing = timing;
    }

    /// When the daemon started.
    #[must_use]
    pub fn started(&self) -> Moment {
        self.started
    }

    /// The node monitor data, as it is now.
    #[must_use]
    pub fn monitor(&self) -> &NodeMonitorData {
        &self.monitor
    }

    /// Whether the rejoin grace period runs ([`Conditions::grace`](crate::world::Conditions::grace)).
    #[must_use]
    pub fn in_grace(&self) -> bool {
        self.grace
    }

    /// Takes a validated request over. Call [`pass`](Self::pass) afterwards.
    pub fn apply(&mut self, now: impl Into<Moment>, change: &NodeChange, world: &dyn World) {
        let now = now.into();
        if let Some(status) = &change.status {
            self.set_status(now, status.clone());
        }
        if let Some(target) = &change.local_expect
            && self.monitor.local_expect != *target
        {
            self.monitor.local_expect.clone_from(target);
            self.monitor.local_expect_updated = Some(now.wall);
        }
        if let Some(target) = &change.global_expect
            && self.monitor.global_expect != *target
        {
            // A new word goes before the ones that it replaces, also where the clocks of those who gave them are ahead.
            let own = [self.monitor.global_expect_updated_origin];
            let words = live_nodes(world).filter_map(|(_, data)| data.monitor.as_ref());
            let words = words.map(|monitor| monitor.global_expect_updated_origin);
            self.set_target(now, target.clone(), now.newer_than(words.chain(own)));
        }
    }

    /// The daemon is about to end, and leaves the instances running. Nothing is decided from then on.
    pub fn announce(&mut self, now: impl Into<Moment>, upgrade: bool) {
        let status =
            if upgrade { NodeMonitorStatus::Upgrade } else { NodeMonitorStatus::Maintenance };
        self.set_status(now.into(), status);
    }

    /// The instances are to be shut down, then the daemon. [`NodeEffect::Released`] tells when they are.
    pub fn shut_down(&mut self, now: impl Into<Moment>) {
        self.set_status(now.into(), NodeMonitorStatus::Shutting);
        self.to_ask = true;
        self.is_released = false;
    }

    /// The instances are to be shut down, and the node frozen. [`NodeEffect::Released`] tells when it is done.
    pub fn drain(&mut self, now: impl Into<Moment>) {
        self.begin_drain(now.into());
        self.freeze("drain", None);
    }

    /// The same, as its split action: the nodes that come back are not to follow its freeze.
    pub fn drain_after_split(&mut self, now: impl Into<Moment>) {
        self.begin_drain(now.into());
        self.freeze_itself("split", NodeData::FROZEN_BY_SPLIT);
    }

    fn begin_drain(&mut self, now: Moment) {
        self.set_status(now, NodeMonitorStatus::Draining);
        self.to_ask = true;
        self.is_released = false;
    }

    /// Looks at everything and decides the next step.
    pub fn pass(&mut self, now: impl Into<Moment>, world: &dyn World) -> Vec<NodeEffect> {
        let now = now.into();
        if let Some(reason) = self.freeze_at_start.take() {
            self.freeze(reason, None);
        }
        self.follow_standing(world);
        if self.monitor.status == NodeMonitorStatus::Init && self.are_instances_evaluated(world) {
            self.set_status(now, NodeMonitorStatus::Rejoin);
        }
        if self.grace && self.monitor.status != NodeMonitorStatus::Init {
            self.check_grace(now, world);
        }
        self.follow_target(now, world);
        self.thaw_itself(world);
        match self.monitor.status {
            NodeMonitorStatus::Draining | NodeMonitorStatus::Shutting => self.release(now, world),
            NodeMonitorStatus::Init
            | NodeMonitorStatus::Rejoin
            | NodeMonitorStatus::Idle
            | NodeMonitorStatus::Maintenance
            | NodeMonitorStatus::Upgrade
            | NodeMonitorStatus::Freezing
            | NodeMonitorStatus::Thawing
            | NodeMonitorStatus::Other(_) => {}
        }
        let mut effects = std::mem::take(&mut self.effects);
        if self.published.as_ref() != Some(&self.monitor) {
            self.published = Some(self.monitor.clone());
            effects.insert(0, NodeEffect::Publish(Box::new(self.monitor.clone())));
        }
        effects
    }

    /// Freezes a node that the members took out, once: it stays so when they take it back, until somebody thaws it.
    fn follow_standing(&mut self, world: &dyn World) {
        let is_left_out = world.conditions().standing == Standing::LeftOut;
        let was_left_out = std::mem::replace(&mut self.is_left_out, is_left_out);
        if is_left_out && !was_left_out && !self.is_frozen(world) {
            self.freeze("left_out", None);
        }
    }

    fn set_status(&mut self, now: Moment, status: NodeMonitorStatus) {
        if self.monitor.status != status {
            self.monitor.status = status;
            self.monitor.status_updated = Some(now.wall);
            self.status_since = now.steady;
        }
    }

    fn set_target(&mut self, now: Moment, target: Option<GlobalExpect>, origin: Timestamp) {
        self.monitor.global_expect_updated = Some(now.wall);
        if target.is_some() {
            self.monitor.global_expect_updated_origin = Some(origin);
        }
        self.monitor.global_expect = target;
    }

    fn freeze(&mut self, reason: &'static str, peer: Option<&NodeName>) {
        self.asked_frozen = Some(true);
        self.effects.push(NodeEffect::Freeze);
        let event = Event { peer: peer.cloned(), ..Event::new("node_freeze", reason) };
        self.effects.push(NodeEffect::Event(event));
    }

    /// By its own decision.
    fn freeze_itself(&mut self, event: &'static str, reason: &'static str) {
        self.asked_frozen = Some(true);
        self.effects.push(NodeEffect::FreezeItself(reason));
        self.effects.push(NodeEffect::Event(Event::new("node_freeze", event)));
    }

    fn thaw(&mut self, reason: &'static str) {
        self.asked_frozen = Some(false);
        self.effects.push(NodeEffect::Thaw);
        self.effects.push(NodeEffect::Event(Event::new("node_thaw", reason)));
    }

    /// As the node data show it, or as it was asked for.
    fn is_frozen(&mut self, world: &dyn World) -> bool {
        let frozen = world.node(world.local_node()).and_then(|data| data.frozen);
        let is_frozen = frozen.is_some_and(|time| time.0 != 0.0);
        if self.asked_frozen == Some(is_frozen) {
            self.asked_frozen = None;
        }
        self.asked_frozen.unwrap_or(is_frozen)
    }

    /// Whether the local node is frozen by its own decision.
    fn has_frozen_itself(&mut self, world: &dyn World) -> bool {
        let is_marked = world.node(world.local_node()).is_some_and(NodeData::has_frozen_itself);
        self.is_taken_over &= is_marked;
        is_marked && !self.is_taken_over
    }

    fn are_instances_evaluated(&self, world: &dyn World) -> bool {
        // What an earlier life of the daemon found is not in the cluster data: what is there was evaluated in this one.
        world.local_objects().into_iter().all(|path| {
            world.instance(world.local_node(), path).is_some_and(InstanceStatus::is_known)
        })
    }

    /// Takes the newest node target over, sees it through, and drops it when all nodes are there.
    fn follow_target(&mut self, now: Moment, world: &dyn World) {
        let mut newest = self
            .monitor
            .global_expect
            .as_ref()
            .and(self.monitor.global_expect_updated_origin)
            .unwrap_or_default();
        let mut found = None;
        for (node, data) in live_nodes(world) {
            let Some(monitor) = data.monitor.as_ref().filter(|_| node != world.local_node()) else {
                continue;
            };
            let origin = monitor.global_expect_updated_origin.unwrap_or_default();
            if let Some(target @ (GlobalExpect::Frozen | GlobalExpect::Thawed)) =
                &monitor.global_expect
                && origin > newest
            {
                newest = origin;
                found = Some(target);
            }
        }
        let is_frozen = self.is_frozen(world);
        if let Some(target) = found
            && is_frozen != (*target == GlobalExpect::Frozen)
        {
            self.set_target(now, Some(target.clone()), newest);
        }
        let wanted = match self.monitor.global_expect {
            Some(GlobalExpect::Frozen) => true,
            Some(GlobalExpect::Thawed) => false,
            _ => return,
        };
        let is_reached = live_nodes(world)
            .filter_map(|(_, data)| data.frozen)
            .all(|time| (time.0 != 0.0) == wanted);
        // What was the node's own decision becomes the operator's.
        let is_own = is_frozen && wanted && self.has_frozen_itself(world);
        self.is_taken_over |= is_own;
        if is_reached {
            self.set_target(now, None, newest);
        }
        let is_to_act = is_own || !is_reached && is_frozen != wanted;
        if is_to_act && self.monitor.status == NodeMonitorStatus::Idle {
            if wanted {
                self.freeze("target", None);
            } else {
                self.thaw("target");
            }
        }
    }

    /// Asks the instances to shut down, and tells when all have.
    fn release(&mut self, now: Moment, world: &dyn World) {
        if std::mem::take(&mut self.to_ask) {
            for path in to_shut_down(world) {
                let instance = world.instance(world.local_node(), &path);
                let monitor = instance.and_then(|instance| instance.monitor.as_ref());
                let before = monitor.and_then(|m| m.local_expect_updated);
                self.asked.insert(path.clone(), Asked { now, before });
                self.effects.push(NodeEffect::SetInstance {
                    path,
                    change: Change::local(LocalExpect::Shutdown),
                });
            }
            if !self.asked.is_empty() {
                return;
            }
        }
        if !self.are_instances_released(now, world) {
            if !self.asked.is_empty() {
                self.effects.push(NodeEffect::WakeAfter(ASKED_SECS));
            }
            return;
        }
        if self.monitor.status == NodeMonitorStatus::Draining {
            let left = DRAINING_SECS - now.since(self.status_since);
            if left > 0.0 {
                self.effects.push(NodeEffect::WakeAfter(left + ALARM_MARGIN_SECS));
                return;
            }
            self.set_status(now, NodeMonitorStatus::Idle);
        }
        if !std::mem::replace(&mut self.is_released, true) {
            self.effects.push(NodeEffect::Released);
        }
    }

    fn are_instances_released(&mut self, now: Moment, world: &dyn World) -> bool {
        let monitor = |path: &ObjectPath| {
            world.instance(world.local_node(), path).and_then(|status| status.monitor.as_ref())
        };
        // Asked, and the published data are from after: the target is theirs.
        self.asked.retain(|path, asked| monitor(path).is_some_and(|it| !asked.is_heard(now, it)));
        self.asked.is_empty()
            && world.local_objects().into_iter().filter_map(monitor).all(|monitor| {
                monitor.local_expect != Some(LocalExpect::Shutdown)
                    || monitor.status == MonitorStatus::ShutdownFailed
            })
    }
}

/// An instance that was asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Asked {
    now: Moment,
    /// When its target had changed last.
    before: Option<Timestamp>,
}

impl Asked {
    /// Whether its monitor tells of it. Its time is that of a clock that may have been set back meanwhile: another time than
    /// before has to do after a while.
    fn is_heard(&self, now: Moment, monitor: &InstanceMonitor) -> bool {
        let updated = monitor.local_expect_updated;
        let is_later = updated.is_some_and(|updated| updated >= self.now.wall);
        let is_other = updated != self.before && now.since(self.now.steady) >= ASKED_SECS;
        is_later || is_other || monitor.local_expect == Some(LocalExpect::Shutdown)
    }
}

/// Whether the local node is in its start, and runs nothing that another side of a split may have started, as far as is
/// known: it starts nothing by itself, and what it finds running is judged at the end of its rejoin grace period.
#[must_use]
pub fn has_nothing_to_lose(world: &dyn World) -> bool {
    let monitor = world.node(world.local_node()).and_then(|data| data.monitor.as_ref());
    Life::of(monitor.map(|monitor| &monitor.status)) == Life::New && !runs_what_is_at_stake(world)
}

fn runs_what_is_at_stake(world: &dyn World) -> bool {
    let is_at_stake = |path: &ObjectPath| {
        world.settings(path).is_some_and(is_exclusive)
            && world
                .instance(world.local_node(), path)
                .is_some_and(|status| matches!(status.avail, Some(Status::Up | Status::Warn)))
    };
    world.local_objects().into_iter().any(is_at_stake)
}
