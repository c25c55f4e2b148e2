//! Who starts while an operator moves an object.

use monitor::ObjectView;
use serde_json::{Value, json};

use crate::sequences;
use crate::world::{TestWorld, path};

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

/// How often `local`, which takes itself for the leader since `db` is up on its peer, starts `web` beside a peer with this
/// monitor, until its ready period is over.
fn beside(local: &str, monitor: Value) -> usize {
    let instance = |avail: &str, monitor: Value| {
        json!({
            "updated": 1_699_999_990.0, "topology": "failover", "orchestrate": "ha", "avail": avail,
            "overall": avail, "frozen": 0, "provisioned": true,
            "resources": { "fs#1": { "status": avail } }, "monitor": monitor,
        })
    };
    let idle = json!({ "status": "idle", "status_updated": 1_699_999_900.0 });
    let node = |avail: &str, monitor: Value| {
        json!({
            "frozen": 0, "compat": 10,
            "monitor": { "status": "idle", "status_updated": 1_699_999_000.0 },
            "services": {
                "config": {
                    "db": { "updated": 1.0, "csum": "c", "scope": ["n1", "n2"] },
                    "web": { "updated": 1.0, "csum": "c", "scope": ["n1", "n2"] },
                },
                "status": { "db": instance(avail, idle.clone()), "web": instance("down", monitor) },
            },
        })
    };
    // `db` is up where the local node is not.
    let (own, peer) = (node("down", idle.clone()), node("up", monitor));
    let (n1, n2) = if local == "n2" { (peer, own) } else { (own, peer) };
    let config = |keywords: &str| {
        format!(
            "[DEFAULT]\nid = i\nnodes = n1 n2\norchestrate = ha\n{keywords}[fs#1]\ntype = flag\n"
        )
    };
    let outcome = sequences::run(&json!({
        "services": { "db": config(""), "web": config("soft_anti_affinity = db\n") },
        "local_node": local,
        "cluster_nodes": ["n1", "n2"],
        "now": 1_700_000_000.0,
        "nodes": { "n1": n1, "n2": n2 },
        "steps": [{}, {}, { "advance": 6 }],
    }));
    let steps = outcome["steps"].as_array().expect("an outcome for each step");
    steps.iter().map(|step| step["commands"].as_array().map_or(0, Vec::len)).sum()
}

#[test]
fn of_two_that_take_themselves_for_the_leader_the_one_listed_first_starts() {
    let monitor = |status: &str, placement: &str| json!({ "status": status, "status_updated": 1_699_999_999.0, "placement": placement });
    assert_eq!(beside("n2", monitor("ready", "leader")), 0);
    assert_eq!(beside("n2", monitor("idle", "leader")), 1, "it announces nothing");
    assert_eq!(beside("n2", monitor("ready", "")), 1, "it gives way");
    assert_eq!(beside("n1", monitor("ready", "leader")), 1, "listed first");
}

#[test]
fn scheduled_tasks_belong_to_where_the_object_is_up() {
    let place = |text: &str, instances: &[(&str, &str)], local: &str| {
        let instances: serde_json::Map<String, Value> = instances
            .iter()
            .map(|(name, avail)| {
                let status = json!({"updated": 5.0, "avail": avail, "monitor": {"status": "idle"}});
                ((*name).to_owned(), status)
            })
            .collect();
        let cluster = json!(["n1", "n2"]);
        let mut world =
            TestWorld::with_instances(local, &cluster, "svc1", &Value::Object(instances));
        world.configure("svc1", text);
        let path = path("svc1");
        monitor::task_place(&ObjectView::new(&world, &path))
    };
    use monitor::TaskPlace::{Elsewhere, Here, Nowhere};
    let failover = "[DEFAULT]\nid = 1\nnodes = n1 n2\n[task#1]\ncommand = /bin/true\n";
    let flex = &failover.replace("id = 1", "id = 1\ntopology = flex");
    for (text, states, places) in [
        (failover, ["up", "down"], [Here, Elsewhere]),
        (failover, ["down", "warn"], [Elsewhere, Here]),
        (failover, ["down", "down"], [Nowhere, Nowhere]),
        // Of tasks alone nothing is up.
        (failover, ["n/a", "n/a"], [Here, Elsewhere]),
        (failover, ["n/a", "up"], [Elsewhere, Here]),
        (flex, ["up", "up"], [Here, Here]),
        (flex, ["n/a", "n/a"], [Here, Here]),
        (flex, ["up", "down"], [Here, Elsewhere]),
    ] {
        let instances = [("n1", states[0]), ("n2", states[1])];
        let found = ["n1", "n2"].map(|local| place(text, &instances, local));
        assert_eq!(found, places, "{states:?} {text}");
    }
    // The first node of a cluster that is away runs nothing.
    assert_eq!(place(failover, &[("n2", "n/a")], "n2"), Here);
    assert_eq!(place(failover, &[], "n1"), Nowhere);
}
