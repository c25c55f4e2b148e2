//! The heartbeats among the children of the root: they come, change, retire and go with the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use conf::NodeSettings;
use model::NodeName;
use monitor::{Backoff, RetiringHeartbeat};

use crate::heartbeat::{Direction, Reconfigure, Section, Ties, Worker};
use crate::membership::{Ended, Ending, Membership, Retire};
use crate::supervision::{self, Child, ChildEvent, ChildHandle, ChildId};

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

/// Workers as they should be, by id.
type Wanted = BTreeMap<ChildId, (Direction, Arc<Section>)>;

/// The workers that run or end, by id.
pub(super) struct Heartbeats {
    ties: Arc<Ties>,
    membership: Addr<Membership>,
    beats: ArbiterHandle,
    entries: BTreeMap<ChildId, Entry>,
    /// Those that the configuration has no more, and that peers may still need.
    retiring: Wanted,
}

impl Heartbeats {
    pub(super) fn new(ties: Ties, membership: Addr<Membership>, beats: ArbiterHandle) -> Self {
        let (entries, retiring) = (BTreeMap::new(), BTreeMap::new());
        Self { ties: Arc::new(ties), membership, beats, entries, retiring }
    }

    /// Makes the workers be as the configuration says. Those whose section did not change are not touched; those that would
    /// leave a medium retire: the peers are to learn of the change by it.
    pub(super) fn reconcile(&mut self, node: &NodeSettings, parent: &Recipient<ChildEvent>) {
        let mut current: Wanted = BTreeMap::new();
        for section in Section::all(node) {
            let section = Arc::new(section);
            for direction in [Direction::Tx, Direction::Rx] {
                current.insert(section.id(direction), (direction, section.clone()));
            }
        }
        let before = self.retiring.clone();
        self.retire(&current, node);
        if self.retiring != before {
            self.tell_retiring();
        }
        let mut wanted = current;
        wanted.extend(self.retiring.clone());
        for (id, entry) in &mut self.entries {
            let goes_on =
                wanted.get(id).is_some_and(|(_, section)| entry.can_become(section, &node.nodes));
            if !goes_on && !std::mem::replace(&mut entry.is_ending, true) {
                if entry.direction == Direction::Rx {
                    let settings = &entry.section.settings;
                    let (hb, grace) = (settings.name.clone(), settings.timeout);
                    self.membership.do_send(Ending { hb, grace });
                }
                entry.handle.end();
            }
        }
        for (id, (direction, section)) in wanted {
            let is_excluded = self.is_excluded(&section, direction);
            match self.entries.get_mut(&id) {
                // Made again once it ended.
                Some(entry) if entry.is_ending => {}
                Some(entry) if entry.section == section => {}
                Some(entry) => {
                    entry.section = section.clone();
                    entry.address.do_send(Reconfigure(section));
                }
                // Once what has its port ended.
                None if is_excluded => {}
                None => self.add(id, direction, section, parent.clone()),
            }
        }
    }

    /// Decides which sections retire: those that run on a medium that the new configuration leaves.
    fn retire(&mut self, current: &Wanted, node: &NodeSettings) {
        let is_left = |direction: Direction, old: &Section| {
            current.values().filter(|(its, _)| *its == direction).all(|(_, section)| {
                !old.is_served_by(section, direction, &node.nodes)
                    && !old.excludes(section, direction)
            })
        };
        let retiring = std::mem::take(&mut self.retiring);
        for (id, (direction, section)) in retiring {
            let name = &section.settings.name;
            if is_left(direction, &section)
                && let Some(section) = section.retired(name, &node.nodes)
            {
                self.retiring.insert(id, (direction, Arc::new(section)));
            }
        }
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for entry in self.entries.values() {
            let (direction, section) = (entry.direction, &entry.section);
            // One that is stopped serves nobody.
            if section.is_retiring || entry.is_ending || entry.handle.is_stop_wanted() {
                continue;
            }
            let name = &section.settings.name;
            let name = names.entry(name.clone()).or_insert_with(|| self.free_name(name));
            if is_left(direction, section)
                && let Some(section) = section.retired(name, &node.nodes)
            {
                log::info!("the {} of {} retires", section.settings.kind, section.id(direction));
                self.retiring.insert(section.id(direction), (direction, Arc::new(section)));
            }
        }
    }

    /// A name for a section that retires: `hb#1.previous`, `hb#1.previous2`, ..
    fn free_name(&self, name: &str) -> String {
        let taken: BTreeSet<&str> = self
            .entries
            .values()
            .map(|entry| &entry.section)
            .chain(self.retiring.values().map(|(_, section)| section))
            .map(|section| section.settings.name.as_str())
            .collect();
        let numbered = (2..).map(|number| format!("{name}.previous{number}"));
        std::iter::once(format!("{name}.previous"))
            .chain(numbered)
            .find(|name| !taken.contains(name.as_str()))
            .expect("there are more numbers than heartbeats")
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

    /// Whether it would listen where one that is still to end does.
    fn is_excluded(&self, section: &Section, direction: Direction) -> bool {
        let ending = self.entries.values().filter(|entry| entry.is_ending);
        ending
            .filter(|entry| entry.direction == direction)
            .any(|entry| entry.section.excludes(section, direction))
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

impl Entry {
    /// Whether the worker goes on with this section. A change of the medium makes a new one, but for one that is stopped,
    /// which stays so, and where the old one has the port.
    fn can_become(&self, section: &Section, members: &[NodeName]) -> bool {
        self.section.is_served_by(section, self.direction, members)
            || self.section.excludes(section, self.direction)
            || self.handle.is_stop_wanted()
    }
}
