//! Reading what other implementations publish: a key that does not parse is dropped, never the whole.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::cluster::{ConfigEntry, InstanceMonitor, InstanceStatus, ResourceStatus};
use crate::node_data::{NodeData, NodeMonitorData, NodeStats};

/// An object of JSON that stays one: what an agent published, unknown keys included. The changes of it apply by path, and its
/// checksum is of all of it.
pub type Document = Map<String, Value>;

/// The keys that were dropped, as dotted paths; at most `MOST_NAMED`.
pub type Dropped = Vec<String>;

/// Dropped keys that are named.
const MOST_NAMED: usize = 16;

fn name(dropped: &mut Dropped, at: &str, key: &str) {
    if dropped.len() < MOST_NAMED {
        dropped.push(format!("{at}{}", key.chars().take(64).collect::<String>()));
    }
}

/// Reads an object key by key, once it did not read as a whole. `base`: what each key needs beside it to be read.
fn by_key<T: DeserializeOwned + Default>(
    object: &Document,
    base: &Document,
    at: &str,
    dropped: &mut Dropped,
) -> T {
    let mut kept = base.clone();
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let mut one = base.clone();
        one.insert(key.clone(), value.clone());
        if T::deserialize(&one).is_ok() {
            kept.insert(key.clone(), value.clone());
        } else {
            name(dropped, at, key);
        }
    }
    T::deserialize(&kept).unwrap_or_default()
}

fn read<T: DeserializeOwned + Default>(object: &Document, at: &str, dropped: &mut Dropped) -> T {
    T::deserialize(object).unwrap_or_else(|_| by_key(object, &Map::new(), at, dropped))
}

/// Takes a key out of an object, to be read apart.
fn take(object: &mut Document, key: &str) -> Option<Document> {
    match object.get_mut(key)? {
        Value::Object(_) => match object.remove(key) {
            Some(Value::Object(taken)) => Some(taken),
            _ => None,
        },
        _ => None,
    }
}

impl InstanceStatus {
    /// Reads an instance of a peer.
    #[must_use]
    pub fn lenient(instance: &Document) -> (Self, Dropped) {
        let mut dropped = Dropped::new();
        if let Ok(status) = Self::deserialize(instance) {
            return (status, dropped);
        }
        let mut rest = instance.clone();
        let monitor = take(&mut rest, "monitor");
        let resources = take(&mut rest, "resources");
        let mut status: Self = read(&rest, "", &mut dropped);
        status.monitor =
            monitor.map(|monitor| read::<InstanceMonitor>(&monitor, "monitor.", &mut dropped));
        status.resources = resources.map(|resources| {
            let read = |(rid, value): (String, Value)| {
                let resource = ResourceStatus::lenient(&value);
                if resource.is_none() {
                    name(&mut dropped, "resources.", &rid);
                }
                Some((rid, resource?.into()))
            };
            resources.into_iter().filter_map(read).collect()
        });
        (status, dropped)
    }
}

impl ResourceStatus {
    /// Reads a resource of a peer; none without a status.
    fn lenient(value: &Value) -> Option<Self> {
        if let Ok(resource) = Self::deserialize(value) {
            return Some(resource);
        }
        let object = value.as_object()?;
        let status = object.get("status").filter(|status| status.is_string())?;
        let base = Map::from_iter([("status".to_owned(), status.clone())]);
        let kept = object.iter().filter(|(key, value)| {
            let mut one = base.clone();
            one.insert((*key).clone(), (*value).clone());
            Self::deserialize(&one).is_ok()
        });
        let kept: Document = kept.map(|(key, v)| (key.clone(), v.clone())).collect();
        Self::deserialize(&kept).ok()
    }
}

impl ConfigEntry {
    /// Reads what a peer publishes of a configuration; none when it is incomplete: nothing is decided from a part.
    #[must_use]
    pub fn lenient(entry: &Document) -> Option<Self> {
        Self::deserialize(entry).ok()
    }
}

