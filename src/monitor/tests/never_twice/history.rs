//! The machines together: events in the order of a clock, a network that splits, and what must hold after each event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use model::{GlobalExpect, LocalExpect, MonitorStatus, NodeData, Timestamp};
use monitor::{
    Action, Change, Effect, NodeEffect, ObjectRequest, RunId, World, last_words,
    set_service_monitor,
};

use crate::machine::{Gens, Heard, Machine, REJOIN_SECS, Shared, Verdict};
use crate::random::Random;

/// How late timers ring after a pause.
const TIMER_SECS: f64 = 0.3;
/// How long an arbitrator is waited for that cannot be reached: keyword `arbitrator.timeout`.
const ARBITRATOR_SECS: f64 = 5.0;
/// Keyword `node.maintenance_grace_period`.
const GRACE_SECS: f64 = 60.0;
/// How often the arbitrators are asked when nothing happens.
const POLL_SECS: f64 = 60.0;
/// More passes than this at one moment, and nothing ever settles.
const PASSES_AT_ONCE: usize = 60;

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Beat {
        machine: usize,
        incarnation: u32,
    },
    Look {
        machine: usize,
        incarnation: u32,
    },
    Message {
        from: usize,
        to: usize,
        life: u32,
        version: u64,
        gens: Arc<Gens>,
        data: Arc<NodeData>,
    },
    Poll {
        machine: usize,
        incarnation: u32,
    },
    Votes {
        machine: usize,
        incarnation: u32,
        votes: usize,
        judged: Option<usize>,
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
        id: RunId,
        action: Action,
        is_ok: bool,
    },
    StopDaemon {
        machine: usize,
        incarnation: u32,
        away: f64,
    },
    StartDaemon {
        machine: usize,
        boot: u32,
    },
    Dies {
        machine: usize,
        boot: u32,
    },
    Boot {
        machine: usize,
    },
    Heal,
    /// The links that failed one by one work again.
    Mend,
}

impl Event {
    /// Where it happens, if it waits there for the end of a pause.
    fn machine(&self) -> Option<usize> {
        match self {
            Self::Beat { machine, .. }
            | Self::Look { machine, .. }
            | Self::Alarm { machine, .. }
            | Self::Poll { machine, .. }
            | Self::Votes { machine, .. }
            | Self::Evaluated { machine, .. }
            | Self::Done { machine, .. }
            | Self::StopDaemon { machine, .. }
            | Self::StartDaemon { machine, .. }
            | Self::Dies { machine, .. } => Some(*machine),
            Self::Message { to, .. } => Some(*to),
            Self::Boot { .. } | Self::Heal | Self::Mend => None,
        }
    }
}

/// What happened how often, to see that a run is one.
pub(crate) type Counts = BTreeMap<&'static str, usize>;

