//! What would happen: the monitors of all nodes decide on a copy of the cluster data.
//!
//! A simplification of what is to come: what a node publishes is seen by all at once, actions succeed as soon as they are
//! started, nothing else happens, and all nodes have the settings of this one. Time jumps from alarm to alarm.

mod acts;
pub(crate) mod outage;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Blocker, Forecast, GlobalExpect, LocalExpect, MonitorStatus, NodeName, ObjectPath, Step,
    Timestamp, Weight,
};

use crate::effect::{Action, Change, Effect, Event, RunId};
use crate::forecast::stage::{Relations, Stage};
use crate::hold::Hold;
use crate::instance::InstanceCore;
use crate::instance::rules::is_transition;
use crate::requests::{ObjectRequest, set_service_monitor};
use crate::world::World;

/// Steps that are followed.
const MOST_STEPS: usize = 200;

/// Passes over all instances at one moment: more, and they never settle.
const MOST_ROUNDS: usize = 100;

/// A step that is taken more often than that goes round in a circle: nobody reads it a hundred times.
const MOST_REPEATS: usize = 3;

/// How far ahead is looked.
const HORIZON_SECS: f64 = 24.0 * 3600.0;

/// How long an action takes: what follows it is later.
const ACTION_SECS: f64 = 0.001;

/// What would happen to an object from now on, if `request` were made, or if nothing were.
#[must_use]
pub fn forecast(
    world: &dyn World,
    now: Timestamp,
    path: &ObjectPath,
    request: Option<&ObjectRequest>,
) -> Forecast {
    let mut play = Play::new(world, now, path);
    let mut forecast = Forecast {
        path: path.clone(),
        node: world.local_node().clone(),
        target: None,
        info: vec![],
        error: vec![],
        steps: vec![],
        is_settled: true,
        outcome: String::new(),
        aggregate: model::Aggregate::default(),
        instances: BTreeMap::new(),
        blockers: vec![],
    };
    if let Some(request) = request {
        let (reply, changes) =
            set_service_monitor(&play.stage.seen_from(play.stage.local()), request);
        let local = play.stage.local().clone();
        for (path, mut change) in changes {
            if let Some(Some(target @ GlobalExpect::Restarted(None))) = &mut change.global_expect {
                *target = GlobalExpect::Restarted(Some(now));
            }
            play.apply(&local, &path, &change);
        }
        forecast.target = reply.global_expect;
        forecast.info = reply.info;
        forecast.error = reply.error;
        if !forecast.error.is_empty() {
            play.end(&mut forecast);
            return forecast;
        }
    }
    forecast.is_settled = play.run();
    play.end(&mut forecast);
    forecast
}

/// An action that runs.
#[derive(Debug)]
enum Running {
    /// Asked for by a core here.
    Ours(RunId, Action),
    /// Published when the copy was made: who runs it is not known.
    Theirs(MonitorStatus),
}

/// One instance.
#[derive(Debug)]
struct Player {
    core: InstanceCore,
    alarm: Option<f64>,
    running: Vec<Running>,
}

type Key = (NodeName, ObjectPath);

/// The copy, and the monitors that decide on it.
#[derive(Debug)]
pub(crate) struct Play {
    path: ObjectPath,
    stage: Stage,
    players: BTreeMap<Key, Player>,
    /// In the order of a pass: by node, then by priority.
    order: Vec<Key>,
    start: Timestamp,
    now: Timestamp,
    pub(crate) steps: Vec<Step>,
    /// The steps are the same ones again and again.
    is_circular: bool,
    /// Scalers that made a slice: what comes of it cannot be told.
    done: BTreeSet<Key>,
    /// What the first pass of each instance of the object noted.
    pub(crate) first_holds: BTreeMap<NodeName, Vec<Hold>>,
}

impl Play {
    pub(crate) fn new(world: &dyn World, now: Timestamp, path: &ObjectPath) -> Self {
        Self::on(Stage::new(world, &Relations::of(world), path), now, path)
    }

