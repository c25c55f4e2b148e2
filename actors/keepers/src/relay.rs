//! The relay: keeps the last message of each node of other clusters, for their relay heartbeats.
//!
//! Hears: requests. Tells: nobody. Restart: the slots are kept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use model::Timestamp;
use monitor::Moment;

use machine::clock;
use mail::relay::{Fetch, LONGEST_NAME, List, Listed, MOST_OF_CLUSTER, NotKept, Store};

/// Age beyond which a slot is dropped, as in deployed agents.
const SLOT_LIFE_SECONDS: f64 = 24.0 * 3600.0;

/// How often old slots are looked for, as in deployed agents.
const SWEEP_PERIOD: Duration = Duration::from_secs(600);

/// Most slots of one cluster: no cluster has more nodes.
const MOST_SLOTS: usize = 128;

/// Most clusters: a relay serves those of an organization.
const MOST_CLUSTERS: usize = 512;

/// Memory that all clusters together may take. When it is full, whoever left most of it makes room.
const MOST_MEMORY: usize = 64 << 20;

/// Most bytes kept over all clusters: an allocator gives up to a quarter more than a message asks for.
const MOST_BYTES: usize = MOST_MEMORY / 5 * 4;

/// What a slot takes beside its texts, and its cluster beside its slots.
const OVERHEAD: usize = 512;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Sweep;

#[derive(Debug)]
struct Slot {
    cluster_name: Box<str>,
    ipaddr: Box<str>,
    msg: Option<Arc<str>>,
    /// For those who fetch it, and to be shown.
    updated: Timestamp,
    /// When it was left, by the clock that is not set.
    left: Duration,
    /// Where from.
    from: Option<IpAddr>,
}

impl Slot {
    /// Bytes of its message.
    fn message_bytes(&self) -> usize {
        self.msg.as_ref().map_or(0, |msg| msg.len())
    }

    /// All that it takes, its key included.
    fn bytes(&self, node: &str) -> usize {
        OVERHEAD + node.len() + self.cluster_name.len() + self.ipaddr.len() + self.message_bytes()
    }
}

/// The slots of one cluster, by node.
#[derive(Debug, Default)]
struct Slots {
    by_node: BTreeMap<Box<str>, Slot>,
    bytes: usize,
}

impl Slots {
    fn count(&mut self) {
        self.bytes = self.by_node.iter().map(|(node, slot)| slot.bytes(node)).sum();
    }

    /// The slot that was left last.
    fn newest(&self) -> Option<&Slot> {
        self.by_node.values().max_by_key(|slot| slot.left)
    }

    /// Bytes by the address that they came from.
    fn bytes_by_address(&self) -> BTreeMap<Option<IpAddr>, usize> {
        let mut bytes = BTreeMap::new();
        for (node, slot) in &self.by_node {
            *bytes.entry(slot.from).or_default() += slot.bytes(node);
        }
        bytes
    }

    /// The node whose slot is the oldest.
    fn oldest(&self) -> Option<Box<str>> {
        let oldest = self.by_node.iter().min_by_key(|(_, slot)| slot.left);
        oldest.map(|(node, _)| node.clone())
    }
}

/// The actor.
#[derive(Debug, Default)]
pub struct RelayKeeper {
    clusters: BTreeMap<Box<str>, Slots>,
    total_bytes: usize,
}

impl RelayKeeper {
    /// Keeps a message instead of the last one of its node. What has no room in its own cluster pushes out the oldest slots of
    /// that cluster; where there is none for another cluster, or for so many bytes, the address makes room from which most
    /// came.
    fn store(&mut self, now: impl Into<Moment>, message: Store) -> Result<(), NotKept> {
        let now = now.into();
        let Store { cluster_id, cluster_name, nodename, ipaddr, msg, from } = message;
        let names = [&cluster_id, &cluster_name, &nodename, &ipaddr];
        if names.iter().any(|name| name.len() > LONGEST_NAME) {
            return Err(NotKept::Name);
        }
        let slot = Slot {
            cluster_name: cluster_name.into(),
            ipaddr: ipaddr.into(),
            msg,
            updated: now.wall,
            left: now.steady,
            from,
        };
        let bytes = slot.bytes(&nodename);
        if bytes > MOST_OF_CLUSTER {
            return Err(NotKept::TooLong);
        }
        if !self.clusters.contains_key(&*cluster_id) && self.clusters.len() >= MOST_CLUSTERS {
            self.make_room_for_a_cluster(from)?;
        }
        // Its own slots first, as if nothing else was there.
        let slots = self.clusters.entry(cluster_id.as_str().into()).or_default();
        self.total_bytes -= slots.bytes;
        slots.by_node.remove(&*nodename);
        slots.count();
        while slots.by_node.len() >= MOST_SLOTS || slots.bytes + bytes > MOST_OF_CLUSTER {
            let Some(oldest) = slots.oldest() else { break };
            if let Some(gone) = slots.by_node.remove(&oldest) {
                slots.bytes -= gone.bytes(&oldest);
            }
        }
        slots.by_node.insert(nodename.as_str().into(), slot);
        slots.count();
        self.total_bytes += slots.bytes;
        while self.total_bytes > MOST_BYTES {
            self.push_out((&cluster_id, &nodename));
        }
        let is_kept = self.get(&cluster_id, &nodename).is_some();
        if is_kept { Ok(()) } else { Err(NotKept::Full) }
    }

