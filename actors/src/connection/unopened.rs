//! The memory of messages that are not whole or not opened yet, over all connections.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Session;

/// Longest messages (`listener.max_frame`) that may be on their way at once.
const LONGEST_AT_ONCE: usize = 4;

#[derive(Debug, Default)]
struct State {
    core: monitor::Unopened,
    sessions: BTreeMap<u64, Arc<Session>>,
    is_full: bool,
}

/// What all connections hold of messages that nobody has opened.
///
/// A lock, because a message to an owner would come too late: the bytes are there already. A request that arrives in one
/// read never takes it.
#[derive(Debug, Default)]
pub struct Unopened {
    state: Mutex<State>,
    next_id: AtomicU64,
}

impl Unopened {
    /// The account of one connection.
    pub(super) fn account<'a>(&'a self, session: &'a Arc<Session>) -> Account<'a> {
        Account { unopened: self, session, id: None, bytes: 0 }
    }
}

/// What one connection holds; nothing once dropped.
#[derive(Debug)]
pub(super) struct Account<'a> {
    unopened: &'a Unopened,
    session: &'a Arc<Session>,
    id: Option<u64>,
    bytes: usize,
}

impl Account<'_> {
    /// The connection holds `bytes`. False: it has to close. Others may be closed to make room.
    pub(super) fn set(&mut self, bytes: usize, max_frame: usize) -> bool {
        if bytes == 0 {
            self.release();
            return true;
        }
        // Buffers grow by doubling, so most reads end here.
        if bytes == self.bytes {
            return true;
        }
        let id =
            *self.id.get_or_insert_with(|| self.unopened.next_id.fetch_add(1, Ordering::Relaxed));
        let limit = max_frame.saturating_mul(LONGEST_AT_ONCE);
        let mut state = self.unopened.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bytes == 0 {
            state.sessions.insert(id, self.session.clone());
        }
        self.bytes = bytes;
        let victims = state.core.hold(id, self.session.address(), bytes, limit);
        // One line per change: told again once half of the memory was free.
        if state.core.total() < limit / 2 {
            state.is_full = false;
        }
        if !victims.is_empty() && !std::mem::replace(&mut state.is_full, true) {
            log::warn!(limit_bytes = limit; "too many unfinished messages: connections that hold most are closed");
        }
        for victim in &victims {
            if let Some(session) = state.sessions.remove(victim) {
                session.stop();
            }
        }
        !victims.contains(&id)
    }

    /// The connection holds nothing.
    pub(super) fn release(&mut self) {
        if self.bytes > 0
            && let Some(id) = self.id
        {
            self.bytes = 0;
            let mut state = self.unopened.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.core.release(id);
            state.sessions.remove(&id);
        }
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(last: u8) -> Arc<Session> {
        Session::new(String::new(), Some([10, 0, 0, last].into()))
    }

    #[test]
    fn who_holds_most_is_stopped_and_its_memory_is_free_again() {
        let unopened = Unopened::default();
        let (greedy, honest) = (session(1), session(2));
        let mut held: Vec<_> = (0..4).map(|_| unopened.account(&greedy)).collect();
        for account in &mut held {
            assert!(account.set(100, 100));
        }
        let mut other = unopened.account(&honest);
        assert!(other.set(90, 100));
        assert!(greedy.is_stopped() && !honest.is_stopped());
        drop(held);
        drop(other);
        assert_eq!(unopened.state.lock().unwrap().core.total(), 0);
        assert!(unopened.state.lock().unwrap().sessions.is_empty());
    }

    #[test]
    fn one_that_asks_for_too_much_is_told_to_close() {
        let unopened = Unopened::default();
        let session = session(1);
        let mut account = unopened.account(&session);
        assert!(account.set(400, 100));
        assert!(!account.set(401, 100));
    }
}
