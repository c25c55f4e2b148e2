//! The machines together: events in the order of a clock, a network that splits, and what must hold after each event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use model::{GlobalExpect, NodeData, Timestamp};
use monitor::{
    Action, Change, Effect, NodeEffect, ObjectRequest, RunId, World, set_service_monitor,
};

use crate::machine::{Machine, Shared, Verdict};
use crate::random::Random;

/// Between the verdict and the end of the node (cluster.md §h).
pub(crate) const SPLIT_SECS: f64 = 2.0;
/// How late timers ring after a pause.
const TIMER_SECS: f64 = 0.3;
/// More passes than this at one moment, and nothing ever settles.
const PASSES_AT_ONCE: usize = 60;

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Beat { machine: usize, incarnation: u32 },
    Look { machine: usize, incarnation: u32 },
    Message { from: usize, to: usize, version: u64, data: Arc<NodeData> },
    Alarm { machine: usize, incarnation: u32 },
    Evaluated { machine: usize, incarnation: u32 },
    Done { machine: usize, boot: u32, incarnation: u32, id: RunId, action: Action, is_ok: bool },
    StopDaemon { machine: usize, incarnation: u32 },
    StartDaemon { machine: usize, boot: u32 },
    Dies { machine: usize, boot: u32 },
    Boot { machine: usize },
    Heal,
}

impl Event {
    /// Where it happens, if it waits there for the end of a pause.
    fn machine(&self) -> Option<usize> {
        match self {
            Self::Beat { machine, .. }
            | Self::Look { machine, .. }
            | Self::Alarm { machine, .. }
            | Self::Evaluated { machine, .. }
            | Self::Done { machine, .. }
            | Self::StopDaemon { machine, .. }
            | Self::StartDaemon { machine, .. }
            | Self::Dies { machine, .. } => Some(*machine),
            Self::Message { to, .. } => Some(*to),
            Self::Boot { .. } | Self::Heal => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) random: Random,
    pub(crate) now: f64,
    pub(crate) shared: Shared,
    pub(crate) machines: Vec<Machine>,
    /// Side of each machine, then of the arbitrators, while the network is split.
    pub(crate) sides: Vec<u8>,
    pub(crate) failure_percent: usize,
    pub(crate) slowest_secs: f64,
    /// Starts that ran, to see that the history is one.
    pub(crate) starts: usize,
    pub(crate) deaths: usize,
    /// When the network was last split.
    pub(crate) cut_at: f64,
    /// Since when the object is active twice.
    twice_since: Option<f64>,
    /// Longest time that it was.
    pub(crate) longest_twice: f64,
    queue: BinaryHeap<(Reverse<u64>, Reverse<u64>)>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    version: u64,
    /// What each machine sent last, under which number.
    sent: Vec<Option<(Arc<NodeData>, u64)>>,
    trace: Vec<String>,
}

impl History {
    pub(crate) fn new(seed: u64, shared: Shared) -> Self {
        let machines: Vec<Machine> = shared.cluster.iter().cloned().map(Machine::new).collect();
        let count = machines.len();
        let mut history = Self {
            random: Random::new(seed),
            // Far from 0, which means never, whatever the clocks say.
            now: 1_000_000.0,
            shared,
            machines,
            sides: vec![0; count + 1],
            failure_percent: 0,
            slowest_secs: 4.0,
            starts: 0,
            deaths: 0,
            cut_at: 0.0,
            twice_since: None,
            longest_twice: 0.0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            version: 0,
            sent: vec![None; count],
            trace: vec![],
        };
        for machine in 0..count {
            let delay = history.random.between(0.0, 1.0);
            history.after(delay, Event::Boot { machine });
        }
        history
    }

