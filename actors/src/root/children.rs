//! What the root knows of its children.

use std::collections::BTreeMap;

use model::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::supervision::{ChildEvent, ChildHandle, ChildId};

/// Children of these names are many: they are shown in `daemon_status` once they fell.
const MANY: &str = "service_monitor ";

/// Falls in a row from which on an alert stays until the child was healthy for a while: one that falls again and again
/// runs most of the time, and would not be seen.
const REPEATED: u32 = 3;

/// State of a thread, with the field's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Stopping,
    Stopped,
    Restarting,
    Terminated,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Restarting => "restarting",
            Self::Terminated => "terminated",
        }
    }
}

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
    /// What it reports of itself.
    own: Map<String, Value>,
}

impl Record {
    fn block(&self) -> Value {
        let mut block = self.own.clone();
        let mut set = |key: &str, value: Value| _ = block.insert(key.to_owned(), value);
        set("state", self.state.as_str().into());
        set("created", json!(self.created));
        set("configured", json!(self.configured));
        set("tid", self.tid.into());
        set("ident", self.tid.into());
        set("restarts", self.restarts.into());
        if let Some(reason) = &self.reason {
            set("reason", reason.as_str().into());
        }
        if let Some(next_try) = self.next_try {
            set("next_try", json!(next_try));
        }
        if self.state != State::Running
            && let Some(Value::Object(peers)) = block.get_mut("peers")
        {
            // A heartbeat that does not run hears nobody, whatever it reported last.
            for beating in peers.values_mut().filter_map(|peer| peer.get_mut("beating")) {
                *beating = false.into();
            }
        }
        if let Some(alert) = self.alert() {
            match block.entry("alerts").or_insert_with(|| json!([])) {
                Value::Array(alerts) => alerts.push(alert),
                other => *other = json!([alert]),
            }
        }
        if block.get("alerts").is_some_and(|alerts| alerts.as_array().is_some_and(Vec::is_empty)) {
            block.remove("alerts");
        }
        block.into()
    }

    fn alert(&self) -> Option<Value> {
        let is_repeated = self.tries >= REPEATED;
        let severity = match self.state {
            State::Restarting if self.tries > 0 => "error",
            State::Running if is_repeated => "warning",
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
        Some(json!({ "severity": severity, "message": message }))
    }
}

/// The children, by id.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Boxed: service monitors are thousands, and half of the places of a map are empty.
    records: BTreeMap<ChildId, Box<Record>>,
    /// Reports of children that are not known yet.
    early: BTreeMap<ChildId, Map<String, Value>>,
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
            ChildEvent::Ended { id } if id.starts_with(MANY) => {
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

    /// Merges what a child reports of itself.
    pub(super) fn on_report(&mut self, id: &ChildId, fields: Map<String, Value>) {
        let own = match self.records.get_mut(id) {
            Some(record) => &mut record.own,
            None => self.early.entry(id.clone()).or_default(),
        };
        for (key, value) in fields {
            if value.is_null() {
                own.remove(&key)
            } else {
                own.insert(key, value)
            };
        }
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
        let is_named = |child: &ChildId| match id {
            "root" => false,
            "tx" => child.ends_with(".tx"),
            id => **child == *id,
        };
        self.records.keys().filter(|child| is_named(child)).cloned().collect()
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
        running.retain(|record| **record.handle.id() != *"root" && **record.handle.id() != *"logs");
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
            .filter(|(id, record)| !["root", "logs"].contains(&&***id) && !is_over(record.state))
            .map(|(id, _)| id.to_string())
            .collect()
    }

    /// The block of a child as `daemon_status` shows it.
    pub(super) fn block(&self, id: &str) -> Option<Value> {
        self.records.get(id).map(|record| record.block())
    }

    fn is_shown(&self, id: &str) -> bool {
        !id.starts_with(MANY) || self.records.get(id).is_some_and(|record| record.restarts > 0)
    }
}
