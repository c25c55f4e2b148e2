//! A cluster of nodes that change, and a network that loses, delays, doubles and reorders what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataset::exchange::{Exchange, Sending};
use dataset::journal::Ops;
use model::{Content, HeartbeatMessage, NodeName, Timestamp};
use serde_json::{Map, Value, json};

use crate::deployed::Deployed;
use crate::random::Random;

/// One step of the simulated clock.
pub(crate) const TICK_SECS: f64 = 0.1;
/// Ticks between two beats.
const INTERVAL: u64 = 10;
/// Ticks of silence after which a peer is forgotten.
const TIMEOUT: u64 = 50;
/// When the simulation starts, by a right clock.
const START: f64 = 1_795_363_990.0;

/// What a node runs.
pub(crate) enum Engine {
    /// Ours.
    Ours(Exchange),
    /// A deployed agent.
    Deployed(Deployed),
}

pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) engine: Engine,
    /// Its own data.
    pub(crate) data: Map<String, Value>,
    /// What it has of the others.
    pub(crate) peers: BTreeMap<NodeName, Map<String, Value>>,
    heard: BTreeMap<NodeName, u64>,
    /// How wrong its clock is.
    offset: f64,
    next_beat: u64,
    is_send_due: bool,
}

impl Node {
    fn new(number: usize, is_deployed: bool) -> Self {
        let name = NodeName::new(&format!("n{number}")).unwrap();
        let mut node = Self {
            name: name.clone(),
            engine: Engine::Deployed(Deployed::new(name)),
            data: Map::new(),
            peers: BTreeMap::new(),
            heard: BTreeMap::new(),
            offset: 0.0,
            next_beat: number as u64,
            is_send_due: false,
        };
        node.restart(0, is_deployed);
        node
    }

