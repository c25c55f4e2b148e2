//! Instance actions, instance evaluation and resource drivers.
//!
//! Plain blocking code: the daemon calls [`evaluate`] on its blocking pool, `om <path> <action> --local` calls
//! [`action`] in its own process, which the runner starts or an operator. One file per driver.

mod exec;
pub mod exec_context;
mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use model::InstanceStatus;

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

/// Options of an instance action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionOptions {
    /// `--rid`: ids, groups, `group.driver`, separated by commas. Empty: no filter.
    pub rid: String,
    /// `--tags`: `a,b` any, `a+b` all. Empty: no filter.
    pub tags: String,
    /// `--subsets`: names of resource sets, separated by commas. Empty: no filter.
    pub subsets: String,
    /// `--upto`: stop after this resource or group.
    pub upto: Option<String>,
    /// `--downto`: stop after this resource or group.
    pub downto: Option<String>,
    /// `--dry-run`: say what would be done.
    pub is_dry_run: bool,
    /// `--force`.
    pub is_forced: bool,
    /// `--leader`: act on shared resources.
    pub is_leader: bool,
    /// `--disable-rollback`.
    pub is_rollback_disabled: bool,
    /// `--waitlock`: how long to wait for the action lock, else keyword `lock_timeout`.
    pub waitlock: Option<Duration>,
    /// `--confirm`: the operator agreed to a task that asks.
    pub is_confirmed: bool,
    /// `--cron`: run by the scheduler.
    pub is_scheduled: bool,
    /// `--refresh` of `status` and `print status`: ask the drivers.
    pub is_refreshed: bool,
    /// `--unprovision` of `delete`.
    pub is_unprovisioned: bool,
}
