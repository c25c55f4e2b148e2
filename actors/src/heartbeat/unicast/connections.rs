//! The open connections of a receiver: how many may be, and what they may hold.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use model::NodeName;
use monitor::Unopened;
use tokio::task::AbortHandle;

/// Most connections that have not brought a message of a peer yet: the oldest goes first.
const MOST_UNPROVEN: usize = 64;

/// Most connections kept per peer: it has one, and those that it lost sight of.
const MOST_PER_PEER: usize = 4;

/// Longest messages (`listener.max_frame`) that may be on their way at once.
const LONGEST_AT_ONCE: usize = 2;

struct Open {
    task: AbortHandle,
    /// Who it is.
    peer: Option<NodeName>,
}

#[derive(Default)]
pub(super) struct Connections {
    next: Cell<u64>,
    /// By age.
    open: RefCell<BTreeMap<u64, Open>>,
    unopened: RefCell<Unopened>,
}

impl Connections {
    pub(super) fn next_id(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// A connection begins. Strangers cannot keep members out: of too many that proved nothing, the oldest is closed.
    pub(super) fn open(&self, id: u64, task: AbortHandle) {
        let mut open = self.open.borrow_mut();
        let unproven = open.iter().filter(|(_, open)| open.peer.is_none());
        let oldest = unproven.map(|(id, _)| *id).collect::<Vec<_>>();
        if oldest.len() >= MOST_UNPROVEN
            && let Some(closed) = open.get(&oldest[0])
        {
            closed.task.abort();
        }
        open.insert(id, Open { task, peer: None });
    }

    /// A connection brought a message of a peer.
    pub(super) fn prove(&self, id: u64, peer: &NodeName) {
        let mut open = self.open.borrow_mut();
        let Some(connection) = open.get_mut(&id) else { return };
        if connection.peer.as_ref() == Some(peer) {
            return;
        }
        connection.peer = Some(peer.clone());
        let theirs = open.iter().filter(|(_, open)| open.peer.as_ref() == Some(peer));
        let theirs: Vec<u64> = theirs.map(|(id, _)| *id).collect();
        if theirs.len() > MOST_PER_PEER
            && let Some(oldest) = theirs.iter().find(|other| **other != id)
        {
            open[oldest].task.abort();
        }
    }

    /// A connection holds this much of a message that is not whole. False: it has to close.
    pub(super) fn hold(&self, id: u64, address: IpAddr, bytes: usize, max_frame: usize) -> bool {
        let mut unopened = self.unopened.borrow_mut();
        if bytes == 0 {
            unopened.release(id);
            return true;
        }
        let limit = max_frame.saturating_mul(LONGEST_AT_ONCE);
        let victims = unopened.hold(id, Some(address), bytes, limit);
        let open = self.open.borrow();
        for victim in victims.iter().filter_map(|victim| open.get(victim)) {
            victim.task.abort();
        }
        !victims.contains(&id)
    }

    /// Forgets the connection when dropped.
    pub(super) fn closing(self: &Rc<Self>, id: u64) -> Closing {
        Closing(self.clone(), id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.borrow().len()
    }
}

/// See [`Connections::closing`].
pub(super) struct Closing(Rc<Connections>, u64);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.open.borrow_mut().remove(&self.1);
        self.0.unopened.borrow_mut().release(self.1);
    }
}
