//! The machines together: events in the order of a clock, and a network that splits.

mod faults;
mod windows;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use model::{ConfigEntry, LocalExpect, MonitorStatus, NodeData, Timestamp};
use monitor::{Action, Change, Effect, NodeEffect, RunId};

use self::windows::Window;

use crate::machine::{Gens, Heard, Machine, REJOIN_SECS, Shared, Verdict};
use crate::random::Random;

/// How late timers ring after a pause.
const TIMER_SECS: f64 = 0.3;
/// How long an arbitrator is waited for that cannot be reached: keyword `arbitrator.timeout`.
const ARBITRATOR_SECS: f64 = 5.0;
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
        /// The life of the sender, and which message.
        life: (u32, u64),
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
    Configure {
        machine: usize,
        config: ConfigEntry,
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
            Self::Boot { .. } | Self::Configure { .. } | Self::Heal | Self::Mend => None,
        }
    }
}

/// What happened how often, to see that a run is one.
pub(crate) type Counts = BTreeMap<&'static str, usize>;

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
    /// Links on which messages take about that long.
    pub(crate) slow: BTreeMap<(usize, usize), f64>,
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
            now: 1_000_000_000.0,
            shared,
            machines,
            sides: vec![0; count + 1],
            broken: BTreeSet::new(),
            slow: BTreeMap::new(),
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

    /// Sets the clock of a machine.
    pub(crate) fn step(&mut self, machine: usize, offset: f64) {
        self.note(|| format!("the clock of {machine} is set {offset:.1} s off"));
        self.count("clock jumps");
        self.machines[machine].offset = offset;
        self.pass(machine);
    }

    /// An operator edits the configuration on a machine, and the others get it.
    pub(crate) fn configure(&mut self, number: u64, updated: Timestamp) {
        self.note(|| format!("configuration {number}, dated {}", updated.0));
        self.count("configurations");
        for machine in 0..self.machines.len() {
            let delay = self.random.between(0.0, 2.0);
            let config = crate::config(number, updated);
            self.after(delay, Event::Configure { machine, config });
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

    #[expect(clippy::too_many_lines, reason = "a table: one row for each event")]
    fn happen(&mut self, event: Event) {
        if let Some(machine) = event.machine()
            && self.machines[machine].paused_until > self.now
        {
            if self.machines[machine].is_deaf && matches!(event, Event::Message { .. }) {
                self.count("messages lost in a pause");
                return;
            }
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
                    it.receive(self.now, (&name, life), version, &gens, &data, &self.shared);
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
                    self.boot_later(machine);
                }
            }
            Event::Boot { machine } => {
                if self.machines[machine].daemon.is_none() {
                    self.start_daemon(machine);
                }
            }
            Event::Configure { machine, config } => {
                // In the order in which they were written.
                if self.machines[machine].config.csum < config.csum {
                    let path = self.shared.path.clone();
                    self.machines[machine].configure(&path, config);
                    self.pass(machine);
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
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.first_version = self.version + 1;
        }
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
        let next = self.machines[machine].next_look(self.now).unwrap_or(1.0);
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

    pub(crate) fn send(&mut self, from: usize) {
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
        if let Some(daemon) = &mut self.machines[from].daemon {
            daemon.published = Some((data.clone(), version));
        }
        let gens = Arc::new(self.machines[from].gens());
        let life = (self.machines[from].incarnation, self.sequence);
        for to in 0..self.machines.len() {
            if to != from && self.reaches(from, to) {
                let (least, most) = match self.slow.get(&(from, to)) {
                    Some(secs) => (0.9 * secs, *secs),
                    None => (0.01, self.shared.periods.delay),
                };
                let delay = self.random.between(least, most);
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
        let moment = self.machines[machine].moment(self.now);
        self.machines[machine].aggregate(&self.shared);
        let next_version = self.version + 1;
        let Some(daemon) = &mut self.machines[machine].daemon else { return false };
        daemon.next_version = next_version;
        let mut node = daemon.node.clone();
        let effects = node.pass(moment, &self.machines[machine].eyes(&self.shared));
        if let Some(daemon) = &mut self.machines[machine].daemon {
            daemon.node = node;
        }
        let mut is_changed = false;
        for effect in effects {
            is_changed |= self.carry_out_on_node(machine, effect);
        }
        let Some(daemon) = &self.machines[machine].daemon else { return false };
        let mut instance = daemon.instance.clone();
        let eyes = self.machines[machine].eyes(&self.shared);
        let effects = match daemon.is_adopting {
            true => instance.refresh(moment, &eyes),
            false => instance.pass(moment, &eyes),
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
                self.check_deposed(machine);
                self.condemn(machine);
            }
            Effect::Disown
            | Effect::Remove
            | Effect::SetOther { .. }
            | Effect::CreateSlice { .. }
            | Effect::ResizeSlice { .. } => panic!("nothing is deleted, nothing scales"),
            Effect::EndAction | Effect::WaitSlot | Effect::Event(_) | Effect::Warn(_) => {}
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
            NodeEffect::Freeze | NodeEffect::FreezeItself(_) => self.freeze_node(machine, true),
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
        let moment = self.machines[machine].moment(self.now);
        let Some(daemon) = &self.machines[machine].daemon else { return };
        let mut instance = daemon.instance.clone();
        instance.apply(moment, change, &self.machines[machine].eyes(&self.shared));
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
        if is_start {
            it.started_at = self.now;
        }
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
        let moment = self.machines[machine].moment(self.now);
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
        let eyes = self.machines[machine].eyes(&self.shared);
        instance.on_action_done(moment, id, i32::from(!is_ok), &eyes);
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
}
