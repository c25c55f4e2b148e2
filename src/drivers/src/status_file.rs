//! What an evaluation leaves on disk: the instance's `status.json`, and `status.last`, `status.history` and the provisioned
//! flag of each resource.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use model::{InstanceStatus, ObjectPath, ProvisionedState, ResourceStatus, Status, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use machine::paths::Paths;
use machine::{durable, regular};

use crate::driver::Instance;

/// Entries kept of a history.
const HISTORY: usize = 100;

/// Deployed agents leave these files readable by all: what watches a node reads them.
const OPEN: u32 = 0o644;

/// Names of files in a resource's folder.
const PROVISIONED: &str = "provisioned";
const LAST: &str = "status.last";
const HISTORY_FILE: &str = "status.history";

/// One state that a resource had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Past {
    ts: Timestamp,
    status: Status,
}

/// Reads the newest instance status; none when there is none that can be read.
#[must_use]
pub(crate) fn read(paths: &Paths, path: &ObjectPath) -> Option<InstanceStatus> {
    let text = regular::states(&paths.instance_status(path))?;
    serde_json::from_slice(&text).ok()
}

/// Writes the instance status; the file has the time of the evaluation.
///
/// # Errors
///
/// Whatever the file system answers.
pub(crate) fn write(paths: &Paths, path: &ObjectPath, status: &InstanceStatus) -> io::Result<()> {
    let file = paths.instance_status(path);
    let text = serde_json::to_vec(status).map_err(io::Error::from)?;
    durable::write_cache(&file, &text, 0o600)?;
    let time = regular::file_time(status.updated).unwrap_or(UNIX_EPOCH);
    File::options().write(true).open(&file)?.set_modified(time)
}

/// The same, of a status that an action changed after its evaluation; what goes wrong is in the log.
pub(crate) fn write_told(paths: &Paths, instance: &Instance, status: &InstanceStatus) {
    if let Err(error) = write(paths, &instance.path, status) {
        instance.journal.warn(format_args!("{error}"));
    }
}

/// Writes what is remembered of a resource, if it changed since `previous`.
pub(crate) fn note(
    instance: &Instance,
    rid: &str,
    now: Timestamp,
    status: &ResourceStatus,
    previous: Option<&ResourceStatus>,
) {
    if previous == Some(status) {
        return;
    }
    let folder = instance.var_dir.join(rid);
    let last = serde_json::json!({
        "status": status.status,
        "label": status.label,
        "log": status.log.iter().map(|line| pair(line)).collect::<Vec<_>>(),
        "info": status.info,
    });
    let written = durable::write_cache(&folder.join(LAST), last.to_string().as_bytes(), OPEN)
        .and_then(|()| append(&folder.join(HISTORY_FILE), now, &status.status));
    if let Err(error) = written {
        instance.journal.resource(rid).warn(format_args!("{error}"));
    }
}

/// A line `level: text` as deployed agents keep it in `status.last`.
fn pair(line: &str) -> [&str; 2] {
    let (level, text) = line.split_once(": ").unwrap_or(("info", line));
    [level, text]
}

fn append(file: &Path, now: Timestamp, status: &Status) -> io::Result<()> {
    let mut history: Vec<Past> = regular::states(file)
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    if history.last().is_some_and(|last| last.status == *status) {
        return Ok(());
    }
    history.push(Past { ts: now, status: status.clone() });
    let excess = history.len().saturating_sub(HISTORY);
    history.drain(..excess);
    durable::write_cache(file, &serde_json::to_vec(&history)?, OPEN)
}

/// Forgets the last states of all resources: something is about to change them.
pub(crate) fn purge(instance: &Instance) {
    for resource in &instance.resources {
        _ = std::fs::remove_file(instance.var_dir.join(resource.rid.as_str()).join(LAST));
    }
}

/// The provisioned flag of a resource, none without a flag file that can be read.
#[must_use]
pub(crate) fn provisioned(folder: &Path) -> Option<ProvisionedState> {
    let file = folder.join(PROVISIONED);
    let state = serde_json::from_str(&regular::words(&file)?).ok()?;
    Some(ProvisionedState { state, mtime: regular::last_written(&file) })
}

/// Writes the provisioned flag of a resource, durably.
///
/// # Errors
///
/// Whatever the file system answers.
pub(crate) fn set_provisioned(
    folder: &Path,
    state: bool,
    time: Option<Timestamp>,
) -> io::Result<()> {
    let file = folder.join(PROVISIONED);
    durable::write(&file, Value::from(state).to_string().as_bytes(), OPEN)?;
    if let Some(time) = time {
        let time = regular::file_time(time).unwrap_or(UNIX_EPOCH);
        File::options().write(true).open(&file)?.set_modified(time)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_grows_by_changes_and_forgets_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status.history");
        for number in 0..250 {
            let status = if number % 2 == 0 { Status::Up } else { Status::Down };
            append(&file, Timestamp(f64::from(number)), &status).unwrap();
            append(&file, Timestamp(f64::from(number) + 0.5), &status).unwrap();
        }
        let history: Vec<Past> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(history.len(), HISTORY);
        assert_eq!(history[0], Past { ts: Timestamp(150.0), status: Status::Up });
        assert_eq!(history[99], Past { ts: Timestamp(249.0), status: Status::Down });
    }

    #[test]
    fn lines_of_a_resource_are_kept_as_deployed_agents_read_them() {
        assert_eq!(pair("warn: n2: need update"), ["warn", "n2: need update"]);
        assert_eq!(pair("forced"), ["info", "forced"]);
    }

    #[test]
    fn a_provisioned_flag_reads_back_with_its_time() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(provisioned(folder.path()), None);
        set_provisioned(folder.path(), true, Some(Timestamp(1.0))).unwrap();
        let flag = provisioned(folder.path()).unwrap();
        assert_eq!(flag, ProvisionedState { state: true, mtime: Some(Timestamp(1.0)) });
        std::fs::write(folder.path().join(PROVISIONED), "maybe").unwrap();
        assert_eq!(provisioned(folder.path()), None);
    }
}
