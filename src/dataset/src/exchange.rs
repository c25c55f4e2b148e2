//! Who has which generation of whose data: what to send, and what to do with what was received
//! (src/dataset/README.md, Exchange).
//!
//! Each node numbers the states of its own data. With every peer two numbers are kept: `merged`, what the local node has
//! of it, and `acked`, what it has of the local node. One message goes to all peers: a ping to nobody known, the changes
//! that not every peer has acknowledged, or the whole where changes do not lead.

pub mod check;
mod outgoing;
pub mod received;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{NodeName, Op, Timestamp};
use serde_json::{Map, Value};

use monitor::{Life, Moment, Unseen};

use crate::journal::{ApplyError, Ops};

/// A generation above is no generation: it would not survive JSON in every implementation.
const MOST_GENERATION: u64 = 1 << 53;

/// More generations than a life of a node adds while a peer misses them: about a quarter of an hour in milliseconds.
const LIFE: u64 = 1 << 20;

/// How long a message of the past is refused after a newer one, in seconds. Then the clock of the sender may have been set
/// back.
const STALE_SECS: f64 = 10.0;

/// How long the data of a peer are kept that tells no data any more, as a deployed agent does which hears nobody: it beats,
/// and what it runs is not known.
const UNTOLD: Duration = Duration::from_secs(15);

/// So many messages of the past in their order, and none newer between: the clock of the sender was set back, and they are
/// not late. What comes late does so beside newer ones.
const STEPPED: u32 = 3;

/// Repeated generations in one patch that tell a peer waiting for its acknowledgement: it gets one before `interval`.
const MOST_REPEATED: usize = 32;

/// Bytes of recorded changes that are never too many: below, nobody asks how large a full would be.
const FREE_BYTES: usize = 16 << 10;

/// One recorded change of the local node data.
#[derive(Debug, PartialEq)]
pub struct Delta {
    /// The operations, closed by that of `updated`.
    pub ops: Vec<Op>,
    /// Their JSON text.
    pub json: Box<str>,
}

/// What is known of the exchange with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Peer {
    /// Generation of the peer's data that is merged here; 0 asks for a full.
    merged: u64,
    /// Generation of the local data that the peer has merged; 0: it is to get a full.
    acked: u64,
    /// When the newest ping or patch was sent, by the clock of the peer.
    sent: Timestamp,
    /// When the merged data changed last, by the clock of the peer.
    changed: Timestamp,
    /// When the newest message was taken.
    taken: Duration,
    /// Messages of the past in their order since then, and when the newest of them was sent.
    past: (u32, Timestamp),
    /// Since when a full of it is waited for.
    untold: Option<Duration>,
    /// What it had acknowledged when it was lost last. One that stood still goes on acknowledging that.
    stale_ack: u64,
}

impl Peer {
    /// Generation of the local data that it has since it was lost last; 0: it decides from none.
    fn seen(&self) -> u64 {
        if self.acked > self.stale_ack { self.acked } else { 0 }
    }
}

/// What goes to all peers.
#[derive(Debug, Clone, PartialEq)]
pub enum Sending {
    /// Nobody is known.
    Ping,
    /// These changes; none is a keep-alive.
    Patch(Vec<(u64, Arc<Delta>)>),
    /// Everything.
    Full,
}

/// The exchange of the local node with its peers.
#[derive(Debug)]
pub struct Exchange {
    local: NodeName,
    generation: u64,
    /// The first generation of this life.
    first: u64,
    peers: BTreeMap<NodeName, Peer>,
    /// Whom each known peer says to know.
    known_to: BTreeMap<NodeName, BTreeSet<NodeName>>,
    /// How often each peer had not seen the local node; kept when it is forgotten.
    unseen: BTreeMap<NodeName, Unseen>,
    /// Peers that were forgotten, and not heard since: what they had acknowledged.
    lost: BTreeMap<NodeName, u64>,
    /// The changes that made the last generations.
    deltas: BTreeMap<u64, Arc<Delta>>,
    /// Bytes of `deltas`.
    bytes: usize,
    /// Bytes of `deltas` at which they are compared with a full.
    compare_at: usize,
    /// All changes after this generation are in `deltas`.
    complete_after: u64,
    /// A new generation is needed so that peers look at what the next message acknowledges and asks for, although nothing
    /// changed.
    is_raise_due: bool,
}

impl Exchange {
    /// A node that knows of nobody. `generation` is to be higher than any of an earlier life: the time in milliseconds.
    #[must_use]
    pub fn new(local: NodeName, generation: u64) -> Self {
        let generation = generation.clamp(1, MOST_GENERATION);
        Self {
            local,
            generation,
            first: generation,
            peers: BTreeMap::new(),
            known_to: BTreeMap::new(),
            unseen: BTreeMap::new(),
            lost: BTreeMap::new(),
            deltas: BTreeMap::new(),
            bytes: 0,
            compare_at: FREE_BYTES,
            complete_after: generation,
            is_raise_due: false,
        }
    }

    /// Generation of the local node data.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The `gen` of the next message: the generation of each node's data that the local node has.
    #[must_use]
    pub fn gens(&self) -> BTreeMap<NodeName, u64> {
        let peers = self.peers.iter().map(|(name, peer)| (name.clone(), peer.merged));
        peers.chain([(self.local.clone(), self.generation)]).collect()
    }