    pub(crate) fn after(&mut self, delay: f64, event: Event) {
        let at = ((self.now + delay) * 1e6) as u64;
        self.sequence += 1;
        self.events.insert(self.sequence, event);
        self.queue.push((Reverse(at), Reverse(self.sequence)));
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if crate::is_traced() {
            self.trace.push(format!("{:.3} {}", self.now, text()));
        }
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, secs: f64) {
        let end = self.now + secs;
        while let Some((Reverse(at), _)) = self.queue.peek() {
            let at = *at as f64 / 1e6;
            if at > end {
                break;
            }
            let (_, Reverse(sequence)) = self.queue.pop().expect("just seen");
            self.now = self.now.max(at);
            let event = self.events.remove(&sequence).expect("queued with its number");
            self.happen(event);
            self.check();
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        if let Some(machine) = event.machine()
            && self.machines[machine].paused_until > self.now
        {
            // Timers ring late, and the sockets keep what came.
            let rest = self.machines[machine].paused_until - self.now;
            let jitter = self.random.between(0.001, TIMER_SECS);
            self.after(rest + jitter, event);
            return;
        }
        match event {
            Event::Beat { machine, incarnation } => {
                if self.runs(machine, incarnation) {
                    self.send(machine);
                    let interval = self.shared.periods.interval;
                    self.after(interval, Event::Beat { machine, incarnation });
                }
            }
            Event::Look { machine, incarnation } => {
                if self.runs(machine, incarnation) {
                    self.look(machine, incarnation);
                }
            }
            Event::Message { from, to, version, data } => {
                let name = self.machines[from].name.clone();
                let is_reached =
                    self.machines[to].daemon.is_some() && self.sides[from] == self.sides[to];
                if !is_reached {
                    return;
                }
                let is_news = self.machines[to].receive(self.now, &name, version, &data);
                // Who has forgotten us asks for our data by what it acknowledges, and has them at once.
                let (asker, asked) = (&self.machines[from], self.machines[to].name.clone());
                if !asker.knows(&asked) {
                    self.send(to);
                }
                if is_news {
                    self.pass(to);
                }
            }
            Event::Alarm { machine, incarnation } => {
                if self.runs(machine, incarnation) {
                    self.pass(machine);
                }
            }
            Event::Evaluated { machine, incarnation } => {
                if self.runs(machine, incarnation) {
                    self.machines[machine].evaluate(self.now, &self.shared);
                    self.pass(machine);
                }
            }
            Event::Done { machine, boot, incarnation, id, action, is_ok } => {
                if self.machines[machine].boot == boot {
                    self.finish(machine, incarnation, id, &action, is_ok);
                }
            }
            Event::StopDaemon { machine, incarnation } => {
                if self.runs(machine, incarnation) {
                    if self.machines[machine].actions > 0 {
                        self.after(0.5, Event::StopDaemon { machine, incarnation });
                        return;
                    }
                    self.machines[machine].daemon = None;
                    let (boot, delay) =
                        (self.machines[machine].boot, self.random.between(0.1, 20.0));
                    self.after(delay, Event::StartDaemon { machine, boot });
                }
            }
            Event::StartDaemon { machine, boot } => {
                if self.machines[machine].boot == boot && self.machines[machine].daemon.is_none() {
                    self.start_daemon(machine);
                }
            }
            Event::Dies { machine, boot } => {
                if self.machines[machine].boot == boot {
                    self.deaths += 1;
                    self.crash(machine);
                    let delay = self.random.between(20.0, 60.0);
                    self.after(delay, Event::Boot { machine });
                }
            }
            Event::Boot { machine } => {
                if self.machines[machine].daemon.is_none() {
                    self.start_daemon(machine);
                }
            }
            Event::Heal => {
                self.note(|| "heal".into());
                self.sides.iter_mut().for_each(|side| *side = 0);
            }
        }
    }

    fn runs(&self, machine: usize, incarnation: u32) -> bool {
        let machine = &self.machines[machine];
        machine.incarnation == incarnation && machine.daemon.is_some()
    }

    fn start_daemon(&mut self, machine: usize) {
        self.note(|| format!("daemon of {machine} starts"));
        self.machines[machine].start_daemon(self.now, &self.shared);
        let incarnation = self.machines[machine].incarnation;
        let delay = self.random.between(0.2, 1.5);
        self.after(delay, Event::Evaluated { machine, incarnation });
        self.after(0.1, Event::Beat { machine, incarnation });
        self.after(1.0, Event::Look { machine, incarnation });
        self.pass(machine);
    }

    fn look(&mut self, machine: usize, incarnation: u32) {
        let arbitrators = self.sides[self.machines.len()] == self.sides[machine];
        let verdict = self.machines[machine].look(self.now, &self.shared, arbitrators);
        match verdict {
            Verdict::Nothing => {}
            Verdict::Lost => {
                let lost = self.machines[machine].lost();
                self.note(|| format!("{machine} lost {lost}"));
            }
            Verdict::Dies => {
                self.note(|| format!("{machine} lost the majority"));
                let boot = self.machines[machine].boot;
                self.after(SPLIT_SECS, Event::Dies { machine, boot });
            }
        }
        if verdict != Verdict::Nothing {
            self.pass(machine);
        }
        // At the deadline of the first peer, at least once per second: maintenance graces end too.
        let next = self.machines[machine].next_look().map_or(1.0, |at| at - self.now);
        self.after(next.clamp(0.001, 1.0), Event::Look { machine, incarnation });
    }

    fn send(&mut self, from: usize) {
        let Some(data) = self.machines[from].data() else { return };
        // Without a change, a beat is a ping.
        let version = match &self.sent[from] {
            Some((sent, version)) if Arc::ptr_eq(sent, &data) => *version,
            _ => {
                self.version += 1;
                self.sent[from] = Some((data.clone(), self.version));
                self.version
            }
        };
        for to in 0..self.machines.len() {
            if to != from && self.sides[from] == self.sides[to] {
                let delay = self.random.between(0.01, self.shared.periods.delay);
                let data = data.clone();
                self.after(delay, Event::Message { from, to, version, data });
            }
        }
    }

    /// Lets the cores of a machine decide until nothing changes any more, and tells the others.
    pub(crate) fn pass(&mut self, machine: usize) {
        let before = self.machines[machine].data();
        for round in 0.. {
            assert!(round < PASSES_AT_ONCE, "machine {machine} never settles");
            if !self.pass_once(machine) {
                break;
            }
        }
        if self.machines[machine].data() != before {
            self.send(machine);
        }
    }

    fn pass_once(&mut self, machine: usize) -> bool {
        let clock = self.machines[machine].clock(self.now);
        self.machines[machine].aggregate(&self.shared);
        let Some(daemon) = &self.machines[machine].daemon else { return false };
        let mut node = daemon.node.clone();
        let effects = node.pass(clock, &self.machines[machine].eyes(&self.shared));
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.node = node;
        }
        let mut is_changed = false;
        for effect in effects {
            is_changed |= self.carry_out_on_node(machine, effect);
        }
        let Some(daemon) = &self.machines[machine].daemon else { return false };
        let mut instance = daemon.instance.clone();
        let effects = instance.pass(clock, &self.machines[machine].eyes(&self.shared));
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.instance = instance;
        }
        for effect in effects {
            is_changed |= self.carry_out(machine, effect);
        }
        is_changed
    }

