//! The cluster data without what counts: then it is the same for as long as nothing happened.

use serde_json::Value;

/// Keys of a block of the daemon that change by themselves: counters, and when something was heard or looked at last.
const OF_BLOCKS: [&str; 4] = ["stats", "alive", "last", "delayed"];

/// Keys of a node that do.
const OF_NODES: [&str; 3] = ["stats", "updated", "gen"];

/// Takes them out of a `daemon_status`.
pub(super) fn without(mut status: Value) -> Value {
    for (name, block) in status.as_object_mut().into_iter().flatten() {
        if name != "monitor" && name != "cluster" {
            strip(block);
        }
    }
    if let Some(monitor) = status.get_mut("monitor").and_then(Value::as_object_mut) {
        monitor.remove("stats");
        let nodes = monitor.get_mut("nodes").and_then(Value::as_object_mut);
        for (_, node) in nodes.into_iter().flatten() {
            if let Value::Object(node) = node {
                node.retain(|key, _| !OF_NODES.contains(&key.as_str()));
            }
        }
    }
    status
}

/// Takes them out of a block, and of all that is in it.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !OF_BLOCKS.contains(&key.as_str()));
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_counts_is_left_out_and_what_is_stays() {
        let status = json!({
            "cluster": {"nodes": ["n1"], "stats": "a name"},
            "hb#1.rx": {"state": "running", "stats": {"beats": 5}, "peers": {"n2": {"last": 1.5, "beating": true}}},
            "monitor": {"state": "running", "stats": {}, "nodes": {"n1": {
                "stats": {"load": 1}, "updated": 3.5, "gen": {"n1": 7}, "frozen": 0,
                "services": {"status": {"web": {"updated": 4.5}}},
            }}},
        });
        let expected = json!({
            "cluster": {"nodes": ["n1"], "stats": "a name"},
            "hb#1.rx": {"state": "running", "peers": {"n2": {"beating": true}}},
            "monitor": {"state": "running", "nodes": {"n1": {
                "frozen": 0, "services": {"status": {"web": {"updated": 4.5}}},
            }}},
        });
        assert_eq!(without(status), expected);
        assert_eq!(without(json!(null)), json!(null));
    }
}
