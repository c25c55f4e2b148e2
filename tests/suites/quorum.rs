//! Promise: with quorum on, who has the majority stays, whatever the others do: they stand still, crash, come back at once,
//! leave and join.

use harness::{Cluster, ClusterConf, Node, Scene, wait_for};
use rustix::process::Signal;

/// Three nodes with a service on the first one. Who loses a split stops what it runs.
fn scene() -> Scene {
    let conf = ClusterConf {
        cluster: "profile = fast\nquorum = true".into(),
        sections: "[node]\nsplit_action = stop".into(),
        ..ClusterConf::default()
    };
    let scene = Scene::of(Cluster::configured(3, &conf), &[("web", "")], |_| {});
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
    }
    scene
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
