//! Promise: no node acts on more instances at a time than `node.max_parallel`, those of the lowest priority number first,
//! and all get their turn.

use std::collections::BTreeMap;

use harness::{Cluster, ClusterConf, Scene, wait_for};
use serde_json::json;

fn scene(max_parallel: usize, services: &[(&str, &str)], prepare: impl FnOnce(&Scene)) -> Scene {
    let cluster = Cluster::configured(3, &ClusterConf::default());
    for node in &cluster.nodes {
        node.write("etc/node.conf", &format!("[node]\nmax_parallel = {max_parallel}\n"));
    }
    Scene::of(cluster, services, prepare)
}

/// Most instances that each node was acting on at a time.
fn most_at_a_time(order: &[String]) -> BTreeMap<String, usize> {
    let (mut now, mut most) = (BTreeMap::new(), BTreeMap::new());
    for line in order {
        let [what, _, node] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let now: &mut usize = now.entry(node.to_owned()).or_default();
        match what {
            "start" | "stop" => *now += 1,
            _ => *now -= 1,
        }
        let most: &mut usize = most.entry(node.to_owned()).or_default();
        *most = (*most).max(*now);
    }
    most
}

/// Whether an instance on a node of the scene waits for its turn.
fn waits_for_its_turn(scene: &Scene, at: usize, name: &str) -> bool {
    let request = json!({"action": "object_explain", "options": {"path": name}});
    scene.cluster.nodes[at].request(&request).to_string().contains("\"max_parallel\"")
}

#[test]
fn the_most_urgent_of_those_that_wait_is_the_next() {
    let services = [
        ("first", "nodes = n1\npriority = 1"),
        ("slow", "nodes = n1\npriority = 300"),
        ("soon", "nodes = n1\npriority = 20"),
        ("usual", "nodes = n1"),
    ];
    let scene = scene(1, &services, |scene| scene.touch("first", "hold.n1"));
    scene.wait_doing(2, "first", 0, "starting");
    for name in ["slow", "soon", "usual"] {
        wait_for("the others wait", || waits_for_its_turn(&scene, 0, name));
    }
    scene.remove("first", "hold.n1");
    scene.wait_up(2, "slow", &[0]);
    let started: Vec<String> =
        scene.order().into_iter().filter(|line| line.starts_with("start ")).collect();
    assert_eq!(started, ["start first n1", "start soon n1", "start usual n1", "start slow n1"]);
    assert_eq!(most_at_a_time(&scene.order()), BTreeMap::from([("n1".to_owned(), 1)]));
}

#[test]
fn what_a_dead_node_ran_is_started_some_at_a_time_and_nothing_is_forgotten() {
    let names: Vec<String> = (0..12).map(|number| format!("web{number}")).collect();
    let services: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let mut scene = scene(2, &services, |_| {});
    for name in &names {
        scene.wait_up(1, name, &[0]);
    }
    names.iter().for_each(|name| scene.touch(name, "hold.n2"));
    scene.kill(0);
    let begun = |line: &String| line.starts_with("start ") && line.ends_with(" n2");
    wait_for("two start at a time", || {
        scene.order().iter().filter(|line| begun(line)).count() == 2
    });
    names.iter().for_each(|name| scene.remove(name, "hold.n2"));
    for name in &names {
        scene.wait_up(2, name, &[1]);
        assert_eq!(scene.journal(name), ["start n1", "start n2"]);
    }
    assert_eq!(most_at_a_time(&scene.order())["n2"], 2);
    scene.reach(2, &["web*", "stop"]);
    assert_eq!(most_at_a_time(&scene.order())["n2"], 2);
    for name in &names {
        scene.wait_up(1, name, &[]);
    }
}
