//! What is told of an object, and foretold: the cases of `tests/data/explain.json`, `tests/data/forecast.json` and
//! `tests/data/whatif.json`.
//!
//! A case describes what differs from three healthy nodes `n1` to `n3`, seen from `n1`, and objects `nodes = n1 n2 n3` with
//! one resource `app#1`, down everywhere. `objects`: keywords separated by `;`. `state`: instance data, `nodes`: node data,
//! both merged over the healthy ones; null removes. `expect` names what is compared; what it does not name is not.

#[path = "../decisions/settings.rs"]
mod settings;
#[path = "../decisions/world.rs"]
#[expect(dead_code, reason = "the decisions use the rest")]
mod world;

use model::{Explanation, Forecast, Timestamp};
use monitor::{Ballot, Facts, ObjectRequest, Outage, explain, forecast, what_if};
use serde_json::{Map, Value, json};

use world::{TestWorld, path};

const NOW: f64 = 1_700_000_000.0;

/// Merges `change` into `value`, as a patch.
fn merge(value: &mut Value, change: &Value) {
    match (value, change) {
        (Value::Object(value), Value::Object(change)) => {
            for (key, change) in change {
                if change.is_null() {
                    value.remove(key);
                } else {
                    merge(value.entry(key.clone()).or_insert(Value::Null), change);
                }
            }
        }
        (value, change) => *value = change.clone(),
    }
}

