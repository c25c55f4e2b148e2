//! What a user without root is shown: the objects of the namespaces where it is guest, and nothing of other clients.

use model::ObjectPath;
use serde_json::{Map, Value};
use wire::Action;

use crate::grants::{Grants, ROOT_NAMESPACE, Role};

/// Whether an object is shown.
#[must_use]
pub fn shows(grants: &Grants, path: &ObjectPath) -> bool {
    grants.on(Role::Guest, path.namespace().unwrap_or(ROOT_NAMESPACE))
}

fn shows_name(grants: &Grants, path: &str) -> bool {
    ObjectPath::parse(path).is_ok_and(|path| shows(grants, &path))
}

/// Places in the cluster data that tell of other clients, or name objects whatever their namespace.
const HIDDEN: [&[&str]; 3] = [
    &["scheduler", "delayed"],
    &["listener", "stats", "sessions", "alive"],
    &["listener", "stats", "sessions", "clients"],
];

/// Takes out of `daemon_status`, of which other objects are left out already, what is hidden.
pub fn status(data: &mut Value) {
    for place in HIDDEN {
        let Some((last, parents)) = place.split_last() else { continue };
        let parent = parents.iter().try_fold(&mut *data, |value, key| value.get_mut(key));
        if let Some(Value::Object(parent)) = parent {
            parent.remove(*last);
        }
    }
}

/// Takes out of an item of the stream of events what is not shown. Objects were looked at before. None: it is not sent.
#[must_use]
pub fn event(grants: &Grants, mut item: Value) -> Option<Value> {
    match item["kind"].as_str() {
        Some("full") => status(&mut item["data"]),
        Some("patch") => {
            if let Some(Value::Array(changes)) = item.get_mut("data") {
                changes.retain_mut(|change| is_change_shown(grants, change));
            }
        }
        Some("event") => {
            let data = &item["data"];
            let path = ["path", "svcname"].iter().find_map(|key| data.get(key)?.as_str());
            if path.is_some_and(|path| !shows_name(grants, path)) {
                return None;
            }
        }
        _ => {}
    }
    Some(item)
}

/// Whether a change, `[path, value]` or `[path]`, is shown; a value that holds more than that is cut.
fn is_change_shown(grants: &Grants, change: &mut Value) -> bool {
    let Some(parts) = change.as_array_mut() else { return false };
    let (Some(Value::Array(path)), rest) = (parts.first().cloned(), &mut parts[1..]) else {
        return false;
    };
    let keys: Vec<&str> = path.iter().filter_map(Value::as_str).collect();
    if keys.len() != path.len()
        && HIDDEN.iter().any(|hidden| keys.starts_with(&hidden[..hidden.len().min(keys.len())]))
    {
        // An index: of a list, and all lists that are hidden are hidden whole.
        return !HIDDEN.iter().any(|hidden| keys.starts_with(hidden));
    }
    if HIDDEN.iter().any(|hidden| keys.starts_with(hidden)) {
        return false;
    }
    if let Some(object) = object_of(&keys)
        && !shows_name(grants, object)
    {
        return false;
    }
    if let Some(value) = rest.first_mut() {
        cut(grants, &keys, value);
    }
    true
}

/// The object that a place is about.
fn object_of<'a>(keys: &[&'a str]) -> Option<&'a str> {
    match keys {
        ["monitor", "services", object, ..] => Some(object),
        ["monitor", "nodes", _, "services", "status" | "config", object, ..] => Some(object),
        _ => None,
    }
}

/// Cuts a value whose place is above what is hidden, or above the objects.
fn cut(grants: &Grants, keys: &[&str], value: &mut Value) {
    let Value::Object(map) = value else { return };
    let mut below: Map<String, Value> = Map::new();
    for (key, mut value) in std::mem::take(map) {
        let place: Vec<&str> = keys.iter().copied().chain([key.as_str()]).collect();
        if place.len() > 7 {
            below.insert(key, value);
            continue;
        }
        let is_hidden = HIDDEN.iter().any(|hidden| place == *hidden)
            || object_of(&place).is_some_and(|object| !shows_name(grants, object));
        if is_hidden {
            continue;
        }
        cut(grants, &place, &mut value);
        below.insert(key, value);
    }
    *map = below;
}

/// Takes out of a reply, of this node or of others, what is not shown: in the requests whose options select objects.
pub fn reply(grants: &Grants, action: &Action, reply: &mut Value) {
    if grants.is_root() {
        return;
    }
    if let Some(Value::Object(nodes)) = reply.get_mut("nodes") {
        for part in nodes.values_mut() {
            part_of(grants, action, part);
        }
    } else {
        part_of(grants, action, reply);
    }
}

/// Whether the reply of a request is to be looked at by [`reply`].
#[must_use]
pub fn is_filtered(action: &Action) -> bool {
    matches!(
        action,
        Action::ObjectSelector(_)
            | Action::DaemonStats(_)
            | Action::Schedules(_)
            | Action::Pools(_)
            | Action::Networks(_)
    )
}

