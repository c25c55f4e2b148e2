//! All an evaluation may look at beside the configuration itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use model::{NodeName, ObjectPath};

use crate::labels::Labels;
use crate::node::NodeConf;
use crate::select::nodes::NodeSelector;

/// Folders that references name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `{etc}`.
    pub etc: String,
    /// `{var}`.
    pub var: String,
}

impl Default for Folders {
    /// Where packages install.
    fn default() -> Self {
        Self { etc: "/etc/opensvc".into(), var: "/var/lib/opensvc".into() }
    }
}

/// What only drivers and the collector know.
pub trait Facts: Send + Sync {
    /// `exposed_devs`, `sub_devs`, `base_devs` or `mnt` of a resource; none while not available, which makes the
    /// value that refers to it null.
    fn devices(&self, rid: &str, what: &str) -> Option<Vec<String>>;

    /// Content of `safe://<id>`; none when it can not be fetched.
    fn safe(&self, id: &str) -> Option<String>;
}

/// Hears of each keyword that is asked for, by section and name.
pub type Reads = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Who evaluates, for which node, knowing what.
#[derive(Clone)]
pub struct Context {
    /// The configuration of the local node and its cluster.
    pub node: Arc<NodeConf>,
    /// Labels of all known nodes.
    pub labels: Arc<Labels>,
    /// Folders of this installation.
    pub folders: Arc<Folders>,
    /// Environment of the process: `{env.x}` reads `X` there first.
    pub environment: Arc<BTreeMap<String, String>>,
    /// Another node to evaluate for, `--impersonate`.
    pub impersonate: Option<NodeName>,
    /// Cluster nodes are sorted when `*` selects them from live data; in their configured order without.
    pub is_live: bool,
    /// What drivers know.
    pub facts: Option<Arc<dyn Facts>>,
    /// The objects of the cluster, for who judges a configuration before it is written; none where they are not known.
    pub objects: Option<Arc<BTreeSet<ObjectPath>>>,
    /// Who is told of each keyword that is read: for the test that each one is.
    pub reads: Option<Reads>,
}

impl Context {
    /// A context of the local node that knows nothing but its configuration.
    #[must_use]
    pub fn new(node: Arc<NodeConf>) -> Self {
        Self {
            node,
            labels: Arc::default(),
            folders: Arc::default(),
            environment: Arc::default(),
            impersonate: None,
            is_live: true,
            facts: None,
            objects: None,
            reads: None,
        }
    }

    /// The node evaluated for.
    #[must_use]
    pub fn evaluated_node(&self) -> &NodeName {
        self.impersonate.as_ref().unwrap_or(&self.node.nodename)
    }

    /// What expands a node selector.
    #[must_use]
    pub fn node_selector(&self) -> NodeSelector<'_> {
        NodeSelector {
            nodes: self.node.cluster_nodes(),
            labels: &self.labels,
            is_live: self.is_live,
        }
    }

    /// This context, seen by another node.
    #[must_use]
    pub fn impersonating(&self, node: &NodeName) -> Self {
        Self { impersonate: Some(node.clone()), ..self.clone() }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.evaluated_node())
    }
}
