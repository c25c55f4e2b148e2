//! The exchange as deployed agents do it, with the weaknesses that ours has to live with.

use std::collections::BTreeMap;

use dataset::exchange::received::PeerData;
use dataset::journal::Ops;
use model::{Content, HeartbeatMessage, NodeName, Op, Timestamp};
use serde_json::{Map, Value};

pub(crate) struct Deployed {
    local: NodeName,
    generation: u64,
    merged: BTreeMap<NodeName, u64>,
    acked: BTreeMap<NodeName, u64>,
    deltas: BTreeMap<u64, Vec<Op>>,
    /// As it was at the last change, acknowledgements included.
    cached: Option<HeartbeatMessage>,
}

impl Deployed {
    pub(crate) fn new(local: NodeName) -> Self {
        let (merged, acked, deltas) = Default::default();
        Self { local, generation: 1, merged, acked, deltas, cached: None }
    }

    fn gens(&self) -> BTreeMap<NodeName, u64> {
        let merged = self.merged.iter().map(|(name, number)| (name.clone(), *number));
        merged.chain([(self.local.clone(), self.generation)]).collect()
    }

    pub(crate) fn record(&mut self, ops: Ops, now: Timestamp, data: &Map<String, Value>) {
        // Alone, nothing is recorded and the number stands still.
        if !self.acked.is_empty() {
            self.generation += 1;
            let mut ops = Vec::from(ops);
            ops.push(Op { path: vec!["updated".into()], value: Some(now.0.into()) });
            self.deltas.insert(self.generation, ops);
        }
        let content = Content::Full { data: data.clone() };
        self.cached = Some(HeartbeatMessage { r#gen: self.gens(), updated: now, content });
    }

    pub(crate) fn message(&self, now: Timestamp, data: &Map<String, Value>) -> HeartbeatMessage {
        let content = match self.acked.values().min() {
            None => {
                let monitor = data["monitor"].as_object().unwrap().clone();
                Content::Ping { compat: Some(10), monitor }
            }
            Some(low) if *low == 0 || *low > self.generation => {
                return self.cached.clone().unwrap();
            }
            Some(low) => {
                let deltas = self.deltas.range(low + 1..);
                Content::Patch { deltas: deltas.map(|(n, ops)| (*n, ops.clone())).collect() }
            }
        };
        HeartbeatMessage { r#gen: self.gens(), updated: now, content }
    }

    pub(crate) fn forget(&mut self, peer: &NodeName) {
        self.merged.remove(peer);
        self.acked.remove(peer);
        self.trim();
    }

    fn trim(&mut self) {
        match self.acked.values().min() {
            Some(low) => self.deltas = self.deltas.split_off(low),
            None => self.deltas.clear(),
        }
    }

    pub(crate) fn receive(
        &mut self,
        from: &NodeName,
        message: HeartbeatMessage,
        data: &mut Map<String, Value>,
    ) {
        let ack = message.r#gen.get(&self.local).copied().unwrap_or(0);
        let told = message.r#gen.get(from).copied().unwrap_or(0);
        let merged = self.merged.get(from).copied();
        let (new_merged, new_acked) = match message.content {
            Content::Ping { monitor, .. } => {
                data.set_monitor(monitor);
                (0, ack)
            }
            Content::Full { data: full } => {
                if told == 0 || merged.is_some_and(|merged| told <= merged) {
                    return;
                }
                data.replace(full);
                (told, ack)
            }
            Content::Texts { .. } => unreachable!("it reads values"),
            Content::Patch { deltas } => match merged {
                None => (0, 0),
                Some(0) => return,
                Some(mut merged) => {
                    let mut acked = self.acked.get(from).copied().unwrap_or(0);
                    let news: Vec<_> = deltas.iter().filter(|(n, _)| **n > merged).collect();
                    if news.is_empty() {
                        acked = acked.max(ack);
                    }
                    for (number, ops) in news {
                        acked = ack;
                        if *number != merged + 1 || data.apply(ops).is_err() {
                            merged = 0;
                            break;
                        }
                        merged = *number;
                    }
                    (merged, acked)
                }
            },
        };
        self.merged.insert(from.clone(), new_merged);
        self.acked.insert(from.clone(), new_acked);
        self.trim();
    }
}
