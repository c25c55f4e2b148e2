//! What series are made of, and for whom.

use dataset::config::LoadedConfig;
use dataset::snapshot::Snapshot;
use model::{ObjectPath, Timestamp};

use crate::counts::Counts;

/// What the kernel tells of the daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Memory, in bytes.
    pub resident_bytes: u64,
    /// Open files.
    pub open_fds: u64,
    /// When it was started.
    pub started: Timestamp,
}

/// When a certificate, or a list of what is revoked, ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Expiry {
    /// The object that holds it.
    pub object: ObjectPath,
    /// `ca`, `listener` or `crl`.
    pub kind: &'static str,
    /// Its end.
    pub end: Timestamp,
}

/// What the control groups of an object use.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The object.
    pub object: ObjectPath,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// What series are made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The cluster data.
    pub snapshot: &'a Snapshot,
    /// The configuration in force.
    pub config: &'a LoadedConfig,
    /// What was counted.
    pub counts: &'a Counts,
    /// What the kernel tells.
    pub process: Process,
    /// When certificates end.
    pub expiries: &'a [Expiry],
    /// What the control groups of objects use, where somebody asks for that.
    pub usages: &'a [Usage],
    /// The release of the agent.
    pub version: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What a reader is shown.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Whether it is shown an object.
    pub object: &'a dyn Fn(&ObjectPath) -> bool,
    /// How many objects have series of their own.
    pub most_objects: usize,
}

/// A truth as a value.
pub(super) fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
