//! What a node knows, from the dataset of a case.

use std::collections::BTreeMap;

use model::{
    Aggregate, ConfigEntry, InstanceMonitor, InstanceStatus, NodeData, NodeName, ObjectPath,
    ObjectSettings,
};
use monitor::{Conditions, ObjectView, Sight, Unseen, World};
use serde_json::{Value, json};

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("a node name")
}

pub(crate) fn path(text: &str) -> ObjectPath {
    ObjectPath::parse(text).expect("an object path")
}

pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[derive(Debug, Clone)]
pub(crate) struct TestWorld {
    pub(crate) local: NodeName,
    pub(crate) cluster: Vec<NodeName>,
    pub(crate) nodes: BTreeMap<NodeName, NodeData>,
    pub(crate) settings: BTreeMap<ObjectPath, ObjectSettings>,
    pub(crate) aggregates: BTreeMap<ObjectPath, Aggregate>,
    pub(crate) conditions: Conditions,
    /// How often peers had not seen the local node.
    pub(crate) unseen: BTreeMap<NodeName, Unseen>,
}

impl TestWorld {
    pub(crate) fn new(local: &str, cluster: &Value, nodes: &Value) -> Self {
        let nodes = nodes
            .as_object()
            .expect("nodes by name")
            .iter()
            .map(|(name, data)| {
                (node(name), serde_json::from_value(data.clone()).expect("node data"))
            })
            .collect();
        Self {
            local: node(local),
            cluster: texts(cluster).into_iter().map(node).collect(),
            nodes,
            settings: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            conditions: Conditions::default(),
            unseen: BTreeMap::new(),
        }
    }

    /// A world of healthy nodes with one object: the cases that give only instances.
    pub(crate) fn with_instances(
        local: &str,
        cluster: &Value,
        object: &str,
        instances: &Value,
    ) -> Self {
        let mut nodes = serde_json::Map::new();
        for (name, instance) in instances.as_object().expect("instances by node") {
            nodes.insert(
                name.clone(),
                json!({
                    "frozen": 0,
                    "compat": 10,
                    "monitor": {"status": "idle"},
                    "stats": {"load_15m": 0.5, "score": 60},
                    "services": {
                        "status": {object: instance},
                        "config": {object: {"updated": 1_699_999_000.0, "csum": "c0", "scope": []}},
                    },
                }),
            );
        }
        Self::new(local, cluster, &Value::Object(nodes))
    }

    pub(crate) fn configure(&mut self, object: &str, text: &str) {
        let path = path(object);
        let (settings, _) = crate::settings::evaluate(text, &path, &self.local, &self.cluster);
        self.settings.insert(path, settings);
    }

    pub(crate) fn local_instance(&mut self, path: &ObjectPath) -> Option<&mut InstanceStatus> {
        let services = self.nodes.get_mut(&self.local)?.services.as_mut()?;
        services.status.get_mut(path).map(std::sync::Arc::make_mut)
    }

    pub(crate) fn publish(&mut self, path: &ObjectPath, monitor: InstanceMonitor) {
        if let Some(instance) = self.local_instance(path) {
            instance.monitor = Some(monitor);
        }
    }

    pub(crate) fn patch(&mut self, ops: &Value) {
        for op in ops.as_array().into_iter().flatten() {
            let keys = texts(&op[0]);
            let name = node(keys[0]);
            let mut value = serde_json::to_value(&self.nodes[&name]).expect("node data");
            let (last, parents) = keys[1..].split_last().expect("a path below the node");
            let mut parent = &mut value;
            for key in parents {
                parent = &mut parent[*key];
            }
            let parent = parent.as_object_mut().expect("an object to patch");
            if op[1] == "__unset__" {
                parent.remove(*last);
            } else {
                parent.insert((*last).to_owned(), op[1].clone());
            }
            self.nodes.insert(name, serde_json::from_value(value).expect("node data"));
        }
    }

    pub(crate) fn aggregate_all(&mut self) {
        let mut paths: Vec<ObjectPath> = self.settings.keys().cloned().collect();
        for data in self.nodes.values() {
            paths.extend(data.services.iter().flat_map(|s| s.config.keys().cloned()));
        }
        for path in paths {
            let aggregate = ObjectView::new(self, &path).aggregate();
            self.aggregates.insert(path, aggregate);
        }
    }
}

impl World for TestWorld {
    fn local_node(&self) -> &NodeName {
        &self.local
    }

    fn cluster_nodes(&self) -> &[NodeName] {
        &self.cluster
    }

    fn node(&self, node: &NodeName) -> Option<&NodeData> {
        self.nodes.get(node)
    }

    fn instance(&self, node: &NodeName, path: &ObjectPath) -> Option<&InstanceStatus> {
        self.nodes.get(node)?.services.as_ref()?.status.get(path).map(|status| &**status)
    }

    fn config(&self, node: &NodeName, path: &ObjectPath) -> Option<&ConfigEntry> {
        self.nodes.get(node)?.services.as_ref()?.config.get(path).map(|config| &**config)
    }

    fn aggregate(&self, path: &ObjectPath) -> Option<&Aggregate> {
        self.aggregates.get(path)
    }

    fn settings(&self, path: &ObjectPath) -> Option<&ObjectSettings> {
        self.settings.get(path)
    }

    fn local_objects(&self) -> Vec<&ObjectPath> {
        self.settings.keys().collect()
    }

    fn conditions(&self) -> Conditions {
        self.conditions
    }

    fn sight(&self, node: &NodeName) -> Sight {
        let gens = self.nodes.get(node).map(|data| &data.r#gen);
        let has = |of| gens.and_then(|gens| gens.get(of)).is_some_and(|number| *number > 0);
        let unseen = self.unseen.get(node).copied().unwrap_or_default();
        Sight { is_seen: has(&self.local), is_known: has(node), unseen }
    }
}
