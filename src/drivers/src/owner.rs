//! Whose processes are looked for, and what was launched for them.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// A process that leads a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    /// Its id, and that of its session.
    pub pid: u32,
    /// When it was started, in ticks since the boot.
    pub start: u64,
}

/// Whose processes are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owner {
    /// Id of the object.
    pub id: String,
    /// Ids that the object had when something was launched for the resource.
    pub older_ids: BTreeSet<String>,
    /// Path of the object, where nothing tells its id.
    pub path: Option<String>,
    /// Id of the resource.
    pub rid: String,
    /// Users that the resource may run as, beside root and us.
    pub users: BTreeSet<u32>,
    /// What was launched.
    pub launched: Vec<Leader>,
    /// Folders of its control groups.
    pub groups: Vec<PathBuf>,
}
