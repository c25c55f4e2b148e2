//! The monitor of one local instance: what it does now, what it is asked to reach, and the next step.
//!
//! One file per part of a pass, in its order: [`adoption`] (targets of peers), [`resource_restarts`] (resources),
//! [`completion`] (targets reached), [`leaving`] (the node stops), [`steps`] (towards a target), [`automatic`]
//! (without one), [`announcement`] (who knows of a start), [`scaler`]. Before them all, [`quorate`] looks whether the object may run here at all.
//! [`asked`] takes a request over, [`ended`] how an action ended. [`doing`], [`relations`] and [`rules`] are what they share; [`pacing`] holds up what is in
//! vain.

pub(crate) mod acceptance;
mod adoption;
mod announced;
mod announcement;
pub(crate) mod asked;
mod automatic;
mod completion;
mod cx;
mod doing;
mod ended;
mod leaving;
mod pacing;
mod quorate;
mod relations;
mod resource_restarts;
pub(crate) mod rules;
mod scaler;
mod slices;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{
    GlobalExpect, InstanceMonitor, LocalExpect, MonitorStatus, NodeMonitorStatus, NodeName,
    ObjectPath, ObjectSettings, Restart, Status, Timestamp,
};

use crate::effect::{Action, Effect, RunId};
use crate::hold::Hold;
use crate::instance::announced::Announced;
use crate::instance::cx::Cx;
use crate::instance::pacing::{Looks, Pacing};
use crate::instance::rules::{drops_target, is_transition};
use crate::instance::slices::Slices;
use crate::moment::Moment;
use crate::placement::{Filters, candidates, is_leader};
use crate::standing::Standing;
use crate::world::{Conditions, ObjectView, Unseen, World};

/// Added to every alarm: one that rings a rounding error too early would set itself again and again.
pub(crate) const ALARM_MARGIN_SECS: f64 = 0.01;

/// What is to happen when a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    /// What the action says by itself.
    Plain,
    /// A failed start is a failed placement.
    Placed,
    /// Delete when unprovisioned; a failure is a failed purge.
    Purge,
}

/// When the target of an instance changed, and when it was evaluated, by the clock of its node.
type Looked = (Timestamp, Timestamp);

/// When the monitor data changed here, as far as this core knows. What they publish of it are times of the wall clock.
#[derive(Debug, Clone, Default)]
struct Since {
    status: Option<Duration>,
    /// When an announced start that is due was to be looked at again.
    look: Option<Duration>,
    target: Option<Duration>,
    restarts: BTreeMap<String, Duration>,
    /// Resources that are well, as far as they are supervised.
    up: BTreeMap<String, Duration>,
}

