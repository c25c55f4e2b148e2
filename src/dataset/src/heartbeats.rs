//! Which workers of heartbeats run: they come, change, retire and go with the configuration.

pub mod section;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conf::NodeSettings;

use crate::heartbeats::section::{Direction, Section, WorkerId};

/// A worker that runs, or ends.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its half of the heartbeat.
    pub direction: Direction,
    /// What it has of the configuration.
    pub section: Arc<Section>,
    /// It was asked to end: until it did, its id is taken.
    pub is_ending: bool,
    /// An operator stopped it.
    pub is_stopped: bool,
}

impl Running {
    /// Whether it goes on with this section. A change of the medium makes a new one, but for one that is stopped, which
    /// stays so, and where the old one has the port.
    fn can_become(&self, section: &Section, node: &NodeSettings) -> bool {
        self.section.is_served_by(section, self.direction, &node.nodes)
            || self.section.excludes(section, self.direction)
            || self.is_stopped
    }
}

/// Workers as they should be, by id.
pub type Wanted = BTreeMap<WorkerId, (Direction, Arc<Section>)>;

/// What is to be done so that the workers are as the configuration says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Those that the configuration has no more, and that peers may still need: from now on.
    pub retiring: Wanted,
    /// To be asked to end, first.
    pub end: Vec<WorkerId>,
    /// To go on with this section.
    pub change: Vec<(WorkerId, Arc<Section>)>,
    /// To be started.
    pub add: Wanted,
}

/// Plans. Workers whose section did not change are not touched; those that would leave a medium retire: the peers are to
/// learn of the change by it. `retiring` has those that retire already.
#[must_use]
pub fn plan(running: &BTreeMap<WorkerId, Running>, retiring: &Wanted, node: &NodeSettings) -> Plan {
    let mut wanted: Wanted = BTreeMap::new();
    for section in Section::all(node) {
        let section = Arc::new(section);
        for direction in [Direction::Tx, Direction::Rx] {
            wanted.insert(section.id(direction), (direction, section.clone()));
        }
    }
    let retiring = retire(running, retiring, &wanted, node);
    wanted.extend(retiring.clone());
    let mut plan = Plan { retiring, ..Plan::default() };
    let goes_on = |(id, worker): &(&WorkerId, &Running)| {
        wanted.get(*id).is_some_and(|(_, section)| worker.can_become(section, node))
    };
    let ending = running.iter().filter(|it| !it.1.is_ending && !goes_on(it));
    plan.end = ending.map(|(id, _)| id.clone()).collect();
    let is_ending = |id: &WorkerId, worker: &Running| worker.is_ending || plan.end.contains(id);
    for (id, (direction, section)) in wanted {
        // It would listen where one that is still to end does.
        let is_excluded = || {
            running
                .iter()
                .filter(|(id, worker)| is_ending(id, worker) && worker.direction == direction)
                .any(|(_, worker)| worker.section.excludes(&section, direction))
        };
        match running.get(&id) {
            // Made again once it ended.
            Some(worker) if is_ending(&id, worker) => {}
            Some(worker) if worker.section == section => {}
            Some(_) => plan.change.push((id, section)),
            // Once what has its port ended.
            None if is_excluded() => {}
            None => _ = plan.add.insert(id, (direction, section)),
        }
    }
    plan
}

/// Which sections retire: those that run on a medium that the new configuration leaves.
fn retire(
    running: &BTreeMap<WorkerId, Running>,
    before: &Wanted,
    current: &Wanted,
    node: &NodeSettings,
) -> Wanted {
    let is_left = |direction: Direction, old: &Section| {
        current.values().filter(|(its, _)| *its == direction).all(|(_, section)| {
            !old.is_served_by(section, direction, &node.nodes) && !old.excludes(section, direction)
        })
    };
    let mut retiring = Wanted::new();
    for (id, (direction, section)) in before {
        if is_left(*direction, section)
            && let Some(section) = section.retired(&section.settings.name, &node.nodes)
        {
            retiring.insert(id.clone(), (*direction, Arc::new(section)));
        }
    }
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for Running { direction, section, is_ending, is_stopped } in running.values() {
        // One that is stopped serves nobody.
        if section.is_retiring || *is_ending || *is_stopped {
            continue;
        }
        let name = section.settings.name.as_str();
        let name = names.entry(name).or_insert_with(|| free_name(name, running, &retiring));
        if is_left(*direction, section)
            && let Some(section) = section.retired(name, &node.nodes)
        {
            retiring.insert(section.id(*direction), (*direction, Arc::new(section)));
        }
    }
    retiring
}

/// A name for a section that retires: `hb#1.previous`, `hb#1.previous2`, ..
fn free_name(name: &str, running: &BTreeMap<WorkerId, Running>, retiring: &Wanted) -> String {
    let taken: BTreeSet<&str> = running
        .values()
        .map(|worker| &worker.section)
        .chain(retiring.values().map(|(_, section)| section))
        .map(|section| section.settings.name.as_str())
        .collect();
    let numbered = (2..).map(|number| format!("{name}.previous{number}"));
    std::iter::once(format!("{name}.previous"))
        .chain(numbered)
        .find(|name| !taken.contains(name.as_str()))
        .expect("there are more numbers than heartbeats")
}

