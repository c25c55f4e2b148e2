//! The relay: keeps the last message of each node of other clusters, for their relay heartbeats (wire.md §5.19).
//!
//! Hears: requests. Tells: nobody. Restart: the slots are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use model::Timestamp;
use serde_json::{Map, Value, json};
use wire::{RelayRx, RelayTx};

use super::{Context as Request, Outcome, refusal};
use crate::clock;

/// Age beyond which a slot is dropped (wire.md §5.19).
const SLOT_LIFE_SECONDS: f64 = 24.0 * 3600.0;
/// How often old slots are looked for (wire.md §5.19).
const SWEEP_PERIOD: Duration = Duration::from_secs(600);
/// Most slots kept: the oldest goes first. A relay serves clusters of 32 nodes at most, so that is 128 clusters.
const MAX_SLOTS: usize = 4096;
/// Most bytes kept over all slots: the oldest go first.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Stores the message of a node (`relay_tx`).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Store {
    /// Id of the sender's cluster.
    pub cluster_id: String,
    /// Name of the sender's cluster.
    pub cluster_name: String,
    /// The sender.
    pub nodename: String,
    /// What it says of its own address.
    pub ipaddr: String,
    /// The message, usually an envelope as text.
    pub msg: Value,
}

/// Fetches the last message of a node (`relay_rx`): the message, and when it was stored.
#[derive(Debug, Message)]
#[rtype(result = "Option<(Value, Timestamp)>")]
pub struct Fetch {
    /// Id of the cluster.
    pub cluster_id: String,
    /// The node.
    pub slot: String,
}

/// Lists the slots (`relay_status`).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Map<String, Value>")]
pub struct List;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Sweep;

#[derive(Debug)]
struct Slot {
    cluster_name: String,
    ipaddr: String,
    msg: Value,
    size_bytes: usize,
    updated: Timestamp,
}

/// POST `relay_tx`.
pub(super) async fn store(request: &Request, options: &RelayTx) -> Outcome {
    let Some(ipaddr) = options.addr.first().cloned() else {
        return refusal(400, "option addr is empty").into();
    };
    let store = Store {
        cluster_id: options.cluster_id.clone(),
        cluster_name: options.cluster_name.clone(),
        nodename: request.caller.nodename.to_string(),
        ipaddr,
        msg: options.msg.clone().map_or(Value::Null, Value::from),
    };
    match request.ask(&request.routes.relay, store).await {
        Ok(()) => wire::reply::done().into(),
        Err(not_now) => not_now.into(),
    }
}

/// GET `relay_rx`.
pub(super) async fn fetch(request: &Request, options: &RelayRx) -> Outcome {
    let slot = options.slot.clone().unwrap_or_default();
    let fetch = Fetch { cluster_id: options.cluster_id.clone(), slot };
    match request.ask(&request.routes.relay, fetch).await {
        Ok(Some((msg, updated))) => json!({"status": 0, "data": msg, "updated": updated}).into(),
        Ok(None) => refusal(1, "no data").into(),
        Err(not_now) => not_now.into(),
    }
}

/// GET `relay_status`: the slots, without status.
pub(super) async fn status(request: &Request) -> Outcome {
    match request.ask(&request.routes.relay, List).await {
        Ok(slots) => Value::Object(slots).into(),
        Err(not_now) => not_now.into(),
    }
}

/// The actor.
#[derive(Debug, Default)]
pub struct RelayKeeper {
    slots: BTreeMap<String, Slot>,
    total_bytes: usize,
}

impl RelayKeeper {
    fn store(&mut self, now: Timestamp, message: Store) {
        let key = format!("{}/{}", message.cluster_id, message.nodename);
        let size_bytes = match &message.msg {
            Value::Null => 0,
            Value::String(text) => text.len(),
            other => other.to_string().len(),
        };
        self.remove(&key);
        if size_bytes > MAX_BYTES {
            return;
        }
        while self.slots.len() >= MAX_SLOTS || self.total_bytes + size_bytes > MAX_BYTES {
            let oldest = self.slots.iter().min_by(|a, b| a.1.updated.0.total_cmp(&b.1.updated.0));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.remove(&oldest);
        }
        self.total_bytes += size_bytes;
        let Store { cluster_name, ipaddr, msg, .. } = message;
        self.slots.insert(key, Slot { cluster_name, ipaddr, msg, size_bytes, updated: now });
    }

