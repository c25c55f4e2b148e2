//! A walk from node to node: what is done on each, and how far it is. Kept in a file, so that it is resumed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{NodeName, ObjectPath, Status, Timestamp};

/// What is done on each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollJob {
    /// The machine is rebooted.
    Reboot,
    /// This command is run.
    Run(String),
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollStage {
    /// Not begun.
    Pending,
    /// It is being emptied.
    Draining,
    /// The command runs, or the machine reboots.
    Working,
    /// It is waited for until it is healthy again.
    Recovering,
    /// It is thawed, and its services come back.
    Thawing,
    /// All done.
    Done,
    /// Left out.
    Skipped,
}

/// A node of a roll.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollNode {
    /// The node.
    pub node: NodeName,
    /// How far it is.
    pub stage: RollStage,
    /// Why it was left out, or what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It was frozen before: it is not thawed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_frozen: bool,
    /// The boot of its machine before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// Id of the command that is run there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// What was up or warn before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<ObjectPath, Status>,
    /// What has no place meanwhile.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without_place: BTreeSet<ObjectPath>,
}

impl RollNode {
    /// A node that is not begun.
    #[must_use]
    pub fn new(node: NodeName) -> Self {
        Self {
            node,
            stage: RollStage::Pending,
            reason: None,
            was_frozen: false,
            boot: String::new(),
            command: String::new(),
            before: BTreeMap::new(),
            without_place: BTreeSet::new(),
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.stage, RollStage::Done | RollStage::Skipped)
    }
}

/// The whole walk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roll {
    /// When it began.
    pub begun: Timestamp,
    /// What is done on each node.
    pub job: RollJob,
    /// Also on nodes that want no reboot.
    #[serde(default)]
    pub all: bool,
    /// Also where a service has no place meanwhile, and on frozen nodes.
    #[serde(default)]
    pub force: bool,
    /// The nodes, in order.
    pub nodes: Vec<RollNode>,
}

impl Roll {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.nodes.iter().all(RollNode::is_over)
    }
}