    /// Forgets the cluster that was heard longest ago of those that the address with most clusters left.
    fn make_room_for_a_cluster(&mut self, from: Option<IpAddr>) -> Result<(), NotKept> {
        // By address: when each of its clusters was heard.
        let mut by_address: BTreeMap<Option<IpAddr>, Vec<(Duration, &str)>> = BTreeMap::new();
        for (id, slots) in &self.clusters {
            let newest = slots.newest();
            let left = newest.map_or(Duration::ZERO, |slot| slot.left);
            by_address.entry(newest.and_then(|slot| slot.from)).or_default().push((left, id));
        }
        let own = by_address.get(&from).map_or(0, Vec::len);
        // Whoever asks makes room before others that have as many.
        let most = by_address.iter().max_by_key(|(address, all)| (all.len(), **address == from));
        let all = most.map(|(_, all)| all).filter(|all| own > 0 || all.len() > 1);
        let Some((_, oldest)) = all.and_then(|all| all.iter().min()) else {
            return Err(NotKept::Full);
        };
        let oldest = Box::<str>::from(*oldest);
        let gone = self.clusters.remove(&oldest);
        self.total_bytes -= gone.map_or(0, |slots| slots.bytes);
        Ok(())
    }

    /// Forgets a slot of those that the address left of which most bytes are kept: the oldest one there of its largest
    /// cluster, what was left just now at last.
    fn push_out(&mut self, (cluster, node): (&str, &str)) {
        let mut by_address: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        for slots in self.clusters.values() {
            for (address, bytes) in slots.bytes_by_address() {
                *by_address.entry(address).or_default() += bytes;
            }
        }
        let Some((address, _)) = by_address.into_iter().max_by_key(|(_, bytes)| *bytes) else {
            return;
        };
        let mut of_address: Vec<(&str, &str, &Slot, usize)> = vec![];
        for (id, slots) in &self.clusters {
            let own = slots.by_node.iter().filter(|(_, slot)| slot.from == address);
            of_address.extend(own.map(|(name, slot)| (&**id, &**name, slot, slots.bytes)));
        }
        let is_new = |id: &str, name: &str| id == cluster && name == node;
        let first = of_address.into_iter().min_by_key(|(id, name, slot, bytes)| {
            (is_new(id, name), std::cmp::Reverse(*bytes), slot.left)
        });
        let Some((id, name, ..)) = first else { return };
        let (id, oldest) = (Box::<str>::from(id), Box::<str>::from(name));
        let Some(slots) = self.clusters.get_mut(&id) else { return };
        self.total_bytes -= slots.bytes;
        slots.by_node.remove(&oldest);
        slots.count();
        self.total_bytes += slots.bytes;
        if slots.by_node.is_empty() {
            self.total_bytes -= slots.bytes;
            self.clusters.remove(&id);
        }
    }

    fn count(&mut self) {
        self.clusters.retain(|_, slots| !slots.by_node.is_empty());
        self.clusters.values_mut().for_each(Slots::count);
        self.total_bytes = self.clusters.values().map(|slots| slots.bytes).sum();
    }

    fn sweep(&mut self, now: impl Into<Moment>) {
        let now = now.into();
        for slots in self.clusters.values_mut() {
            slots.by_node.retain(|_, slot| now.since(slot.left) <= SLOT_LIFE_SECONDS);
        }
        self.count();
    }

    fn get(&self, cluster_id: &str, node: &str) -> Option<&Slot> {
        self.clusters.get(cluster_id)?.by_node.get(node)
    }