#[cfg(test)]
mod tests {
    use model::NodeName;

    use super::*;

    fn settings(heartbeats: &str) -> NodeSettings {
        let text = format!("[cluster]\nname = demo\nnodes = n1 n2\n{heartbeats}\n");
        NodeSettings::parse(NodeName::new("n1").unwrap(), &text, "").unwrap()
    }

    /// The workers of a node that follows its plans.
    #[derive(Default)]
    struct Workers {
        running: BTreeMap<WorkerId, Running>,
        retiring: Wanted,
    }

    impl Workers {
        fn of(heartbeats: &str) -> Self {
            let mut workers = Self::default();
            workers.follow(heartbeats);
            workers
        }

        /// Follows a configuration, and tells what was to be done: `-` ends, `~` changes, `+` comes.
        fn follow(&mut self, heartbeats: &str) -> String {
            let plan = plan(&self.running, &self.retiring, &settings(heartbeats));
            let mut done = vec![];
            for id in &plan.end {
                self.running.get_mut(id).unwrap().is_ending = true;
                done.push(format!("-{id}"));
            }
            for (id, section) in plan.change {
                done.push(format!("~{id}"));
                self.running.get_mut(&id).unwrap().section = section;
            }
            for (id, (direction, section)) in plan.add {
                done.push(format!("+{id}"));
                let worker = Running { direction, section, is_ending: false, is_stopped: false };
                self.running.insert(id, worker);
            }
            self.retiring = plan.retiring;
            done.join(" ")
        }

        fn end(&mut self) {
            self.running.retain(|_, worker| !worker.is_ending);
        }
    }

    const DISK_A: &str = "[hb#1]\ntype = disk\ndev = /dev/a";
    const DISK_B: &str = "[hb#1]\ntype = disk\ndev = /dev/b";

    #[test]
    fn a_section_that_did_not_change_is_not_touched_and_one_that_did_goes_on_with_it() {
        let mut workers = Workers::default();
        assert_eq!(workers.follow("[hb#1]\ntype = unicast"), "+hb#1.rx +hb#1.tx");
        assert_eq!(workers.follow("[hb#1]\ntype = unicast"), "");
        let slower = "[hb#1]\ntype = unicast\ntimeout = 30";
        assert_eq!(workers.follow(slower), "~hb#1.rx ~hb#1.tx");
        assert!(workers.retiring.is_empty());
    }

    #[test]
    fn what_leaves_a_medium_retires_under_another_name_until_it_is_needed_no_more() {
        let mut workers = Workers::of(DISK_A);
        let moved = "-hb#1.rx -hb#1.tx +hb#1.previous.rx +hb#1.previous.tx";
        assert_eq!(workers.follow(DISK_B), moved);
        // Its id is taken until it ended.
        assert_eq!(workers.follow(DISK_B), "");
        workers.end();
        assert_eq!(workers.follow(DISK_B), "+hb#1.rx +hb#1.tx");
        // A second change, while the first one is not over.
        let disk_c = "[hb#1]\ntype = disk\ndev = /dev/c";
        let moved = "-hb#1.rx -hb#1.tx +hb#1.previous2.rx +hb#1.previous2.tx";
        assert_eq!(workers.follow(disk_c), moved);
        workers.end();
        workers.retiring.clear();
        let over = "-hb#1.previous.rx -hb#1.previous.tx -hb#1.previous2.rx -hb#1.previous2.tx \
                    +hb#1.rx +hb#1.tx";
        assert_eq!(workers.follow(disk_c), over);
    }

    #[test]
    fn what_comes_back_to_its_medium_retires_no_more() {
        let mut workers = Workers::of(DISK_A);
        workers.follow(DISK_B);
        workers.end();
        workers.follow(DISK_B);
        let back = workers.follow(DISK_A);
        assert!(back.contains("-hb#1.previous.rx") && workers.retiring.len() == 2, "{back}");
    }

    #[test]
    fn what_is_stopped_retires_not_and_stays_so() {
        let mut workers = Workers::of(DISK_A);
        for worker in workers.running.values_mut() {
            worker.is_stopped = true;
        }
        assert_eq!(workers.follow(DISK_B), "~hb#1.rx ~hb#1.tx");
        assert_eq!(workers.follow(""), "-hb#1.rx -hb#1.tx");
        assert!(workers.retiring.is_empty());
    }

    #[test]
    fn two_receivers_have_one_port_one_after_the_other() {
        let mut workers = Workers::of("[hb#1]\ntype = unicast");
        let renamed = "[hb#2]\ntype = unicast\ntimeout = 30";
        assert_eq!(workers.follow(renamed), "-hb#1.rx -hb#1.tx +hb#2.tx");
        workers.end();
        assert_eq!(workers.follow(renamed), "+hb#2.rx");
    }
}