fn part_of(grants: &Grants, action: &Action, part: &mut Value) {
    match action {
        Action::ObjectSelector(_) => {
            if let Value::Array(paths) = part {
                paths.retain(|path| path.as_str().is_some_and(|path| shows_name(grants, path)));
            }
        }
        Action::DaemonStats(_) => {
            if let Some(Value::Object(services)) = part.pointer_mut("/data/services") {
                services.retain(|path, _| shows_name(grants, path));
            }
        }
        Action::Schedules(_) => {
            if let Some(Value::Array(entries)) = part.get_mut("data") {
                // Those of the node have no object: they are everybody's.
                entries.retain(|entry| match entry.get("path").and_then(Value::as_str) {
                    Some(path) if !path.is_empty() => shows_name(grants, path),
                    _ => true,
                });
            }
        }
        Action::Pools(_) | Action::Networks(_) => {
            for entry in part.as_object_mut().into_iter().flatten().map(|(_, entry)| entry) {
                for key in ["volumes", "ips"] {
                    if let Some(Value::Array(list)) = entry.get_mut(key) {
                        list.retain(|used| match used.get("path").and_then(Value::as_str) {
                            Some(path) => shows_name(grants, path),
                            None => false,
                        });
                    }
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guest() -> Grants {
        Grants::parse("guest:test").0
    }

    fn action(name: &str) -> Action {
        wire::Request::from_value(json!({"action": name})).unwrap().action
    }

    #[test]
    fn replies_of_other_nodes_are_filtered_as_our_own() {
        let mut answer = json!({"nodes": {"n1": ["svc1", "test/svc/web"], "n2": {"status": 1, "error": "x"}}, "status": 1});
        reply(&guest(), &action("object_selector"), &mut answer);
        assert_eq!(answer["nodes"]["n1"], json!(["test/svc/web"]));
        let mut answer =
            json!({"status": 0, "data": {"services": {"svc1": 1, "test/svc/web": 2}, "node": 3}});
        reply(&guest(), &action("daemon_stats"), &mut answer);
        assert_eq!(answer["data"], json!({"services": {"test/svc/web": 2}, "node": 3}));
        let mut answer =
            json!({"data": [{"path": "svc1"}, {"path": "test/svc/web"}, {"path": null}]});
        reply(&guest(), &action("schedules"), &mut answer);
        assert_eq!(answer["data"], json!([{"path": "test/svc/web"}, {"path": null}]));
        let mut answer =
            json!({"default": {"volumes": [{"path": "prod/vol/a"}, {"path": "test/vol/a"}, "x"]}});
        reply(&guest(), &action("pools"), &mut answer);
        assert_eq!(answer["default"]["volumes"], json!([{"path": "test/vol/a"}]));
    }

    #[test]
    fn a_patch_loses_what_is_not_shown_and_keeps_the_rest() {
        let item = json!({"kind": "patch", "id": 1, "data": [
            [["monitor", "services", "svc1", "avail"], "up"],
            [["monitor", "services", "test/svc/web", "avail"], "up"],
            [["monitor", "nodes", "n1", "services", "status", "svc1"]],
            [["monitor", "nodes", "n1"], {"services": {"status": {"svc1": {}, "test/svc/web": {}}, "config": {"svc1": {}}}, "frozen": 0}],
            [["monitor", "services"], {"svc1": {}, "test/svc/web": {}}],
            [["scheduler", "delayed", 1, "action"], "x"],
            [["scheduler", "delayed"], []],
            [["scheduler"], {"delayed": [1], "running": 1}],
            [["listener", "stats", "sessions"], {"alive": {}, "clients": {}, "accepted": 1}],
            [["listener", "stats", "sessions", "alive", "x"]],
            [["listener", "stats"], {"sessions": {"alive": {"x": 1}, "rx": 1}}],
        ]});
        assert_eq!(
            event(&guest(), item).unwrap()["data"],
            json!([
                [["monitor", "services", "test/svc/web", "avail"], "up"],
                [["monitor", "nodes", "n1"], {"services": {"status": {"test/svc/web": {}}, "config": {}}, "frozen": 0}],
                [["monitor", "services"], {"test/svc/web": {}}],
                [["scheduler"], {"running": 1}],
                [["listener", "stats", "sessions"], {"accepted": 1}],
                [["listener", "stats"], {"sessions": {"rx": 1}}],
            ])
        );
    }

    #[test]
    fn an_event_of_a_foreign_object_is_not_sent() {
        let item = |path: &str| json!({"kind": "event", "data": {"path": path}});
        assert_eq!(event(&guest(), item("svc1")), None);
        assert!(event(&guest(), item("test/svc/web")).is_some());
        let of_node = json!({"kind": "event", "data": {"nodename": "n1"}});
        assert!(event(&guest(), of_node).is_some());
        let full = json!({"kind": "full", "data": {"scheduler": {"delayed": [], "x": 1}, "listener": {"stats": {}}}});
        assert_eq!(
            event(&guest(), full).unwrap()["data"],
            json!({"scheduler": {"x": 1}, "listener": {"stats": {}}})
        );
    }
}