    fn list(&self) -> Vec<Listed> {
        let all = self.clusters.iter();
        let slots = all.flat_map(|(id, slots)| slots.by_node.iter().map(move |slot| (id, slot)));
        let listed = slots.map(|(id, (node, slot))| Listed {
            key: format!("{id}/{node}"),
            cluster_name: slot.cluster_name.clone(),
            ipaddr: slot.ipaddr.clone(),
            size_bytes: slot.message_bytes(),
            updated: slot.updated,
        });
        listed.collect()
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
        self.count();
    }
}

impl Handler<Store> for RelayKeeper {
    type Result = Result<(), NotKept>;

    fn handle(&mut self, message: Store, _: &mut Context<Self>) -> Self::Result {
        self.store(clock::moment(), message)
    }
}

impl Handler<Fetch> for RelayKeeper {
    type Result = Option<(Option<Arc<str>>, Timestamp)>;

    fn handle(&mut self, Fetch { cluster_id, slot }: Fetch, _: &mut Context<Self>) -> Self::Result {
        let slot = self.get(&cluster_id, &slot)?;
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
        self.sweep(clock::moment());
        ctx.notify_later(Sweep, SWEEP_PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::relay::shown;
    use serde_json::json;

    fn of(cluster: &str, nodename: &str, msg: Option<Arc<str>>) -> Store {
        Store {
            cluster_id: cluster.into(),
            cluster_name: "c1".into(),
            nodename: nodename.into(),
            ipaddr: String::new(),
            msg,
            from: None,
        }
    }

    fn at(last: u8, store: Store) -> Store {
        Store { from: Some(IpAddr::from([10, 0, 0, last])), ..store }
    }

    fn message(nodename: &str, msg: &str) -> Store {
        of("cid1", nodename, Some(msg.into()))
    }

    /// What it keeps, counted anew.
    fn counted(relay: &RelayKeeper) -> usize {
        let slots = relay.clusters.values().flat_map(|slots| &slots.by_node);
        slots.map(|(node, slot)| slot.bytes(node)).sum()
    }

    #[test]
    fn a_slot_keeps_the_last_message_and_its_size() {
        let mut relay = RelayKeeper::default();
        relay.store(Timestamp(1.0), message("n1", "payload")).unwrap();
        relay.store(Timestamp(2.0), message("n1", "pay")).unwrap();
        relay.store(Timestamp(3.0), of("cid1", "n2", None)).unwrap();
        assert_eq!(
            shown(&relay.list()),
            json!({
                "cid1/n1": {"cluster_name": "c1", "updated": 2.0, "ipaddr": "", "size": 3},
                "cid1/n2": {"cluster_name": "c1", "updated": 3.0, "ipaddr": "", "size": 0},
            })
        );
        assert_eq!(relay.total_bytes, counted(&relay));
    }

    #[test]
    fn a_slot_dies_after_a_day_and_the_oldest_of_its_cluster_goes_when_there_are_too_many() {
        let mut relay = RelayKeeper::default();
        relay.store(Timestamp(0.0), of("other", "n1", Some("x".into()))).unwrap();
        for i in 0..=MOST_SLOTS {
            relay.store(Timestamp(1.0 + i as f64), message(&format!("n{i}"), "x")).unwrap();
        }
        assert_eq!(relay.clusters["cid1"].by_node.len(), MOST_SLOTS);
        assert!(relay.get("cid1", "n0").is_none());
        assert!(relay.get("other", "n1").is_some());
        relay.sweep(Timestamp(SLOT_LIFE_SECONDS + 2.5));
        assert!(relay.get("cid1", "n1").is_none() && relay.get("other", "n1").is_none());
        assert!(relay.get("cid1", "n2").is_some());
        assert_eq!(relay.total_bytes, counted(&relay));
    }

    #[test]
    fn no_step_of_the_clock_drops_a_slot_or_keeps_it() {
        let at = |wall: f64, secs: u64| Moment {
            wall: Timestamp(wall),
            steady: Duration::from_secs(secs),
        };
        let mut relay = RelayKeeper::default();
        relay.store(at(1e9, 10), message("n1", "x")).unwrap();
        relay.sweep(at(2e9, 20));
        assert!(relay.get("cid1", "n1").is_some(), "the clock was set ahead");
        // The clock was set back: what was left last is not the oldest.
        relay.store(at(5.0, 30), message("n2", "x")).unwrap();
        assert_eq!(relay.clusters["cid1"].oldest().as_deref(), Some("n1"));
        relay.sweep(at(6.0, 86_420));
        assert!(relay.get("cid1", "n1").is_none() && relay.get("cid1", "n2").is_some());
    }

    #[test]
    fn whoever_fills_the_relay_neither_silences_a_cluster_nor_keeps_one_out() {
        let mut relay = RelayKeeper::default();
        let message = |length: usize| Some("x".repeat(length).into());
        for (last, node) in [(1, "n1"), (2, "n2")] {
            let first = at(last, of("honest", node, message(1 << 20)));
            relay.store(Timestamp(0.0), first).unwrap();
        }
        for i in 0..15 {
            let full = of(&format!("greedy{i}"), "n1", message(MOST_OF_CLUSTER - 2_000));
            relay.store(Timestamp(1.0), at(66, full)).unwrap();
        }
        assert!(relay.total_bytes > MOST_BYTES - (4 << 20));
        // A beat that grew, of a cluster that is there and of one that comes.
        for cluster in ["honest", "late"] {
            let grown = at(1, of(cluster, "n1", message((2 << 20) + 1)));
            assert_eq!(relay.store(Timestamp(2.0), grown), Ok(()), "{cluster}");
        }
        assert!(relay.get("honest", "n2").is_some(), "others made room");
        // Whoever fills it goes on, at its own cost.
        for i in 0..40 {
            let full = of(&format!("greedy{i}"), "n1", message(MOST_OF_CLUSTER - 2_000));
            assert_eq!(relay.store(Timestamp(3.0), at(66, full)), Ok(()));
        }
        for (cluster, node) in [("honest", "n1"), ("honest", "n2"), ("late", "n1")] {
            assert!(relay.get(cluster, node).is_some(), "{cluster} {node}");
        }
        assert!(relay.total_bytes <= MOST_BYTES && relay.total_bytes == counted(&relay));
    }

    #[test]
    fn empty_clusters_keep_no_cluster_out_and_no_address_has_the_place_of_all() {
        let mut relay = RelayKeeper::default();
        relay.store(Timestamp(0.0), at(1, of("honest", "n1", Some("kept".into())))).unwrap();
        for i in 0..2 * MOST_CLUSTERS {
            let empty = at(66, of(&format!("empty{i}"), "n1", None));
            assert_eq!(relay.store(Timestamp(1.0 + i as f64), empty), Ok(()));
        }
        assert_eq!(relay.clusters.len(), MOST_CLUSTERS);
        assert!(relay.get("honest", "n1").is_some(), "it was heard longest ago of all");
        let late = at(2, of("late", "n1", Some("x".into())));
        assert_eq!(relay.store(Timestamp(9e3), late), Ok(()));
        assert!(relay.get("empty513", "n1").is_none() && relay.get("empty1023", "n1").is_some());
        assert_eq!(relay.clusters.len(), MOST_CLUSTERS);
        assert_eq!(relay.total_bytes, counted(&relay));
    }

    #[test]
    fn whoever_fills_the_relay_pushes_out_its_own_slots_only() {
        let mut relay = RelayKeeper::default();
        relay.store(Timestamp(0.0), of("honest", "n1", Some("kept".into()))).unwrap();
        let mib = || Some("x".repeat(1 << 20).into());
        // One cluster: its oldest go.
        for i in 0..20 {
            relay.store(Timestamp(f64::from(i)), of("greedy", &format!("n{i}"), mib())).unwrap();
        }
        assert!(relay.clusters["greedy"].bytes <= MOST_OF_CLUSTER);
        // Ever new clusters, by names, ids and addresses as well as by messages.
        let long = "y".repeat(LONGEST_NAME);
        for i in 0..2_000 {
            let mut store = of(&format!("{i:0>LONGEST_NAME$}"), &long, None);
            (store.cluster_name, store.ipaddr) = (long.clone(), long.clone());
            store.msg = (i % 2 == 0).then(|| "x".repeat(3 << 20).into());
            assert_eq!(relay.store(Timestamp(100.0), at(66, store)), Ok(()));
            assert!(relay.total_bytes <= MOST_BYTES && counted(&relay) <= relay.total_bytes);
        }
        assert!(relay.clusters.len() <= MOST_CLUSTERS);
        assert_eq!(relay.get("honest", "n1").unwrap().msg.as_deref(), Some("kept"));
        // The honest one goes on.
        relay.store(Timestamp(200.0), of("honest", "n1", Some("new".into()))).unwrap();
        let mut long = message("n1", "x");
        long.ipaddr = "y".repeat(LONGEST_NAME + 1);
        assert_eq!(relay.store(Timestamp(1.0), long), Err(NotKept::Name));
        let long = message("n1", &"x".repeat(MOST_OF_CLUSTER));
        assert_eq!(relay.store(Timestamp(1.0), long), Err(NotKept::TooLong));
    }
}