fn instance(config: &str) -> Value {
    let keyword = |name: &str| {
        config.split(';').find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let mut instance = json!({
        "updated": NOW - 100.0, "avail": "down", "overall": "down", "frozen": 0, "provisioned": true,
        "topology": "failover", "placement": "nodes order",
        "resources": {"app#1": {"status": "down", "type": "app.simple", "label": "", "provisioned": {"state": true}}},
        "monitor": {"status": "idle", "placement": "", "local_expect": null, "global_expect": null},
    });
    if let Some(topology) = keyword("topology") {
        instance["topology"] = json!(topology);
        instance["flex_target"] = json!(1);
    }
    for (name, key) in [("flex_target", "flex_target"), ("flex_min", "flex_min")] {
        if let Some(number) = keyword(name).and_then(|text| text.parse::<i64>().ok()) {
            instance[key] = json!(number);
        }
    }
    if let Some(slaves) = keyword("slaves") {
        instance["slaves"] = slaves.split_whitespace().collect();
    }
    instance
}

fn world(case: &Value) -> TestWorld {
    let names = ["n1", "n2", "n3"];
    let no_objects = Map::new();
    let objects = case["objects"].as_object().unwrap_or(&no_objects);
    let mut nodes = json!({});
    for name in names {
        let (mut status, mut config) = (json!({}), json!({}));
        for (object, text) in objects {
            let text = text.as_str().expect("keywords");
            let mut data = instance(text);
            for which in ["*", name] {
                if let Some(change) = case["state"][object].get(which) {
                    merge(&mut data, change);
                }
            }
            if !data.is_null() {
                // An instance is up with its resources.
                if data["resources"]["app#1"]["status"] == "down" && data["avail"] != "down" {
                    data["resources"]["app#1"]["status"] = data["avail"].clone();
                }
                status[object] = data;
                config[object] = json!({"updated": NOW - 200.0, "csum": "c", "scope": names});
            }
        }
        let mut node = json!({
            "frozen": 0, "compat": 10, "monitor": {"status": "idle"},
            "stats": {"load_15m": 0.5, "score": 60},
            "services": {"status": status, "config": config},
        });
        if let Some(change) = case["nodes"].get(name) {
            merge(&mut node, change);
        }
        if !node.is_null() {
            nodes[name] = node;
        }
    }
    let local = case["local"].as_str().unwrap_or("n1");
    let mut world = TestWorld::new(local, &json!(names), &nodes);
    for (object, text) in objects {
        world.configure(object, &configuration(text.as_str().expect("keywords")));
    }
    let conditions = &case["conditions"];
    world.conditions.grace = conditions["grace"] == true;
    world.conditions.blind = conditions["blind"] == true;
    if let Some(most) = conditions["max_parallel"].as_u64() {
        world.conditions.max_parallel = usize::try_from(most).expect("a small number");
    }
    if let Some(transitions) = conditions["transitions"].as_u64() {
        world.conditions.transitions = usize::try_from(transitions).expect("a small number");
    }
    if let Some([nodes, votes, arbitrators]) = conditions["ballot"].as_array().map(Vec::as_slice) {
        let number = |value: &Value| value.as_u64().map_or(0, |number| number as usize);
        let arbitrators = number(arbitrators);
        world.conditions.ballot = Some(Ballot {
            nodes: number(nodes),
            arbitrators,
            node_votes: number(votes),
            arbitrator_votes: arbitrators,
        });
    }
    world.aggregate_all();
    world
}

fn configuration(keywords: &str) -> String {
    let lines = || keywords.split(';').map(str::trim).filter(|line| !line.is_empty());
    let mut text = "[DEFAULT]\nid = 11111111-1111-1111-1111-111111111111\n".to_owned();
    if !lines().any(|line| line.starts_with("nodes")) {
        text.push_str("nodes = n1 n2 n3\n");
    }
    for line in lines().filter(|line| !line.starts_with("app#1.")) {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("[app#1]\ntype = simple\nstart = /bin/true\n");
    for line in lines().filter_map(|line| line.strip_prefix("app#1.")) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn shown_steps(steps: &[model::Step]) -> Value {
    let line = |step: &model::Step| {
        let reason =
            if step.reason.is_empty() { String::new() } else { format!(" ({})", step.reason) };
        let repeats = if step.repeats { ", repeats" } else { "" };
        format!("{} {} {} {}{reason}{repeats}", step.after, step.node, step.object, step.what)
    };
    steps.iter().map(line).collect()
}

fn shown_blockers(blockers: &[model::Blocker]) -> Value {
    let line = |blocker: &model::Blocker| {
        let nodes: Vec<&str> = blocker.nodes.iter().map(|node| node.as_str()).collect();
        format!("{} {}: {}", blocker.reason.id, nodes.join(","), blocker.reason.text)
    };
    let weighty = blockers.iter().filter(|blocker| blocker.weight != model::Weight::Normal);
    weighty.map(line).collect()
}

fn shown(explanation: &Explanation) -> Value {
    let discarded: Map<String, Value> = explanation
        .candidates
        .iter()
        .filter_map(|c| Some((c.node.to_string(), c.discarded.as_ref()?.id.clone().into())))
        .collect();
    let ranks: Vec<&str> = explanation
        .candidates
        .iter()
        .filter(|c| c.rank.is_some())
        .map(|c| c.node.as_str())
        .collect();
    let values: Map<String, Value> =
        explanation.candidates.iter().map(|c| (c.node.to_string(), c.value.clone())).collect();
    let timers: Vec<String> = explanation
        .timers
        .iter()
        .map(|timer| format!("{} {} {:.1}", timer.node, timer.id, timer.left))
        .collect();
    let targets: Vec<String> = explanation
        .targets
        .iter()
        .map(|target| {
            let nodes: Vec<&str> = target.nodes.iter().map(|node| node.as_str()).collect();
            format!(
                "{} by {} {:.0} s ago: {}",
                target.target,
                target.origin,
                target.since.map_or(0.0, |since| NOW - since.0),
                nodes.join(",")
            )
        })
        .collect();
    json!({
        "summary": explanation.summary, "discarded": discarded, "ranks": ranks, "values": values,
        "timers": timers, "targets": targets, "blockers": shown_blockers(&explanation.blockers),
        "next": shown_steps(&explanation.next),
    })
}

/// Compares what a case expects; the differences.
fn differences(name: &str, expected: &Value, found: &Value) -> Vec<String> {
    let expected = expected.as_object().expect("what to compare");
    expected
        .iter()
        .filter(|(key, value)| found[key.as_str()] != **value)
        .map(|(key, value)| format!("{name}: {key}\n  expected {value}\n  found    {}", found[key]))
        .collect()
}

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("a list of cases")
}

#[test]
fn an_explanation_names_the_reason() {
    let mut differing = vec![];
    for case in cases(include_str!("../data/explain.json")) {
        let world = world(&case);
        let facts = Facts { grace_left_secs: case["grace_left"].as_f64(), ..Facts::default() };
        let explanation = explain(&world, Timestamp(NOW), &path("svc1"), &facts);
        let name = case["name"].as_str().expect("a name");
        differing.extend(differences(name, &case["expect"], &shown(&explanation)));
        let written = serde_json::to_value(&explanation).expect("JSON");
        let read: Explanation = serde_json::from_value(written).expect("what was written");
        assert_eq!(read, explanation, "{name}");
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn a_forecast_tells_each_step_and_changes_nothing() {
    let mut differing = vec![];
    for case in cases(include_str!("../data/forecast.json")) {
        let world = world(&case);
        let before = format!("{world:?}");
        let request = case["target"].as_str().map(|target| ObjectRequest {
            path: "svc1".to_owned(),
            global_expect: Some(target.to_owned()),
            ..ObjectRequest::default()
        });
        let forecast = forecast(&world, Timestamp(NOW), &path("svc1"), request.as_ref());
        assert_eq!(format!("{world:?}"), before);
        let up: Vec<&str> = forecast
            .instances
            .iter()
            .filter(|(_, avail)| avail.as_str() == "up")
            .map(|(node, _)| node.as_str())
            .collect();
        let found = json!({
            "steps": shown_steps(&forecast.steps), "up": up, "settled": forecast.is_settled,
            "error": forecast.error, "info": forecast.info, "avail": forecast.aggregate.avail,
            "blockers": shown_blockers(&forecast.blockers), "outcome": forecast.outcome,
        });
        let name = case["name"].as_str().expect("a name");
        differing.extend(differences(name, &case["expect"], &found));
        let written = serde_json::to_value(&forecast).expect("JSON");
        let read: Forecast = serde_json::from_value(written).expect("what was written");
        assert_eq!(read, forecast, "{name}");
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn what_an_outage_leaves_is_told_of_each_object() {
    let mut differing = vec![];
    for case in cases(include_str!("../data/whatif.json")) {
        let world = world(&case);
        let before = format!("{world:?}");
        let names = |key: &str| {
            let names = case[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(|name| model::NodeName::new(name).expect("a node name")).collect()
        };
        let outage = Outage { drained: names("drain"), down: names("down") };
        let foretold = what_if(&world, Timestamp(NOW), &outage);
        assert_eq!(format!("{world:?}"), before);
        let list = |nodes: &[model::NodeName]| {
            nodes.iter().map(model::NodeName::as_str).collect::<Vec<_>>().join(",")
        };
        let objects: Vec<String> = foretold
            .objects
            .iter()
            .map(|it| {
                let refusals: Vec<String> = it
                    .refusals
                    .iter()
                    .map(|refusal| format!("{} {}", refusal.node, refusal.reason.id))
                    .collect();
                let (path, fate) = (&it.path, &it.fate);
                let moved = format!("{} -> {} after {}", list(&it.from), list(&it.to), it.after);
                format!("{path} {fate:?} {moved}: {} [{}]", it.outcome, refusals.join(", "))
            })
            .collect();
        let found = json!({
            "objects": objects, "quorum": foretold.quorum, "taken_out": list(&foretold.taken_out),
        });
        let name = case["name"].as_str().expect("a name");
        differing.extend(differences(name, &case["expect"], &found));
        let written = serde_json::to_value(&foretold).expect("JSON");
        let read: model::WhatIf = serde_json::from_value(written).expect("what was written");
        assert_eq!(read, foretold, "{name}");
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
