//! `om daemon shutdown` where no daemon runs: the instances of this node stop all the same.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use conf::NodeSettings;
use dataset::config::LoadedObject;
use drivers::origin;
use files::{in_force, read};
use model::{InstanceAction, ObjectPath};
use rustix::process::{Pid, Signal, kill_process};

use crate::om::{Done, Failure, NAMESPACE_VARIABLE, Om, note};

/// How often the commands that run are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Stops all instances of this node, standby resources too, those that need others first, `within` this time.
pub(super) fn stop_instances(om: &Om, within: Option<Duration>) -> Done {
    let settings = in_force::load_node_in_force(&om.paths, &om.nodename);
    let objects = instances(om, &settings);
    let known = objects.iter().map(|(path, it)| (path.clone(), &*it.settings)).collect();
    let mut stopping = Stopping {
        deadline: within.map(|within| Instant::now() + within),
        most: settings.max_parallel.unwrap_or_else(|| machine::process::processors().max(2)).max(1),
        lines: vec![],
    };
    note("the daemon is not running: the instances of this node are stopped without it");
    for group in monitor::stop_order(&known) {
        stopping.stop(&group)?;
    }
    match stopping.lines {
        lines if lines.is_empty() => Ok(0),
        lines => Err(Failure { lines, code: 1 }),
    }
}

/// The objects with instances on this node.
fn instances(om: &Om, settings: &NodeSettings) -> BTreeMap<ObjectPath, LoadedObject> {
    let paths =
        read::list_objects(&om.paths).into_keys().filter(|path| path.kind().has_instances());
    let loaded =
        paths.filter_map(|path| match in_force::load_object_in_force(&om.paths, settings, &path) {
            Ok(object) => Some((path, object)),
            Err(complaint) => {
                note(&format!("{path} is not stopped: {complaint}"));
                None
            }
        });
    loaded.filter(|(_, object)| object.scope.contains(&om.nodename)).collect()
}

/// Stops group after group.
struct Stopping {
    /// When no more is begun, and what runs is told to end.
    deadline: Option<Instant>,
    /// How many commands run at once.
    most: usize,
    /// What failed.
    lines: Vec<String>,
}

impl Stopping {
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn stop(&mut self, group: &[ObjectPath]) -> Result<(), Failure> {
        let mut waiting = group.iter();
        let mut running: Vec<(&ObjectPath, Child)> = vec![];
        loop {
            while running.len() < self.most
                && !self.is_late()
                && let Some(path) = waiting.next()
            {
                running.push((path, begin(path)?));
            }
            if running.is_empty() {
                break;
            }
            let is_late = self.is_late();
            let mut still = vec![];
            for (path, mut child) in running {
                match child.try_wait()? {
                    Some(status) if status.success() => {}
                    Some(_) => self.lines.push(format!("{path} could not be stopped: see its log")),
                    None if is_late => {
                        terminate(&child);
                        self.lines.push(format!("{path} is not stopped: its time is over"));
                    }
                    None => still.push((path, child)),
                }
            }
            running = still;
            std::thread::sleep(LOOK);
        }
        self.lines.extend(waiting.map(|path| format!("{path} is not stopped: no time was left")));
        Ok(())
    }
}

fn begin(path: &ObjectPath) -> std::io::Result<Child> {
    Command::new(machine::process::program())
        .args(path.command_words())
        .args(InstanceAction::Shutdown.words().split(' '))
        .arg("--local")
        // As the daemon runs it: what an operator types freezes the instance, which would then not start after the boot.
        .env(origin::ORIGIN_VARIABLE, "daemon")
        // The path is whole: it is not to be looked for in the namespace of relative names.
        .env_remove(NAMESPACE_VARIABLE)
        .spawn()
}

/// Has a command end what it runs, and end.
fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended.
        _ = kill_process(pid, Signal::TERM);
    }
}
