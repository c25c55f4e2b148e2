//! The open connections of a receiver: how many may be.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use model::NodeName;
use monitor::{Admission, ConnectionLimits};
use tokio::task::AbortHandle;

use link::lane::Lane;

/// Most connections beside those of peers: the oldest that has not brought a message of one goes first.
const LIMITS: ConnectionLimits = ConnectionLimits {
    total: 128,
    reserved: 32,
    per_address: 128,
    unproven_per_stranger: 64,
    unproven_per_member: 64,
    unproven_strangers: 96,
};

/// Most connections kept per peer: it has one, and those that it lost sight of.
const MOST_PER_PEER: usize = 4;

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
    /// Those that proved nothing yet.
    admission: RefCell<Admission>,
    /// Where strangers wait until they are read.
    lane: Lane,
}

impl Connections {
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// A connection begins. Strangers cannot keep members out: of too many that proved nothing, the oldest is closed,
    /// one from an address that is not known before one from an address that is.
    pub(super) fn open(&self, id: u64, address: IpAddr, is_known: bool, task: AbortHandle) {
        let mut open = self.open.borrow_mut();
        open.insert(id, Open { task, peer: None });
        let entered = self.admission.borrow_mut().enter(id, address, is_known, &LIMITS, |_| true);
        // Unproven ones alone are admitted, so there is always one that makes room.
        for closed in entered.unwrap_or_else(|_| vec![id]) {
            if let Some(closed) = open.get(&closed) {
                closed.task.abort();
            }
        }
    }

    /// A connection brought a message of a peer.
    pub(super) fn prove(&self, id: u64, peer: &NodeName) {
        self.admission.borrow_mut().leave(id);
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

    /// How a connection is ended from elsewhere.
    pub(super) fn ending(&self, id: u64) -> impl Fn() + Send + use<> {
        let task = self.open.borrow().get(&id).map(|open| open.task.clone());
        move || task.iter().for_each(AbortHandle::abort)
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
        self.0.admission.borrow_mut().leave(self.1);
    }
}