    /// Generation of the local node data that a peer has; none for a peer that is not known.
    #[must_use]
    pub fn acked(&self, peer: &NodeName) -> Option<u64> {
        self.peers.get(peer).map(|peer| peer.acked)
    }

    /// Known peers that do not have this generation of the local node data yet.
    pub fn lacking(&self, generation: u64) -> impl Iterator<Item = &NodeName> {
        let peers = self.peers.iter();
        peers.filter(move |(_, peer)| peer.acked < generation).map(|(name, _)| name)
    }

    /// Generation of a peer's data that the local node has, 0 while it waits for a full; none for a peer that is not
    /// known.
    #[must_use]
    pub fn merged(&self, peer: &NodeName) -> Option<u64> {
        self.peers.get(peer).map(|peer| peer.merged)
    }

    /// Whether a peer was heard, and not forgotten.
    #[must_use]
    pub fn is_known(&self, peer: &NodeName) -> bool {
        self.peers.contains_key(peer)
    }

    /// Whom a peer says to know: those that it hears, and has not forgotten.
    pub fn known_to(&self, peer: &NodeName) -> impl Iterator<Item = &NodeName> {
        self.known_to.get(peer).into_iter().flatten()
    }

    /// How often a peer had no data of the local node.
    #[must_use]
    pub fn unseen(&self, peer: &NodeName) -> Unseen {
        self.unseen.get(peer).copied().unwrap_or_default()
    }

    /// Whether no peer is known: nobody asks what changed.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether [`record`](Self::record) is to be called although nothing changed.
    #[must_use]
    pub fn is_raise_due(&self) -> bool {
        self.is_raise_due
    }

    /// Bytes of the changes kept for peers that have not acknowledged them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The local node data changed at `now`, or a raise is due: makes a new generation of it. `full_bytes` tells about
    /// how large the whole is; it is asked only when many changes wait.
    ///
    /// The data have to be published with this generation, and `updated` = `now`: a full whose data are not those of
    /// its generation would never be corrected.
    pub fn record(&mut self, ops: Ops, now: Timestamp, full_bytes: impl FnOnce() -> usize) -> u64 {
        self.generation += 1;
        self.is_raise_due = false;
        if self.peers.is_empty() {
            self.restart_journal();
            return self.generation;
        }
        let mut ops = Vec::from(ops);
        ops.push(Op { path: vec!["updated".into()], value: Some(now.0.into()) });
        let json = serde_json::to_string(&ops).expect("keys are texts and numbers finite");
        self.bytes += json.len();
        self.deltas.insert(self.generation, Arc::new(Delta { ops, json: json.into() }));
        self.trim();
        if self.bytes > self.compare_at {
            let full_bytes = full_bytes();
            if self.bytes > full_bytes {
                self.restart_journal();
            } else {
                self.compare_at = full_bytes.min(2 * self.bytes);
            }
        }
        self.generation
    }

    /// What goes to all peers now.
    #[must_use]
    pub fn sending(&self) -> Sending {
        match self.lowest() {
            None => Sending::Ping,
            Some(low) if low < self.complete_after => Sending::Full,
            Some(low) => {
                let deltas = self.deltas.range(low + 1..);
                Sending::Patch(deltas.map(|(number, delta)| (*number, delta.clone())).collect())
            }
        }
    }

    /// A peer is lost, or no member any more.
    pub fn forget(&mut self, peer: &NodeName) {
        self.known_to.remove(peer);
        if let Some(known) = self.peers.remove(peer) {
            self.lost.insert(peer.clone(), known.acked);
            // What it acknowledges from now on tells whether it heard of that.
            self.is_raise_due = true;
            self.trim();
        }
    }

    /// Asks a peer for a full. False when it is not known: then it will send one by itself.
    pub fn ask_full(&mut self, peer: &NodeName) -> bool {
        let Some(known) = self.peers.get_mut(peer) else { return false };
        known.merged = 0;
        self.is_raise_due = true;
        true
    }

    fn lowest(&self) -> Option<u64> {
        self.peers.values().map(|peer| peer.acked).min()
    }

    /// Forgets the changes that everybody has.
    fn trim(&mut self) {
        let Some(low) = self.lowest() else { return self.restart_journal() };
        if low > self.complete_after {
            let kept = self.deltas.split_off(&(low + 1));
            let dropped = std::mem::replace(&mut self.deltas, kept);
            self.bytes -= dropped.values().map(|delta| delta.json.len()).sum::<usize>();
            self.complete_after = low;
            if self.deltas.is_empty() {
                self.compare_at = FREE_BYTES;
            }
        }
    }

    /// From here on changes are recorded anew: whoever has less gets a full.
    fn restart_journal(&mut self) {
        self.deltas.clear();
        self.bytes = 0;
        self.compare_at = FREE_BYTES;
        self.complete_after = self.generation;
    }

    /// Peers that have this generation drop a full of it, and with it what it acknowledges or asks for.
    fn raise_if_full(&mut self) {
        self.is_raise_due |= self.sending_full();
    }

    fn sending_full(&self) -> bool {
        self.lowest().is_some_and(|low| low < self.complete_after)
    }
}

#[cfg(test)]
mod tests;