    fn carry_out(&mut self, machine: usize, effect: Effect) -> bool {
        match effect {
            Effect::Publish(monitor) => {
                self.note(|| {
                    let (status, expect) = (&monitor.status, &monitor.global_expect);
                    format!("{machine} is {status}, target {:?}", expect.as_ref().map(|e| e.word()))
                });
                let path = self.shared.path.clone();
                self.machines[machine].publish(&path, *monitor);
                return true;
            }
            Effect::Run { id, action } => self.start(machine, id, action),
            Effect::WakeAfter(delay) => self.alarm(machine, delay),
            Effect::Disown
            | Effect::Remove
            | Effect::SetOther { .. }
            | Effect::CreateSlice { .. }
            | Effect::ResizeSlice { .. } => panic!("nothing is deleted, nothing scales"),
            Effect::WaitSlot | Effect::Event(_) | Effect::Warn(_) => {}
        }
        false
    }

    fn alarm(&mut self, machine: usize, delay: f64) {
        let incarnation = self.machines[machine].incarnation;
        self.after(delay, Event::Alarm { machine, incarnation });
    }

    fn carry_out_on_node(&mut self, machine: usize, effect: NodeEffect) -> bool {
        match effect {
            NodeEffect::Publish(monitor) => {
                self.machines[machine].own(|own| own.monitor = Some(*monitor));
            }
            NodeEffect::Freeze => self.freeze_node(machine, true),
            NodeEffect::Thaw => self.freeze_node(machine, false),
            NodeEffect::FreezeInstance(_) => {
                self.machines[machine].frozen = self.machines[machine].clock(self.now);
                self.machines[machine].evaluate(self.now, &self.shared);
            }
            NodeEffect::SetInstance { change, .. } => self.apply(machine, &change),
            NodeEffect::WakeAfter(delay) => {
                self.alarm(machine, delay);
                return false;
            }
            NodeEffect::Released | NodeEffect::Event(_) => return false,
        }
        true
    }

    fn freeze_node(&mut self, machine: usize, is_frozen: bool) {
        let clock = self.machines[machine].clock(self.now);
        let frozen = if is_frozen { clock } else { Timestamp::NEVER };
        self.machines[machine].node_frozen = frozen;
        self.machines[machine].own(|own| own.frozen = Some(frozen));
    }

