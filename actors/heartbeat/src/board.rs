//! What a worker shows of itself in `daemon_status`: `config`, `stats`, `peers` and `alerts`.

use std::collections::{BTreeMap, BTreeSet};

use model::thread::{Heartbeat, HeartbeatConfig, HeartbeatPeer, HeartbeatStats};
use model::{Alert, NodeName, Timestamp};
use monitor::Beating;

use dataset::heartbeats::section::{Direction, Section};

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
    alerts: BTreeMap<String, Alert>,
    config: HeartbeatConfig,
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
            config: HeartbeatConfig::default(),
            slots: BTreeMap::new(),
            failing: BTreeSet::new(),
        }
    }

    /// A driver starts: what the last one said holds no more.
    pub(super) fn on_driver(&mut self) {
        self.config = HeartbeatConfig::default();
        self.slots.clear();
        self.alerts.clear();
        self.failing.clear();
    }

    /// Goes on showing the alert of a driver that failed until the next try works.
    pub(super) fn keep_driver_alert(&mut self, before: Option<Alert>) {
        if let Some(alert) = before {
            self.alerts.insert(DRIVER.to_owned(), alert);
        }
    }

    /// The alert of a driver that cannot work.
    pub(super) fn driver_alert(&self) -> Option<Alert> {
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
    pub(super) fn alert(&mut self, about: &str, alert: Option<Alert>) -> bool {
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

    pub(super) fn set_config(&mut self, config: HeartbeatConfig) {
        self.config = config;
    }

    pub(super) fn set_slot(&mut self, node: NodeName, slot: i64) -> bool {
        self.slots.insert(node, slot) != Some(slot)
    }

    /// What the block shows of the worker itself.
    pub(super) fn report(
        &self,
        section: &Section,
        direction: Direction,
        beating: &Beating,
    ) -> Heartbeat {
        let peer = |node: &NodeName| {
            let pulse = beating.peers().get(node);
            HeartbeatPeer {
                last: pulse.map(|pulse| pulse.last),
                beating: pulse.map(|pulse| pulse.is_beating),
                slot: self.slots.get(node).copied(),
            }
        };
        let nodes = section.settings.nodes.iter();
        let (since, beats, bytes, errors) = (self.since, self.beats, self.bytes, self.errors);
        Heartbeat {
            config: self.config(section, direction),
            stats: HeartbeatStats { since, beats, bytes, errors },
            peers: nodes.map(|node| (node.clone(), peer(node))).collect(),
        }
    }

    /// What an operator is to be told.
    pub(super) fn alerts(&self, section: &Section) -> Vec<Alert> {
        let retiring = section.is_retiring.then(|| Alert::warning(RETIRING));
        self.alerts.values().cloned().chain(retiring).collect()
    }

    /// Timings where the deployed agents show them, and what the driver adds.
    fn config(&self, section: &Section, direction: Direction) -> HeartbeatConfig {
        let settings = &section.settings;
        let (has_timeout, has_interval) = match (settings.kind.as_str(), direction) {
            ("unicast" | "relay", Direction::Tx) => (false, false),
            ("unicast", Direction::Rx) => (true, false),
            _ => (true, true),
        };
        HeartbeatConfig {
            timeout: has_timeout.then_some(settings.timeout),
            interval: has_interval.then_some(settings.interval),
            ..self.config.clone()
        }
    }
}
