//! How often standby resources are started again (src/monitor/README.md, Supervision).

use serde_json::{Value, json};

use crate::sequences;

/// The arguments of the commands of each pass, and the counter after them, while a standby resource stays down whatever
/// is run.
fn restarts(restart: u32, local_expect: Value) -> Vec<(Vec<String>, Value)> {
    let config = format!(
        "[DEFAULT]\nid = i\nnodes = n1\n[fs#1]\ntype = flag\nstandby = true\nrestart = {restart}\n[fs#2]\ntype = flag\n"
    );
    let complete = |index: u32| json!({ "advance": 1, "complete": { index.to_string(): 0 } });
    let commands = restart.max(2);
    let mut steps = vec![json!({})];
    steps.extend((0..commands).map(complete));
    steps.push(json!({ "advance": 60 }));
    let outcome = sequences::run(&json!({
        "services": { "svc1": config },
        "local_node": "n1",
        "cluster_nodes": ["n1"],
        "now": 1_700_000_000.0,
        "nodes": { "n1": {
            "frozen": 0,
            "monitor": { "status": "idle", "status_updated": 1_699_999_000.0 },
            "services": {
                "config": { "svc1": { "updated": 1.0, "csum": "c", "scope": [] } },
                "status": { "svc1": {
                    "updated": 1_699_999_990.0, "topology": "failover", "avail": "warn", "overall": "warn",
                    "frozen": 0, "provisioned": true,
                    "resources": {
                        "fs#1": { "status": "stdby down", "standby": true },
                        "fs#2": { "status": "up" },
                    },
                    "monitor": {
                        "status": "idle", "status_updated": 1_699_999_900.0, "local_expect": local_expect,
                    },
                } },
            },
        } },
        "steps": steps,
    }));
    let steps = outcome["steps"].as_array().expect("an outcome for each step").iter();
    steps
        .map(|step| {
            let commands = step["commands"].as_array().expect("commands").iter();
            let argv = commands.map(|command| {
                let words = command["argv"].as_array().expect("arguments").iter();
                words.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
            });
            (argv.collect(), step["monitor"]["svc1"]["restart"]["fs#1"].clone())
        })
        .collect()
}

fn run(word: &str, counter: u32) -> (Vec<String>, Value) {
    (vec![format!("{word} --rid fs#1 --local")], counter.into())
}

#[test]
fn a_standby_resource_is_started_twice_at_least() {
    let expected =
        [run("startstandby", 1), run("startstandby", 2), (vec![], 3.into()), (vec![], 3.into())];
    assert_eq!(restarts(0, Value::Null), expected);
    // Also where its instance is started.
    assert_eq!(restarts(0, json!("started")), expected);
}

#[test]
fn a_standby_resource_of_a_started_instance_uses_its_own_restarts_first() {
    let (none, over) = ((vec![], Value::from(3)), (vec![], Value::from(3)));
    let one = [run("start", 1), run("startstandby", 2), none, over];
    assert_eq!(restarts(1, json!("started")), one);
    let (none, over) = ((vec![], Value::from(4)), (vec![], Value::from(4)));
    let three = [run("start", 1), run("start", 2), run("start", 3), none, over];
    assert_eq!(restarts(3, json!("started")), three);
}