/// For how long the object may be active twice, by what is documented, and until when.
#[derive(Debug, Clone, Copy)]
struct Window {
    until: f64,
    longest: f64,
}

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) random: Random,
    pub(crate) now: f64,
    pub(crate) shared: Shared,
    pub(crate) machines: Vec<Machine>,
    /// Side of each machine, then of the arbitrators, while the network is split.
    pub(crate) sides: Vec<u8>,
    /// Links that fail alone, from one machine to another one.
    pub(crate) broken: BTreeSet<(usize, usize)>,
    pub(crate) failure_percent: usize,
    pub(crate) slowest_secs: f64,
    pub(crate) counts: Counts,
    windows: Vec<Window>,
    /// Until when the last split is noticed by everybody.
    judged_at: f64,
    /// Until when links fail alone.
    mended_at: f64,
    /// Somebody did something about the object before that.
    is_unsettled: bool,
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
            broken: BTreeSet::new(),
            failure_percent: 0,
            slowest_secs: 4.0,
            counts: Counts::default(),
            windows: vec![],
            judged_at: 0.0,
            mended_at: 0.0,
            is_unsettled: false,
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

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn count_if(&mut self, what: &'static str, happens: bool) {
        *self.counts.entry(what).or_default() += usize::from(happens);
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
            Event::Message { from, to, life, version, gens, data } => {
                let name = self.machines[from].name.clone();
                if self.machines[to].daemon.is_none() || !self.reaches(from, to) {
                    return;
                }
                let it = &mut self.machines[to];
                let Heard { is_news, is_send_due } =
                    it.receive(self.now, (&name, life), version, &gens, &data);
                if is_send_due {
                    self.send(to);
                }
                if is_news {
                    self.pass(to);
                }
            }
            Event::Poll { machine, incarnation } => {
                if self.runs(machine, incarnation) {
                    self.ask(machine, incarnation, None);
                    self.after(POLL_SECS, Event::Poll { machine, incarnation });
                }
            }
            Event::Votes { machine, incarnation, votes, judged } => {
                if self.runs(machine, incarnation) {
                    let verdict = self.machines[machine].on_votes(&self.shared, votes, judged);
                    self.conclude(machine, verdict);
                    self.pass(machine);
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
            Event::StopDaemon { machine, incarnation, away } => {
                if self.runs(machine, incarnation) {
                    if self.machines[machine].actions > 0 {
                        self.after(0.5, Event::StopDaemon { machine, incarnation, away });
                        return;
                    }
                    self.note(|| format!("daemon of {machine} stops for {away:.1} s"));
                    self.machines[machine].daemon = None;
                    self.machines[machine].is_restarting = true;
                    let boot = self.machines[machine].boot;
                    self.after(away, Event::StartDaemon { machine, boot });
                }
            }
            Event::StartDaemon { machine, boot } => {
                if self.machines[machine].boot == boot && self.machines[machine].daemon.is_none() {
                    self.start_daemon(machine);
                }
            }
            Event::Dies { machine, boot } => {
                if self.machines[machine].boot == boot {
                    self.count("nodes that lost a split");
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
                self.heal();
                self.sides.iter_mut().for_each(|side| *side = 0);
                self.expect(self.late() + self.last_words() + TIMER_SECS, self.window_of_a_heal());
            }
            Event::Mend => {
                self.note(|| "the links are mended".into());
                self.heal();
                self.broken.clear();
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
        if self.machines[machine].actions > 0 {
            let status = Some(self.machines[machine].acts.clone());
            self.apply(machine, &Change { status, ..Change::default() });
        }
        let incarnation = self.machines[machine].incarnation;
        let delay = self.random.between(0.2, 1.5);
        self.after(delay, Event::Evaluated { machine, incarnation });
        self.after(0.1, Event::Beat { machine, incarnation });
        self.after(1.0, Event::Look { machine, incarnation });
        self.after(0.2, Event::Poll { machine, incarnation });
        self.count("daemons");
        let is_up = self.machines[machine].is_active();
        if self.sides.iter().any(|side| *side != self.sides[machine]) {
            self.count("daemons that start cut off");
            if is_up {
                // It waits for its peers before it gives up.
                let secs = REJOIN_SECS + self.last_words() + self.late();
                self.expect(secs, secs);
            }
        }
        if is_up {
            // The others may have gone on without it: it stops what they run, once it has evaluated and heard, and the
            // action has ended that its killed daemon ran.
            let secs = 1.5 + self.late() + 2.0 * self.slowest_secs + self.last_words() + TIMER_SECS;
            self.expect(secs, secs);
        }
        self.pass(machine);
    }

    /// Whether what one machine sends arrives at another one.
    fn reaches(&self, from: usize, to: usize) -> bool {
        self.sides[from] == self.sides[to] && !self.broken.contains(&(from, to))
    }

    /// Asks the arbitrators: those that are cut off are waited for.
    fn ask(&mut self, machine: usize, incarnation: u32, judged: Option<usize>) {
        let is_reached = self.sides[self.machines.len()] == self.sides[machine];
        let (votes, delay) = match is_reached {
            true => (self.shared.arbitrators, self.random.between(0.01, self.shared.periods.delay)),
            false => (0, ARBITRATOR_SECS),
        };
        self.after(delay, Event::Votes { machine, incarnation, votes, judged });
    }

    fn look(&mut self, machine: usize, incarnation: u32) {
        let verdict = self.machines[machine].look(self.now, &self.shared);
        if verdict != Verdict::Nothing {
            let lost = self.machines[machine].lost();
            self.note(|| format!("{machine} lost {lost}"));
            if !matches!(verdict, Verdict::Ask(_)) {
                self.ask(machine, incarnation, None);
            }
            self.conclude(machine, verdict);
            self.pass(machine);
            self.send(machine);
        }
        // At the deadline of the first peer, at least once per second: maintenance graces end too.
        let next = self.machines[machine].next_look().map_or(1.0, |at| at - self.now);
        self.after(next.clamp(0.001, 1.0), Event::Look { machine, incarnation });
    }

    fn conclude(&mut self, machine: usize, verdict: Verdict) {
        match verdict {
            Verdict::Nothing | Verdict::Lost => {}
            Verdict::Ask(node_votes) => {
                let incarnation = self.machines[machine].incarnation;
                self.ask(machine, incarnation, Some(node_votes));
            }
            Verdict::Dies => {
                self.note(|| format!("{machine} lost the majority"));
                self.condemn(machine);
            }
        }
    }

    /// The split action follows.
    fn condemn(&mut self, machine: usize) {
        if !std::mem::replace(&mut self.machines[machine].is_condemned, true) {
            let boot = self.machines[machine].boot;
            self.after(self.last_words(), Event::Dies { machine, boot });
        }
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
        let (gens, life) = (Arc::new(self.machines[from].gens()), self.machines[from].incarnation);
        for to in 0..self.machines.len() {
            if to != from && self.reaches(from, to) {
                let delay = self.random.between(0.01, self.shared.periods.delay);
                let (gens, data) = (gens.clone(), data.clone());
                self.after(delay, Event::Message { from, to, life, version, gens, data });
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
        self.machines[machine].aggregate(self.now, &self.shared);
        let Some(daemon) = &self.machines[machine].daemon else { return false };
        let mut node = daemon.node.clone();
        let effects = node.pass(clock, &self.machines[machine].eyes(self.now, &self.shared));
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.node = node;
        }
        let mut is_changed = false;
        for effect in effects {
            is_changed |= self.carry_out_on_node(machine, effect);
        }
        let Some(daemon) = &self.machines[machine].daemon else { return false };
        let mut instance = daemon.instance.clone();
        let eyes = self.machines[machine].eyes(self.now, &self.shared);
        let effects = match daemon.is_adopting {
            true => instance.refresh(clock, &eyes),
            false => instance.pass(clock, &eyes),
        };
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
            Effect::LoseSplit => {
                self.note(|| format!("{machine} is deposed"));
                self.count("splits noticed late");
                self.condemn(machine);
            }
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
            NodeEffect::LoseSplit => {
                self.note(|| format!("{machine} found no majority"));
                self.count("splits noticed late");
                self.condemn(machine);
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
        self.unsettle();
        let clock = self.machines[machine].clock(self.now);
        let Some(daemon) = &self.machines[machine].daemon else { return };
        let mut instance = daemon.instance.clone();
        instance.apply(clock, change, &self.machines[machine].eyes(self.now, &self.shared));
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
        let is_start =
            matches!(action, Action::Start | Action::Restart | Action::StartResources { .. });
        if is_start {
            self.count("starts");
            self.count_if("slow starts", delay > 10.0);
            self.count_if("failed starts", !is_ok);
        } else if matches!(action, Action::Stop { .. } | Action::Shutdown) {
            self.count_if("failed stops", !is_ok);
        }
        let it = &mut self.machines[machine];
        it.actions += 1;
        it.is_starting |= is_start;
        it.acts = match action {
            Action::Stop { .. } | Action::Shutdown => MonitorStatus::Stopping,
            Action::Freeze => MonitorStatus::Freezing,
            Action::Thaw | Action::ThawAll => MonitorStatus::Thawing,
            _ => MonitorStatus::Starting,
        };
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
            self.conclude_adopted(machine, action, is_ok);
            return;
        }
        self.machines[machine].evaluate(self.now, &self.shared);
        let Some(daemon) = &self.machines[machine].daemon else { return };
        let mut instance = daemon.instance.clone();
        let eyes = self.machines[machine].eyes(self.now, &self.shared);
        instance.on_action_done(clock, id, i32::from(!is_ok), &eyes);
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.instance = instance;
        }
        self.pass(machine);
    }

    /// The action of an earlier daemon ended: what it did is taken over by the one that adopted it.
    fn conclude_adopted(&mut self, machine: usize, action: &Action, is_ok: bool) {
        let Some(daemon) = &mut self.machines[machine].daemon else { return };
        if !std::mem::take(&mut daemon.is_adopting) {
            return;
        }
        self.machines[machine].evaluate(self.now, &self.shared);
        let (failed, local_expect) = match action {
            Action::Stop { .. } | Action::Shutdown => (MonitorStatus::StopFailed, Some(None)),
            Action::Freeze | Action::Thaw | Action::ThawAll => (MonitorStatus::Idle, None),
            _ => (MonitorStatus::StartFailed, is_ok.then_some(Some(LocalExpect::Started))),
        };
        let status = Some(if is_ok { MonitorStatus::Idle } else { failed });
        self.apply(machine, &Change { status, local_expect, ..Change::default() });
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
        let eyes = self.machines[machine].eyes(self.now, &self.shared);
        if eyes.instance(eyes.local_node(), &self.shared.path).is_none() {
            return;
        }
        let (_, changes) = set_service_monitor(&eyes, &request);
        self.unsettle();
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

    /// Everything on the machine stands still.
    pub(crate) fn pause(&mut self, machine: usize, secs: f64) {
        self.note(|| format!("{machine} pauses for {secs:.1} s"));
        self.count("pauses");
        let until = self.now + secs;
        self.machines[machine].paused_until = until;
        self.machines[machine].was_out = true;
        // Forgotten meanwhile, it hears of it when it goes on.
        let heard = self.late() + self.last_words() + 2.0 * TIMER_SECS;
        self.expect(secs + heard, heard);
    }

    /// The daemon is killed, the instances go on.
    pub(crate) fn kill_daemon(&mut self, machine: usize, away: f64) {
        if self.machines[machine].daemon.is_none() || self.machines[machine].is_condemned {
            return;
        }
        self.note(|| format!("daemon of {machine} is killed for {away:.1} s"));
        let it = &mut self.machines[machine];
        it.daemon = None;
        (it.is_headless, it.was_out) = (true, true);
        let boot = it.boot;
        self.after(away, Event::StartDaemon { machine, boot });
    }

    /// Links fail for some time.
    pub(crate) fn break_links(&mut self, broken: Vec<(usize, usize)>, secs: f64) {
        self.count("broken links");
        self.broken = broken.into_iter().collect();
        self.machines.iter_mut().for_each(|machine| machine.was_out = true);
        self.after(secs, Event::Mend);
        self.mended_at = self.now + secs;
        self.expect_a_cut();
        // Who is heard by nobody hears of its successor; who hears nobody judges.
        self.expect(secs + self.shared.periods.timeout + self.late(), self.window_of_a_cut());
    }

    /// The network splits for some time.
    pub(crate) fn split(&mut self, sides: Vec<u8>, secs: f64) {
        self.count("partitions");
        self.sides = sides;
        self.machines.iter_mut().for_each(|machine| machine.was_out = true);
        self.after(secs, Event::Heal);
        self.expect_a_cut();
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
        (it.is_up, it.is_starting, it.is_restarting) = (false, false, false);
        (it.is_headless, it.was_out, it.is_condemned) = (false, false, false);
        self.count("crashes");
    }

    /// Between the verdict and the end.
    pub(crate) fn last_words(&self) -> f64 {
        last_words(Duration::from_secs_f64(self.shared.periods.ready)).as_secs_f64()
    }

    /// How long a machine may wait for the next message of another one.
    pub(crate) fn late(&self) -> f64 {
        self.shared.periods.interval + 2.0 * self.shared.periods.delay
    }

    fn arbitrator_secs(&self) -> f64 {
        if self.shared.arbitrators > 0 { ARBITRATOR_SECS } else { 0.0 }
    }

    /// A cut node hears that it is cut an interval later than the others; then it judges, and takes its time to die. The
    /// others have announced the start meanwhile.
    fn window_of_a_cut(&self) -> f64 {
        let end = self.late() + self.arbitrator_secs() + self.last_words();
        (end - self.shared.periods.ready).max(0.0) + TIMER_SECS
    }

    /// Healed just before it judges, it hears an interval later that the others have forgotten it.
    fn window_of_a_heal(&self) -> f64 {
        self.window_of_a_cut() + self.late()
    }

    /// From now on, for so many seconds, the object may be active twice, for `longest` seconds.
    pub(crate) fn expect(&mut self, secs: f64, longest: f64) {
        self.windows.push(Window { until: self.now + secs, longest });
    }

    /// The network is whole again. What two sides started before any of them noticed stays so (README).
    fn heal(&mut self) {
        if self.is_unsettled && (self.now < self.judged_at || !self.broken.is_empty()) {
            for machine in self.machines.iter_mut().filter(|machine| machine.is_active()) {
                machine.was_asked_apart = true;
            }
        }
    }

    /// Whether the object runs somewhere, and nobody wants anything of it.
    fn is_settled(&self) -> bool {
        let is_idle = |machine: &Machine| {
            machine.daemon.as_ref().is_none_or(|daemon| {
                let monitor = daemon.instance.monitor();
                monitor.status == MonitorStatus::Idle && monitor.global_expect.is_none()
            })
        };
        self.machines.iter().filter(|machine| machine.is_active()).count() == 1
            && self.machines.iter().all(is_idle)
    }

    /// Somebody does something about the object. In a cut that nobody has noticed yet, two sides may do so.
    pub(crate) fn unsettle(&mut self) {
        let secs = self.judged_at - self.now;
        if secs > 0.0 {
            self.is_unsettled = true;
            // Where links fail alone, both ends may have a majority: what they started before stays so (README).
            let apart = self.mended_at - self.now;
            let secs = if apart > 0.0 { secs + apart } else { secs };
            self.expect(secs, secs);
        }
    }

    /// The network was just split.
    pub(crate) fn expect_a_cut(&mut self) {
        let lately = 1.5 + self.late();
        if self.machines.iter().any(|machine| machine.is_away(self.now, lately)) {
            // Both sides count on the vote of who announced its restart.
            let secs = GRACE_SECS + self.shared.periods.timeout + self.late() + self.last_words();
            self.expect(secs, secs);
        }
        let periods = &self.shared.periods;
        let judged = periods.timeout + self.late() + self.arbitrator_secs() + self.last_words();
        self.expect(judged + TIMER_SECS, self.window_of_a_cut());
        self.is_unsettled = false;
        self.judged_at = self.now + judged + TIMER_SECS;
        if !self.is_settled() {
            self.unsettle();
        }
    }

    /// How long the object may be active twice now.
    fn allowed(&mut self) -> f64 {
        let now = self.now;
        self.windows.retain(|window| window.until >= now);
        self.windows.iter().map(|window| window.longest).fold(0.0, f64::max)
    }

    /// What must hold at any time.
    fn check(&mut self) {
        for machine in &mut self.machines {
            machine.was_out &= machine.is_active();
            machine.was_asked_apart &= machine.is_active();
        }
        let active: Vec<usize> = (0..self.machines.len())
            .filter(|index| {
                let machine = &self.machines[*index];
                // A frozen node is not judged (README).
                let is_spared = machine.was_out && machine.node_frozen.0 != 0.0;
                // What stands still does nothing.
                let is_out_of_reach = machine.is_headless || self.is_paused(*index);
                machine.is_active() && !is_out_of_reach && !machine.was_asked_apart && !is_spared
            })
            .collect();
        if active.len() < 2 {
            self.twice_since = None;
            return;
        }
        let since = *self.twice_since.get_or_insert(self.now);
        let lasts = self.now - since;
        self.longest_twice = self.longest_twice.max(lasts);
        let allowed = self.allowed();
        assert!(
            allowed > 0.0 && lasts <= allowed,
            "active on {active:?} for {lasts:.2} s of {allowed:.2}, at {:.3}\n{}",
            self.now,
            self.trace.join("\n")
        );
    }
}