    fn remove(&mut self, key: &str) {
        if let Some(slot) = self.slots.remove(key) {
            self.total_bytes -= slot.size_bytes;
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        self.slots.retain(|_, slot| now.since(slot.updated) <= SLOT_LIFE_SECONDS);
        self.total_bytes = self.slots.values().map(|slot| slot.size_bytes).sum();
    }

    fn list(&self) -> Map<String, Value> {
        let block = |slot: &Slot| {
            json!({
                "cluster_name": slot.cluster_name,
                "updated": slot.updated,
                "ipaddr": slot.ipaddr,
                "size": slot.size_bytes,
            })
        };
        self.slots.iter().map(|(key, slot)| (key.clone(), block(slot))).collect()
    }
}

impl Actor for RelayKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify_later(Sweep, SWEEP_PERIOD);
    }
}

impl Supervised for RelayKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // A slot is accepted: it is kept. The total may be half counted.
        self.total_bytes = self.slots.values().map(|slot| slot.size_bytes).sum();
    }
}

impl Handler<Store> for RelayKeeper {
    type Result = ();

    fn handle(&mut self, message: Store, _: &mut Context<Self>) {
        self.store(clock::now(), message);
    }
}

impl Handler<Fetch> for RelayKeeper {
    type Result = Option<(Value, Timestamp)>;

    fn handle(&mut self, Fetch { cluster_id, slot }: Fetch, _: &mut Context<Self>) -> Self::Result {
        let slot = self.slots.get(&format!("{cluster_id}/{slot}"))?;
        Some((slot.msg.clone(), slot.updated))
    }
}

impl Handler<List> for RelayKeeper {
    type Result = MessageResult<List>;

    fn handle(&mut self, List: List, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.list())
    }
}

impl Handler<Sweep> for RelayKeeper {
    type Result = ();

    fn handle(&mut self, Sweep: Sweep, ctx: &mut Context<Self>) {
        self.sweep(clock::now());
        ctx.notify_later(Sweep, SWEEP_PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(nodename: &str, msg: Value) -> Store {
        Store {
            cluster_id: "cid1".into(),
            cluster_name: "c1".into(),
            nodename: nodename.into(),
            ipaddr: String::new(),
            msg,
        }
    }

    #[test]
    fn a_slot_keeps_the_last_message_and_its_size() {
        let mut relay = RelayKeeper::default();
        relay.store(Timestamp(1.0), message("n1", json!("payload")));
        relay.store(Timestamp(2.0), message("n1", json!("pay")));
        relay.store(Timestamp(3.0), message("n2", Value::Null));
        assert_eq!(
            Value::Object(relay.list()),
            json!({
                "cid1/n1": {"cluster_name": "c1", "updated": 2.0, "ipaddr": "", "size": 3},
                "cid1/n2": {"cluster_name": "c1", "updated": 3.0, "ipaddr": "", "size": 0},
            })
        );
        assert_eq!(relay.total_bytes, 3);
    }

    #[test]
    fn a_slot_dies_after_a_day_and_the_oldest_goes_when_there_are_too_many() {
        let mut relay = RelayKeeper::default();
        for i in 0..=MAX_SLOTS {
            relay.store(Timestamp(i as f64), message(&format!("n{i}"), json!("x")));
        }
        assert_eq!((relay.slots.len(), relay.total_bytes), (MAX_SLOTS, MAX_SLOTS));
        assert!(!relay.slots.contains_key("cid1/n0"));
        relay.sweep(Timestamp(SLOT_LIFE_SECONDS + 2.0));
        assert!(!relay.slots.contains_key("cid1/n1"));
        assert!(relay.slots.contains_key("cid1/n2"));
        assert_eq!(relay.total_bytes, MAX_SLOTS - 1);
    }
}
