//! Machines, a network and a clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use model::{
    ConfigEntry, GlobalExpect, MonitorStatus, NodeData, NodeName, ObjectPath, Timestamp, Topology,
};
use monitor::{
    Action, Change, Effect, NodeEffect, ObjectRequest, RunId, World, set_service_monitor,
};

use crate::node::{Machine, Shared};
use crate::random::Random;

/// More passes than this at one instant, and nothing ever settles.
const PASSES_AT_ONCE: usize = 60;

/// More happenings than this, and the clock stands still.
const HAPPENINGS_PER_SEC: u64 = 2000;

#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// Sends the data of a machine to the others, and looks for stale ones.
    Beat {
        machine: usize,
    },
    Message {
        from: usize,
        to: usize,
        version: u64,
        data: Box<NodeData>,
    },
    Alarm {
        machine: usize,
        incarnation: u32,
    },
    Evaluated {
        machine: usize,
        incarnation: u32,
    },
    Done {
        machine: usize,
        boot: u32,
        incarnation: u32,
        path: ObjectPath,
        id: RunId,
        action: Action,
        ok: bool,
    },
    Boot {
        machine: usize,
    },
    StopDaemon {
        machine: usize,
        incarnation: u32,
    },
    StartDaemon {
        machine: usize,
    },
    Configure {
        machine: usize,
        path: ObjectPath,
        config: ConfigEntry,
    },
    Heal,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) random: Random,
    pub(crate) now: f64,
    pub(crate) shared: Shared,
    pub(crate) machines: Vec<Machine>,
    /// Side of each machine while the network is split.
    pub(crate) sides: Vec<u8>,
    /// Some instance may be active twice for a good reason.
    pub(crate) was_split: bool,
    /// Chance that an action fails.
    pub(crate) failure_percent: usize,
    pub(crate) commands: Vec<(f64, NodeName, ObjectPath, Vec<String>)>,
    queue: BinaryHeap<(Reverse<u64>, Reverse<u64>, usize)>,
    happenings: BTreeMap<usize, Happening>,
    sequence: u64,
    version: u64,
    configured: u64,
    /// Starts under way, to see two at once.
    starting: BTreeSet<(ObjectPath, usize)>,
}

impl Cluster {
    pub(crate) fn new(seed: u64, shared: Shared) -> Self {
        let machines: Vec<Machine> =
            shared.cluster.iter().map(|name| Machine::new(name.clone(), &shared)).collect();
        let count = machines.len();
        let mut cluster = Self {
            random: Random::new(seed),
            now: 1_000_000_000.0,
            shared,
            machines,
            sides: vec![0; count],
            was_split: false,
            failure_percent: 0,
            commands: vec![],
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            version: 0,
            configured: 0,
            starting: BTreeSet::new(),
        };
        for machine in 0..count {
            let delay = cluster.random.between(0.0, 1.0);
            cluster.after(delay, Happening::StartDaemon { machine });
            cluster.after(delay, Happening::Beat { machine });
        }
        cluster
    }

