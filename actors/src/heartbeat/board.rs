//! What a worker shows of itself in `daemon_status`: `config`, `stats`, `peers` and `alerts`.

use std::collections::{BTreeMap, BTreeSet};

use model::{NodeName, Timestamp};
use monitor::Beating;
use serde_json::{Map, Value, json};

use super::note::Severity;
use super::{Direction, Section};

/// What the alert of a driver that cannot work is about.
pub(super) const DRIVER: &str = "driver";

/// The alert of a heartbeat that retires.
const RETIRING: &str = "not in the configuration any more: goes on until all peers have the same cluster.conf, and are \
                        heard by another heartbeat";

/// Most alerts shown.
const MOST_ALERTS: usize = 32;

/// Counters, alerts and configuration of a worker.
#[derive(Debug, Clone)]
pub(super) struct Board {
    since: Timestamp,
    beats: u64,
    bytes: u64,
    errors: u64,
    alerts: BTreeMap<String, (Severity, String)>,
    config: Map<String, Value>,
    slots: BTreeMap<NodeName, i64>,
    /// Peers to whom sending failed last: one line per change.
    failing: BTreeSet<NodeName>,
}

impl Board {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            beats: 0,
            bytes: 0,
            errors: 0,
            alerts: BTreeMap::new(),
            config: Map::new(),
            slots: BTreeMap::new(),
            failing: BTreeSet::new(),
        }
    }

    /// A driver starts: what the last one said holds no more.
    pub(super) fn on_driver(&mut self) {
        self.config.clear();
        self.slots.clear();
        self.alerts.clear();
        self.failing.clear();
    }

    /// Goes on showing the alert of a driver that failed until the next try works.
    pub(super) fn keep_driver_alert(&mut self, before: Option<(Severity, String)>) {
        if let Some(alert) = before {
            self.alerts.insert(DRIVER.to_owned(), alert);
        }
    }

    /// The alert of a driver that cannot work.
    pub(super) fn driver_alert(&self) -> Option<(Severity, String)> {
        self.alerts.get(DRIVER).cloned()
    }

    pub(super) fn on_beat(&mut self, bytes: usize) {
        self.beats += 1;
        self.bytes += bytes as u64;
    }

    /// Sending to a peer succeeded; true after failures.
    pub(super) fn on_success(&mut self, peer: &NodeName) -> bool {
        self.failing.remove(peer)
    }

    /// Something failed; true if that is new for the peer. What concerns no peer is only counted.
    pub(super) fn on_failure(&mut self, peer: Option<&NodeName>) -> bool {
        self.errors += 1;
        peer.is_some_and(|peer| self.failing.insert(peer.clone()))
    }

    /// Raises or ends an alert; true when that changes something.
    pub(super) fn alert(&mut self, about: &str, alert: Option<(Severity, String)>) -> bool {
        match alert {
            None => self.alerts.remove(about).is_some(),
            Some(_) if self.alerts.len() >= MOST_ALERTS && !self.alerts.contains_key(about) => {
                false
            }
            Some(alert) if self.alerts.get(about) == Some(&alert) => false,
            Some(alert) => {
                self.alerts.insert(about.to_owned(), alert);
                true
            }
        }
    }

    pub(super) fn set_config(&mut self, config: Map<String, Value>) {
        self.config = config;
    }

    pub(super) fn set_slot(&mut self, node: NodeName, slot: i64) -> bool {
        self.slots.insert(node, slot) != Some(slot)
    }

    /// The keys of the block that are the worker's own.
    pub(super) fn fields(
        &self,
        section: &Section,
        direction: Direction,
        beating: &Beating,
    ) -> Map<String, Value> {
        let mut peers = Map::new();
        for node in &section.settings.nodes {
            let mut shown = Map::new();
            if let Some(pulse) = beating.peers().get(node) {
                shown.insert("last".into(), json!(pulse.last));
                shown.insert("beating".into(), pulse.is_beating.into());
            }
            if let Some(slot) = self.slots.get(node) {
                shown.insert("slot".into(), (*slot).into());
            }
            peers.insert(node.to_string(), shown.into());
        }
        let stats = json!({
            "since": self.since,
            "beats": self.beats,
            "bytes": self.bytes,
            "errors": self.errors,
        });
        let alert = |(severity, message): &(Severity, String)| json!({ "severity": severity.as_str(), "message": message });
        let mut alerts: Vec<Value> = self.alerts.values().map(alert).collect();
        if section.is_retiring {
            alerts.push(alert(&(Severity::Warning, RETIRING.to_owned())));
        }
        let mut fields = Map::new();
        fields.insert("config".into(), self.config(section, direction).into());
        fields.insert("stats".into(), stats);
        fields.insert("peers".into(), peers.into());
        fields.insert("alerts".into(), alerts.into());
        fields
    }

    /// Timings where the deployed agents show them, and what the driver adds.
    fn config(&self, section: &Section, direction: Direction) -> Map<String, Value> {
        let settings = &section.settings;
        let mut config = self.config.clone();
        let seconds = |duration: std::time::Duration| {
            let seconds = duration.as_secs_f64();
            // Whole seconds as the field writes them.
            if seconds.fract() == 0.0 { json!(seconds as u64) } else { json!(seconds) }
        };
        let (has_timeout, has_interval) = match (settings.kind.as_str(), direction) {
            ("unicast" | "relay", Direction::Tx) => (false, false),
            ("unicast", Direction::Rx) => (true, false),
            _ => (true, true),
        };
        if has_timeout {
            config.insert("timeout".into(), seconds(settings.timeout));
        }
        if has_interval {
            config.insert("interval".into(), seconds(settings.interval));
        }
        config
    }
}