    fn on(stage: Stage, now: Timestamp, path: &ObjectPath) -> Self {
        let (mut players, mut order) = (BTreeMap::new(), vec![]);
        for node in stage.live_nodes() {
            for path in &stage.cast {
                let Some(instance) = stage.published(&node, path) else { continue };
                let monitor = instance.monitor.clone();
                let status = monitor.as_ref().map(|monitor| &monitor.status);
                let acts = |s: &&MonitorStatus| is_transition(s) || **s == MonitorStatus::Shutdown;
                let running = status.filter(acts).cloned().map(Running::Theirs);
                let core = InstanceCore::new(path.clone(), monitor).explaining();
                let running = running.into_iter().collect();
                let key = (node.clone(), path.clone());
                players.insert(key.clone(), Player { core, alarm: None, running });
                order.push(key);
            }
        }
        Self {
            path: path.clone(),
            stage,
            players,
            order,
            start: now,
            now,
            steps: vec![],
            is_circular: false,
            done: BTreeSet::new(),
            first_holds: BTreeMap::new(),
        }
    }

    /// The copy as a node sees it.
    pub(crate) fn seen_from<'p>(&'p self, node: &'p NodeName) -> impl World + 'p {
        self.stage.seen_from(node)
    }

    fn apply(&mut self, node: &NodeName, path: &ObjectPath, change: &Change) {
        let eyes = self.stage.seen_from(node);
        if let Some(player) = self.players.get_mut(&(node.clone(), path.clone())) {
            player.core.apply(self.now, change, &eyes);
        }
    }

    /// Until nothing happens any more. False when it was not followed that far.
    pub(crate) fn run(&mut self) -> bool {
        loop {
            let is_settled = self.settle();
            if self.is_circular {
                self.merge_repeats();
                return false;
            }
            if !is_settled || self.steps.len() >= MOST_STEPS {
                self.steps.truncate(MOST_STEPS);
                return false;
            }
            if self.end_actions() {
                continue;
            }
            let next = self.players.values().filter_map(|player| player.alarm).reduce(f64::min);
            match next {
                None => return true,
                Some(at) if at - self.start.0 > HORIZON_SECS => return true,
                Some(at) => self.now = Timestamp(at.max(self.now.0 + ACTION_SECS)),
            }
        }
    }

    /// Keeps the first of each step that is taken again and again.
    fn merge_repeats(&mut self) {
        let mut merged: Vec<Step> = vec![];
        for step in std::mem::take(&mut self.steps) {
            match merged.iter_mut().find(|known| is_same(known, &step)) {
                Some(known) => known.repeats = true,
                None => merged.push(step),
            }
        }
        self.steps = merged;
    }

    /// Lets all monitors decide until none has anything new to say.
    fn settle(&mut self) -> bool {
        for _ in 0..MOST_ROUNDS {
            let mut is_changed = false;
            for key in self.order.clone() {
                is_changed |= self.pass(&key);
            }
            if !is_changed || self.is_circular {
                return true;
            }
        }
        false
    }

    fn pass(&mut self, key: &Key) -> bool {
        let (node, path) = key;
        let eyes = self.stage.seen_from(node);
        let Some(player) = self.players.get_mut(key) else { return false };
        player.alarm = None;
        if self.done.contains(key) {
            return false;
        }
        let before = player.core.monitor().status.clone();
        let effects = player.core.pass(self.now, &eyes);
        if *path == self.path {
            let holds = || player.core.holds().to_vec();
            self.first_holds.entry(node.clone()).or_insert_with(holds);
        }
        let mut is_changed = false;
        let mut events = vec![];
        for effect in effects {
            is_changed |= self.carry_out(key, &before, effect, &mut events);
        }
        is_changed
    }