    pub(crate) fn after(&mut self, delay: f64, happening: Happening) {
        let at = ((self.now + delay) * 1e6) as u64;
        self.sequence += 1;
        let slot = self.sequence as usize;
        self.happenings.insert(slot, happening);
        self.queue.push((Reverse(at), Reverse(self.sequence), slot));
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, secs: f64) {
        let end = self.now + secs;
        let most = self.sequence + HAPPENINGS_PER_SEC * (secs as u64 + 1);
        while let Some((Reverse(at), _, _)) = self.queue.peek() {
            let at = *at as f64 / 1e6;
            if at > end {
                break;
            }
            assert!(self.sequence < most, "too much happens at {}", self.now);
            let (_, _, slot) = self.queue.pop().expect("just seen");
            self.now = self.now.max(at);
            let happening = self.happenings.remove(&slot).expect("queued with its slot");
            self.happen(happening);
            self.check();
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Beat { machine } => {
                let delay = self.random.between(0.3, 0.6);
                self.after(delay, Happening::Beat { machine });
                if self.machines[machine].daemon.is_some() {
                    if self.machines[machine].forget_stale(self.now) {
                        self.pass(machine);
                    }
                    if self.machines[machine].has_news(self.now) {
                        self.send(machine);
                    }
                }
            }
            Happening::Message { from, to, version, data } => {
                let name = self.machines[from].name.clone();
                let is_reached =
                    self.machines[to].daemon.is_some() && self.sides[from] == self.sides[to];
                if is_reached && self.machines[to].receive(self.now, &name, version, *data) {
                    self.pass(to);
                }
            }
            Happening::Alarm { machine, incarnation } => {
                if self.machines[machine].incarnation == incarnation {
                    self.pass(machine);
                }
            }
            Happening::Evaluated { machine, incarnation } => {
                if self.machines[machine].incarnation == incarnation
                    && self.machines[machine].daemon.is_some()
                {
                    self.evaluate_all(machine);
                    self.pass(machine);
                }
            }
            Happening::Done { machine, boot, incarnation, path, id, action, ok } => {
                self.starting.remove(&(path.clone(), machine));
                if self.machines[machine].boot == boot {
                    self.finish(machine, incarnation, &path, id, &action, ok);
                }
            }
            Happening::Boot { machine } | Happening::StartDaemon { machine } => {
                if self.machines[machine].daemon.is_none() {
                    self.machines[machine].start_daemon(self.now, &self.shared);
                    let incarnation = self.machines[machine].incarnation;
                    let delay = self.random.between(0.2, 1.5);
                    self.after(delay, Happening::Evaluated { machine, incarnation });
                    self.pass(machine);
                }
            }
            Happening::StopDaemon { machine, incarnation } => {
                if self.machines[machine].incarnation == incarnation {
                    self.machines[machine].daemon = None;
                }
            }
            Happening::Configure { machine, path, config } => {
                // In the order in which they were written.
                if self.machines[machine].configs[&path].csum < config.csum {
                    self.machines[machine].configure(&path, config);
                    self.pass(machine);
                }
            }
            Happening::Heal => self.sides.iter_mut().for_each(|side| *side = 0),
        }
    }

    fn send(&mut self, from: usize) {
        self.version += 1;
        let version = self.version;
        let data = self.machines[from].own().clone();
        for to in 0..self.machines.len() {
            if to != from && self.sides[from] == self.sides[to] {
                let delay = self.random.between(0.02, 0.8);
                let data = Box::new(data.clone());
                self.after(delay, Happening::Message { from, to, version, data });
            }
        }
    }

    pub(crate) fn evaluate_all(&mut self, machine: usize) {
        let paths: Vec<ObjectPath> = self.shared.settings.keys().cloned().collect();
        for path in paths {
            self.machines[machine].evaluate(self.now, &path, &self.shared);
        }
    }

    /// Lets the cores of a machine decide until nothing changes any more.
    pub(crate) fn pass(&mut self, machine: usize) {
        let now = self.machines[machine].moment(self.now);
        for round in 0.. {
            let name = &self.machines[machine].name;
            assert!(round < PASSES_AT_ONCE, "{name} never settles:\n{}", crate::show(self));
            self.machines[machine].aggregate(&self.shared);
            let Some(mut daemon) = self.machines[machine].daemon.take() else { return };
            let effects = {
                // Conditions need the daemon: lend it back while the node core looks.
                let mut core = daemon.core.clone();
                self.machines[machine].daemon = Some(daemon);
                let effects = core.pass(now, &self.machines[machine].eyes(&self.shared));
                daemon = self.machines[machine].daemon.take().expect("lent above");
                daemon.core = core;
                effects
            };
            self.machines[machine].daemon = Some(daemon);
            let mut is_changed = false;
            for effect in effects {
                is_changed |= self.carry_out_on_node(machine, effect);
            }
            let mut paths: Vec<ObjectPath> = self.shared.settings.keys().cloned().collect();
            paths.sort_by_key(|path| self.shared.settings[path].priority);
            for path in paths {
                let core = |c: &mut Self| {
                    c.machines[machine].daemon.as_ref().map(|d| d.instances[&path].clone())
                };
                let Some(mut core) = core(self) else { return };
                let effects = core.pass(now, &self.machines[machine].eyes(&self.shared));
                let daemon = self.machines[machine].daemon.as_mut().expect("seen above");
                daemon.instances.insert(path.clone(), core);
                for effect in effects {
                    is_changed |= self.carry_out(machine, &path, effect);
                }
            }
            if !is_changed {
                return;
            }
        }
    }

