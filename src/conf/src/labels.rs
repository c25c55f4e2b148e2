//! The labels of nodes.

use std::collections::BTreeMap;

use model::NodeName;

/// Labels of the nodes, as they publish them (`nodes_info.json`).
pub type Labels = BTreeMap<NodeName, BTreeMap<String, String>>;
