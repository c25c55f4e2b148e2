//! What the root knows of its children.

use std::collections::BTreeMap;

use model::thread::{Block, Report, State};
use model::{Alert, Severity, Timestamp, thread};

use machine::clock;
use mail::root::ThreadReport;
use supervision::{ChildEvent, ChildHandle, ChildId};

/// Who writes the last lines, and is not stopped before the others.
const LAST: [&str; 2] = [thread::ROOT, thread::LOGS];

/// Falls in a row from which on an alert stays until the child was healthy for a while: one that falls again and again
/// runs most of the time, and would not be seen.
const REPEATED: u32 = 3;

#[derive(Debug)]
struct Record {
    handle: ChildHandle,
    /// Place in the order of starts.
    order: u64,
    state: State,
    created: Timestamp,
    configured: Timestamp,
    tid: i32,
    restarts: u64,
    /// Falls since the last long health.
    tries: u32,
    reason: Option<String>,
    next_try: Option<Timestamp>,
    own: Own,
}

/// What a child reports of itself.
#[derive(Debug, Default)]
struct Own {
    report: Report,
    /// By who tells them.
    alerts: BTreeMap<ChildId, Vec<Alert>>,
}

impl Record {
    fn block(&self) -> Block {
        let mut report = self.own.report.clone();
        if self.state != State::Running
            && let Report::Heartbeat(heartbeat) = &mut report
        {
            // A heartbeat that does not run hears nobody, whatever it reported last.
            for peer in heartbeat.peers.values_mut() {
                peer.beating = peer.beating.map(|_| false);
            }
        }
        Block {
            configured: Some(self.configured),
            tid: Some(self.tid),
            restarts: Some(self.restarts),
            reason: self.reason.clone(),
            next_try: self.next_try,
            alerts: self.own.alerts.values().flatten().cloned().chain(self.alert()).collect(),
            report,
            ..Block::new(self.state, self.created, self.tid)
        }
    }

    fn alert(&self) -> Option<Alert> {
        let is_repeated = self.tries >= REPEATED;
        let severity = match self.state {
            State::Restarting if self.tries > 0 => Severity::Error,
            State::Running if is_repeated => Severity::Warning,
            State::Restarting
            | State::Running
            | State::Stopping
            | State::Stopped
            | State::Terminated => return None,
        };
        let reason = self.reason.as_deref().unwrap_or("no reason");
        let message = match is_repeated {
            true => format!("fell {} times in a row, last: {reason}", self.tries),
            false => format!("fell: {reason}"),
        };
        Some(Alert { severity, message })
    }
}

/// The children, by id.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Boxed: service monitors are thousands, and half of the places of a map are empty.
    records: BTreeMap<ChildId, Box<Record>>,
    /// Reports of children that are not known yet.
    early: BTreeMap<ChildId, Own>,
    started: u64,
}

impl Children {
    /// Notes what happened. The child whose block changed, if it is shown.
    pub(super) fn on_event(&mut self, event: ChildEvent) -> Option<ChildId> {
        let id = match event {
            ChildEvent::Created(handle) => {
                let id = handle.id().clone();
                self.started += 1;
                let now = clock::now();
                let record = Record {
                    handle,
                    order: self.started,
                    state: State::Restarting,
                    created: now,
                    configured: now,
                    tid: 0,
                    restarts: 0,
                    tries: 0,
                    reason: None,
                    next_try: None,
                    own: self.early.remove(&*id).unwrap_or_default(),
                };
                self.records.insert(id, Box::new(record));
                // Shown when it runs.
                return None;
            }
            ChildEvent::Running { id, tid } => {
                let record = self.records.get_mut(&id)?;
                record.state = State::Running;
                record.tid = tid;
                record.next_try = None;
                id
            }
            ChildEvent::Fell { id, reason, tries, retry_in } => {
                let record = self.records.get_mut(&id)?;
                record.state = State::Restarting;
                record.restarts += 1;
                record.tries = tries;
                record.reason = Some(reason);
                record.next_try = Some(clock::now().plus(retry_in.as_secs_f64()));
                id
            }
            ChildEvent::Stopped { id } => {
                let record = self.records.get_mut(&id)?;
                record.state = State::Stopped;
                // Stopped on purpose: it starts with a clean record.
                record.tries = 0;
                record.next_try = None;
                id
            }
            ChildEvent::Ended { id } if thread::is_service_monitor(&id) => {
                let is_shown = self.is_shown(&id);
                self.records.remove(&id);
                return is_shown.then_some(id);
            }
            ChildEvent::Ended { id } => {
                self.records.get_mut(&id)?.state = State::Terminated;
                id
            }
        };
        self.is_shown(&id).then_some(id)
    }