    fn carry_out(
        &mut self,
        key: &Key,
        before: &MonitorStatus,
        effect: Effect,
        events: &mut Vec<Event>,
    ) -> bool {
        let (node, path) = key;
        match effect {
            Effect::Publish(monitor) => {
                let is_announced =
                    monitor.status.is_waiting() || monitor.status == MonitorStatus::Ready;
                if is_announced && monitor.status != *before {
                    let holds = self.players.get(key).map(|p| p.core.holds()).unwrap_or_default();
                    let hold = holds.iter().find(|hold| hold.weight() != Weight::Normal);
                    let reason = hold.map(ToString::to_string).unwrap_or_default();
                    self.add(key, monitor.status.as_str(), false, reason);
                }
                return self.stage.publish(node, path, &monitor);
            }
            Effect::Run { id, action } => {
                if action != Action::Refresh {
                    let reason = self.why(key, events);
                    self.add(key, &words(&action), true, reason);
                }
                if let Some(player) = self.players.get_mut(key) {
                    player.running.push(Running::Ours(id, action));
                }
            }
            Effect::WakeAfter(secs) => {
                let at = self.now.0 + secs;
                if let Some(player) = self.players.get_mut(key) {
                    player.alarm = Some(player.alarm.map_or(at, |alarm| alarm.min(at)));
                }
            }
            Effect::Event(event) => events.push(event),
            Effect::SetOther { path: other, change } => {
                self.apply(node, &other, &change);
                return true;
            }
            Effect::Disown => {
                self.stage.disown(node, path);
                return true;
            }
            Effect::Remove => {
                self.stage.remove(node, path);
                self.players.remove(key);
                return true;
            }
            // What a new slice would be is written in no configuration yet.
            Effect::CreateSlice { path: slice, .. } => {
                self.add(key, &format!("create {slice}"), true, "scale".to_owned());
                self.done.insert(key.clone());
            }
            Effect::ResizeSlice { path: slice, flex_target } => {
                let what = format!("set {slice} flex_target={flex_target}");
                self.add(key, &what, true, "scale".to_owned());
            }
            Effect::EndAction | Effect::WaitSlot | Effect::LoseSplit | Effect::Warn(_) => {}
        }
        false
    }

    fn add(&mut self, (node, path): &Key, what: &str, is_action: bool, reason: String) {
        // Tenths of a second: what is between them is ours, not the cluster's.
        let after = (self.now.since(self.start) * 10.0).round() / 10.0;
        let step = Step {
            after,
            node: node.clone(),
            object: path.clone(),
            what: what.to_owned(),
            is_action,
            reason,
            repeats: false,
        };
        let times = self.steps.iter().filter(|known| is_same(known, &step)).count();
        self.is_circular |= times >= MOST_REPEATS;
        self.steps.push(step);
    }

    /// Why an action is run, from what the monitor tells of it.
    fn why(&self, key: &Key, events: &[Event]) -> String {
        let monitor = self.players.get(key).map(|player| player.core.monitor());
        let target = match monitor.and_then(|monitor| monitor.global_expect.as_ref()) {
            None => String::new(),
            Some(GlobalExpect::Restarted(_)) => "target restarted".to_owned(),
            Some(target) => format!("target {target}"),
        };
        let Some(event) = events.last() else { return target };
        let rid = event.rid.as_deref().unwrap_or_default();
        match (event.id, event.reason) {
            (_, "target") => target,
            (_, "from_ready") => "unless a peer contests it".to_owned(),
            (_, "single_node") => "it has no other node".to_owned(),
            (_, "flex_threshold") => "more instances run than flex_target".to_owned(),
            ("resource_toc", _) => format!("{rid} is down, its restarts are used up"),
            ("resource_restart" | "stdby_resource_restart", _) => match event.tries {
                Some((tries, allowed)) => format!("{rid} is down, try {tries} of {allowed}"),
                None => format!("{rid} is down"),
            },
            (_, reason) => reason.to_owned(),
        }
    }

    /// Ends all actions that run. Whether there was one.
    fn end_actions(&mut self) -> bool {
        let mut ended = vec![];
        for key in &self.order {
            if let Some(player) = self.players.get_mut(key) {
                ended.extend(player.running.drain(..).map(|running| (key.clone(), running)));
            }
        }
        if ended.is_empty() {
            return false;
        }
        self.now = self.now.plus(ACTION_SECS);
        for (key, running) in ended {
            self.end_action(&key, running);
        }
        true
    }