impl Since {
    /// What is not known of data of an earlier life follows from what they tell.
    fn complete(&mut self, now: Moment, monitor: &InstanceMonitor) {
        let at = |time: Option<Timestamp>| now.steady_at(time.unwrap_or(now.wall));
        self.status.get_or_insert_with(|| at(monitor.status_updated));
        self.target.get_or_insert_with(|| at(monitor.global_expect_updated));
        for (rid, counter) in &monitor.restart {
            if !self.restarts.contains_key(rid) {
                self.restarts.insert(rid.clone(), now.steady_at(counter.updated));
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Run {
    action: Action,
    then: Then,
    /// The target and the instance when it was taken, for what is paced.
    before: Option<(Option<GlobalExpect>, Looks)>,
}

/// The monitor of one local instance.
///
/// Use: [`apply`](Self::apply) a validated request, [`on_action_done`](Self::on_action_done) when a run ends, then
/// [`pass`](Self::pass), as on any change of what the object sees and on every alarm.
#[derive(Debug, Clone)]
pub struct InstanceCore {
    path: ObjectPath,
    monitor: InstanceMonitor,
    /// As last published.
    published: Option<InstanceMonitor>,
    runs: BTreeMap<RunId, Run>,
    next_run: u64,
    /// Targets given up here that these peers had then, and when they had set them. They are not taken over again:
    /// the peers drop them when they see why.
    given_up: BTreeMap<NodeName, (GlobalExpect, Option<Timestamp>)>,
    /// To be returned by the pass under way, or by the next one.
    effects: Vec<Effect>,
    /// Why the last pass did nothing, or waits; none while nobody wants to know.
    holds: Option<Vec<Hold>>,
    /// Instances that were not evaluated since their target changed, how they looked, and since when they look so here.
    unsettled: BTreeMap<NodeName, (Looked, Duration)>,
    /// The last pass would have started an action, and waits for its turn.
    waits_slot: bool,
    pacing: Pacing,
    slices: Slices,
    since: Since,
    /// How often each peer had not seen this node, as of the last pass.
    unseen: BTreeMap<NodeName, Unseen>,
    /// The object was active here while this node had no quorum.
    had_no_quorum: bool,
    /// Peers that have not seen this node while the object was active here, and may have started it; whether that was
    /// before they first saw it.
    deposed_by: BTreeMap<NodeName, bool>,
    /// Peers that have decided from what this node tells, at some time.
    met: BTreeSet<NodeName>,
    /// `cluster.nodes` as of the last pass.
    members: Vec<NodeName>,
    /// Peers that the cluster took in, and that have not decided from what this node tells yet.
    joiners: BTreeSet<NodeName>,
    /// This node was alone, and is a member of a cluster now; not all of its peers have decided from what it tells yet.
    has_joined: bool,
    /// The abort that ended what runs: its time.
    ended_for: Option<Timestamp>,
    /// The announced start, once it is published.
    announced: Option<Announced>,
}

impl InstanceCore {
    /// Starts from the monitor data that the cluster data still have, if any. The status is kept, and the runs are not
    /// known: if it tells of an action, whoever finds that action or its end sets the status, as a request would.
    #[must_use]
    pub fn new(path: ObjectPath, monitor: Option<InstanceMonitor>) -> Self {
        Self {
            path,
            monitor: monitor.unwrap_or_default(),
            published: None,
            runs: BTreeMap::new(),
            next_run: 0,
            given_up: BTreeMap::new(),
            effects: vec![],
            holds: None,
            waits_slot: false,
            pacing: Pacing::default(),
            slices: Slices::default(),
            since: Since::default(),
            unsettled: BTreeMap::new(),
            unseen: BTreeMap::new(),
            had_no_quorum: false,
            deposed_by: BTreeMap::new(),
            met: BTreeSet::new(),
            members: vec![],
            joiners: BTreeSet::new(),
            has_joined: false,
            ended_for: None,
            announced: None,
        }
    }

    /// Goes on with the restarts that an earlier daemon counted.
    #[must_use]
    pub fn with_restarts(mut self, restarts: BTreeMap<String, Restart>) -> Self {
        if self.monitor.restart.is_empty() {
            self.monitor.restart = restarts;
        }
        self
    }

    /// Has each pass note why it does nothing, or waits: [`holds`](Self::holds).
    #[must_use]
    pub fn explaining(mut self) -> Self {
        self.holds = Some(vec![]);
        self
    }

    /// Why the last pass did nothing, or waits. Nothing unless asked for with [`explaining`](Self::explaining).
    #[must_use]
    pub fn holds(&self) -> &[Hold] {
        self.holds.as_deref().unwrap_or_default()
    }

    /// The object.
    #[must_use]
    pub fn path(&self) -> &ObjectPath {
        &self.path
    }

    /// The monitor data, as it is now.
    #[must_use]
    pub fn monitor(&self) -> &InstanceMonitor {
        &self.monitor
    }

    /// Actions asked for and not ended.
    pub fn runs(&self) -> impl Iterator<Item = (RunId, &Action)> {
        self.runs.iter().map(|(id, run)| (*id, &run.action))
    }

    /// Looks at everything and decides the next step.
    pub fn pass(&mut self, now: impl Into<Moment>, world: &dyn World) -> Vec<Effect> {
        let now = now.into();
        let mut effects = self.refresh(now, world);
        effects.extend(self.orchestrate(now, world));
        effects
    }

    /// First half of a pass: the local target, the placement, the targets of peers.
    pub fn refresh(&mut self, now: impl Into<Moment>, world: &dyn World) -> Vec<Effect> {
        let now = now.into();
        self.since.complete(now, &self.monitor);
        self.keep_started(now, world);
        self.place(world);
        self.remember_owner_to_fence(world);
        self.adopt(now, world);
        self.end_by_abort();
        self.note_announcement(world);
        self.take_effects()
    }

    /// Second half of a pass: supervision of the resources, then the next step towards the targets.
    pub fn orchestrate(&mut self, now: impl Into<Moment>, world: &dyn World) -> Vec<Effect> {
        let now = now.into();
        self.since.complete(now, &self.monitor);
        if let Some(holds) = &mut self.holds {
            holds.clear();
        }
        let conditions = world.conditions();
        let local = world.local_node();
        let node_status =
            world.node(local).and_then(|data| data.monitor.as_ref()).map(|m| &m.status);
        let is_idle_by_order = matches!(
            node_status,
            None | Some(
                NodeMonitorStatus::Init
                    | NodeMonitorStatus::Maintenance
                    | NodeMonitorStatus::Upgrade
            )
        );
        // What it sees is not what runs: the members do not tell it any more.
        let is_refused = conditions.standing != Standing::Member;
        self.hold_if(is_refused, || Hold::Refused(conditions.standing));
        self.hold_if(conditions.blind, || {
            let is_silent =
                |node: &&NodeName| world.node(node).is_none_or(|data| data.monitor.is_none());
            Hold::Blind(world.cluster_nodes().iter().filter(is_silent).cloned().collect())
        });
        self.hold_if(is_idle_by_order, || Hold::Node(node_status.cloned()));
        if conditions.blind || is_refused || is_idle_by_order {
            return self.take_effects();
        }
        let Some(settings) = world.settings(&self.path) else {
            self.hold(|| Hold::NotConfigured);
            self.wait_for_deletion(now, world);
            return self.take_effects();
        };
        if self.is_split_settled(now, world, settings, conditions) {
            return self.take_effects();
        }
        let is_acting = is_transition(&self.monitor.status);
        let (kept, ready) = (self.clone(), std::mem::take(&mut self.effects));
        self.decide(now, world, settings, conditions);
        // As many actions as allowed are running: what would start one more waits, undecided.
        let starts_one = is_transition(&self.monitor.status) && !is_acting;
        if starts_one && conditions.transitions >= conditions.max_parallel {
            *self = kept;
            self.waits_slot = true;
            let (running, allowed) = (conditions.transitions, conditions.max_parallel);
            self.hold(|| Hold::NoSlot { running, allowed });
            self.effects.push(Effect::WaitSlot);
            return self.take_effects();
        }
        let begun: Vec<RunId> =
            self.runs.keys().filter(|id| id.0 >= kept.next_run).copied().collect();
        let target = kept.monitor.global_expect.clone();
        let paced = begun.iter().find_map(|id| {
            let action = self.runs.get(id)?.action.clone();
            let wait = self.pacing.wait(now, &action, target.as_ref())?;
            Some((action, wait))
        });
        if let Some((action, wait)) = paced {
            let pacing = std::mem::take(&mut self.pacing);
            *self = Self { pacing, ..kept };
            self.hold_up(&action, wait);
            return self.take_effects();
        }
        for id in begun {
            if let Some(run) = self.runs.get_mut(&id).filter(|run| Pacing::concerns(&run.action)) {
                let looks = Looks::of(now, &run.action, &self.path, world);
                run.before = looks.map(|looks| (target.clone(), looks));
            }
        }
        self.waits_slot = false;
        self.effects.splice(0..0, ready);
        self.take_effects()
    }

    fn decide(
        &mut self,
        now: Moment,
        world: &dyn World,
        settings: &ObjectSettings,
        conditions: Conditions,
    ) {
        type Part = fn(&mut InstanceCore, &Cx<'_>) -> bool;
        let parts: [Part; 5] = [
            Self::clear_failed_start,
            Self::refresh_outdated_status,
            Self::leave_alone_what_is_left_over,
            Self::supervise,
            Self::orchestrate_object,
        ];
        let path = self.path.clone();
        for part in parts {
            let before = self.monitor.clone();
            let view = ObjectView::with_monitor(world, &path, Some(&before));
            let aggregate = view.aggregate();
            let cx = Cx { now, view, settings, before: &before, aggregate, conditions };
            if !part(self, &cx) {
                return;
            }
        }
    }

    /// Re-evaluates an instance whose status is of another configuration, and leaves it alone meanwhile.
    fn refresh_outdated_status(&mut self, cx: &Cx<'_>) -> bool {
        let world = cx.view.world;
        let Some(local) = cx.view.local() else { return true };
        let is_outdated = world
            .config(world.local_node(), &self.path)
            .is_some_and(|config| local.status.is_outdated(config, cx.now.wall));
        if !is_outdated || !local.status.is_known() {
            return true;
        }
        let is_running = self.runs.values().any(|run| run.action == Action::Refresh);
        if !is_running && !cx.before.status.is_transitioning() {
            self.start_run(Action::Refresh, Then::Plain);
        }
        self.hold(|| Hold::Outdated);
        false
    }

    /// What runs on of an object that is for other nodes now: targets stop and move it, nothing happens by itself.
    fn leave_alone_what_is_left_over(&mut self, cx: &Cx<'_>) -> bool {
        if cx.settings.peers.contains(cx.view.world.local_node()) {
            return true;
        }
        let may_run = cx
            .local_avail()
            .is_none_or(|avail| matches!(avail, Status::Up | Status::Warn | Status::StdbyUp));
        if may_run {
            self.hold(|| Hold::LeftOver);
        }
        let is_leaving = cx.before.local_expect == Some(LocalExpect::Shutdown);
        if !may_run || cx.before.global_expect.is_some() || is_leaving {
            self.orchestrate_object(cx);
        }
        false
    }

    /// The next step of the object on this node.
    fn orchestrate_object(&mut self, cx: &Cx<'_>) -> bool {
        let status = &cx.before.status;
        self.hold_if(status.is_failed(), || Hold::Failed(status.clone()));
        let is_leaving = matches!(
            cx.node_status(),
            Some(NodeMonitorStatus::Shutting | NodeMonitorStatus::Draining)
        );
        if is_leaving && cx.before.local_expect == Some(LocalExpect::Shutdown) {
            // Not held up by peers: stopping what runs here cannot hurt them.
            self.check_completion(cx);
            self.leave(cx);
            return true;
        }
        let starting = cx::peers_in_init(cx);
        if !starting.is_empty() {
            self.hold(|| Hold::PeerInit(starting));
            return true;
        }
        if let Some(target) =
            cx.before.global_expect.as_ref().filter(|t| **t != GlobalExpect::Aborted)
        {
            let status = &cx.before.status;
            if status.is_failed() {
                if drops_target(status, target, cx.before.is_leader()) {
                    self.give_up_target(cx);
                    return true;
                }
            } else if !rules::is_available(status) {
                self.hold(|| Hold::Acting(status.clone()));
                return true;
            }
        }
        self.check_completion(cx);
        if is_leaving {
            self.hold(|| Hold::Leaving(cx.node_status().cloned().unwrap_or_default()));
            return true;
        }
        match &cx.before.global_expect {
            Some(target) => self.step(cx, target),
            None => self.automatic(cx),
        }
        true
    }

    /// An instance that is up and left alone is to be kept up.
    fn keep_started(&mut self, now: Moment, world: &dyn World) {
        let is_up = world
            .instance(world.local_node(), &self.path)
            .is_some_and(|status| status.avail == Some(Status::Up));
        let is_left_alone = self.monitor.global_expect.is_none()
            && self.monitor.status == MonitorStatus::Idle
            && self.monitor.local_expect.is_none();
        if is_up && is_left_alone {
            self.set_local_expect(now, Some(LocalExpect::Started));
        }
    }

    /// Publishes whether the placement policy wants the object here.
    fn place(&mut self, world: &dyn World) {
        let before = self.monitor.clone();
        let view = ObjectView::with_monitor(world, &self.path, Some(&before));
        let candidates = candidates(&view, Filters::ALL);
        let leader = is_leader(&view, world.local_node(), &candidates);
        self.monitor.placement = if leader { "leader".to_owned() } else { String::new() };
    }

    /// Remembers which node is to be fenced before the object starts here, should that node be lost.
    fn remember_owner_to_fence(&mut self, world: &dyn World) {
        if !world.settings(&self.path).is_some_and(|settings| settings.stonith) {
            return;
        }
        let view = ObjectView::new(world, &self.path);
        if let Some(owner) = view.peers().find(|seen| seen.status.stonith) {
            self.monitor.stonith = Some(owner.node.to_string());
        } else if let Some(recorded) = &self.monitor.stonith {
            // It is there, and has let go.
            if view.peers().any(|seen| seen.node.as_str() == recorded) {
                self.monitor.stonith = None;
            }
        }
    }

    /// The effects so far, after the monitor data if they changed: peers have to know before something runs.
    fn take_effects(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        if self.published.as_ref() != Some(&self.monitor) {
            self.published = Some(self.monitor.clone());
            effects.insert(0, Effect::Publish(Box::new(self.monitor.clone())));
        }
        effects
    }
}
