//! Promise: a join, a rejoin or a leave that dies at any of its steps, on either side, leaves whole files and can be repeated.

use harness::{Cluster, ClusterConf, Node, Output, Port, wait_for};
use serde_json::{Value, json};

const CRASH: &str = "OSVC_TEST_CRASH";

/// More steps than any of these commands has.
const MOST_STEPS: usize = 60;

/// A cluster of two that beat, and a node n3 that is none of it; its addresses are known to the cluster.
struct Scene {
    cluster: Cluster,
    n3: Node,
    own: String,
    _heartbeat: Port,
}

impl Scene {
    fn new() -> Self {
        let mut n3 = Node::new("n3");
        let text =
            n3.read("etc/cluster.conf").replace(n3.secret(), "another-secret-another-secret-00");
        n3.write("etc/cluster.conf", &text);
        let heartbeat = Port::reserve();
        let conf = ClusterConf {
            heartbeat: format!("addr@n3 = 127.0.0.1\nport@n3 = {}", heartbeat.number()),
            ..ClusterConf::default()
        };
        let mut cluster = Cluster::configured(2, &conf);
        let listener = format!("[listener]\naddr@n3 = 127.0.0.1\nport@n3 = {}\n", n3.port());
        for node in &cluster.nodes {
            let text = node.read("etc/cluster.conf").replace("[listener]\n", &listener);
            node.write("etc/cluster.conf", &text);
        }
        for node in &mut cluster.nodes {
            node.start();
        }
        n3.start();
        cluster.wait_beating();
        let own = n3.read("etc/cluster.conf");
        Self { cluster, n3, own, _heartbeat: heartbeat }
    }

    fn join(&self) -> Output {
        let address = format!("127.0.0.11:{}", self.cluster.port(0));
        let secret = format!("{}\n", self.cluster.nodes[0].secret());
        let words = ["daemon", "join", "--node", &address, "--secret", "-", "--timeout", "20s"];
        self.n3.om_stdin(&words, &secret)
    }

    /// All three are members that hear each other, with the same file, and n3 is not frozen.
    fn assert_joined(&self, when: &str) {
        let all = json!(["n1", "n2", "n3"]);
        let nodes = [&self.cluster.nodes[0], &self.cluster.nodes[1], &self.n3];
        for node in nodes {
            wait_for(&format!("{when}: {} knows all members", node.name()), || {
                node.status()["cluster"]["nodes"] == all
            });
        }
        let text = nodes[0].read("etc/cluster.conf");
        for node in nodes {
            wait_for(&format!("{when}: {} has the same file", node.name()), || {
                node.read("etc/cluster.conf") == text
            });
            for peer in nodes.iter().filter(|peer| peer.name() != node.name()) {
                wait_for(&format!("{when}: {} hears {}", node.name(), peer.name()), || {
                    node.status()["hb#1.rx"]["peers"][peer.name()]["beating"] == true
                });
            }
        }
        assert!(!self.n3.path("var/node/frozen").exists(), "{when}: thawed again");
        assert!(!self.n3.path("var/node/frozen_by_join").exists(), "{when}");
        let locks = json!({"action": "cluster/locks", "method": "GET"});
        wait_for(&format!("{when}: no lock is left"), || {
            nodes.iter().all(|node| node.request(&locks)["data"] == json!({}))
        });
    }

    /// n3 is alone again, and the others are without it.
    fn assert_left(&self, when: &str) {
        wait_for(&format!("{when}: n3 is alone"), || members(&self.n3) == json!(["n3"]));
        for node in &self.cluster.nodes {
            wait_for(&format!("{when}: {} is without n3", node.name()), || {
                members(node) == json!(["n1", "n2"])
            });
        }
        assert!(
            self.n3.path("var/node/frozen").exists(),
            "{when}: what runs here may be started there"
        );
        assert!(!self.n3.path("var/node/frozen_by_join").exists(), "{when}");
    }

    /// As before it joined for the first time.
    fn reset(&self) {
        self.n3.om_ok(&["daemon", "leave"]);
        // A member would hold back what takes it out of its cluster: it has to know that it left.
        wait_for("n3 left", || members(&self.n3) == json!(["n3"]));
        self.n3.write("etc/cluster.conf", &self.own);
        self.n3.om_ok(&["node", "thaw", "--local"]);
        wait_for("n3 is alone", || members(&self.n3) == json!(["n3"]));
        wait_for("n3 is thawed", || !self.n3.path("var/node/frozen").exists());
    }
}

fn members(node: &Node) -> Value {
    node.status()["cluster"]["nodes"].clone()
}

/// A configuration file that an editor could have written: whole, with the members one would expect.
fn assert_whole(node: &Node, when: &str) {
    let text = node.read("etc/cluster.conf");
    let nodes = text.lines().find_map(|line| line.strip_prefix("nodes = "));
    assert!(matches!(nodes, Some("n3" | "n1 n2" | "n1 n2 n3")), "{when}: {text}");
    assert!(text.contains("\nsecret = ") && text.ends_with('\n'), "{when}: {text}");
    node.om_ok(&["cluster", "validate", "config"]);
}