    pub(crate) fn now(&self, tick: u64) -> Timestamp {
        Timestamp(START + self.offset + tick as f64 * TICK_SECS)
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.engine, Engine::Ours(_))
    }

    /// A new life: nothing is remembered.
    fn restart(&mut self, tick: u64, is_deployed: bool) {
        let now = self.now(tick);
        let (peers, heard) = (BTreeMap::new(), BTreeMap::new());
        (self.peers, self.heard, self.next_beat) = (peers, heard, tick);
        self.data = json!({"compat": 10, "monitor": {"status": "idle"}, "updated": now, "services":
            {"status": {}, "config": {}}})
        .as_object()
        .unwrap()
        .clone();
        self.engine = if is_deployed {
            Engine::Deployed(Deployed::new(self.name.clone()))
        } else {
            Engine::Ours(Exchange::new(self.name.clone(), (now.0 * 1_000.0) as u64))
        };
        self.commit(&self.data.clone(), tick);
    }

    /// A number drawn changes the data.
    pub(crate) fn change(&mut self, random: &mut Random, tick: u64) {
        let before = self.data.clone();
        let path = format!("svc{}", random.below(4));
        let number = random.below(1_000);
        let status = self.data["services"]["status"].as_object_mut().unwrap();
        match random.below(6) {
            0 => _ = status.remove(&path),
            1 => _ = status.insert(path, json!({"monitor": {"status": "idle"}, "l": []})),
            2 => self.data["monitor"]["global_expect"] = Value::Null,
            3 => self.data["monitor"]["global_expect"] = number.into(),
            4 => {
                if let Some(instance) = status.get_mut(&path) {
                    let list: Vec<usize> = (0..random.below(4)).collect();
                    instance["l"] = json!(list);
                    instance["monitor"]["restart"] = json!({"fs#1": {"retries": number}});
                }
            }
            _ => {
                let stats = json!({"load": number, "score": random.below(10)});
                self.data.insert("stats".to_owned(), stats);
            }
        }
        if self.data != before {
            self.commit(&before, tick);
        }
    }

    /// The data differ from `before`: a new generation.
    fn commit(&mut self, before: &Map<String, Value>, tick: u64) {
        let now = self.now(tick);
        let mut ops = Ops::new();
        let (old, new) = (Value::Object(before.clone()), Value::Object(self.data.clone()));
        ops.diff(&mut vec![], Some(&old), Some(&new));
        self.data.insert("updated".to_owned(), now.0.into());
        self.is_send_due = true;
        match &mut self.engine {
            Engine::Ours(exchange) => _ = exchange.record(ops, now, || new.to_string().len()),
            Engine::Deployed(deployed) => deployed.record(ops, now, &self.data),
        }
    }

    pub(crate) fn message(&self, tick: u64) -> HeartbeatMessage {
        let now = self.now(tick);
        let exchange = match &self.engine {
            Engine::Deployed(deployed) => return deployed.message(now, &self.data),
            Engine::Ours(exchange) => exchange,
        };
        let r#gen = exchange.gens();
        match exchange.sending() {
            Sending::Ping => {
                let monitor = self.data["monitor"].as_object().unwrap().clone();
                let content = Content::Ping { compat: Some(10), monitor };
                HeartbeatMessage { r#gen, updated: now, content }
            }
            sending @ Sending::Patch(_) => {
                let text = sending.patch_text(&r#gen, now).unwrap();
                HeartbeatMessage::from_value(serde_json::from_str(&text).unwrap()).unwrap()
            }
            Sending::Full => {
                let updated = Timestamp(self.data["updated"].as_f64().unwrap());
                let content = Content::Full { data: self.data.clone() };
                HeartbeatMessage { r#gen, updated, content }
            }
        }
    }

    fn receive(&mut self, from: &NodeName, message: HeartbeatMessage, tick: u64) {
        let now = self.now(tick);
        self.heard.insert(from.clone(), tick);
        let data = self.peers.entry(from.clone()).or_default();
        match &mut self.engine {
            Engine::Deployed(deployed) => deployed.receive(from, message, data),
            Engine::Ours(exchange) => {
                let received = exchange.receive(from, message, now, data);
                self.is_send_due |= received.is_send_due;
                if exchange.is_raise_due() {
                    exchange.record(Ops::new(), now, || usize::MAX);
                    self.data.insert("updated".to_owned(), now.0.into());
                }
            }
        }
    }

    fn forget_silent(&mut self, tick: u64) {
        let is_silent = |heard: &u64| tick - heard > TIMEOUT;
        let silent: Vec<NodeName> = self
            .heard
            .iter()
            .filter(|(_, heard)| is_silent(heard))
            .map(|(n, _)| n.clone())
            .collect();
        for name in silent {
            self.heard.remove(&name);
            self.peers.remove(&name);
            match &mut self.engine {
                Engine::Ours(exchange) => exchange.forget(&name),
                Engine::Deployed(deployed) => deployed.forget(&name),
            }
        }
    }
}

/// Percentages of misfortune, per message or per node and tick.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// Messages that take up to 8 seconds.
    pub(crate) late: usize,
    /// Of 1,000 ticks of a node.
    pub(crate) restarts: usize,
    /// Of 1,000 ticks of a node.
    pub(crate) jumps: usize,
    /// Of 1,000 ticks: links are cut, or healed.
    pub(crate) cuts: usize,
    /// Ticks of a node with a change.
    pub(crate) changes: usize,
}

pub(crate) struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) tick: u64,
    pub(crate) random: Random,
    /// Messages under way, by the tick of their arrival.
    under_way: BTreeMap<u64, Vec<(usize, usize, Arc<HeartbeatMessage>)>>,
    /// Directions that carry nothing.
    cut: BTreeSet<(usize, usize)>,
    /// Messages and their bytes as JSON, when they are counted.
    pub(crate) sent: Option<(u64, u64)>,
}

