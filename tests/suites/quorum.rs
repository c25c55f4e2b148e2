//! Promise: with quorum on, who has the majority stays, whatever the others do: they stand still, crash, come back at once,
//! leave and join.

use std::time::Duration;

use harness::{Cluster, ClusterConf, Node, Scene, wait_for};
use rustix::process::Signal;

/// Three nodes with a service on the first one. Who loses a split stops what it runs.
fn scene() -> Scene {
    let scene = scene_with(&[("web", "")], "");
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
    }
    scene
}

/// The same with these services, and these keywords of the heartbeat.
fn scene_with(services: &[(&str, &str)], heartbeat: &str) -> Scene {
    let conf = ClusterConf {
        cluster: "profile = fast\nquorum = true".into(),
        heartbeat: heartbeat.into(),
        sections: "[node]\nsplit_action = stop".into(),
    };
    Scene::of(Cluster::configured(3, &conf), services, |_| {})
}

/// Whether a node took itself for the loser of a split.
fn lost_a_split(node: &Node) -> bool {
    let log = node.read("log/node.log");
    log.contains("split: lost") || log.contains("split: quorum lost")
}

/// The node has told the others that it is through with its start.
fn wait_idle(scene: &Scene, at: usize) {
    let name = format!("n{}", at + 1);
    for viewer in &scene.cluster.nodes {
        wait_for(&format!("{} sees {name} idle", viewer.name()), || {
            viewer.status()["monitor"]["nodes"][&name]["monitor"]["status"] == "idle"
        });
    }
}

#[test]
fn the_winner_of_a_split_stays_when_the_loser_crashes_and_is_back_at_once() {
    let mut scene = scene();
    scene.cluster.nodes[0].signal(Signal::STOP);
    for viewer in [1, 2] {
        scene.wait_up(viewer, "web", &[1]);
    }
    scene.cluster.nodes[0].signal(Signal::CONT);
    wait_for("the node that stood still gives in", || lost_a_split(&scene.cluster.nodes[0]));
    // As its split action does. It is back before the others notice.
    scene.kill(0);
    scene.cluster.nodes[0].start();
    scene.cluster.wait_beating();
    wait_idle(&scene, 0);
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[1]);
    }
    for at in [1, 2] {
        assert!(!lost_a_split(&scene.cluster.nodes[at]), "{}", scene.cluster.nodes[at].node_log());
    }
    assert_eq!(scene.journal("web")[..2], ["start n1", "start n2 beside up.n1"]);
}

/// The third node leaves its cluster.
fn leave(scene: &Scene) {
    let node = &scene.cluster.nodes[2];
    node.om_ok(&["node", "drain", "--wait", "--time", "20s"]);
    node.om_ok(&["daemon", "leave"]);
    assert_eq!(node.status()["cluster"]["nodes"], serde_json::json!(["n3"]), "it follows at once");
}

fn join(scene: &Scene) {
    let node = &scene.cluster.nodes[2];
    let address = format!("{}:{}", scene.cluster.address(0), scene.cluster.port(0));
    let words = ["daemon", "join", "--node", &address, "--secret", "-", "--timeout", "20s"];
    let output = node.om_stdin(&words, &format!("{}\n", node.secret()));
    assert_eq!(output.code, Some(0), "{output:?}");
    let members = node.status()["cluster"]["nodes"].clone();
    assert_eq!(members, serde_json::json!(["n1", "n2", "n3"]), "it follows at once");
}

#[test]
fn a_node_that_joins_again_and_is_thawed_at_once_loses_nothing() {
    let scene = scene();
    for round in 0..2 {
        leave(&scene);
        join(&scene);
        scene.cluster.nodes[2].om_ok(&["node", "thaw", "--local"]);
        scene.cluster.wait_beating();
        wait_idle(&scene, 2);
        for viewer in 0..3 {
            scene.wait_up(viewer, "web", &[0]);
        }
        for node in &scene.cluster.nodes {
            assert!(!lost_a_split(node), "round {round}: {}", node.node_log());
        }
    }
    assert_eq!(scene.journal("web"), ["start n1"]);
}

