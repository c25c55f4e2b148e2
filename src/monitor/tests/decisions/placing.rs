//! Who starts while an operator moves an object.

use serde_json::{Value, json};

use crate::sequences;

/// What `n1`, the preferred node, does after `n3` has stopped and before `n2`, with this target and status, acts: its
/// status now, and the commands it runs once its ready period is over.
fn first_choice(target: Value, status: &str) -> (Value, usize) {
    let instance = |monitor: Value| {
        json!({
            "updated": 1_699_999_990.0, "topology": "failover", "orchestrate": "ha", "avail": "down",
            "overall": "down", "frozen": 0, "provisioned": true,
            "resources": { "fs#1": { "status": "down" } }, "monitor": monitor,
        })
    };
    let node = |monitor: Value| {
        json!({
            "frozen": 0, "compat": 10,
            "monitor": { "status": "idle", "status_updated": 1_699_999_000.0 },
            "services": {
                "config": { "svc1": { "updated": 1.0, "csum": "c", "scope": ["n1", "n2", "n3"] } },
                "status": { "svc1": instance(monitor) },
            },
        })
    };
    let idle = json!({ "status": "idle", "status_updated": 1_699_999_900.0 });
    let asked = json!({
        "status": status, "status_updated": 1_699_999_900.0, "global_expect": target,
        "global_expect_updated": 1_699_999_999.0,
    });
    let outcome = sequences::run(&json!({
        "services": { "svc1": "[DEFAULT]\nid = i\nnodes = n1 n2 n3\norchestrate = ha\n[fs#1]\ntype = flag\n" },
        "local_node": "n1",
        "cluster_nodes": ["n1", "n2", "n3"],
        "now": 1_700_000_000.0,
        "nodes": { "n1": node(idle.clone()), "n2": node(asked), "n3": node(idle) },
        "steps": [{}, {}, { "advance": 6 }],
    }));
    let steps = outcome["steps"].as_array().expect("an outcome for each step");
    let runs = steps.iter().map(|step| step["commands"].as_array().map_or(0, Vec::len)).sum();
    (steps[1]["monitor"]["svc1"]["status"].clone(), runs)
}

#[test]
fn nobody_starts_what_is_about_to_be_placed_elsewhere() {
    assert_eq!(first_choice(Value::Null, "idle"), (json!("ready"), 1));
    assert_eq!(first_choice(json!("placed@n2"), "idle"), (json!("idle"), 0));
    assert_eq!(first_choice(json!("placed@n2"), "wait parents"), (json!("idle"), 0));
    // It cannot start there.
    assert_eq!(first_choice(json!("placed@n2"), "start failed"), (json!("ready"), 1));
    assert_eq!(first_choice(json!("placed@n9"), "idle"), (json!("ready"), 1));
}
