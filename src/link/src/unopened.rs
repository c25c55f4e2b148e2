//! The memory of messages that are not whole or not opened yet, over all that listens to the network.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use monitor::{Episode, OPENING_COST, Pool};

/// Ends a connection.
type End = Box<dyn Fn() + Send>;

struct State {
    core: monitor::Unopened,
    /// How those that hold something are ended.
    ends: BTreeMap<u64, End>,
    crowd: Episode,
}

/// What all connections hold of messages that nobody has opened: one account for the listener and the heartbeats.
///
/// A lock, because a message to an owner would come too late: memory is asked for before it is taken. A request that
/// arrives in one read never takes it.
pub struct Unopened {
    state: Mutex<State>,
    next_id: AtomicU64,
    epoch: Instant,
}

impl fmt::Debug for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unopened").field("held", &self.lock().core).finish_non_exhaustive()
    }
}

impl Default for Unopened {
    fn default() -> Self {
        let state = State {
            core: monitor::Unopened::default(),
            ends: BTreeMap::new(),
            crowd: Episode::default(),
        };
        Self { state: Mutex::new(state), next_id: AtomicU64::new(0), epoch: Instant::now() }
    }
}

impl Unopened {
    /// The account of one connection from `address` (none: the control socket).
    #[must_use]
    pub fn account(self: &Arc<Self>, address: Option<IpAddr>) -> Account {
        Account { unopened: self.clone(), address, id: None, held: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn totals(&self) -> (usize, usize) {
        self.lock().core.totals()
    }
}

/// What one connection holds; nothing once dropped.
#[derive(Debug)]
pub struct Account {
    unopened: Arc<Unopened>,
    address: Option<IpAddr>,
    id: Option<u64>,
    held: Option<(usize, Pool)>,
}

impl Account {
    /// The connection is about to hold `bytes`. False: it must not, and has to close. Others may be ended to make room, as
    /// `end` ends this one.
    pub fn set<F: Fn() + Send + 'static>(
        &mut self,
        bytes: usize,
        pool: Pool,
        max_frame: usize,
        end: impl FnOnce() -> F,
    ) -> bool {
        if bytes == 0 {
            self.release();
            return true;
        }
        // Buffers grow by doubling, so most reads end here.
        if self.held == Some((bytes, pool)) {
            return true;
        }
        let next = || self.unopened.next_id.fetch_add(1, Ordering::Relaxed);
        let id = *self.id.get_or_insert_with(next);
        let now = self.unopened.epoch.elapsed();
        // A member's message is charged with what opening it costs; a stranger's is small, and few are opened at once.
        let cost = if pool == Pool::Members { OPENING_COST } else { 1 };
        let mut state = self.unopened.lock();
        if self.held.is_none() {
            state.ends.insert(id, Box::new(end()));
        }
        self.held = Some((bytes, pool));
        let who = (id, self.address, pool);
        let victims = state.core.hold(now, who, bytes.saturating_mul(cost), max_frame);
        if !victims.is_empty() && state.crowd.on_event(now) {
            log::warn!("too many unfinished messages: connections that hold most are closed");
        }
        for victim in &victims {
            if let Some(end) = state.ends.remove(victim) {
                end();
            }
        }
        // Whoever has to end is counted until it did.
        !victims.contains(&id)
    }

    /// The message is whole, and opened now: nobody else's ends it.
    pub fn on_opening(&self) {
        if let (Some(id), Some(_)) = (self.id, self.held) {
            self.unopened.lock().core.on_opening(id);
        }
    }

    /// The connection holds nothing.
    pub fn release(&mut self) {
        if self.held.take().is_some()
            && let Some(id) = self.id
        {
            let mut state = self.unopened.lock();
            state.core.release(id);
            state.ends.remove(&id);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const KIB: usize = 1 << 10;

    fn address(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    #[test]
    fn who_holds_most_is_ended_and_its_memory_is_free_again() {
        let unopened = Arc::new(Unopened::default());
        let ended = Arc::new(AtomicBool::new(false));
        let mut held: Vec<_> = (0..5).map(|_| unopened.account(address(1))).collect();
        let mut taken = vec![];
        for account in &mut held {
            let ended = ended.clone();
            let end = || move || ended.store(true, Ordering::Relaxed);
            taken.push(account.set(60 * KIB, Pool::Strangers, KIB, end));
        }
        assert_eq!(taken, [true, true, true, true, false]);
        let mut other = unopened.account(address(2));
        assert!(other.set(60 * KIB, Pool::Strangers, KIB, || || unreachable!()));
        assert!(ended.load(Ordering::Relaxed), "the one that was refused");
        assert_eq!(unopened.totals(), (360 * KIB, 0), "it has yet to end");
        drop(held);
        assert_eq!(unopened.totals(), (60 * KIB, 0));
        drop(other);
        assert_eq!(unopened.totals(), (0, 0));
        assert!(unopened.lock().ends.is_empty());
    }

    #[test]
    fn a_member_is_charged_with_what_opening_costs() {
        let unopened = Arc::new(Unopened::default());
        let mut account = unopened.account(address(1));
        assert!(account.set(100 * KIB, Pool::Strangers, KIB, || || ()));
        assert!(account.set(100 * KIB, Pool::Members, KIB, || || ()));
        assert_eq!(unopened.totals(), (0, 300 * KIB));
        account.release();
        assert_eq!(unopened.totals(), (0, 0));
    }
}