impl Network {
    pub(crate) fn new(ours: usize, deployed: usize, seed: u64) -> Self {
        Self {
            nodes: (0..ours + deployed).map(|number| Node::new(number, number >= ours)).collect(),
            tick: 0,
            random: Random::new(seed),
            under_way: BTreeMap::new(),
            cut: BTreeSet::new(),
            sent: None,
        }
    }

    /// Everything reaches everybody again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    fn misfortunes(&mut self, faults: &Faults) {
        for number in 0..self.nodes.len() {
            let random = &mut self.random;
            if random.below(1_000) < faults.restarts {
                let is_deployed = !self.nodes[number].is_ours();
                self.nodes[number].restart(self.tick, is_deployed);
            }
            if random.below(1_000) < faults.jumps {
                self.nodes[number].offset = *random.pick(&[-86_400.0, -3.0, 0.0, 0.5, 3_600.0]);
            }
            if random.happens(faults.changes) {
                self.nodes[number].change(random, self.tick);
            }
        }
        if self.random.below(1_000) < faults.cuts {
            self.cut.clear();
            let count = self.nodes.len();
            match self.random.below(4) {
                // One direction, one link, one node.
                0 => _ = self.cut.insert((self.random.below(count), self.random.below(count))),
                1 => {
                    let (a, b) = (self.random.below(count), self.random.below(count));
                    self.cut.extend([(a, b), (b, a)]);
                }
                2 => {
                    let alone = self.random.below(count);
                    self.cut.extend((0..count).flat_map(|other| [(alone, other), (other, alone)]));
                }
                _ => {}
            }
        }
    }

    /// One tick.
    pub(crate) fn step(&mut self, faults: &Faults) {
        self.tick += 1;
        self.misfortunes(faults);
        for (from, to, message) in self.under_way.remove(&self.tick).unwrap_or_default() {
            let from = self.nodes[from].name.clone();
            self.nodes[to].receive(&from, (*message).clone(), self.tick);
        }
        for number in 0..self.nodes.len() {
            let tick = self.tick;
            let node = &mut self.nodes[number];
            node.forget_silent(tick);
            if !node.is_send_due && tick < node.next_beat {
                continue;
            }
            (node.is_send_due, node.next_beat) = (false, tick + INTERVAL);
            let message = Arc::new(node.message(tick));
            self.send(number, &message, faults);
        }
    }

    fn send(&mut self, from: usize, message: &Arc<HeartbeatMessage>, faults: &Faults) {
        let bytes = self.sent.map(|_| message.to_json().to_string().len());
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            if let (Some((count, sum)), Some(bytes)) = (&mut self.sent, bytes) {
                *count += 1;
                *sum += bytes as u64;
            }
            if self.cut.contains(&(from, to)) {
                continue;
            }
            let random = &mut self.random;
            for _ in 0..1 + usize::from(random.happens(faults.doubled)) {
                if random.happens(faults.lost) {
                    continue;
                }
                let delay = if random.happens(faults.late) { 2 + random.below(80) } else { 1 };
                let arrival = self.tick + delay as u64;
                self.under_way.entry(arrival).or_default().push((from, to, message.clone()));
            }
        }
    }

    /// What keeps the nodes from knowing each other's data; deployed agents among themselves are not asked.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let comparable = |data: &Map<String, Value>| {
            let mut data = data.clone();
            data.remove("gen");
            crate::recorded::without_nulls(&Value::Object(data))
        };
        for node in &self.nodes {
            for other in self.nodes.iter().filter(|other| other.name != node.name) {
                let has = node.peers.get(&other.name);
                if (node.is_ours() || other.is_ours())
                    && has.map(comparable) != Some(comparable(&other.data))
                {
                    found.push(format!("{} lacks data of {}", node.name, other.name));
                }
            }
            if let Engine::Ours(exchange) = &node.engine
                && self.nodes.iter().all(Node::is_ours)
                && exchange.sending() != Sending::Patch(vec![])
            {
                found.push(format!("{} still sends {:?}", node.name, exchange.sending()));
            }
        }
        found
    }
}
