//! An immutable state of the cluster data.

use model::Document;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use model::thread::{self, Block};
use model::{Aggregate, ConfigEntry, Frozen, InstanceStatus, NodeData, NodeName, ObjectPath};
use monitor::Standing;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::shared_map::SharedMap;
use crate::told::Told;

/// Name, id and members of the cluster.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterInfo {
    /// Keyword `cluster.id`.
    pub id: String,
    /// Keyword `cluster.name`, lower case.
    pub name: String,
    /// Keyword `cluster.nodes`, in its order.
    pub nodes: Vec<NodeName>,
}

/// One node.
#[derive(Debug, Default, Clone)]
pub struct NodeEntry {
    /// What it publishes beside its objects; `services` is none. Without `monitor`: never heard of.
    pub data: NodeData,
    /// Its instances.
    pub status: SharedMap<InstanceStatus>,
    /// Its configurations.
    pub config: SharedMap<ConfigEntry>,
    /// What a peer told, all of it; none for the local node, and for one never heard.
    pub told: Option<Told>,
    /// A peer that was heard and not forgotten.
    pub is_heard: bool,
    /// How often a peer had no data of the local node.
    pub unseen: monitor::Unseen,
}

impl NodeEntry {
    /// The same, of a peer that has told its objects.
    #[cfg(any(test, feature = "testing"))]
    pub fn telling(mut self) -> Self {
        self.told.get_or_insert_default().has_services = true;
        self
    }

    /// Whether a peer has told its objects.
    #[must_use]
    pub fn has_services(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.has_services)
    }

    /// The instance of an object as it is shown.
    pub fn shown_instance(&self, path: &ObjectPath) -> Option<Value> {
        match &self.told {
            None => self.status.get(path).map(value),
            Some(told) => told.status.get(path).map(value),
        }
    }

    /// The configuration of an object as it is shown.
    pub fn shown_config(&self, path: &ObjectPath) -> Option<Value> {
        match &self.told {
            None => self.config.get(path).map(value),
            Some(told) => told.config.get(path).map(value),
        }
    }
}

/// The cluster data at one generation. Cheap to keep and to copy: what is large inside is shared.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its number: each publication has a higher one.
    pub generation: u64,
    /// The local node.
    pub nodename: NodeName,
    /// The cluster.
    pub cluster: ClusterInfo,
    pub(crate) nodes: BTreeMap<NodeName, Arc<NodeEntry>>,
    pub(crate) services: SharedMap<Aggregate>,
    pub(crate) threads: BTreeMap<String, Arc<Block>>,
    pub(crate) compat: bool,
    pub(crate) transitions: usize,
    pub(crate) frozen: Frozen,
    pub(crate) standing: Standing,
    /// Arbitrators that answered after the last loss of a peer.
    pub arbitrator_votes: usize,
    /// Peers that shut down in order, and have not been heard since.
    pub departed: BTreeSet<NodeName>,
    /// Made by the first who asks, at most once per generation.
    pub prepared: Prepared,
}

/// A reply that is made once; a copy of a snapshot, about to change, starts without.
#[derive(Default)]
pub struct Prepared(OnceLock<Arc<wire::Prepared>>);

