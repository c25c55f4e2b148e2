//! How often an action is taken that ends and changes nothing, and targets that such an action would never reach.

use serde_json::{Value, json};

use crate::sequences;

/// A node `n1` of `n1 n2` with this instance and target. What it runs in each pass: the time since the beginning, and the
/// command; each command ends at once, with success. Passes are an eighth of a second apart.
fn runs(config: &str, instance: &Value, target: Value, passes: u32) -> (Vec<String>, Value) {
    let mut own = json!({
        "updated": 1_699_999_990.0, "topology": "failover", "overall": "down", "frozen": 1_699_999_000.0,
        "monitor": {
            "status": "idle", "status_updated": 1_699_999_900.0, "global_expect": target,
            "global_expect_updated": 1_699_999_999.0,
        },
    });
    for (key, value) in instance.as_object().expect("instance data") {
        own[key] = value.clone();
    }
    let node = |instance: Value| {
        json!({
            "frozen": 0, "compat": 10,
            "monitor": { "status": "idle", "status_updated": 1_699_999_000.0 },
            "services": {
                "config": { "svc1": { "updated": 1.0, "csum": "c", "scope": ["n1"] } },
                "status": { "svc1": instance },
            },
        })
    };
    let input = |steps: Vec<Value>| {
        json!({
            "services": { "svc1": config }, "local_node": "n1", "cluster_nodes": ["n1"],
            "now": 1_700_000_000.0, "nodes": { "n1": node(own.clone()) }, "steps": steps,
        })
    };
    // Which command ends in which pass is only known when it was run.
    let (mut steps, mut found, mut last) = (vec![json!({})], vec![], Value::Null);
    let mut count = 0;
    for pass in 0..passes {
        let outcome = sequences::run(&input(steps.clone()));
        last = outcome["steps"].as_array().expect("steps").last().expect("a step").clone();
        let mut next = json!({ "advance": 0.125 });
        for command in last["commands"].as_array().expect("commands") {
            let argv: Vec<&str> = command["argv"]
                .as_array()
                .expect("words")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            found.push(format!("{} {}", f64::from(pass) / 8.0, argv.join(" ")));
            next["complete"] = json!({ count.to_string(): 0 });
            count += 1;
        }
        steps.push(next);
    }
    (found, last["monitor"]["svc1"]["global_expect"].clone())
}

const APP: &str = "[DEFAULT]\nid = i\nnodes = n1\n[app#1]\ntype = forking\n";

#[test]
fn an_action_in_vain_is_repeated_later_each_time() {
    let instance = json!({
        "avail": "up", "provisioned": true, "resources": { "app#1": { "status": "up" } },
    });
    let (runs, _) = runs(APP, &instance, json!("stopped"), 80);
    let stop = "stop --local";
    let times = ["0", "0.625", "1.75", "3.875", "8"];
    assert_eq!(runs, times.map(|time| format!("{time} {stop}")));
}

#[test]
fn an_instance_that_only_has_a_standby_resource_is_not_started_for_ever() {
    let config = "[DEFAULT]\nid = i\nnodes = n1\n[fs#1]\ntype = flag\nstandby = true\n";
    let instance = json!({
        "avail": "stdby up", "frozen": 0, "provisioned": true,
        "resources": { "fs#1": { "status": "stdby up", "standby": true } },
    });
    let (runs, _) = runs(config, &instance, json!("placed@n1"), 30);
    assert_eq!(runs, ["0 start --local", "0.625 start --local", "1.75 start --local"]);
}

#[test]
fn what_has_nothing_to_unprovision_is_unprovisioned() {
    let instance = json!({
        "avail": "down", "provisioned": true, "resources": { "app#1": { "status": "down" } },
    });
    assert_eq!(runs(APP, &instance, json!("unprovisioned"), 5), (vec![], Value::Null));
    // Not before it is stopped.
    let instance = json!({
        "avail": "up", "provisioned": true, "resources": { "app#1": { "status": "up" } },
    });
    let (found, target) = runs(APP, &instance, json!("unprovisioned"), 3);
    assert_eq!(
        (found, target),
        (vec!["0 stop --force --local".to_owned()], json!("unprovisioned"))
    );
    // What publishes its state is unprovisioned by its action.
    let config = "[DEFAULT]\nid = i\nnodes = n1\n[fs#1]\ntype = flag\n";
    let instance = json!({
        "avail": "down", "provisioned": true,
        "resources": { "fs#1": { "status": "down", "provisioned": { "state": true } } },
    });
    let (found, _) = runs(config, &instance, json!("unprovisioned"), 2);
    assert_eq!(found, ["0 unprovision --leader --local"]);
}

#[test]
fn a_standby_resource_that_is_not_up_does_not_keep_an_instance_from_being_shut_down() {
    let config = "[DEFAULT]\nid = i\nnodes = n1\n[fs#1]\ntype = flag\nstandby = true\n[app#1]\ntype = forking\n";
    let shut_down = |state: &str| {
        let instance = json!({
            "avail": "down", "provisioned": true,
            "resources": {
                "fs#1": { "status": state, "standby": true }, "app#1": { "status": "down" },
            },
        });
        runs(config, &instance, json!("shutdown"), 3)
    };
    assert_eq!(shut_down("n/a"), (vec![], Value::Null));
    assert_eq!(shut_down("stdby up").0, ["0 shutdown --local"]);
}

#[test]
fn a_destination_that_is_gone_is_not_waited_for() {
    let instance = json!({
        "avail": "down", "frozen": 0, "provisioned": true,
        "resources": { "app#1": { "status": "down" } },
    });
    let config = "[DEFAULT]\nid = i\nnodes = n1 n2\norchestrate = ha\n[app#1]\ntype = forking\n";
    assert_eq!(runs(config, &instance, json!("placed@n2"), 2), (vec![], Value::Null));
}
