//! The decisions observed on deployed agents (`tests/data/decisions.json`) are ours too.

mod abort;
mod adoption;
mod clocks;
mod life;
mod pace;
mod placing;
mod quorate;
mod restarts;
mod scaling;
mod sequences;
mod settings;
mod standby;
mod targets;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    GlobalExpect, InstanceMonitor, MonitorStatus, NodeData, ProvisionedState, Status, Timestamp,
};
use monitor::{
    Filters, ObjectView, ProvisionedReport, ResourceReport, accepts, candidates, cluster_frozen,
    drops_target, fold, instance_states, is_leader, is_overloaded, leaders, ranks, resource_status,
    score, set_service_monitor,
};
use serde_json::{Map, Value, json};

use world::{TestWorld, node, path, texts};

/// Names of cases that we decide differently on purpose, with the reason.
const DIFFERENT: [(&str, &str); 0] = [];

/// Runs all cases of a kind, and shows all that fail at once.
fn run_all(kind: &str, expected_count: usize, decide: impl Fn(&Value) -> Value) {
    let data: Value =
        serde_json::from_str(include_str!("../data/decisions.json")).expect("the cases are JSON");
    let cases: Vec<&Value> = data["cases"]
        .as_array()
        .expect("a list of cases")
        .iter()
        .filter(|case| case["kind"] == kind)
        .collect();
    assert_eq!(cases.len(), expected_count, "cases of kind {kind}");
    let mut failures = vec![];
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let decided = decide(&case["input"]);
        if decided != case["expected"] && !DIFFERENT.iter().any(|(known, _)| *known == name) {
            failures.push(format!("{name}\n  expected {}\n  decided  {decided}", case["expected"]));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn statuses(value: &Value) -> Vec<Status> {
    texts(value).into_iter().map(Status::from).collect()
}

#[test]
fn two_states_fold_as_on_deployed_agents() {
    run_all("status_fold", 7, |input| {
        let left = Status::from(input["left"].as_str().expect("a state"));
        let start = Status::from(input["start"].as_str().expect("a state"));
        let folded = statuses(&input["right"]).into_iter().map(|right| {
            let result = fold([&start, &left, &right]);
            (right.to_string(), json!(result))
        });
        Value::Object(folded.collect())
    });
}

#[test]
fn lists_of_states_fold_as_on_deployed_agents() {
    run_all(
        "status_fold_list",
        15,
        |input| json!({ "status": fold(&statuses(&input["statuses"])) }),
    );
}

#[test]
fn the_states_of_an_instance_follow_from_its_resources() {
    run_all("instance_status", 35, |input| {
        let text = input["config"].as_str().expect("a configuration");
        let local = node(input["node"].as_str().expect("a node"));
        let cluster = std::slice::from_ref(&local);
        let (settings, tags) = settings::evaluate(text, &path("svc1"), &local, cluster);
        let mut resources = BTreeMap::new();
        for (rid, resource) in &settings.resources {
            let driver = &input["driver_status"][rid];
            let log = driver["log"].as_array().into_iter().flatten();
            let flag = input["provisioned_flags"][rid].as_bool();
            let has_provisioner = rid.starts_with("fs#");
            let report = ResourceReport {
                status: Status::from(
                    driver.as_str().or(driver["status"].as_str()).unwrap_or("n/a"),
                ),
                log: log.map(|line| format!("{}: {}", texts(line)[0], texts(line)[1])).collect(),
                provisioned: match flag {
                    _ if !has_provisioner => ProvisionedReport::NoProvisioner,
                    Some(state) => ProvisionedReport::Flag(ProvisionedState { state, mtime: None }),
                    None => ProvisionedReport::NoFlag(None),
                },
                tags: tags[rid].clone(),
                ..ResourceReport::default()
            };
            let resource = resource_status(Timestamp(1.0), resource, report);
            resources.insert(rid.clone(), Arc::new(resource));
        }
        let states = instance_states(&settings, &resources, &BTreeMap::new());
        let groups: BTreeMap<_, _> = states
            .status_group
            .iter()
            .filter(|(_, status)| **status != Status::NotApplicable)
            .collect();
        let shown: BTreeMap<_, _> = resources
            .iter()
            .map(|(rid, resource)| {
                let mut shown = Map::new();
                shown.insert("status".to_owned(), json!(resource.status));
                if let Some(provisioned) = resource.provisioned {
                    shown.insert("provisioned".to_owned(), json!(provisioned.state));
                }
                (rid, shown)
            })
            .collect();
        json!({
            "avail": states.avail,
            "overall": states.overall,
            "optional": states.optional,
            "provisioned": states.provisioned,
            "groups": groups,
            "resources": shown,
        })
    });
}

/// The world of a case that gives the configuration of `svc1` and its instances.
fn instances_world(input: &Value) -> TestWorld {
    let local = input["local_node"].as_str().unwrap_or("n1");
    let mut world =
        TestWorld::with_instances(local, &input["cluster_nodes"], "svc1", &input["instances"]);
    world.configure("svc1", input["config"].as_str().expect("a configuration"));
    world
}

#[test]
fn the_state_of_an_object_follows_from_its_instances() {
    run_all("aggregate", 42, |input| {
        let mut world = instances_world(input);
        if input["instances"].as_object().is_some_and(Map::is_empty) {
            world.settings.clear();
        }
        let aggregate = ObjectView::new(&world, &path("svc1")).aggregate();
        json!({
            "avail": aggregate.avail,
            "overall": aggregate.overall,
            "frozen": aggregate.frozen,
            "placement": aggregate.placement,
            "provisioned": aggregate.provisioned,
        })
    });
}

#[test]
fn the_cluster_is_frozen_as_its_nodes_are() {
    run_all("cluster_frozen", 3, |input| {
        let frozen = input["node_frozen"].as_object().expect("times by node");
        let nodes: Map<String, Value> =
            frozen.iter().map(|(name, time)| (name.clone(), json!({ "frozen": time }))).collect();
        let names = json!(frozen.keys().collect::<Vec<_>>());
        let world = TestWorld::new("n1", &names, &Value::Object(nodes));
        json!({ "frozen": cluster_frozen(&world) })
    });
}

#[test]
fn nodes_are_scored_as_on_deployed_agents() {
    run_all("node_score", 8, |input| {
        let percent = |key: &str| input[key].as_u64().unwrap_or(0);
        let load = input["load_15m"].as_f64();
        json!({ "score": score(load, percent("mem_avail"), percent("swap_avail")) })
    });
}

#[test]
fn a_node_without_memory_left_is_overloaded() {
    run_all("node_overloaded", 6, |input| {
        let data: NodeData = serde_json::from_value(input.clone()).expect("node data");
        json!({ "overloaded": is_overloaded(&data) })
    });
}

#[test]
fn objects_are_placed_as_on_deployed_agents() {
    run_all("placement", 64, |input| {
        let local = input["local_node"].as_str().expect("the local node");
        let mut world = TestWorld::new(local, &input["cluster_nodes"], &input["nodes"]);
        for (object, text) in input["services"].as_object().expect("configurations") {
            world.configure(object, text.as_str().expect("a configuration"));
        }
        let object = path(input["path"].as_str().expect("an object"));
        let view = ObjectView::new(&world, &object);
        let found = candidates(&view, Filters::ALL);
        let mut sorted = found.clone();
        sorted.sort();
        let is_leader: BTreeMap<_, _> = world.settings[&object]
            .peers
            .iter()
            .map(|peer| (peer, is_leader(&view, peer, &found)))
            .collect();
        json!({
            "candidates": sorted,
            "ranks": ranks(&view, &found),
            "leaders": leaders(&view, &found),
            "is_leader": is_leader,
        })
    });
}

#[test]
fn the_monitor_decides_as_on_deployed_agents() {
    run_all("monitor_sequence", 128, sequences::run);
}

#[test]
fn targets_are_given_up_after_the_failures_of_the_abort_table() {
    run_all("abort_state_table", 1, |_| {
        let statuses = [
            "idle",
            "ready",
            "starting",
            "stopping",
            "restarting",
            "freezing",
            "thawing",
            "provisioning",
            "unprovisioning",
            "deleting",
            "purging",
            "tocing",
            "shutdown",
            "placing",
            "wait parents",
            "wait children",
            "wait leader",
            "wait non-leader",
            "wait priors",
            "wait sync",
            "thaw failed",
            "freeze failed",
            "start failed",
            "stop failed",
            "shutdown failed",
            "delete failed",
            "unprovision failed",
            "provision failed",
            "place failed",
            "purge failed",
            "restart failed",
            "toc failed",
        ];
        let targets = [
            "thawed",
            "frozen",
            "started",
            "placed",
            "placed@",
            "placed@n1",
            "stopped",
            "unprovisioned",
            "purged",
            "shutdown",
            "deleted",
            "provisioned",
            "aborted",
            "restarted@1.0",
            "scaled",
        ];
        let mut dropped = vec![];
        for status in statuses {
            for target in targets {
                for placement in ["leader", ""] {
                    let status = MonitorStatus::from(status);
                    let target = GlobalExpect::from(target);
                    if drops_target(&status, &target, placement == "leader") {
                        dropped.push(json!([status, target, placement]));
                    }
                }
            }
        }
        // In the order of the case, which is not ours.
        let data: Value = serde_json::from_str(include_str!("../data/decisions.json"))
            .expect("the cases are JSON");
        let cases = data["cases"].as_array().expect("a list of cases");
        let case = cases.iter().find(|case| case["kind"] == "abort_state_table");
        let listed = case.expect("the case")["expected"]["abort"].as_array().expect("a list");
        dropped.sort_by_key(|triple| listed.iter().position(|known| known == triple));
        json!({ "abort": dropped })
    });
}

#[test]
fn targets_of_peers_are_taken_over_as_on_deployed_agents() {
    run_all("accept_global_expect", 122, |input| {
        let mut world = instances_world(input);
        let object = path("svc1");
        // The placement is recomputed before, as in a pass.
        let published = ObjectView::new(&world, &object);
        let mut monitor: InstanceMonitor =
            published.local().map(|seen| seen.monitor.clone()).unwrap_or_default();
        let found = candidates(&published, Filters::ALL);
        let leads = is_leader(&published, &world.local, &found);
        monitor.placement = if leads { "leader".to_owned() } else { String::new() };
        world.publish(&object, monitor);
        world.aggregate_all();
        let view = ObjectView::new(&world, &object);
        let target = GlobalExpect::from(input["global_expect"].as_str().expect("a target"));
        json!({ "accept": accepts(&view, &target) })
    });
}

#[test]
fn requests_are_accepted_and_refused_as_on_deployed_agents() {
    run_all("monitor_request", 27, |input| {
        let mut world = instances_world(input);
        world.aggregate_all();
        let request = sequences::object_request(&input["request"]);
        let (reply, changes) = set_service_monitor(&world, &request);
        assert_eq!(reply.to_json()["status"], json!(reply.error.len()));
        json!({
            "status": reply.error.len(),
            "global_expect_set": reply.global_expect,
            "queued": changes.len(),
            "error": !reply.error.is_empty(),
        })
    });
}
