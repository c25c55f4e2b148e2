//! What a daemon knows of the cluster, as the decisions about maintenance look at it.

use std::collections::{BTreeMap, BTreeSet};

use cli::Places;
use link::link::Link;
use model::{NodeName, ObjectPath, Status};
use monitor::Glance;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::known;
use crate::om::Failure;

/// Asks a daemon. What does not read is left out, as if it was not heard.
pub(super) fn ask(link: &Link) -> Result<Glance, Failure> {
    let mut data = known::status(link, None, None)?;
    let mut take = |name: &str| data.pointer_mut(name).map(Value::take).unwrap_or_default();
    let mut nodes: BTreeMap<NodeName, model::NodeData> = read(take("/monitor/nodes"));
    // A node that is lost is shown with nothing of itself.
    nodes.retain(|_, data| data.monitor.is_some());
    Ok(Glance { nodes, objects: read(take("/monitor/services")) })
}

fn read<K: Ord + std::str::FromStr, V: DeserializeOwned>(value: Value) -> BTreeMap<K, V> {
    let Value::Object(values) = value else { return BTreeMap::new() };
    let entry = |(key, value): (String, Value)| {
        Some((key.parse().ok()?, serde_json::from_value(value).ok()?))
    };
    values.into_iter().filter_map(entry).collect()
}

/// Where each object is up.
pub(super) fn places(glance: &Glance) -> Places {
    let mut places = Places::new();
    for (node, data) in &glance.nodes {
        let instances = data.services.iter().flat_map(|services| &services.status);
        for (path, instance) in instances {
            if instance.avail == Some(Status::Up) {
                places.entry(path.clone()).or_default().push(node.clone());
            }
        }
    }
    places
}

/// What each instance does: two looks with the same answer are of a cluster at rest.
pub(super) fn doing(glance: &Glance, paths: &BTreeSet<&ObjectPath>) -> Vec<String> {
    let instances = glance.nodes.iter().flat_map(|(node, data)| {
        let all = data.services.iter().flat_map(|services| &services.status);
        all.map(move |(path, instance)| (node, path, instance))
    });
    let told = instances.filter(|(_, path, _)| paths.contains(path)).map(|(node, path, it)| {
        let status = it.monitor.as_ref().map(|monitor| monitor.status.to_string());
        format!("{path} {node} {:?} {}", it.avail, status.unwrap_or_default())
    });
    told.collect()
}