    /// The children that run after falls, with the number of their restarts: [`Self::on_healthy`] is due for them.
    pub(super) fn recovering(&self) -> Vec<(ChildId, u64)> {
        let is_recovering =
            |record: &Record| record.state == State::Running && record.tries >= REPEATED;
        let recovering = self.records.iter().filter(|(_, record)| is_recovering(record));
        recovering.map(|(id, record)| (id.clone(), record.restarts)).collect()
    }

    /// A child may have been healthy for long. True, if it did not fall since: its falls are forgotten.
    pub(super) fn on_healthy(&mut self, id: &str, restarts: u64) -> bool {
        match self.records.get_mut(id) {
            Some(record) if record.state == State::Running && record.restarts == restarts => {
                record.tries = 0;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes what a child reports of itself.
    pub(super) fn on_report(&mut self, report: ThreadReport) {
        let ThreadReport { id, source, report, alerts } = report;
        let own = match self.records.get_mut(&id) {
            Some(record) => &mut record.own,
            None => self.early.entry(id).or_default(),
        };
        match alerts.is_empty() {
            true => _ = own.alerts.remove(&source),
            false => _ = own.alerts.insert(source, alerts),
        }
        own.report = report.unwrap_or_else(|| std::mem::take(&mut own.report));
    }

    /// Forgets a child that ended and is not wanted any more.
    pub(super) fn remove(&mut self, id: &str) {
        self.records.remove(id);
        self.early.remove(id);
    }

    /// A new configuration is in force.
    pub(super) fn on_configured(&mut self) {
        let now = clock::now();
        for record in self.records.values_mut() {
            record.configured = now;
        }
    }

    /// The children that a thread id names: the one, or all that send heartbeats for `tx`. Root itself is none.
    pub(super) fn named(&self, id: &str) -> Vec<ChildId> {
        let is_named = |child: &&ChildId| id != thread::ROOT && thread::means(id, child);
        self.records.keys().filter(is_named).cloned().collect()
    }

    pub(super) fn is_in(&self, id: &str, state: State) -> bool {
        self.records.get(id).is_some_and(|record| record.state == state)
    }

    pub(super) fn stop(&mut self, id: &str) {
        if let Some(record) = self.records.get_mut(id) {
            if record.state != State::Stopped {
                record.state = State::Stopping;
            }
            record.handle.stop();
        }
    }

    pub(super) fn start(&mut self, id: &str) {
        if let Some(record) = self.records.get(id) {
            record.handle.start();
        }
    }

    pub(super) fn panic(&self, id: &str) -> bool {
        self.records.get(id).map(|record| record.handle.panic()).is_some()
    }

    /// Whether a child was polled since the last look, or has a reason not to be.
    pub(super) fn answers(&self, id: &str) -> bool {
        self.records
            .get(id)
            .is_none_or(|record| record.state != State::Running || record.handle.probe())
    }

    /// Asks everybody to stop, the last started first. False: it was done before.
    pub(super) fn stop_all(&mut self) -> bool {
        let mut running: Vec<&mut Box<Record>> =
            self.records.values_mut().filter(|record| !record.handle.is_stop_wanted()).collect();
        running.retain(|record| !LAST.contains(&&**record.handle.id()));
        running.sort_by_key(|record| std::cmp::Reverse(record.order));
        for record in &running {
            record.handle.stop();
        }
        !running.is_empty()
    }

    /// Whether nobody is left but the root and the log keeper, which write the last lines.
    pub(super) fn is_all_stopped(&self) -> bool {
        self.left().is_empty()
    }

    /// Who still runs.
    pub(super) fn left(&self) -> Vec<String> {
        let is_over = |state| matches!(state, State::Stopped | State::Terminated);
        self.records
            .iter()
            .filter(|(id, record)| !LAST.contains(&&***id) && !is_over(record.state))
            .map(|(id, _)| id.to_string())
            .collect()
    }

    /// The block of a child as `daemon_status` shows it.
    pub(super) fn block(&self, id: &str) -> Option<Block> {
        self.records.get(id).map(|record| record.block())
    }

    fn is_shown(&self, id: &str) -> bool {
        !thread::is_service_monitor(id)
            || self.records.get(id).is_some_and(|record| record.restarts > 0)
    }
}
