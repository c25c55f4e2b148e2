//! Instance actions, instance evaluation and resource drivers.
//!
//! Plain blocking code: the daemon calls [`evaluate`] on its blocking pool, `om <path> <action> --local` calls
//! [`action`] in its own process, which the runner starts or an operator. One file per driver; `registry` alone names them all.

pub mod action;
mod announce;
mod app;
mod app_forking;
mod app_simple;
pub mod cgroup;
pub mod container;
mod device;
mod devices;
mod disk_loop;
mod driver;
mod ending;
mod environment;
mod evaluation;
pub mod exec;
pub mod exec_context;
mod failure;
mod fs_directory;
mod fs_flag;
mod fs_mount;
mod groups;
pub mod host;
pub mod interrupt;
mod ip_host;
mod journal;
mod keys;
mod launch;
mod launched;
pub mod leftovers;
mod locks;
mod mounts;
mod order;
pub mod origin;
mod owner;
mod processes;
#[cfg(test)]
mod reading;
mod refresh;
mod registry;
mod report;
mod requires;
mod select;
mod setup;
pub mod status_file;
mod sync_rsync;
mod task_host;
pub mod tools;
mod triggers;
mod volume;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{InstanceStatus, ObjectPath};

use dataset::config::LoadedObject;
use files::context;
use machine::clock;
use machine::paths::Paths;

pub use crate::evaluation::{Evaluation, Watch};
use crate::host::Host;
pub use crate::launch::command_words;
use crate::refresh::refresh;

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
    let instance = Arc::new(registry::read(host, object));
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
    let instance = registry::read(host, object);
    let options = model::ActionOptions { rid: rids.map(str::to_owned), ..Default::default() };
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
    let context = context::context(&paths, &node);
    Host::new(paths, node, context)
}
