//! The heartbeats among the children of the root: they come, change, retire and go with the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use conf::NodeSettings;
use dataset::heartbeats::section::{Direction, Section};
use dataset::heartbeats::{Plan, Running, Wanted, plan};
use heartbeat::ties::Ties;
use heartbeat::worker::{Reconfigure, Worker};
use mail::membership::{Ended, Ending, Retire, ToMembership};
use monitor::{Backoff, RetiringHeartbeat};
use supervision::{Child, ChildEvent, ChildHandle, ChildId};

/// Messages that may wait for a worker.
const QUEUE: usize = 64;

struct Entry {
    direction: Direction,
    section: Arc<Section>,
    address: Addr<Worker>,
    handle: ChildHandle,
    /// Asked to end: until it did, its id is taken.
    is_ending: bool,
}

/// The workers that run or end, by id.
pub(super) struct Heartbeats {
    ties: Arc<Ties>,
    membership: ToMembership,
    beats: ArbiterHandle,
    entries: BTreeMap<ChildId, Entry>,
    /// Those that the configuration has no more, and that peers may still need.
    retiring: Wanted,
}

impl Heartbeats {
    pub(super) fn new(ties: Ties, membership: ToMembership, beats: ArbiterHandle) -> Self {
        let (entries, retiring) = (BTreeMap::new(), BTreeMap::new());
        Self { ties: Arc::new(ties), membership, beats, entries, retiring }
    }

    /// Makes the workers be as the configuration says.
    pub(super) fn reconcile(&mut self, node: &NodeSettings, parent: &Recipient<ChildEvent>) {
        let running = |entry: &Entry| Running {
            direction: entry.direction,
            section: entry.section.clone(),
            is_ending: entry.is_ending,
            is_stopped: entry.handle.is_stop_wanted(),
        };
        let running = self.entries.iter().map(|(id, entry)| (id.clone(), running(entry))).collect();
        let Plan { retiring, end, change, add } = plan(&running, &self.retiring, node);
        if self.retiring != retiring {
            for (id, (_, section)) in &retiring {
                if !self.retiring.contains_key(id) {
                    log::info!("the {} of {id} retires", section.settings.kind);
                }
            }
            self.retiring = retiring;
            self.tell_retiring();
        }
        for id in end {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.is_ending = true;
            if entry.direction == Direction::Rx {
                let settings = &entry.section.settings;
                let (hb, grace) = (settings.name.clone(), settings.timeout);
                self.membership.do_send(Ending { hb, grace });
            }
            entry.handle.end();
        }
        for (id, section) in change {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.section = section.clone();
                entry.address.do_send(Reconfigure(section));
            }
        }
        for (id, (direction, section)) in add {
            self.add(id, direction, section, parent.clone());
        }
    }

    fn tell_retiring(&self) {
        let heartbeat = |section: &Arc<Section>| RetiringHeartbeat {
            nodes: section.settings.nodes.iter().cloned().collect(),
            overlap_seconds: section.settings.timeout.as_secs_f64(),
        };
        let named = |(_, section): &(Direction, Arc<Section>)| {
            (section.settings.name.as_str().into(), heartbeat(section))
        };
        self.membership.do_send(Retire(self.retiring.values().map(named).collect()));
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
        let entry = Entry { direction, section, address, handle, is_ending: false };
        self.entries.insert(id, entry);
    }

    /// A child ended for good. True: it is one of these, and was asked to.
    pub(super) fn on_ended(&mut self, id: &str) -> bool {
        let is_asked = self.entries.get(id).is_some_and(|entry| entry.is_ending);
        if is_asked
            && let Some(entry) = self.entries.remove(id)
            && entry.direction == Direction::Rx
        {
            self.membership.do_send(Ended { hb: entry.section.settings.name.clone() });
        }
        is_asked
    }

    /// A heartbeat that retires is needed no more.
    pub(super) fn on_retired(&mut self, name: &str) {
        self.retiring.retain(|_, (_, section)| section.settings.name != name);
    }
}
