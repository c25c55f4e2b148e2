//! Reading configuration files into typed settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use conf::{Complaint, NodeSettings, ObjectConf};
use model::{NodeName, ObjectPath, ObjectSettings, Timestamp};

/// Where the configuration in force is found.
pub type ConfigCell = Arc<ArcSwap<LoadedConfig>>;

/// The configuration in force: of the node, and of all its objects.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// node.conf over cluster.conf.
    pub node: Arc<NodeSettings>,
    /// The objects with a configuration file, `cluster` included.
    pub objects: Arc<BTreeMap<ObjectPath, Arc<LoadedObject>>>,
    /// What is wrong with files: each keeps its last good content in force.
    pub complaints: Vec<Complaint>,
}

/// The configuration of one object.
#[derive(Debug, Clone)]
pub struct LoadedObject {
    /// The object.
    pub path: ObjectPath,
    /// Its document.
    pub conf: ObjectConf,
    /// What the monitors need of it.
    pub settings: Arc<ObjectSettings>,
    /// Modification time of its file.
    pub updated: Timestamp,
    /// MD5 of its bytes, in hex.
    pub csum: String,
    /// Nodes and disaster recovery nodes, sorted.
    pub scope: Vec<NodeName>,
}
