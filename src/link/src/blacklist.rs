//! The counts, and whose addresses are known: read from any thread without waiting.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use model::NodeName;
use monitor::{Acquaintances, Blacklist, Pace, THRESHOLD};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Parts of the view: a change copies one of them.
const SHARDS: usize = 256;

/// Addresses above which those where nobody waits for a turn are forgotten.
const MOST_LARGE: usize = 256;

/// Longest wait for a turn, and how long one lasts: what a member sends takes less.
pub const LARGE_PATIENCE: Duration = Duration::from_secs(5);

/// What is done with a message on a connection that proved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is opened.
    Free,
    /// It is opened in its turn, and may be small only: others use a known address to send what does not open.
    Slowed,
    /// It is dropped before it is opened.
    Refused,
}

/// The counts and the known addresses.
#[derive(Debug)]
pub struct BlacklistView {
    shards: Box<[ArcSwap<BTreeMap<IpAddr, u32>>]>,
    // Random keys: a sender cannot choose addresses that fall into one part.
    hasher: RandomState,
    /// Addresses of the nodes of the cluster.
    members: ArcSwap<BTreeMap<IpAddr, NodeName>>,
    /// Addresses from which messages opened. A lock that is held for a look: asked for strangers only.
    acquaintances: Mutex<Acquaintances>,
    pace: Mutex<Pace>,
    /// All that the keeper knows: it outlives the keeper, who alone looks into it.
    list: Mutex<Blacklist>,
    /// Whose turn it is to send what is large, by address.
    large: Mutex<BTreeMap<IpAddr, Arc<Semaphore>>>,
    /// Senders in all parts: nearly always none.
    length: AtomicUsize,
    epoch: Instant,
}

impl Default for BlacklistView {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: RandomState::new(),
            members: ArcSwap::default(),
            acquaintances: Mutex::default(),
            pace: Mutex::default(),
            list: Mutex::default(),
            large: Mutex::default(),
            length: AtomicUsize::new(0),
            epoch: Instant::now(),
        }
    }
}

impl BlacklistView {
    /// Time since the view was made: no clock that is set moves it.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Invalid messages in a row of a sender, at most [`THRESHOLD`].
    #[must_use]
    pub fn count(&self, sender: IpAddr) -> u32 {
        if self.length.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let sender = sender.to_canonical();
        self.shard(sender).load().get(&sender).copied().unwrap_or(0)
    }

    /// What is done with messages of a sender on connections that proved nothing. Others can send from the address of a
    /// member: it is never refused.
    #[must_use]
    pub fn verdict(&self, sender: IpAddr) -> Verdict {
        match self.count(sender) {
            0..THRESHOLD => Verdict::Free,
            _ if self.is_known(sender) => Verdict::Slowed,
            _ => Verdict::Refused,
        }
    }

    /// Waits until a connection that proved nothing may send a large message, from an address that others misuse: one after
    /// the other. None when it took too long.
    pub async fn large_turn(&self, address: IpAddr) -> Option<OwnedSemaphorePermit> {
        let turn = {
            let mut turns = lock(&self.large);
            if turns.len() >= MOST_LARGE {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            let fresh = || Arc::new(Semaphore::new(1));
            turns.entry(address.to_canonical()).or_insert_with(fresh).clone()
        };
        tokio::time::timeout(LARGE_PATIENCE, turn.acquire_owned()).await.ok()?.ok()
    }

    /// How long a message of a sender that is not free waits for its turn.
    #[must_use]
    pub fn wait(&self, sender: IpAddr) -> Duration {
        lock(&self.pace).wait(self.now(), sender)
    }

    /// Whether an address is a member's, or messages from it opened lately.
    #[must_use]
    pub fn is_known(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.members.load().contains_key(&address)
            || lock(&self.acquaintances).is_known(self.now(), address)
    }

    /// A fresh message from this address opened: one that nobody can have recorded.
    pub fn on_opened(&self, address: IpAddr) {
        let address = address.to_canonical();
        if !self.members.load().contains_key(&address) {
            lock(&self.acquaintances).on_opened(self.now(), address);
        }
    }

    /// The node that has an address.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> Option<NodeName> {
        self.members.load().get(&address.to_canonical()).cloned()
    }

    /// Senders and counts, as `daemon_blacklist_status` shows them: cluster nodes by name, others by address.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<String, u32> {
        let names = self.members.load();
        let mut entries = BTreeMap::new();
        for (sender, count) in self.all() {
            let key = names.get(&sender).map_or_else(|| sender.to_string(), ToString::to_string);
            let shown: &mut u32 = entries.entry(key).or_default();
            *shown = count.max(*shown);
        }
        entries
    }

    /// Says which addresses belong to which node of the cluster.
    pub fn set_members(&self, members: BTreeMap<IpAddr, NodeName>) {
        if **self.members.load() != members {
            self.members.store(Arc::new(members));
        }
    }

    /// What the keeper knows.
    pub fn list(&self) -> MutexGuard<'_, Blacklist> {
        lock(&self.list)
    }

    pub(crate) fn all(&self) -> Vec<(IpAddr, u32)> {
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
    pub fn set(&self, sender: IpAddr, count: Option<u32>) {
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

    /// For tests of those who read it.
    #[cfg(any(test, feature = "testing"))]
    pub fn test_set(&self, sender: IpAddr, count: u32) {
        self.set(sender, Some(count));
    }

    /// Only the keeper writes.
    pub fn clear(&self) {
        for part in &self.shards {
            part.store(Arc::default());
        }
        self.length.store(0, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_address_is_slowed_and_never_refused() {
        let view = BlacklistView::default();
        let [stranger, member, lately] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        for address in [stranger, member, lately] {
            view.set(address, Some(THRESHOLD));
            assert_eq!(view.verdict(address), Verdict::Refused);
        }
        view.set_members([(member, NodeName::new("n2").unwrap())].into());
        view.on_opened(lately);
        assert_eq!(view.verdict(stranger), Verdict::Refused);
        assert_eq!(view.verdict(member), Verdict::Slowed);
        assert_eq!(view.verdict(lately), Verdict::Slowed);
        let shown: Vec<String> = view.entries().into_keys().collect();
        assert_eq!(shown, ["10.0.0.1", "10.0.0.3", "n2"]);
        view.clear();
        assert_eq!(view.verdict(stranger), Verdict::Free);
        assert_eq!(view.entries().len(), 0);
    }
}
