//! What a daemon knows of objects, as it tells it.

use std::collections::{BTreeMap, BTreeSet};

use cli::Seen;
use link::link::Link;
use model::{InstanceStatus, ObjectPath};
use serde_json::{Value, json};
use wire::Request;
use wire::reply::status_of;

use crate::om::{ANSWER, Failure};

/// The cluster data, reduced to the selected objects.
pub(crate) fn status(
    link: &Link,
    selector: Option<&str>,
    namespace: Option<&str>,
) -> Result<Value, Failure> {
    let request = Request::new(wire::DaemonStatus {
        selector: selector.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        relatives: false,
    });
    let data = link.ask(&request, Some(ANSWER))?;
    if status_of(&data) != 0 {
        return Err(Failure { lines: wire::reply::Lines::of(&data).errors, code: 1 });
    }
    Ok(data)
}

/// Whether the data has an object.
pub(crate) fn has_object(data: &Value, path: &str) -> bool {
    data.pointer("/monitor/services").is_some_and(|all| all.get(path).is_some())
}

/// An object as the daemon knows it.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) aggregate: Option<model::Aggregate>,
    pub(crate) instances: BTreeMap<String, InstanceStatus>,
    /// Instances as the daemon wrote them: with what this version does not know.
    pub(crate) raw: BTreeMap<String, Value>,
    /// The aggregate, as the daemon wrote it.
    pub(crate) raw_aggregate: Option<Value>,
    /// Whether the nodes of the cluster have the same compatibility level.
    pub(crate) compat: Option<bool>,
    pub(crate) frozen_nodes: BTreeSet<String>,
    /// Whether a node that is heard may still have a copy of what was deleted.
    pub(crate) is_being_deleted: bool,
}

impl Known {
    /// Puts an instance that was evaluated here over what the daemon knew of it: the monitor stays the daemon's.
    pub(crate) fn overlay(&mut self, node: &str, status: InstanceStatus) {
        let before = self.instances.remove(node).unwrap_or_default();
        let status = InstanceStatus { monitor: before.monitor.clone(), ..status };
        let json = |status| serde_json::to_value(status).unwrap_or_default();
        let raw = self.raw.entry(node.to_owned()).or_insert_with(|| json!({}));
        if let (Some(raw), Value::Object(before), Value::Object(fresh)) =
            (raw.as_object_mut(), json(&before), json(&status))
        {
            // What this version does not know stays as it was.
            raw.retain(|key, _| !before.contains_key(key));
            raw.extend(fresh);
        }
        self.instances.insert(node.to_owned(), status);
    }

    /// What a wait looks at.
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen {
            aggregate: self.aggregate.as_ref(),
            instances: &self.instances,
            is_being_deleted: self.is_being_deleted,
        }
    }
}

/// What the daemon knows of an object. Data that does not read is left out.
pub(crate) fn known(link: &Link, path: &ObjectPath) -> Result<Known, Failure> {
    let mut data = status(link, Some(path.as_str()), None)?;
    Ok(take_known(&mut data, path))
}

/// The same for several objects, by one request.
pub(crate) fn known_all(
    link: &Link,
    paths: &[ObjectPath],
) -> Result<BTreeMap<ObjectPath, Known>, Failure> {
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Of many objects, the whole answer is cheaper: the daemon has it ready.
    let selector = match paths {
        [path] => Some(path.as_str()),
        _ => None,
    };
    let mut data = status(link, selector, None)?;
    Ok(paths.iter().map(|path| (path.clone(), take_known(&mut data, path))).collect())
}

pub(crate) fn take_known(data: &mut Value, path: &ObjectPath) -> Known {
    let mut known = Known::default();
    let Some(monitor) = data.get_mut("monitor") else { return known };
    known.compat = monitor.get("compat").and_then(Value::as_bool);
    if let Some(aggregate) = monitor.get_mut("services").and_then(|all| all.get_mut(path.as_str()))
    {
        let aggregate = aggregate.take();
        known.aggregate = serde_json::from_value(aggregate.clone()).ok();
        known.raw_aggregate = Some(aggregate);
    }
    let Some(nodes) = monitor.get_mut("nodes").and_then(Value::as_object_mut) else {
        return known;
    };
    // Of those that deployed agents tell, and of lost ones, nothing is known.
    let told = nodes.values().filter(|data| {
        data.get("monitor").is_some_and(Value::is_object) && data.get("release").is_some()
    });
    let told: Vec<_> =
        told.map(|data| data.get("deleted").and_then(|all| all.get(path.as_str()))).collect();
    let has_followed = |told: &Value| told.get("followed").is_some_and(|it| it == true);
    known.is_being_deleted =
        told.iter().any(Option::is_some) && !told.iter().all(|told| told.is_some_and(has_followed));
    for (node, data) in nodes {
        if data.get("frozen").and_then(Value::as_f64).is_some_and(|since| since > 0.0) {
            known.frozen_nodes.insert(node.clone());
        }
        let status =
            data.pointer_mut("/services/status").and_then(|all| all.get_mut(path.as_str()));
        if let Some(raw) = status.map(Value::take) {
            if let Ok(status) = serde_json::from_value(raw.clone()) {
                known.instances.insert(node.clone(), status);
            }
            known.raw.insert(node.clone(), raw);
        }
    }
    known
}
