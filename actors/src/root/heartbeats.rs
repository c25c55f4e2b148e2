//! The heartbeats among the children of the root: they come, change and go with the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use conf::NodeSettings;
use monitor::Backoff;

use crate::heartbeat::{Direction, Reconfigure, Section, Ties, Worker};
use crate::supervision::{self, Child, ChildEvent, ChildHandle, ChildId};

/// Messages that may wait for a worker.
const QUEUE: usize = 64;

struct Entry {
    section: Arc<Section>,
    address: Addr<Worker>,
    handle: ChildHandle,
    /// Asked to end: until it did, its id is taken.
    is_ending: bool,
}

/// The workers that run or end, by id.
pub(super) struct Heartbeats {
    ties: Arc<Ties>,
    beats: ArbiterHandle,
    entries: BTreeMap<ChildId, Entry>,
}

impl Heartbeats {
    pub(super) fn new(ties: Ties, beats: ArbiterHandle) -> Self {
        Self { ties: Arc::new(ties), beats, entries: BTreeMap::new() }
    }

    /// Makes the workers be as the configuration says. Those whose section did not change are not touched.
    pub(super) fn reconcile(&mut self, node: &NodeSettings, parent: &Recipient<ChildEvent>) {
        let mut wanted = BTreeMap::new();
        for section in Section::all(node) {
            let section = Arc::new(section);
            for direction in [Direction::Tx, Direction::Rx] {
                wanted.insert(section.id(direction), (direction, section.clone()));
            }
        }
        for (id, entry) in &mut self.entries {
            if !wanted.contains_key(id) && !std::mem::replace(&mut entry.is_ending, true) {
                entry.handle.end();
            }
        }
        for (id, (direction, section)) in wanted {
            match self.entries.get_mut(&id) {
                // Made again once it ended.
                Some(entry) if entry.is_ending => {}
                Some(entry) if entry.section == section => {}
                Some(entry) => {
                    entry.section = section.clone();
                    entry.address.do_send(Reconfigure(section));
                }
                None => self.add(id, direction, section, parent.clone()),
            }
        }
    }

    fn add(
        &mut self,
        id: ChildId,
        direction: Direction,
        section: Arc<Section>,
        parent: Recipient<ChildEvent>,
    ) {
        // A heartbeat that is away for long makes peers look lost: it comes back soon, however often it falls.
        let backoff = Backoff { longest: std::time::Duration::from_secs(1), ..Backoff::default() };
        let child = Child { backoff, ..Child::new(&id, parent) };
        let (made, ties) = (section.clone(), self.ties.clone());
        let (address, handle) = supervision::start_new(QUEUE, child, &self.beats, move || {
            Worker::new(direction, made.clone(), ties.clone())
        });
        self.entries.insert(id, Entry { section, address, handle, is_ending: false });
    }

    /// A child ended for good. True: it is one of these, and was asked to.
    pub(super) fn on_ended(&mut self, id: &str) -> bool {
        let is_asked = self.entries.get(id).is_some_and(|entry| entry.is_ending);
        if is_asked {
            self.entries.remove(id);
        }
        is_asked
    }
}