impl NodeData {
    /// Reads the data of a peer but for its objects.
    #[must_use]
    pub fn lenient(data: &Document) -> (Self, Dropped) {
        let mut dropped = Dropped::new();
        if let Ok(data) = Self::deserialize(data) {
            return (data, dropped);
        }
        let mut rest = data.clone();
        let monitor = take(&mut rest, "monitor");
        let stats = take(&mut rest, "stats");
        let labels = take(&mut rest, "labels");
        let mut node: Self = read(&rest, "", &mut dropped);
        node.monitor =
            monitor.map(|monitor| read::<NodeMonitorData>(&monitor, "monitor.", &mut dropped));
        node.stats = stats
            .map(|stats| read::<NodeStats>(&stats, "stats.", &mut dropped))
            .unwrap_or_default();
        for (key, value) in labels.unwrap_or_default() {
            match value {
                Value::String(value) => _ = node.labels.insert(key, value),
                _ => name(&mut dropped, "labels.", &key),
            }
        }
        (node, dropped)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expect::MonitorStatus;
    use crate::expect::NodeMonitorStatus;
    use crate::status::Status;
    use crate::time::Timestamp;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_parses_is_read_as_it_is() {
        let instance = json!({"updated": 1.5, "avail": "up", "monitor": {"status": "idle"}});
        let (status, dropped) = InstanceStatus::lenient(&object(instance.clone()));
        let expected: InstanceStatus = serde_json::from_value(instance).unwrap();
        assert_eq!((status, dropped), (expected, vec![]));
    }

    #[test]
    fn a_key_of_an_instance_that_does_not_parse_is_dropped_alone() {
        let (status, dropped) = InstanceStatus::lenient(&object(json!({
            "updated": null, "avail": "up", "frozen": "yes", "topology": "failover",
            "monitor": {"status": "starting", "restart": 7, "placement": "leader"},
            "resources": {
                "fs#1": {"status": "up", "label": 7, "type": "fs.flag"},
                "fs#2": {"label": "no status"}, "fs#3": null
            }
        })));
        assert_eq!(status.updated, Timestamp::NEVER);
        assert_eq!((status.avail, status.frozen), (Some(Status::Up), None));
        let monitor = status.monitor.unwrap();
        assert_eq!((&monitor.status, monitor.is_leader()), (&MonitorStatus::Starting, true));
        let resources = status.resources.unwrap();
        assert_eq!(resources.keys().collect::<Vec<_>>(), ["fs#1"]);
        assert_eq!(resources["fs#1"].driver, "fs.flag");
        assert_eq!(dropped, ["frozen", "monitor.restart", "resources.fs#2", "resources.fs#3"]);
    }

    #[test]
    fn a_key_of_a_node_that_does_not_parse_is_dropped_alone() {
        let (node, dropped) = NodeData::lenient(&object(json!({
            "compat": 10, "frozen": false, "monitor": {"status": "idle", "status_updated": "x"},
            "stats": {"load_15m": 0.5, "mem_total": -1}, "labels": {"a": "b", "c": 1}, "speaker": null
        })));
        assert_eq!((node.compat, node.frozen), (Some(10), None));
        assert_eq!(node.monitor.unwrap().status, NodeMonitorStatus::Idle);
        assert_eq!((node.stats.load_15m, node.stats.mem_total), (Some(0.5), 0));
        assert_eq!(node.labels, [("a".to_owned(), "b".to_owned())].into());
        assert_eq!(dropped, ["frozen", "monitor.status_updated", "stats.mem_total", "labels.c"]);
    }

    #[test]
    fn an_incomplete_configuration_entry_is_none() {
        let entry = json!({"updated": 1.0, "csum": "x", "scope": ["n1"]});
        assert!(ConfigEntry::lenient(&object(entry)).is_some());
        assert_eq!(ConfigEntry::lenient(&object(json!({"updated": 1.0, "csum": "x"}))), None);
    }
}
