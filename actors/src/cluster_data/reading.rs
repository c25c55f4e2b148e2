//! What a large message makes of the data of a peer: worked out outside of the actor, which only takes it over.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use model::{Content, HeartbeatMessage, NodeName, Op, OpKey};
use monitor::{ApplyError, PeerData as _};

use super::peer::{PeerStore, Touched, is_decisive};
use super::{NodeEntry, Snapshot};

/// Bytes of texts of a peer that the actor itself reads and writes again for one message.
const MOST_HERE: usize = 256 << 10;

/// The data of a peer after a message.
#[derive(Debug)]
pub struct Reading {
    /// What they were made from; none of a peer that was not known.
    base: Option<Arc<NodeEntry>>,
    /// The generation of that.
    merged: u64,
    /// How each change of the message ended. None of a full.
    pub(super) ends: VecDeque<Result<(), ApplyError>>,
    /// Whether it keeps instances of before.
    is_preserving: bool,
    entry: NodeEntry,
    touched: Touched,
    dropped: BTreeSet<String>,
}

impl Reading {
    /// Works out what a message of a peer makes of what is published of it, and takes the data of a full out of the
    /// message. None: nothing is to be worked out. Blocks, for as long as the data are large.
    pub(crate) fn of(
        snapshot: &Snapshot,
        peer: &NodeName,
        message: &mut HeartbeatMessage,
    ) -> Option<Box<Self>> {
        let base = snapshot.nodes().get(peer).cloned();
        let merged = base.as_ref().and_then(|base| base.data.r#gen.get(peer).copied()).unwrap_or(0);
        let mut store = PeerStore::new(base.as_deref().cloned().unwrap_or_default());
        let mut ends = VecDeque::new();
        let mut is_preserving = false;
        match &mut message.content {
            Content::Ping { .. } => return None,
            Content::Full { data } => {
                is_preserving = monitor::may_preserve(data);
                store.replace(std::mem::take(data));
            }
            Content::Patch { .. } if merged == 0 => return None,
            Content::Patch { deltas } => {
                let new = deltas.range(merged + 1..);
                for (expected, (number, ops)) in (merged + 1..).zip(new) {
                    if *number != expected {
                        break;
                    }
                    let end = store.apply(ops);
                    let is_failed = end.is_err();
                    ends.push_back(end);
                    if is_failed {
                        break;
                    }
                }
                if ends.is_empty() {
                    return None;
                }
            }
        }
        let PeerStore { entry, touched, dropped, .. } = store;
        Some(Box::new(Self { base, merged, ends, is_preserving, entry, touched, dropped }))
    }

    /// What the peer tells beside its objects.
    #[cfg(test)]
    pub(crate) fn head(&self) -> serde_json::Map<String, serde_json::Value> {
        self.entry.told.as_ref().map(|told| told.head.clone()).unwrap_or_default()
    }

    /// Whether it can be taken over where the data of the peer are these, of this generation. A message that cannot is
    /// sent again, as it is not acknowledged.
    pub(super) fn fits(&self, now: Option<&Arc<NodeEntry>>, merged: Option<u64>) -> bool {
        let is_full = self.ends.is_empty();
        self.is_of(now) && (is_full || merged.unwrap_or(0) == self.merged)
            || is_full && !self.is_preserving
    }

    fn is_of(&self, now: Option<&Arc<NodeEntry>>) -> bool {
        match (&self.base, now) {
            (Some(base), Some(now)) => Arc::ptr_eq(base, now),
            (base, now) => base.is_none() && now.is_none(),
        }
    }

    /// Tells what differs from these data, which are not those that it was made from.
    pub(super) fn compare(&mut self, now: Option<&Arc<NodeEntry>>) {
        if self.is_of(now) {
            return;
        }
        let none = NodeEntry::default();
        let now = now.map_or(&none, |now| &**now);
        let (new, old) = (self.entry.told.as_ref(), now.told.as_ref());
        let mut touched = Touched { is_head: true, is_decisive: true, ..Touched::default() };
        if let (Some(new), Some(old)) = (new, old) {
            touched.status = new.status.changed_since(&old.status);
            touched.config = new.config.changed_since(&old.config);
            touched.is_decisive =
                is_decisive(&now.data, &self.entry.data) || new.has_services != old.has_services;
        } else {
            let told = || new.into_iter().chain(old);
            touched.status = told().flat_map(|told| told.status.keys()).cloned().collect();
            touched.config = told().flat_map(|told| told.config.keys()).cloned().collect();
        }
        self.touched = touched;
    }
}

impl PeerStore {
    /// Takes over what was worked out before.
    pub(super) fn adopt(&mut self, reading: Reading) {
        let NodeEntry { data, status, config, told, is_heard: _, unseen: _ } = reading.entry;
        self.entry.data = data;
        self.entry.status = status;
        self.entry.config = config;
        self.entry.told = told;
        self.touched.extend(reading.touched);
        self.dropped.extend(reading.dropped);
    }
}

/// Whether a message is to be worked out outside of the actor, however small it is itself: because of what it makes read
/// and written again.
pub(crate) fn is_heavy(snapshot: &Snapshot, peer: &NodeName, message: &HeartbeatMessage) -> bool {
    let Content::Patch { deltas } = &message.content else { return false };
    let Some(told) = snapshot.node(peer).and_then(|entry| entry.told.as_ref()) else {
        return false;
    };
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    for op in deltas.values().flatten() {
        bytes += match object_of(op) {
            Touch::Head => 0,
            Touch::Object(section, name) if seen.insert((section, name)) => {
                told.text_bytes(section, name)
            }
            Touch::Object(..) => 0,
            Touch::All => told.bytes(),
        };
        if bytes > MOST_HERE {
            return true;
        }
    }
    false
}

/// What an operation changes.
enum Touch<'o> {
    /// Nothing of the objects.
    Head,
    /// One of a section.
    Object(&'o str, &'o str),
    /// All of them.
    All,
}

fn object_of(op: &Op) -> Touch<'_> {
    match op.path.as_slice() {
        [OpKey::Name(first), ..] if first != "services" => Touch::Head,
        [_, OpKey::Name(section), OpKey::Name(name), ..] => Touch::Object(section, name),
        _ => Touch::All,
    }
}
