//! What peers told.
//!
//! Part of the `impl` of [`State`], in a file of its own for its length.

use crate::exchange::received::Received;
use model::{Claim, HeartbeatMessage};
use monitor::Moment;

use super::*;

use crate::peer::PeerStore;
use crate::reading::Reading;
use crate::touched::Touched;

impl State {
    /// Takes a message of a member in.
    pub fn hear(
        &mut self,
        from: &NodeName,
        message: HeartbeatMessage,
        reading: Option<Box<Reading>>,
        now: Moment,
    ) -> Received {
        let before = self.now.nodes.get(from).cloned();
        let mut store = PeerStore::new(before.as_deref().cloned().unwrap_or_default());
        if let Some(mut reading) = reading {
            if !reading.fits(before.as_ref(), self.exchange.merged(from)) {
                // What is published meanwhile is what it is worked out from next time.
                return Received { is_stale: true, ..Received::default() };
            }
            reading.compare(before.as_ref());
            store.reading = Some(reading);
        }
        let received = self.exchange.receive(from, message, now, &mut store);
        self.read_here += store.count;
        self.is_send_due |= received.is_send_due;
        self.dirty.is_exchange |= received.is_exchange_changed || self.exchange.is_raise_due();
        if !store.entry.is_heard && self.exchange.is_known(from) {
            store.entry.is_heard = true;
            store.touched.is_decisive = true;
        }
        let known_to: Vec<NodeName> = self.exchange.known_to(from).cloned().collect();
        let knows =
            |entry: &NodeEntry| known_to.iter().all(|node| entry.data.r#gen.contains_key(node));
        let is_other = !knows(&store.entry) || store.entry.data.r#gen.len() != known_to.len() + 2;
        if received.is_exchange_changed || received.is_data_changed || is_other {
            let local = &self.now.nodename;
            let gens = [
                (local.clone(), self.exchange.acked(from).unwrap_or(0)),
                (from.clone(), self.exchange.merged(from).unwrap_or(0)),
            ];
            store.set_gens(gens.into(), known_to);
        }
        store.entry.unseen = self.exchange.unseen(from);
        if !is_same_sight(&self.now.nodename, from, before.as_deref(), &store.entry) {
            store.touched.is_decisive = true;
        }
        let PeerStore { entry, touched, dropped, .. } = store;
        self.dropped.report(from, dropped);
        if before.as_ref().is_some_and(|before| before.has_services()) && !entry.has_services() {
            log::warn!(peer:% = from; "peer beats and tells no data any more: what it runs is not known");
        }
        if touched == Touched::default() {
            return received;
        }
        let is_leaving = |entry: &NodeEntry| {
            entry.data.monitor.as_ref().is_some_and(|monitor| monitor.status.is_leaving())
        };
        // It goes on once it knows that this is known here.
        self.is_send_due |= is_leaving(&entry) && !before.as_deref().is_some_and(is_leaving);
        self.is_send_due |= is_announcing(before.as_deref(), &entry, &touched.status);
        let is_locks_changed =
            before.as_ref().is_none_or(|before| before.data.locks != entry.data.locks);
        for path in &touched.status {
            let old = before.as_ref().and_then(|before| before.status.get(path));
            let new = entry.status.get(path);
            self.index(from, path, old.map(|old| &**old), new.map(|new| &**new));
        }
        self.dirty.peers.entry(from.clone()).or_default().extend(touched);
        self.now.nodes.insert(from.clone(), Arc::new(entry));
        if is_locks_changed {
            self.merge_locks();
        }
        received
    }

    /// A peer is lost or no member any more. False when there was nothing to forget.
    pub fn forget_peer(&mut self, peer: &NodeName) -> bool {
        let is_known = self.exchange.is_known(peer);
        self.exchange.forget(peer);
        self.dirty.is_exchange |= is_known;
        // Asked before it was lost, arbitrators may have answered what they do not any more.
        self.now.arbitrator_votes = 0;
        // Who hears it no more either takes its time from the news.
        self.is_send_due |= is_known;
        let Some(entry) = self.now.nodes.remove(peer) else { return is_known };
        for (path, status) in entry.status.iter() {
            self.index(peer, path, Some(status), None);
        }
        let told = entry.told.as_ref();
        let touched = Touched {
            status: told.into_iter().flat_map(|told| told.status.keys()).cloned().collect(),
            config: told.into_iter().flat_map(|told| told.config.keys()).cloned().collect(),
            is_head: true,
            is_decisive: true,
        };
        self.dirty.peers.entry(peer.clone()).or_default().extend(touched);
        // Nobody else will release what it held.
        let held_by_it = |claim: &Claim| claim.requester == *peer;
        if self.local().data.locks.values().any(held_by_it) {
            self.local().data.locks.retain(|_, lock| !held_by_it(lock));
            self.dirty.is_node = true;
        }
        true
    }

    /// Whether no peer takes decisions from less than this generation of the local node data. Those that are leaving take
    /// none.
    pub fn is_acked(&self, generation: u64) -> bool {
        let is_leaving = |peer: &NodeName| {
            let monitor = self.now.node(peer).and_then(|entry| entry.data.monitor.as_ref());
            monitor.is_some_and(|monitor| monitor.status.is_leaving())
        };
        self.exchange.lacking(generation).all(is_leaving)
    }

    /// A full of a peer is wanted.
    pub fn ask_full(&mut self, peer: &NodeName) {
        if self.exchange.ask_full(peer) {
            self.dirty.is_exchange = true;
            self.is_send_due = true;
        }
    }

    /// Whether the peers are to be told at once; asked once.
    pub fn take_send_due(&mut self) -> bool {
        std::mem::take(&mut self.is_send_due)
    }

    fn merge_locks(&mut self) {
        let peers = self.now.nodes.iter().filter(|(_, node)| node.told.is_some());
        let peers = peers.map(|(name, node)| (name.clone(), &node.data.locks)).collect();
        let Some(local) = self.now.local() else { return };
        let merged = crate::locks::merge_locks(&self.now.nodename, &local.data.locks, &peers);
        if merged != local.data.locks {
            self.local().data.locks = merged;
            self.dirty.is_node = true;
        }
    }
}

/// Whether a peer announces a start anew: it starts once it knows that this is known here.
fn is_announcing(
    before: Option<&NodeEntry>,
    now: &NodeEntry,
    touched: &BTreeSet<ObjectPath>,
) -> bool {
    let is_ready = |entry: &NodeEntry, path| {
        let monitor = entry.status.get(path).and_then(|status| status.monitor.as_ref());
        monitor.is_some_and(|monitor| monitor.status == MonitorStatus::Ready)
    };
    let was_ready = |path| before.is_some_and(|before| is_ready(before, path));
    touched.iter().any(|path| is_ready(now, path) && !was_ready(path))
}

/// Whether a peer knows the same nodes as before, and is in step with the local one, or not, as before.
fn is_same_sight(
    local: &NodeName,
    peer: &NodeName,
    before: Option<&NodeEntry>,
    now: &NodeEntry,
) -> bool {
    let sight = |entry: &NodeEntry| {
        let gens = &entry.data.r#gen;
        let has = |node| gens.get(node).is_some_and(|number| *number > 0);
        (gens.keys().cloned().collect::<Vec<_>>(), has(local), has(peer), entry.unseen)
    };
    before.is_some_and(|before| sight(before) == sight(now))
}
