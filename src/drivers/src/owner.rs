//! Whose processes are looked for, and what was launched for them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use machine::paths::Paths;
use model::ObjectPath;

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
    /// The object and where configurations are: a process that bears the path of another one that has a configuration is that
    /// one's, though a copied file gave both the same id.
    pub object: Option<(ObjectPath, Paths)>,
    /// Id of the resource.
    pub rid: String,
    /// Users that the resource may run as, beside root and us.
    pub users: BTreeSet<u32>,
    /// What was launched.
    pub launched: Vec<Leader>,
    /// Folders of its control groups.
    pub groups: Vec<PathBuf>,
}

impl Owner {
    /// Whether a path that a process bears is that of another object, which has a configuration.
    pub(crate) fn is_of_another(&self, path: &str) -> bool {
        let Some((own, paths)) = &self.object else { return false };
        ObjectPath::parse(path).is_ok_and(|path| path != *own && paths.config_file(&path).exists())
    }
}