#[test]
fn a_node_that_is_thawed_before_it_joins_or_is_away_for_long_loses_nothing() {
    // Nothing runs at all, and nothing that the third node may run.
    for services in [&[][..], &[("web", "nodes = n1 n2")]] {
        let scene = scene_with(services, "");
        for viewer in 0..3 {
            wait_idle(&scene, viewer);
        }
        leave(&scene);
        scene.cluster.nodes[2].om_ok(&["node", "thaw", "--local"]);
        // Longer than any timeout of the profile, and its rejoin grace period.
        std::thread::sleep(Duration::from_secs(6));
        join(&scene);
        scene.cluster.wait_beating();
        wait_idle(&scene, 2);
        for (name, _) in services {
            for viewer in 0..3 {
                scene.wait_up(viewer, name, &[0]);
            }
            assert_eq!(scene.journal(name), ["start n1"]);
        }
        for node in &scene.cluster.nodes {
            assert!(!lost_a_split(node), "{services:?}: {}", node.node_log());
        }
    }
}

#[test]
fn a_service_is_up_again_once_the_others_are_back_that_were_killed_together() {
    let mut scene = scene();
    scene.cluster.nodes[1].kill();
    scene.cluster.nodes[2].kill();
    wait_for("the node that is left stops the service", || {
        scene.journal("web").last().is_some_and(|line| line == "stop n1")
    });
    for at in [1, 2] {
        scene.cluster.nodes[at].start();
    }
    // What the first one froze by itself ends with its reason, and was nobody else's.
    for viewer in 0..3 {
        scene.wait_up_anywhere(viewer, "web", 1);
    }
    let journal = scene.journal("web");
    assert_eq!(journal[..2], ["start n1", "stop n1"]);
    assert!(journal.len() == 3 && !journal[2].contains("beside"), "{journal:?}");
    let is_frozen = |at: usize| {
        let name = format!("n{}", at + 1);
        scene.cluster.nodes[0].status()["monitor"]["nodes"][&name]["frozen"].as_f64() > Some(0.0)
    };
    wait_for("nobody is frozen", || !(0..3).any(is_frozen));
}

#[test]
fn a_pause_that_is_shorter_than_the_timeout_has_no_consequence() {
    let scene = scene_with(&[("web", "")], "timeout = 4");
    scene.wait_up(0, "web", &[0]);
    for at in [0, 2] {
        let node = &scene.cluster.nodes[at];
        for pause in [1_000, 3_000] {
            node.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(pause));
            node.signal(Signal::CONT);
            scene.cluster.wait_beating();
        }
    }
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
        let node = &scene.cluster.nodes[viewer];
        assert!(!lost_a_split(node), "{}", node.node_log());
    }
    assert_eq!(scene.journal("web"), ["start n1"]);
}

#[test]
fn a_node_that_started_the_service_alone_stops_it_when_it_joins_and_loses_no_split() {
    let scene = scene();
    leave(&scene);
    scene.cluster.nodes[2].om_ok(&["node", "thaw", "--local"]);
    wait_for("it starts what it takes for its own", || scene.file("web", "up.n3").exists());
    join(&scene);
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
    }
    for node in &scene.cluster.nodes {
        assert!(!lost_a_split(node), "{}", node.node_log());
    }
    assert_eq!(scene.journal("web"), ["start n1", "start n3 beside up.n1", "stop n3"]);
}

#[test]
fn after_a_cold_start_with_machines_apart_services_run_without_a_thaw() {
    let mut scene = scene();
    for at in 0..3 {
        scene.kill(at);
    }
    for process in scene.cluster.nodes.iter().flat_map(|node| node.processes(|_| true)) {
        let pid = rustix::process::Pid::from_raw(process.cast_signed()).expect("a pid");
        _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    let frozen = |scene: &Scene, at: usize| {
        let name = format!("n{}", at + 1);
        scene.cluster.nodes[at].status()["monitor"]["nodes"][&name]["frozen"].as_f64() > Some(0.0)
    };
    // Alone for longer than the grace period of profile fast.
    scene.cluster.nodes[0].start();
    wait_for("n1 freezes itself", || frozen(&scene, 0));
    scene.cluster.nodes[1].start();
    wait_for("n1 thaws itself", || !frozen(&scene, 0));
    scene.wait_up(0, "web", &[0]);
    scene.cluster.nodes[2].start();
    wait_idle(&scene, 2);
    assert!(!(0..3).any(|at| frozen(&scene, at)), "nobody followed it");
    scene.wait_up(2, "web", &[0]);
}
