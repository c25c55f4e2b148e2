//! Why an object is where it is, and what would happen to it: the answers to request `object_explain`, which is ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Aggregate, GlobalExpect, InstanceMonitor, LastFailure, NodeName, ObjectPath, Status, Timestamp,
};

/// A reason: a word for programs, a fragment for readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A fixed word.
    pub id: String,
    /// What it means here.
    pub text: String,
}

/// A node that has the object, and whether it may run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The node.
    pub node: NodeName,
    /// Place in the order of preference, from 1; none where discarded, or where the policy ranks nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// The object is to run there.
    pub is_leader: bool,
    /// What the policy compares: the score, the load, the place in `nodes`, the digest.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// Why the node may not run the object; none for a candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<Reason>,
    /// State of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avail: Option<Status>,
    /// Monitor of the instance, as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<InstanceMonitor>,
    /// Why the last action there failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
}

/// Whose target it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetScope {
    /// `global_expect` of the object.
    Object,
    /// `local_expect` of an instance.
    Instance,
    /// `global_expect` of the nodes.
    Node,
}

/// A target that is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingTarget {
    /// Whose it is.
    pub scope: TargetScope,
    /// The target.
    pub target: String,
    /// Where it was set first.
    pub origin: NodeName,
    /// When it was set there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The nodes that have it now.
    pub nodes: Vec<NodeName>,
}

/// How much a reader needs to know of a [`Blocker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Somebody has to do something: nothing goes on by itself.
    Stuck,
    /// It goes on when something else has happened.
    Waits,
    /// As it should be.
    Normal,
}

/// Why monitors do nothing, or wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    /// The nodes where it is so.
    pub nodes: Vec<NodeName>,
    /// How much it matters.
    pub weight: Weight,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
    /// The objects that stand in the way: `{"path", "avail", "monitor": {<node>: <status>}}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Value>,
}

/// Something that ends by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// `ready`, `restart_delay <rid>`, `rejoin_grace_period`, `maintenance_grace_period`.
    pub id: String,
    /// Where.
    pub node: NodeName,
    /// Seconds left.
    pub left: f64,
}

/// Something that is to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Seconds from now; actions are taken to end at once.
    pub after: f64,
    /// Where.
    pub node: NodeName,
    /// To which object.
    pub object: ObjectPath,
    /// The action, or the status that is announced.
    pub what: String,
    /// It is an action; else an announced status.
    pub is_action: bool,
    /// Why, as a fragment; may be empty.
    pub reason: String,
    /// It happens again and again, and so does what follows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The object.
    pub path: ObjectPath,
    /// The node that foretells.
    pub node: NodeName,
    /// The target asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<GlobalExpect>,
    /// Lines that the request would be answered with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<String>,
    /// Why the request would be refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error: Vec<String>,
    /// What would happen, in order.
    pub steps: Vec<Step>,
    /// Everything comes to rest; else it was not followed further.
    pub is_settled: bool,
    /// How it ends, in one sentence.
    pub outcome: String,
    /// The object, then.
    pub aggregate: Aggregate,
    /// Its instances, then.
    pub instances: BTreeMap<NodeName, Status>,
    /// What is waited for, then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
}

/// Why an object is where it is, and what is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The object.
    pub path: ObjectPath,
    /// The node that explains, from what it knows.
    pub node: NodeName,
    /// All of it in one sentence.
    pub summary: String,
    /// The object over its instances.
    pub aggregate: Aggregate,
    /// Keyword `topology`.
    pub topology: String,
    /// Keyword `orchestrate`.
    pub orchestrate: String,
    /// Keyword `placement`.
    pub policy: String,
    /// The nodes of the object, in order of preference, then the discarded ones.
    pub candidates: Vec<Candidate>,
    /// Targets that are set.
    pub targets: Vec<PendingTarget>,
    /// Why nothing is done, or what is waited for, the weightiest first.
    pub blockers: Vec<Blocker>,
    /// What ends by itself, the next first.
    pub timers: Vec<Timer>,
    /// What happens next, if nothing else does.
    pub next: Vec<Step>,
}