/// Runs a command again and again, killed one step later each time, until it comes to its end.
fn at_each_step(
    scene: &mut Scene,
    run: impl Fn(&Scene) -> Output,
    mut after: impl FnMut(&Scene, &str),
) {
    for step in 1..=MOST_STEPS {
        scene.n3.set_env(CRASH, Some(&format!("write:{step}")));
        let output = run(scene);
        scene.n3.set_env(CRASH, None);
        if output.code == Some(0) {
            assert!(step > 6, "killed at {step} steps only");
            return;
        }
        assert_eq!(output.code, None, "step {step}: not killed: {output:?}");
        let when = format!("killed at step {step}");
        for node in [&scene.cluster.nodes[0], &scene.cluster.nodes[1], &scene.n3] {
            assert_whole(node, &when);
        }
        after(scene, &when);
    }
    panic!("it has more than {MOST_STEPS} steps");
}

#[test]
fn a_joiner_that_dies_at_any_step_joins_by_the_same_command() {
    let mut scene = Scene::new();
    at_each_step(&mut scene, Scene::join, |scene, when| {
        let output = scene.join();
        assert_eq!(output.code, Some(0), "{when}: {output:?}");
        scene.assert_joined(when);
        scene.reset();
    });
    scene.assert_joined("not killed");
}

#[test]
fn a_rejoin_that_dies_at_any_step_is_repeated() {
    let mut scene = Scene::new();
    assert_eq!(scene.join().code, Some(0));
    scene.assert_joined("at first");
    at_each_step(
        &mut scene,
        |scene| scene.n3.om(&["daemon", "rejoin"]),
        |scene, when| {
            scene.n3.om_ok(&["daemon", "rejoin"]);
            scene.assert_joined(when);
        },
    );
    scene.assert_joined("not killed");
}

#[test]
fn a_leaver_that_dies_at_any_step_leaves_by_the_same_command_or_stays_by_rejoin() {
    for stays in [false, true] {
        let mut scene = Scene::new();
        assert_eq!(scene.join().code, Some(0));
        at_each_step(
            &mut scene,
            |scene| scene.n3.om(&["daemon", "leave"]),
            |scene, when| {
                // The daemon may not have read it yet.
                let is_over = scene.n3.read("etc/cluster.conf").contains("\nnodes = n3\n");
                if stays && !is_over {
                    scene.n3.om_ok(&[
                        "daemon",
                        "rejoin",
                        "--node",
                        &format!("127.0.0.11:{}", scene.cluster.port(0)),
                    ]);
                } else {
                    scene.n3.om_ok(&["daemon", "leave"]);
                    scene.assert_left(when);
                    scene.n3.om_ok(&["node", "thaw", "--local"]);
                    assert_eq!(scene.join().code, Some(0), "{when}");
                }
                scene.assert_joined(when);
            },
        );
        scene.assert_left("not killed");
    }
}

#[test]
fn a_joined_node_that_dies_at_any_step_takes_the_joiner_in_once_it_is_back() {
    for point in ["join.locked", "join.added", "join.released"] {
        let mut scene = Scene::new();
        let before = (scene.own.clone(), scene.n3.read("etc/node.conf"));
        scene.cluster.nodes[0].kill();
        scene.cluster.nodes[0].set_env(CRASH, Some(point));
        scene.cluster.nodes[0].start();
        scene.cluster.wait_beating();
        let output = scene.join();
        assert_eq!(output.code, Some(1), "{point}: {output:?}");
        assert!(output.err.contains("join 127.0.0.11"), "{point}: {output:?}");
        assert_eq!((scene.n3.read("etc/cluster.conf"), scene.n3.read("etc/node.conf")), before);
        assert!(!scene.n3.path("var/node/frozen").exists(), "{point}");
        scene.cluster.nodes[0].kill();
        assert_whole(&scene.n3, point);
        scene.cluster.nodes[0].set_env(CRASH, None);
        assert_whole(&scene.cluster.nodes[0], point);
        scene.cluster.nodes[0].start();
        scene.cluster.wait_beating();
        let output = scene.join();
        assert_eq!(output.code, Some(0), "{point}: {output:?}");
        scene.assert_joined(point);
    }
}

#[test]
fn a_member_that_dies_while_another_one_leaves_knows_it_once_it_is_back() {
    for point in ["leave.removed", "leave.done"] {
        let mut scene = Scene::new();
        assert_eq!(scene.join().code, Some(0));
        scene.assert_joined(point);
        scene.cluster.nodes[0].kill();
        scene.cluster.nodes[0].set_env(CRASH, Some(point));
        scene.cluster.nodes[0].start();
        scene.assert_joined(point);
        scene.n3.om_ok(&["daemon", "leave"]);
        scene.cluster.nodes[0].kill();
        scene.cluster.nodes[0].set_env(CRASH, None);
        assert_whole(&scene.cluster.nodes[0], point);
        scene.cluster.nodes[0].start();
        scene.cluster.wait_beating();
        scene.assert_left(point);
    }
}
