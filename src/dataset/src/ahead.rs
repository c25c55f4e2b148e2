//! What is worked out ahead: what a large message makes of the data of a peer, outside of the actor.

use std::collections::{BTreeSet, VecDeque};

use crate::exchange::received::{PeerData as _, may_preserve};
use model::{Content, HeartbeatMessage, NodeName, Op, OpKey};

use crate::peer::PeerStore;
use crate::reading::Reading;
use crate::services::Services;
use crate::snapshot::Snapshot;

/// Bytes of texts of a peer that the actor itself reads and writes again for one message.
const MOST_HERE: usize = 256 << 10;

/// Works out what a message of a peer makes of what is published of it, and takes the objects of a full out of the
/// message. None: nothing is to be worked out. Blocks, for as long as the data are large.
pub fn work_out(
    snapshot: &Snapshot,
    peer: &NodeName,
    message: &mut HeartbeatMessage,
) -> Option<Box<Reading>> {
    let base = snapshot.nodes().get(peer).cloned();
    let merged = base.as_ref().and_then(|base| base.data.r#gen.get(peer).copied()).unwrap_or(0);
    let mut store = PeerStore::new(base.as_deref().cloned().unwrap_or_default());
    let mut ends = VecDeque::new();
    let mut is_preserving = false;
    match &mut message.content {
        Content::Ping { .. } => return None,
        Content::Full { data } => {
            is_preserving = may_preserve(data);
            let services = data.remove("services");
            store.replace_by(data.clone(), Services::of_value(services));
        }
        Content::Texts { data, services } => {
            is_preserving = may_preserve(data);
            store.replace_by(data.clone(), Some(Services::of_texts(std::mem::take(services))));
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
    Some(Box::new(Reading { base, merged, ends, is_preserving, entry, touched, dropped }))
}

/// Whether a message is to be worked out outside of the actor, however small it is itself: because of what it makes read
/// and written again.
pub fn is_heavy(snapshot: &Snapshot, peer: &NodeName, message: &HeartbeatMessage) -> bool {
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