    pub(crate) fn apply(&mut self, machine: usize, change: &Change) {
        let clock = self.machines[machine].clock(self.now);
        let Some(daemon) = &self.machines[machine].daemon else { return };
        let mut instance = daemon.instance.clone();
        instance.apply(clock, change, &self.machines[machine].eyes(&self.shared));
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.instance = instance;
        }
    }

    fn start(&mut self, machine: usize, id: RunId, action: Action) {
        self.note(|| format!("{machine} runs {:?}", action.argv()));
        let is_ok = !self.random.happens(self.failure_percent);
        let is_long = !matches!(action, Action::Refresh | Action::Freeze | Action::Thaw);
        let most = if is_long { self.slowest_secs } else { 0.5 };
        let delay = self.random.between(0.1, most);
        let it = &mut self.machines[machine];
        it.actions += 1;
        if matches!(action, Action::Start | Action::Restart | Action::StartResources { .. }) {
            it.is_starting = true;
            self.starts += 1;
        }
        let (boot, incarnation) = (it.boot, it.incarnation);
        self.after(delay, Event::Done { machine, boot, incarnation, id, action, is_ok });
    }

    /// An action ends: what it did becomes real, then the core hears of it.
    fn finish(
        &mut self,
        machine: usize,
        incarnation: u32,
        id: RunId,
        action: &Action,
        is_ok: bool,
    ) {
        self.note(|| format!("{machine} ends {:?}: {is_ok}", action.argv()));
        let clock = self.machines[machine].clock(self.now);
        let it = &mut self.machines[machine];
        it.actions -= 1;
        match action {
            Action::Start | Action::Restart | Action::StartResources { .. } => {
                // What failed is rolled back.
                (it.is_up, it.is_starting) = (is_ok, false);
            }
            Action::Stop { .. } | Action::Shutdown if is_ok => it.is_up = false,
            Action::Freeze => it.frozen = clock,
            Action::Thaw | Action::ThawAll => it.frozen = Timestamp::NEVER,
            _ => {}
        }
        if !self.runs(machine, incarnation) {
            return;
        }
        self.machines[machine].evaluate(self.now, &self.shared);
        let Some(daemon) = &self.machines[machine].daemon else { return };
        let mut instance = daemon.instance.clone();
        let eyes = self.machines[machine].eyes(&self.shared);
        instance.on_action_done(clock, id, i32::from(!is_ok), &eyes);
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.instance = instance;
        }
        self.pass(machine);
    }

    /// An operator asks a node to set a target.
    pub(crate) fn request(&mut self, machine: usize, target: &str) {
        if self.machines[machine].daemon.is_none() || self.is_paused(machine) {
            return;
        }
        let request = ObjectRequest {
            path: self.shared.path.to_string(),
            global_expect: Some(target.to_owned()),
            ..ObjectRequest::default()
        };
        let eyes = self.machines[machine].eyes(&self.shared);
        if eyes.instance(eyes.local_node(), &self.shared.path).is_none() {
            return;
        }
        let (_, changes) = set_service_monitor(&eyes, &request);
        self.note(|| format!("{machine} is asked {target}: {} changes", changes.len()));
        for (_, change) in changes {
            self.apply(machine, &change);
        }
        self.pass(machine);
    }

    /// Whether some monitor is asked to move the object to a node.
    pub(crate) fn is_moving(&self) -> bool {
        let daemons = self.machines.iter().filter_map(|machine| machine.daemon.as_ref());
        daemons
            .filter_map(|daemon| daemon.instance.monitor().global_expect.as_ref())
            .any(|target| matches!(target, GlobalExpect::PlacedAt(_)))
    }

    pub(crate) fn is_paused(&self, machine: usize) -> bool {
        self.machines[machine].paused_until > self.now
    }

    /// The machine loses power.
    pub(crate) fn crash(&mut self, machine: usize) {
        self.note(|| format!("{machine} crashes"));
        let it = &mut self.machines[machine];
        it.boot += 1;
        it.incarnation += 1;
        it.daemon = None;
        it.actions = 0;
        it.paused_until = 0.0;
        (it.is_up, it.is_starting, it.is_overslept) = (false, false, false);
    }

    /// How long the object may be active twice now.
    fn allowed(&self) -> f64 {
        let periods = &self.shared.periods;
        // A cut node hears that it is cut an interval later than the others; then it judges, and takes its time to die.
        let window = periods.interval + periods.delay + SPLIT_SECS;
        let is_recent = self.now - self.cut_at
            < periods.timeout + periods.interval + periods.ready + SPLIT_SECS + 2.0 * periods.delay;
        if is_recent { window + TIMER_SECS } else { 0.0 }
    }

    /// What must hold at any time.
    fn check(&mut self) {
        for machine in &mut self.machines {
            machine.is_overslept &= machine.is_active();
        }
        let active: Vec<usize> = (0..self.machines.len())
            .filter(|index| {
                let machine = &self.machines[*index];
                machine.is_active() && !machine.is_overslept
            })
            .collect();
        if active.len() < 2 {
            self.twice_since = None;
            return;
        }
        let since = *self.twice_since.get_or_insert(self.now);
        let lasts = self.now - since;
        self.longest_twice = self.longest_twice.max(lasts);
        assert!(
            self.allowed() > 0.0 && lasts <= self.allowed(),
            "active on {active:?} for {lasts:.2} s, at {:.3}, last cut at {:.3}\n{}",
            self.now,
            self.cut_at,
            self.trace.join("\n")
        );
    }
}