    fn carry_out(&mut self, machine: usize, path: &ObjectPath, effect: Effect) -> bool {
        match effect {
            Effect::Publish(monitor) => {
                self.machines[machine].publish(path, *monitor);
                return true;
            }
            Effect::Run { id, action } => self.start(machine, path, id, action),
            Effect::WakeAfter(delay) => {
                let incarnation = self.machines[machine].incarnation;
                self.after(delay, Happening::Alarm { machine, incarnation });
            }
            Effect::Disown
            | Effect::Remove
            | Effect::SetOther { .. }
            | Effect::CreateSlice { .. }
            | Effect::ResizeSlice { .. } => panic!("nothing is deleted, nothing scales"),
            Effect::LoseSplit => panic!("quorum is off"),
            Effect::EndAction | Effect::WaitSlot | Effect::Event(_) | Effect::Warn(_) => {}
        }
        false
    }

    fn carry_out_on_node(&mut self, machine: usize, effect: NodeEffect) -> bool {
        match effect {
            NodeEffect::Publish(monitor) => self.machines[machine].own().monitor = Some(*monitor),
            NodeEffect::Freeze | NodeEffect::FreezeItself(_) => self.freeze_node(machine, true),
            NodeEffect::Thaw => self.freeze_node(machine, false),
            NodeEffect::FreezeInstance(path) => {
                let frozen = self.machines[machine].clock(self.now);
                self.machines[machine].real.get_mut(&path).expect("configured").frozen = frozen;
                self.machines[machine].evaluate(self.now, &path, &self.shared);
            }
            NodeEffect::SetInstance { path, change } => self.apply(machine, &path, &change),
            NodeEffect::LoseSplit => panic!("quorum is off"),
            NodeEffect::WakeAfter(_) | NodeEffect::Released | NodeEffect::Event(_) => return false,
        }
        true
    }

    pub(crate) fn freeze_node(&mut self, machine: usize, is_frozen: bool) {
        let frozen =
            if is_frozen { self.machines[machine].clock(self.now) } else { Timestamp::NEVER };
        self.machines[machine].frozen = frozen;
        if self.machines[machine].daemon.is_some() {
            self.machines[machine].own().frozen = Some(frozen);
        }
    }

    pub(crate) fn apply(&mut self, machine: usize, path: &ObjectPath, change: &Change) {
        let Some(daemon) = &self.machines[machine].daemon else { return };
        let mut core = daemon.instances[path].clone();
        core.apply(
            self.machines[machine].moment(self.now),
            change,
            &self.machines[machine].eyes(&self.shared),
        );
        let daemon = self.machines[machine].daemon.as_mut().expect("seen above");
        daemon.instances.insert(path.clone(), core);
    }

    fn start(&mut self, machine: usize, path: &ObjectPath, id: RunId, action: Action) {
        let name = self.machines[machine].name.clone();
        self.commands.push((self.now, name, path.clone(), action.argv()));
        if matches!(action, Action::Start | Action::Restart | Action::StartResources { .. }) {
            self.starting.insert((path.clone(), machine));
        }
        let ok = !self.random.happens(self.failure_percent);
        let delay = self.random.between(0.1, 4.0);
        let (boot, incarnation) = (self.machines[machine].boot, self.machines[machine].incarnation);
        let path = path.clone();
        self.after(delay, Happening::Done { machine, boot, incarnation, path, id, action, ok });
    }

