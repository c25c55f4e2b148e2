//! Instance actions, instance evaluation and resource drivers.
//!
//! Plain blocking code: the daemon calls [`evaluate`] on its blocking pool, `om <path> <action> --local` calls
//! [`action`] in its own process, which the runner starts or an operator. One file per driver.

mod action;
mod announce;
mod app;
mod app_forking;
mod app_simple;
mod cgroup;
mod container;
mod device;
mod devices;
mod disk_loop;
mod driver;
mod ending;
mod evaluation;
pub(crate) mod exec;
pub mod exec_context;
mod fs_directory;
mod fs_flag;
mod fs_mount;
mod host;
mod instance;
mod interrupt;
mod ip_host;
mod journal;
mod keys;
mod launch;
mod launched;
pub(crate) mod leftovers;
mod locks;
mod mounts;
mod order;
pub(crate) mod pool;
mod processes;
#[cfg(test)]
mod reading;
mod requires;
mod select;
pub(crate) mod status_file;
mod sync_rsync;
mod task_host;
mod triggers;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use model::{InstanceStatus, ObjectPath};

pub(crate) use action::{ORIGIN_VARIABLE, PART_VARIABLE};
pub use action::{Others, action, end_by_signals, in_new_session, is_from_daemon};
pub use cgroup::Cgroups;
pub use container::is_usable;
pub use host::Host;
pub(crate) use interrupt::Interrupt;
pub(crate) use processes::Stat;
pub(crate) use processes::started_at;

use self::instance::Instance;
use crate::config::LoadedObject;
use crate::paths::Paths;
use crate::{clock, config};

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The whole instance status, without its monitor.
    pub status: InstanceStatus,
    /// What to watch until the next evaluation.
    pub watch: Watch,
}

/// What changes the state of a resource without telling anybody, by resource id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch {
    /// Processes whose end matters.
    pub pids: BTreeMap<String, BTreeSet<u32>>,
    /// Files and folders whose appearance, change or end matters. Their folder is to be watched, never themselves.
    pub files: BTreeMap<String, BTreeSet<PathBuf>>,
}

impl Watch {
    /// Takes over what another one watches for a resource.
    fn keep(&mut self, other: &Self, rid: &str) {
        if let Some(pids) = other.pids.get(rid) {
            self.pids.insert(rid.to_owned(), pids.clone());
        }
        if let Some(files) = other.files.get(rid) {
            self.files.insert(rid.to_owned(), files.clone());
        }
    }
}

/// Where a sync copies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncTo {
    /// All its targets.
    All,
    /// The nodes that run instances.
    Nodes,
    /// The disaster recovery nodes.
    DrpNodes,
}

/// Evaluates the local instance of an object, writes `status.json` and what is remembered of each resource.
///
/// Blocks until every resource has answered, or is past the deadline of [`Host`]. `rids` limits who is asked: the others
/// keep what they have in `previous`. `known` is what the last evaluation said to watch: those processes are looked at
/// first, and only they while they live. Pass none after an action, when others may have joined them.
#[must_use]
pub fn evaluate(
    host: &Host,
    object: &LoadedObject,
    previous: Option<&InstanceStatus>,
    known: Option<&Watch>,
    rids: Option<&BTreeSet<String>>,
) -> Evaluation {
    let instance = Arc::new(Instance::read(host, object));
    // Deleted meanwhile: nothing of it is to come back, not even the lock.
    let is_gone = || !host.paths.config_file(&object.path).exists();
    let gone =
        || Evaluation { status: previous.cloned().unwrap_or_default(), watch: Watch::default() };
    if is_gone() {
        return gone();
    }
    let _lock = locks::of_evaluation(&instance);
    if is_gone() {
        return gone();
    }
    refresh(host, &instance, previous, known, rids)
}

/// Evaluates and writes.
fn refresh(
    host: &Host,
    instance: &Arc<Instance>,
    previous: Option<&InstanceStatus>,
    known: Option<&Watch>,
    rids: Option<&BTreeSet<String>>,
) -> Evaluation {
    let found = evaluation::evaluate(host, instance, clock::now(), previous, known, rids);
    let same = previous.is_some_and(|previous| previous.csum == found.status.csum);
    // The file of an unchanged instance is still renewed: deployed agents compare its time with that of the configuration.
    let written = status_file::write(&host.paths, &instance.path, &found.status);
    if let Err(error) = written
        && !same
    {
        instance.journal.warn(format_args!("{error}"));
    }
    found
}

/// The status of the local instance: as last written if that is of the configuration in force, else evaluated now.
#[must_use]
pub fn status(host: &Host, object: &LoadedObject, is_refreshed: bool) -> InstanceStatus {
    let written = status_file::read(&host.paths, &object.path)
        .filter(|status| !is_refreshed && !status.is_outdated(&object.entry(), clock::now()));
    written.unwrap_or_else(|| evaluate(host, object, None, None, None).status)
}

/// The processes of each resource that has some: resource, process, command line.
///
/// # Errors
///
/// `rids` name no resource.
pub fn running(
    host: &Host,
    object: &LoadedObject,
    rids: Option<&str>,
) -> Result<Vec<(String, u32, String)>, String> {
    let instance = Instance::read(host, object);
    let options = om::ActionOptions { rid: rids.map(str::to_owned), ..Default::default() };
    let selection = select::Selection::read(&options);
    let mut selected = instance.resources.iter().filter(|one| selection.has(one)).peekable();
    if let (None, Some(rids)) = (selected.peek(), rids) {
        return Err(format!("{} has no resource {rids}", instance.path));
    }
    let meant: BTreeSet<&str> = selected.map(|resource| resource.rid.as_str()).collect();
    let search = leftovers::Search {
        paths: &host.paths,
        path: &instance.path,
        id: Some(&instance.id),
        cgroups: &host.cgroups,
        scan: None,
        is_meant: &|rid| meant.contains(rid),
        users: &|rid| instance.users_of(rid),
    };
    // All that a stop would end.
    let found = search.find().into_iter();
    Ok(found
        .flat_map(|(rid, all)| all.into_iter().map(move |one| (rid.clone(), one.pid, one.command)))
        .collect())
}

/// The newest status that was written, whatever its age.
#[must_use]
pub fn written_status(paths: &Paths, path: &ObjectPath) -> Option<InstanceStatus> {
    status_file::read(paths, path)
}

/// The node, as `om` commands see it: settings and context from the configuration files.
#[must_use]
pub fn command_host(paths: Arc<Paths>, node: Arc<conf::NodeSettings>) -> Host {
    let context = config::context(&paths, &node);
    Host::new(paths, node, context)
}
