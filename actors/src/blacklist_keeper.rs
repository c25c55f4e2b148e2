//! The blacklist keeper: counts invalid messages, and publishes whom not to listen to.
//!
//! Hears: connections (a message did not open, or did), operators. Tells: subscribers of events.
//! Readers never ask: they look into the [`BlacklistView`]. Restart: from the view, nothing is forgotten.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use arc_swap::ArcSwap;
use model::NodeName;
use monitor::{Blacklist, THRESHOLD};
use serde_json::{Map, json};

use crate::cluster_data::{ClusterData, Emit};
use crate::root::{Root, ThreadReport};

/// Parts of the view: a change copies one of them.
const SHARDS: usize = 256;

/// Where the blacklist is read and told.
#[derive(Debug, Clone)]
pub struct BlacklistRoute {
    /// The newest counts.
    pub view: Arc<BlacklistView>,
    /// The keeper.
    pub keeper: Addr<BlacklistKeeper>,
}

/// The counts, readable from any thread without waiting.
#[derive(Debug)]
pub struct BlacklistView {
    shards: Box<[ArcSwap<BTreeMap<IpAddr, u32>>]>,
    // Random keys: a sender cannot choose addresses that fall into one part.
    hasher: RandomState,
    names: ArcSwap<BTreeMap<IpAddr, NodeName>>,
    /// Senders in all parts: nearly always none.
    length: AtomicUsize,
}

impl Default for BlacklistView {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: RandomState::new(),
            names: ArcSwap::default(),
            length: AtomicUsize::new(0),
        }
    }
}

impl BlacklistView {
    /// Invalid messages in a row of a sender, at most [`THRESHOLD`].
    #[must_use]
    pub fn count(&self, sender: IpAddr) -> u32 {
        let sender = sender.to_canonical();
        self.shard(sender).load().get(&sender).copied().unwrap_or(0)
    }

    /// Whether messages of a sender are dropped before they are opened.
    #[must_use]
    pub fn is_blacklisted(&self, sender: IpAddr) -> bool {
        self.count(sender) >= THRESHOLD
    }

    /// Senders and counts, as `daemon_blacklist_status` shows them: cluster nodes by name, others by address.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<String, u32> {
        let names = self.names.load();
        let mut entries = BTreeMap::new();
        for (sender, count) in self.all() {
            let key = names.get(&sender).map_or_else(|| sender.to_string(), ToString::to_string);
            let shown: &mut u32 = entries.entry(key).or_default();
            *shown = count.max(*shown);
        }
        entries
    }

    /// Says which addresses belong to which node of the cluster.
    pub fn set_names(&self, names: BTreeMap<IpAddr, NodeName>) {
        self.names.store(Arc::new(names));
    }

    fn all(&self) -> Vec<(IpAddr, u32)> {
        if self.length.load(Ordering::Acquire) == 0 {
            return vec![];
        }
        let shards = self.shards.iter().map(ArcSwap::load);
        shards.flat_map(|part| part.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>()).collect()
    }

    fn shard(&self, sender: IpAddr) -> &ArcSwap<BTreeMap<IpAddr, u32>> {
        let hash = self.hasher.hash_one(sender);
        &self.shards[usize::try_from(hash % SHARDS as u64).expect("below SHARDS")]
    }

    /// Only the keeper writes.
    fn set(&self, sender: IpAddr, count: Option<u32>) {
        let cell = self.shard(sender);
        let mut part = BTreeMap::clone(&cell.load());
        let before = part.len();
        match count {
            Some(count) => part.insert(sender, count),
            None => part.remove(&sender),
        };
        // Only the keeper writes: no other change comes between.
        let length = self.length.load(Ordering::Relaxed) - before + part.len();
        self.length.store(length, Ordering::Release);
        cell.store(Arc::new(part));
    }
}

/// A message of this sender is invalid. Answered when the count is in force.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Invalid {
    /// Its address.
    pub sender: IpAddr,
    /// What is wrong with the message.
    pub reason: wire::Refusal,
}

/// A message of this sender opened. Answered when the sender is forgotten.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Valid(pub IpAddr);

/// Forgets everybody (`daemon_blacklist_clear`).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Clear;

/// The actor.
#[derive(Debug)]
pub struct BlacklistKeeper {
    list: Blacklist,
    view: Arc<BlacklistView>,
    cluster_data: Addr<ClusterData>,
    root: Addr<Root>,
}

impl BlacklistKeeper {
    /// A keeper that starts from what the view says.
    #[must_use]
    pub fn new(
        view: Arc<BlacklistView>,
        cluster_data: Addr<ClusterData>,
        root: Addr<Root>,
    ) -> Self {
        let mut list = Blacklist::default();
        for (sender, count) in view.all() {
            for _ in 0..count {
                list.on_invalid(sender);
            }
        }
        Self { list, view, cluster_data, root }
    }

    fn report(&self) {
        let blacklisted = self.list.entries().filter(|(_, count)| *count >= THRESHOLD).count();
        let mut fields = Map::new();
        fields.insert("stats".into(), json!({ "blacklisted": blacklisted }));
        self.root.do_send(ThreadReport { id: "blacklist".into(), fields });
    }
}

impl Actor for BlacklistKeeper {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("blacklist keeper started");
        self.report();
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("blacklist keeper stopped");
    }
}

impl Supervised for BlacklistKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.view.clone(), self.cluster_data.clone(), self.root.clone());
    }
}

impl Handler<Invalid> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, Invalid { sender, reason }: Invalid, _: &mut Context<Self>) {
        let sender = sender.to_canonical();
        let counted = self.list.on_invalid(sender);
        if let Some(forgotten) = counted.forgotten {
            self.view.set(forgotten, None);
        }
        self.view.set(sender, Some(counted.count));
        log::debug!(sender:% = sender, count = counted.count, reason:% = reason; "invalid message");
        if counted.is_new {
            log::warn!(reason:% = reason; "sender {sender} blacklisted");
            let mut data = Map::new();
            data.insert("sender".into(), sender.to_string().into());
            self.cluster_data.do_send(Emit { id: "blacklist_add".into(), path: None, data });
            self.report();
        }
    }
}

impl Handler<Valid> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, Valid(sender): Valid, _: &mut Context<Self>) {
        let sender = sender.to_canonical();
        if self.list.on_valid(sender) {
            self.view.set(sender, None);
        }
    }
}

impl Handler<Clear> for BlacklistKeeper {
    type Result = ();

    fn handle(&mut self, _: Clear, _: &mut Context<Self>) {
        self.list.clear();
        for part in &self.view.shards {
            part.store(Arc::default());
        }
        log::info!("blacklist cleared");
        self.report();
    }
}
