//! Which configuration file is meant, and where it lies.

use std::path::PathBuf;

use machine::paths::Paths;
use model::ObjectPath;

/// Mode of a new configuration file: it may hold secrets.
pub const MODE: u32 = 0o600;

/// Which file.
#[derive(Debug, Clone)]
pub enum Target {
    /// node.conf, over cluster.conf where it is read.
    Node,
    /// The configuration of an object, `cluster` included.
    Object(ObjectPath),
}

impl Target {
    /// cluster.conf.
    #[must_use]
    pub fn cluster() -> Self {
        Self::Object(ObjectPath::cluster())
    }

    /// The file.
    #[must_use]
    pub fn file(&self, paths: &Paths) -> PathBuf {
        match self {
            Self::Node => paths.node_conf(),
            Self::Object(path) => paths.config_file(path),
        }
    }

    /// Its name below `<etc>`.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self {
            Self::Node => "node.conf".to_owned(),
            Self::Object(path) => path.config_file(),
        }
    }

    /// Words of the command line for it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Node => "node".to_owned(),
            Self::Object(path) => path.to_string(),
        }
    }

    /// The lock that whoever rewrites it holds.
    pub(crate) fn lock(&self, paths: &Paths) -> PathBuf {
        let name = match self {
            Self::Node => "edit_node".to_owned(),
            Self::Object(path) => format!("edit_{}", path.as_str().replace('/', "_")),
        };
        paths.locks().join(name)
    }
}
