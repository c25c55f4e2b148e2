//! What would become of the objects if nodes were emptied or died: the answer to request `cluster_whatif`, which is ours.

use serde::{Deserialize, Serialize};

use crate::{NodeName, ObjectPath, Reason, Status, Step};

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It runs nowhere any more.
    Down,
    /// It is up no more, but something of it still runs.
    Degraded,
    /// It runs on other nodes than before.
    Moves,
    /// It goes on, on fewer nodes.
    Shrinks,
    /// It ran nowhere, and runs then.
    Starts,
}

/// Who votes for those that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumLeft {
    /// Nodes and arbitrators that vote for them.
    pub votes: usize,
    /// How many may vote.
    pub voting: usize,
    /// Whether that is a majority.
    pub survives: bool,
}

/// Why a node takes an object not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The node.
    pub node: NodeName,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// The object.
    pub path: ObjectPath,
    /// What becomes of it.
    pub fate: Fate,
    /// Where it runs now.
    pub from: Vec<NodeName>,
    /// Where it runs then.
    pub to: Vec<NodeName>,
    /// Seconds until its last step begins; actions are taken to end at once.
    pub after: f64,
    /// Its state then.
    pub avail: Option<Status>,
    /// How it ends, in one sentence.
    pub outcome: String,
    /// Why nodes that are left do not take it; empty where it is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// It comes to rest; else it was not followed further.
    pub is_settled: bool,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What would become of the objects. Those that nothing happens to are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhatIf {
    /// The node that foretells: it knows the objects that are configured there.
    pub node: NodeName,
    /// Nodes that are emptied.
    pub drained: Vec<NodeName>,
    /// Nodes that die.
    pub down: Vec<NodeName>,
    /// Seconds until the others miss a node that dies.
    pub missed_after: f64,
    /// Who votes for those that are left; none without quorum, and where none dies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<QuorumLeft>,
    /// Nodes that take themselves out, as they have no majority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_out: Vec<NodeName>,
    /// The objects, the worst fate first.
    pub objects: Vec<Outlook>,
}

impl WhatIf {
    /// Takes over what another node foretells, of the objects that are not known yet.
    pub fn merge(&mut self, other: Self) {
        for outlook in other.objects {
            if !self.objects.iter().any(|known| known.path == outlook.path) {
                self.objects.push(outlook);
            }
        }
        self.sort();
    }

    /// Puts the worst fate first.
    pub fn sort(&mut self) {
        self.objects.sort_by(|a, b| (a.fate, &a.path).cmp(&(b.fate, &b.path)));
    }

    /// The objects that are up no more.
    pub fn without_place(&self) -> impl Iterator<Item = &Outlook> {
        self.objects.iter().filter(|outlook| outlook.fate <= Fate::Degraded)
    }
}
