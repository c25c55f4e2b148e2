//! The configuration of the node: node.conf over cluster.conf.

use std::sync::Arc;

use model::NodeName;

mod evaluated;
pub(crate) mod follow;
mod keys;
mod load;
pub(crate) mod settings;
mod step;

use crate::dotted::split_keyword;
use crate::ini::Ini;
use crate::join::has_heartbeats;
use crate::object::ObjectConf;

/// node.conf and cluster.conf, read as one: node.conf wins, keyword by keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConf {
    /// The local node.
    pub nodename: NodeName,
    /// cluster.conf: the object `cluster`.
    pub cluster: Arc<ObjectConf>,
    /// node.conf.
    pub node: Ini,
    pub(crate) nodes: Arc<[NodeName]>,
    pub(crate) drpnodes: Arc<[NodeName]>,
}

impl NodeConf {
    /// The same configuration with the members that `text` tells of.
    pub(crate) fn with_members(self, text: impl Fn(&Self, &str) -> String) -> Self {
        let read = |keyword| {
            let words: Vec<String> =
                text(&self, keyword).split_whitespace().map(str::to_owned).collect();
            node_names(&words)
        };
        let (mut nodes, drpnodes) = (read("nodes"), read("drpnodes"));
        if nodes.is_empty() {
            nodes.push(self.nodename.clone());
        }
        Self { nodes: nodes.into(), drpnodes: drpnodes.into(), ..self }
    }

    /// Whether a heartbeat is written in either file, good or not.
    #[must_use]
    pub fn has_heartbeats(&self) -> bool {
        has_heartbeats(&self.node) || has_heartbeats(self.cluster.ini())
    }

    /// `cluster.nodes` in their order, the local node when unset.
    #[must_use]
    pub fn cluster_nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    /// `cluster.drpnodes` in their order.
    #[must_use]
    pub fn cluster_drpnodes(&self) -> &[NodeName] {
        &self.drpnodes
    }

    /// Raw value of `section.keyword[@scope]`, in node.conf, else in cluster.conf.
    #[must_use]
    pub fn get(&self, keyword: &str) -> Option<String> {
        let (section, keyword) = split_keyword(keyword);
        self.node
            .get(section, keyword)
            .or_else(|| self.cluster.ini().get(section, keyword))
            .map(str::to_owned)
    }

    /// `om node print config --format json`: raw sections of node.conf.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.node.to_json().into()
    }
}

/// Names of nodes among words; others are left out.
pub(crate) fn node_names(words: &[String]) -> Vec<NodeName> {
    words.iter().filter_map(|word| NodeName::new(word).ok()).collect()
}