    /// An action ends: what it did becomes real, then the core hears of it.
    fn finish(
        &mut self,
        machine: usize,
        incarnation: u32,
        path: &ObjectPath,
        id: RunId,
        action: &Action,
        ok: bool,
    ) {
        let now = self.machines[machine].moment(self.now);
        let real = self.machines[machine].real.get_mut(path).expect("configured");
        let mut is_switched = false;
        match action {
            Action::Start | Action::Restart if ok => real.set_all(true),
            Action::Start => real.set_all(false),
            Action::Stop { .. } | Action::Shutdown | Action::Unprovision { .. } if ok => {
                real.set_all(false);
                real.is_provisioned &= !matches!(action, Action::Unprovision { .. });
            }
            Action::Provision { .. } if ok => {
                real.is_provisioned = true;
                // As the command does: what it started alone is rolled back.
            }
            Action::Freeze => real.frozen = now.wall,
            Action::Thaw | Action::ThawAll => real.frozen = Timestamp::NEVER,
            Action::StartResources { rids, .. } if ok => {
                for rid in rids {
                    real.resources.insert(rid.clone(), true);
                }
            }
            Action::Toc if ok => {
                real.set_all(false);
                is_switched = true;
            }
            _ => {}
        }
        if self.machines[machine].daemon.is_none() {
            return;
        }
        self.machines[machine].evaluate(self.now, path, &self.shared);
        // The daemon that asked is gone: the next one evaluates, and knows nothing of the run.
        if self.machines[machine].incarnation == incarnation {
            if is_switched {
                let change = Change {
                    status: Some(MonitorStatus::StartFailed),
                    ..Change::target(GlobalExpect::Placed)
                };
                self.apply(machine, path, &change);
            }
            let daemon = self.machines[machine].daemon.as_ref().expect("seen above");
            let mut core = daemon.instances[path].clone();
            let code = i32::from(!ok);
            core.on_action_done(now, id, code, &self.machines[machine].eyes(&self.shared));
            let daemon = self.machines[machine].daemon.as_mut().expect("seen above");
            daemon.instances.insert(path.clone(), core);
        }
        self.pass(machine);
    }

    /// An operator asks a node to set a target.
    pub(crate) fn request(&mut self, machine: usize, path: &ObjectPath, target: &str) {
        if self.machines[machine].daemon.is_none() {
            return;
        }
        let request = ObjectRequest {
            path: path.to_string(),
            global_expect: Some(target.to_owned()),
            ..ObjectRequest::default()
        };
        let eyes = self.machines[machine].eyes(&self.shared);
        if eyes.instance(eyes.local_node(), path).is_none() {
            return;
        }
        let (_, changes) = set_service_monitor(&eyes, &request);
        for (path, change) in changes {
            self.apply(machine, &path, &change);
        }
        self.pass(machine);
    }

    /// An operator edits a configuration, and all machines get it.
    pub(crate) fn configure(&mut self, path: &ObjectPath, updated: Timestamp) {
        self.configured += 1;
        for machine in 0..self.machines.len() {
            let delay = self.random.between(0.0, 2.0);
            let config = crate::config(self.configured, updated);
            self.after(delay, Happening::Configure { machine, path: path.clone(), config });
        }
    }

    /// The machine loses power.
    pub(crate) fn crash(&mut self, machine: usize) {
        let victim = &mut self.machines[machine];
        victim.boot += 1;
        victim.incarnation += 1;
        victim.daemon = None;
        victim.real.values_mut().for_each(|real| real.set_all(false));
        self.starting.retain(|(_, on)| *on != machine);
    }

    /// What must hold at any time.
    fn check(&self) {
        for (path, settings) in &self.shared.settings {
            if settings.topology == Topology::Failover && !self.was_split {
                let active: Vec<&str> = self
                    .machines
                    .iter()
                    .enumerate()
                    .filter(|(index, machine)| {
                        machine.real[path].is_active()
                            || self.starting.contains(&(path.clone(), *index))
                    })
                    .map(|(_, machine)| machine.name.as_str())
                    .collect();
                assert!(active.len() <= 1, "{path} is active on {active:?} at {}", self.now);
            }
            for machine in &self.machines {
                let Some(daemon) = &machine.daemon else { continue };
                for (rid, counter) in &daemon.instances[path].monitor().restart {
                    let allowed = settings.resources[rid].restart;
                    let name = &machine.name;
                    assert!(counter.retries <= allowed + 1, "{path} {rid} on {name}: {counter:?}");
                }
            }
        }
    }
}