impl Clone for Prepared {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Prepared").field(&self.0.get().is_some()).finish()
    }
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
            services: SharedMap::default(),
            threads: BTreeMap::new(),
            compat: true,
            transitions: 0,
            frozen: Frozen::NotApplicable,
            standing: Standing::Member,
            arbitrator_votes: 0,
            departed: BTreeSet::new(),
            prepared: Prepared::default(),
        }
    }

    /// The data of some nodes, as a test wants it.
    #[cfg(any(test, feature = "testing"))]
    pub fn of_nodes(
        nodename: &NodeName,
        members: &[NodeName],
        nodes: BTreeMap<NodeName, NodeEntry>,
    ) -> Self {
        let nodes = nodes.into_iter().map(|(name, node)| (name, Arc::new(node))).collect();
        let cluster = ClusterInfo { nodes: members.to_vec(), ..ClusterInfo::default() };
        Self { cluster, nodes, ..Self::empty(nodename.clone()) }
    }

    /// The same, with these objects, as a test wants it.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_services(self, services: SharedMap<Aggregate>) -> Self {
        Self { services, ..self }
    }

    /// The whole answer to `daemon_status`, serialized and compressed at most once per generation.
    #[must_use]
    pub fn prepared(&self) -> &Arc<wire::Prepared> {
        let make =
            || Arc::new(wire::Prepared::from_json(to_ascii(self.status_text(None)).into_bytes()));
        self.prepared.0.get_or_init(make)
    }

    /// Whether somebody asked for [`Self::prepared`] before.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.prepared.0.get().is_some()
    }

    /// Instances on all nodes.
    #[must_use]
    pub fn instance_count(&self) -> usize {
        self.nodes.values().map(|node| node.status.len()).sum()
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

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeName, Arc<NodeEntry>> {
        &self.nodes
    }

    /// One node.
    #[must_use]
    pub fn node(&self, node: &NodeName) -> Option<&NodeEntry> {
        self.nodes.get(node).map(|entry| &**entry)
    }

    /// The local node's data; none before it published something.
    #[must_use]
    pub fn local(&self) -> Option<&NodeEntry> {
        self.node(&self.nodename)
    }

    /// The instance of an object on a node.
    #[must_use]
    pub fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&Arc<InstanceStatus>> {
        self.nodes.get(node)?.status.get(path)
    }

    /// The local instance of an object.
    #[must_use]
    pub fn local_instance(&self, path: &ObjectPath) -> Option<&Arc<InstanceStatus>> {
        self.instance(&self.nodename, path)
    }

    /// The instances of an object, by node name.
    pub fn instances<'a>(
        &'a self,
        path: &'a ObjectPath,
    ) -> impl Iterator<Item = (&'a NodeName, &'a Arc<InstanceStatus>)> {
        self.nodes.iter().filter_map(move |(name, node)| Some((name, node.status.get(path)?)))
    }

    /// What a node publishes of the configuration of an object.
    #[must_use]
    pub fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&Arc<ConfigEntry>> {
        self.nodes.get(node)?.config.get(path)
    }

    /// The state of each known object over its instances.
    #[must_use]
    pub fn services(&self) -> &SharedMap<Aggregate> {
        &self.services
    }

    /// The state of an object over its instances.
    #[must_use]
    pub fn aggregate(&self, path: &ObjectPath) -> Option<&Arc<Aggregate>> {
        self.services.get(path)
    }

    /// The blocks of the threads, `monitor` without what the cluster data adds to it.
    #[must_use]
    pub fn threads(&self) -> &BTreeMap<String, Arc<Block>> {
        &self.threads
    }

    /// Whether all nodes have the same compatibility level.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.compat
    }

    /// Number of local objects with an action running.
    #[must_use]
    pub fn transitions(&self) -> usize {
        self.transitions
    }

    /// Whether the nodes are frozen.
    #[must_use]
    pub fn frozen(&self) -> &Frozen {
        &self.frozen
    }

    /// How the local node stands with the members.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// What `daemon_status` answers, reduced to the objects that `keep` accepts.
    #[must_use]
    pub fn status(&self, keep: Option<&dyn Fn(&ObjectPath) -> bool>) -> Value {
        serde_json::from_str(&self.status_text(keep)).expect("what was written reads back")
    }

    /// What request `object_status` answers for an object: its aggregate, and each instance under `nodes`.
    #[must_use]
    pub fn object_status(&self, path: &ObjectPath) -> Value {
        let mut nodes = Map::new();
        for (name, node) in &self.nodes {
            let (status, config) = (node.shown_instance(path), node.shown_config(path));
            if status.is_some() || config.is_some() {
                let entry = serde_json::json!({
                    "status": status.unwrap_or_else(|| Value::Object(Map::new())),
                    "config": config.unwrap_or_else(|| Value::Object(Map::new())),
                });
                nodes.insert(name.to_string(), entry);
            }
        }
        let mut answer = match self.aggregate(path).map(value) {
            Some(Value::Object(aggregate)) => aggregate,
            _ => Map::new(),
        };
        answer.insert("nodes".to_owned(), Value::Object(nodes));
        Value::Object(answer)
    }

    /// The text of [`Snapshot::status`]. What did not change since it was last asked for is not written anew.
    #[must_use]
    pub fn status_text(&self, keep: Option<&dyn Fn(&ObjectPath) -> bool>) -> String {
        let mut out = String::with_capacity(4_096 + self.services.len() * 256);
        out.push('{');
        push(&mut out, "cluster", &self.cluster);
        for (id, block) in self.threads.iter().filter(|(id, _)| *id != "monitor") {
            push(&mut out, id, &value(&**block));
        }
        push_key(&mut out, "monitor");
        out.push('{');
        for (key, value) in &self.monitor_block() {
            push(&mut out, key, value);
        }
        push(&mut out, "compat", &self.compat);
        push(&mut out, "transitions", &self.transitions);
        push(&mut out, "frozen", &self.frozen);
        push_key(&mut out, "nodes");
        out.push('{');
        for (name, node) in &self.nodes {
            push_key(&mut out, name.as_str());
            self.write_node(&mut out, name, node, keep);
        }
        out.push('}');
        push_key(&mut out, "services");
        self.services.write_json(&mut out, keep);
        out.push_str("}}");
        out
    }

    fn write_node(
        &self,
        out: &mut String,
        name: &NodeName,
        node: &NodeEntry,
        keep: Option<&dyn Fn(&ObjectPath) -> bool>,
    ) {
        out.push('{');
        for (key, value) in &self.node_head(name, node) {
            push(out, key, value);
        }
        if let Some(told) = node.told.as_ref().filter(|told| told.has_services) {
            push_services(out, &told.status, &told.config, keep);
        } else if *name == self.nodename {
            push_services(out, &node.status, &node.config, keep);
        }
        out.push('}');
    }

    /// The data of the local node, as peers get them whole.
    pub fn local_text(&self) -> String {
        let mut out = String::new();
        if let Some(local) = self.local() {
            self.write_node(&mut out, &self.nodename, local, None);
        }
        out
    }

    /// Bytes of [`local_text`](Self::local_text), about.
    pub fn local_bytes(&self) -> usize {
        self.local().map_or(0, |local| local.status.json_bytes() + local.config.json_bytes())
    }

    /// The data of a node without its objects; empty for a node never heard since the daemon started.
    /// `gen` of a peer is cut down to the local node's entry.
    pub fn node_head(&self, name: &NodeName, node: &NodeEntry) -> Document {
        if *name == self.nodename {
            return match value(&node.data) {
                Value::Object(head) => head,
                _ => Map::new(),
            };
        }
        let Some(told) = &node.told else { return Map::new() };
        let mut head = told.head.clone();
        if let Some(Value::Object(gens)) = head.get_mut("gen") {
            gens.retain(|node, _| node == self.nodename.as_str());
        }
        head
    }

    /// Whether a peer is heard that has not told its objects: nothing can be decided.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        let peers = self.nodes.iter().filter(|(name, _)| **name != self.nodename);
        peers
            .filter(|(name, _)| self.cluster.nodes.contains(name))
            .any(|(_, node)| node.is_heard && !node.has_services())
    }

    /// The block of the thread `monitor` without nodes and services.
    pub fn monitor_head(&self) -> Document {
        let mut head = self.monitor_block();
        head.insert("compat".to_owned(), self.compat.into());
        head.insert("transitions".to_owned(), self.transitions.into());
        head.insert("frozen".to_owned(), self.frozen.as_str().into());
        head
    }

    /// The block of the thread `monitor` as the thread itself shows it.
    fn monitor_block(&self) -> Document {
        match self.threads.get(thread::MONITOR).map(|block| value(&**block)) {
            Some(Value::Object(block)) => block,
            _ => Map::new(),
        }
    }
}

/// A value of the cluster data as JSON.
pub fn value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("keys are texts and numbers finite")
}

/// Escapes what is outside ASCII, which in JSON text is inside strings only: deployed agents read no other.
pub fn to_ascii(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 64);
    for sign in text.chars() {
        if sign.is_ascii() {
            out.push(sign);
        } else {
            for unit in sign.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn push_services<S: Serialize, C: Serialize>(
    out: &mut String,
    status: &SharedMap<S>,
    config: &SharedMap<C>,
    keep: Option<&dyn Fn(&ObjectPath) -> bool>,
) {
    push_key(out, "services");
    out.push_str("{\"status\":");
    status.write_json(out, keep);
    out.push_str(",\"config\":");
    config.write_json(out, keep);
    out.push('}');
}

fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&serde_json::to_string(key).expect("a text"));
    out.push(':');
}

fn push<T: Serialize>(out: &mut String, key: &str, value: &T) {
    push_key(out, key);
    out.push_str(&serde_json::to_string(value).expect("keys are texts and numbers finite"));
}

/// Where the newest snapshot is found.
pub type SnapshotCell = Arc<ArcSwap<Snapshot>>;
