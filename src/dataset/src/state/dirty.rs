//! What changed since the last snapshot, and the patches that tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::journal::Ops;
use model::{NodeName, ObjectPath, OpKey};
use serde_json::{Map, Value, json};

use crate::snapshot::{NodeEntry, Snapshot, value};
use crate::touched::Touched;

/// What changed since the last snapshot.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Dirty {
    /// Instances of the local node.
    pub instances: BTreeSet<ObjectPath>,
    /// Configurations of the local node.
    pub configs: BTreeSet<ObjectPath>,
    /// Objects whose state was computed anew and differs.
    pub aggregates: BTreeSet<ObjectPath>,
    pub(crate) threads: BTreeSet<String>,
    /// Own data of the local node.
    pub is_node: bool,
    /// Own data of the local node that decisions look at.
    pub is_node_decisive: bool,
    pub(crate) is_cluster: bool,
    /// Peers.
    pub peers: BTreeMap<NodeName, Touched>,
    /// Generations of peers, here or there.
    pub is_exchange: bool,
}

impl Dirty {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every monitor has to look.
    pub fn concerns_all(&self) -> bool {
        self.is_node_decisive
            || self.is_cluster
            || self.peers.values().any(|touched| touched.is_decisive)
    }

    /// Whether the local node data changed: they have a new generation.
    pub fn is_local(&self) -> bool {
        self.is_node || !self.instances.is_empty() || !self.configs.is_empty()
    }

    /// Objects that changed.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectPath> {
        let of_peers =
            self.peers.values().flat_map(|touched| touched.status.iter().chain(&touched.config));
        self.instances.iter().chain(&self.configs).chain(&self.aggregates).chain(of_peers)
    }

    /// Tells the patch of `daemon_status` from one snapshot to the next, in parts: what concerns an object by itself. All of it
    /// at once takes many times its text.
    pub fn tell_ops(
        &self,
        old: &Snapshot,
        new: &Snapshot,
        mut tell: impl FnMut(Option<&ObjectPath>, Ops),
    ) {
        let mut add =
            |path: Option<&ObjectPath>, at: &[&str], old: Option<Value>, new: Option<Value>| {
                let ops = difference(at, old.as_ref(), new.as_ref());
                if !ops.is_empty() {
                    tell(path, ops);
                }
            };
        if self.is_cluster {
            add(None, &["cluster"], Some(value(&old.cluster)), Some(value(&new.cluster)));
        }
        for id in self.threads.iter().filter(|id| *id != "monitor") {
            let block = |snapshot: &Snapshot| snapshot.threads.get(id).map(|block| value(&**block));
            add(None, &[id], block(old), block(new));
        }
        let head = |snapshot: &Snapshot| Some(Value::Object(snapshot.monitor_head()));
        add(None, &["monitor"], head(old), head(new));
        for name in old.nodes.keys().filter(|name| !new.nodes.contains_key(*name)) {
            add(None, &["monitor", "nodes", name.as_str()], Some(Value::Null), None);
        }
        for (name, node) in &new.nodes {
            let before = old.nodes.get(name);
            if before.is_some_and(|before| Arc::ptr_eq(before, node)) {
                continue;
            }
            // Objects follow one by one.
            let head = |snapshot: &Snapshot, node: &NodeEntry| {
                let mut head = snapshot.node_head(name, node);
                if *name == snapshot.nodename || node.has_services() {
                    head.insert("services".to_owned(), json!({"status": {}, "config": {}}));
                }
                Value::Object(head)
            };
            let before = before.map(|before| head(old, before));
            add(None, &["monitor", "nodes", name.as_str()], before, Some(head(new, node)));
        }
        let local = new.nodename.clone();
        for path in &self.instances {
            let (was, is) = (shown_instance(old, &local, path), shown_instance(new, &local, path));
            let at = ["monitor", "nodes", local.as_str(), "services", "status", path.as_str()];
            add(Some(path), &at, was, is);
        }
        for path in &self.configs {
            let (was, is) = (shown_config(old, &local, path), shown_config(new, &local, path));
            let at = ["monitor", "nodes", local.as_str(), "services", "config", path.as_str()];
            add(Some(path), &at, was, is);
        }
        for (peer, touched) in &self.peers {
            if !new.nodes.get(peer).is_some_and(|node| node.has_services()) {
                continue;
            }
            for path in &touched.status {
                let (was, is) = (shown_instance(old, peer, path), shown_instance(new, peer, path));
                let at = ["monitor", "nodes", peer.as_str(), "services", "status", path.as_str()];
                add(Some(path), &at, was, is);
            }
            for path in &touched.config {
                let (was, is) = (shown_config(old, peer, path), shown_config(new, peer, path));
                let at = ["monitor", "nodes", peer.as_str(), "services", "config", path.as_str()];
                add(Some(path), &at, was, is);
            }
        }
        for path in &self.aggregates {
            let at = ["monitor", "services", path.as_str()];
            let state = |snapshot: &Snapshot| snapshot.aggregate(path).map(value);
            add(Some(path), &at, state(old), state(new));
        }
    }

    /// The change of the local node data from one snapshot to the next, as peers apply it.
    pub fn local_ops(&self, old: &Snapshot, new: &Snapshot) -> Ops {
        let mut all = Ops::new();
        let local = &new.nodename;
        if self.is_node {
            let head = |snapshot: &Snapshot| -> Option<Value> {
                let mut head = snapshot.node_head(local, snapshot.local()?);
                // They follow from the message itself.
                head.retain(|key, _| key != "gen" && key != "updated");
                Some(Value::Object(head))
            };
            // Whoever knew of no data gets a full.
            let was = head(old).unwrap_or_else(|| Value::Object(Map::new()));
            all.extend(&difference(&[], Some(&was), head(new).as_ref()));
        }
        for path in &self.instances {
            let (was, is) = (shown_instance(old, local, path), shown_instance(new, local, path));
            let at = ["services", "status", path.as_str()];
            all.extend(&difference(&at, was.as_ref(), is.as_ref()));
        }
        for path in &self.configs {
            let (was, is) = (shown_config(old, local, path), shown_config(new, local, path));
            let at = ["services", "config", path.as_str()];
            all.extend(&difference(&at, was.as_ref(), is.as_ref()));
        }
        all
    }
}

fn difference(at: &[&str], old: Option<&Value>, new: Option<&Value>) -> Ops {
    let mut ops = Ops::new();
    let mut at: Vec<OpKey> = at.iter().map(|key| OpKey::from(*key)).collect();
    ops.diff(&mut at, old, new);
    ops
}

fn shown_instance(snapshot: &Snapshot, node: &NodeName, path: &ObjectPath) -> Option<Value> {
    snapshot.node(node)?.shown_instance(path)
}

fn shown_config(snapshot: &Snapshot, node: &NodeName, path: &ObjectPath) -> Option<Value> {
    snapshot.node(node)?.shown_config(path)
}
