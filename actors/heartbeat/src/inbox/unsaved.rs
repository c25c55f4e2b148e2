//! Messages that are not heard before a restart would refuse them.
//!
//! That takes one write to the disk, for the first messages of a boot and for one that comes faster than any before. A disk
//! may take seconds for it; a peer is given up within one.

use std::collections::{BTreeMap, VecDeque};

use link::heavy::Held;
use model::{HeartbeatError, HeartbeatMessage, NodeName};
use wire::{Accepted, BootId};

/// Most messages of a peer that wait: the oldest goes first, for what it says is sent again until it is acknowledged.
const MOST_WAITING: usize = 8;

pub(crate) type Message = Result<HeartbeatMessage, HeartbeatError>;

/// A sealed message that opened and is fresh.
pub(super) struct Waiting {
    /// The boot of its sender.
    pub(super) boot: Option<BootId>,
    pub(super) accepted: Accepted,
    pub(super) message: Message,
    pub(super) turn: Option<Held>,
    /// Its bytes.
    pub(super) length: usize,
    /// The beat is noted already.
    pub(super) is_noted: bool,
}

/// What waits, by peer.
#[derive(Default)]
pub(super) struct Unsaved {
    /// Boots of which a message was heard in this life.
    known: BTreeMap<NodeName, BootId>,
    /// Messages of a peer in their order; none while the last one is being saved.
    waiting: BTreeMap<NodeName, VecDeque<Waiting>>,
}

impl Unsaved {
    /// Whether a message of this boot was heard: then the next one may beat before it is saved. Should this node be killed
    /// meanwhile, that beat could be played to it once more, within the timeout of the heartbeat.
    pub(super) fn knows(&self, peer: &NodeName, boot: Option<BootId>) -> bool {
        boot.is_some() && self.known.get(peer).copied() == boot
    }

    /// A message of this boot is heard.
    pub(super) fn learn(&mut self, peer: &NodeName, boot: Option<BootId>) {
        if let Some(boot) = boot
            && self.known.get(peer) != Some(&boot)
        {
            self.known.insert(peer.clone(), boot);
        }
    }

    /// A message waits. True: nobody is at work for this peer yet.
    pub(super) fn wait(&mut self, peer: &NodeName, waiting: Waiting) -> bool {
        let is_first = !self.waiting.contains_key(peer);
        let queue = self.waiting.entry(peer.clone()).or_default();
        if queue.len() >= MOST_WAITING {
            queue.pop_front();
        }
        queue.push_back(waiting);
        is_first
    }

    /// The next message of a peer; none when nothing came meanwhile, and whoever asks is done.
    pub(super) fn next(&mut self, peer: &NodeName) -> Option<Waiting> {
        let next = self.waiting.get_mut(peer).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.waiting.remove(peer);
        }
        next
    }
}