    fn end_action(&mut self, key: &Key, running: Running) {
        let (node, path) = key;
        let (now, action) = match &running {
            Running::Ours(_, action) => (self.now, Some(action.clone())),
            Running::Theirs(status) => (self.now, acts::action_of(status)),
        };
        let mut switched = None;
        match &action {
            Some(Action::Delete) => self.stage.unconfigure(node, path),
            Some(Action::Toc) => match self.monitor_action(key).as_deref() {
                Some("reboot" | "crash") => {
                    self.stage.lose(node);
                    self.players.retain(|(player, _), _| player != node);
                    return;
                }
                Some("freezestop") => {
                    self.stage.change(node, path, |instance, settings| {
                        acts::carry_out(instance, settings, &Action::Freeze, now);
                        acts::carry_out(instance, settings, &Action::Toc, now);
                    });
                }
                Some("switch") => {
                    self.stage.change(node, path, |instance, settings| {
                        acts::carry_out(instance, settings, &Action::Toc, now);
                    });
                    switched = Some(Change {
                        status: Some(MonitorStatus::StartFailed),
                        ..Change::target(GlobalExpect::Placed)
                    });
                }
                _ => {}
            },
            Some(action) => {
                self.stage.change(node, path, |instance, settings| {
                    acts::carry_out(instance, settings, action, now);
                });
            }
            None => {}
        }
        let eyes = self.stage.seen_from(node);
        let Some(player) = self.players.get_mut(key) else { return };
        if let Some(change) = switched {
            player.core.apply(now, &change, &eyes);
        }
        match running {
            Running::Ours(id, _) => player.core.on_action_done(now, id, 0, &eyes),
            Running::Theirs(_) => {
                let local_expect = match action {
                    Some(Action::Start | Action::Restart) => Some(Some(LocalExpect::Started)),
                    Some(
                        Action::Stop { .. }
                        | Action::Shutdown
                        | Action::Unprovision { .. }
                        | Action::Delete,
                    ) => Some(None),
                    _ => None,
                };
                let change =
                    Change { status: Some(MonitorStatus::Idle), local_expect, ..Change::default() };
                player.core.apply(now, &change, &eyes);
            }
        }
    }

    /// What the monitors of an object noted last.
    fn blockers_of(&self, object: &ObjectPath) -> Vec<Blocker> {
        let of_object = self.players.iter().filter(|((_, path), _)| path == object);
        blockers(of_object.map(|((node, _), player)| (node, player.core.holds())))
    }

    fn monitor_action(&self, (node, path): &Key) -> Option<String> {
        self.stage.settings(node, path)?.monitor_action.clone()
    }

    /// Tells how it ends.
    fn end(self, forecast: &mut Forecast) {
        forecast.aggregate = self.stage.aggregate(&self.path);
        for (node, path) in &self.order {
            let instance = self.stage.published(node, path).filter(|_| *path == self.path);
            if let Some(avail) = instance.and_then(|instance| instance.avail.clone()) {
                forecast.instances.insert(node.clone(), avail);
            }
        }
        forecast.blockers = self.blockers_of(&self.path);
        forecast.outcome = crate::explain::present::outcome(
            &self.stage.seen_from(self.stage.local()),
            &self.path,
            &forecast.blockers,
            self.now,
        );
        forecast.steps = self.steps;
    }
}

/// Whether two steps differ in nothing but their time.
fn is_same(one: &Step, other: &Step) -> bool {
    one.node == other.node
        && one.object == other.object
        && one.what == other.what
        && one.reason == other.reason
}

/// Words of an action for a reader.
fn words(action: &Action) -> String {
    let words = action.argv();
    const OURS: [&str; 5] =
        ["--local", "--disable-rollback", "--purge-collector", "--master", "--slaves"];
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !OURS.contains(word)).collect();
    words.join(" ")
}

/// What monitors noted, each once with its nodes, the weightiest first.
pub(crate) fn blockers<'h>(
    holds: impl Iterator<Item = (&'h NodeName, &'h [Hold])>,
) -> Vec<Blocker> {
    let mut found: Vec<Blocker> = vec![];
    for (node, holds) in holds {
        for hold in holds {
            let (weight, reason) = (hold.weight(), hold.reason());
            match found.iter_mut().find(|blocker| blocker.reason == reason) {
                Some(known) if known.nodes.contains(node) => {}
                Some(known) => known.nodes.push(node.clone()),
                None => {
                    let objects = hold.objects();
                    found.push(Blocker { nodes: vec![node.clone()], weight, reason, objects });
                }
            }
        }
    }
    // What tells nothing but a state comes after what tells why.
    let is_vague =
        |blocker: &Blocker| matches!(blocker.reason.id.as_str(), "avail" | "kept_started");
    found.sort_by_key(|blocker| (blocker.weight, is_vague(blocker)));
    found
}
