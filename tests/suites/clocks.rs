//! Promise: no clock that is wrong, or is set, takes a node or a service down, or keeps it from going on.

use std::fs::File;
use std::time::{Duration, SystemTime};

use harness::{Cluster, ClusterConf, Node, Scene, wait_for};

const YEAR: f64 = 365.0 * 86_400.0;

/// As nodes publish a configuration.
fn model_csum(text: &str) -> String {
    dataset::config::csum(text.as_bytes())
}

/// A service on three nodes with clocks of their own. A node that loses a split stops its daemon: nobody is killed for it.
fn scene(quorum: bool) -> Scene {
    let quorum = if quorum { "quorum = true\n" } else { "" };
    let conf = ClusterConf {
        cluster: format!("profile = fast\n{quorum}"),
        sections: "[node]\nsplit_action = stop\n".into(),
        ..ClusterConf::default()
    }
    .patient();
    let scene = Scene::of(Cluster::configured(3, &conf).with_clocks(), &[("web", "")], |_| {});
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
    }
    scene
}

/// All hear all, the service runs where it ran, and nobody thought of a split.
fn is_unmoved(scene: &Scene, on: usize) {
    for (at, node) in scene.cluster.nodes.iter().enumerate() {
        // A message of each after the step, and the judgement of its silence.
        let beats = scene.cluster.worker(at, "hb#1.rx")["stats"]["beats"].as_u64().unwrap_or(0);
        wait_for("it hears the others", || {
            scene.cluster.worker(at, "hb#1.rx")["stats"]["beats"].as_u64() > Some(beats + 20)
        });
        scene.wait_up(at, "web", &[on]);
        let log = node.read("log/node.log");
        assert!(!log.contains("split"), "{log}");
    }
}

/// Actions work on each node, and what a dead node ran is taken over.
fn goes_on(scene: &mut Scene) {
    scene.reach(1, &["web", "switch", "--to", "n2"]);
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[1]);
    }
    scene.reach(2, &["web", "stop"]);
    scene.reach(0, &["web", "start"]);
    scene.reach(1, &["web", "switch", "--to", "n3"]);
    scene.wait_up(0, "web", &[2]);
    scene.kill(2);
    for viewer in 0..2 {
        scene.wait_up_anywhere(viewer, "web", 1);
    }
    let journal = scene.journal("web");
    assert!(!journal.iter().any(|line| line.contains("beside")), "{journal:?}");
}

#[test]
fn one_clock_that_is_set_costs_no_node_and_no_service() {
    for step in [-10.0, 3_600.0, -3_600.0, YEAR] {
        let mut scene = scene(true);
        scene.cluster.nodes[0].step_clock(step);
        is_unmoved(&scene, 0);
        goes_on(&mut scene);
    }
}

#[test]
fn all_clocks_that_are_set_cost_no_node_and_no_service() {
    for (quorum, step) in [(false, -10.0), (true, 3_600.0), (true, -YEAR)] {
        let mut scene = scene(quorum);
        for node in &scene.cluster.nodes {
            node.step_clock(step);
        }
        is_unmoved(&scene, 0);
        goes_on(&mut scene);
    }
}

#[test]
fn two_of_three_clocks_that_are_set_back_soon_after_the_start_run_no_service_twice() {
    for pair in [[0, 1], [1, 2]] {
        let mut scene = scene(false);
        for at in pair {
            scene.cluster.nodes[at].step_clock(-10.0);
        }
        is_unmoved(&scene, 0);
        goes_on(&mut scene);
    }
}

#[test]
fn clocks_that_were_ahead_at_the_start_are_set_right() {
    let conf = ClusterConf::default();
    let mut scene = Scene::of(Cluster::configured(3, &conf).with_clocks(), &[("web", "")], |it| {
        for node in &it.cluster.nodes {
            node.step_clock(YEAR);
        }
    });
    scene.wait_up(0, "web", &[0]);
    for node in &scene.cluster.nodes {
        node.step_clock(0.0);
    }
    is_unmoved(&scene, 0);
    goes_on(&mut scene);
}

#[test]
fn a_configuration_that_is_dated_ahead_starts_follows_edits_and_fails_over() {
    let mut scene = scene(false);
    let ahead = SystemTime::now() + Duration::from_secs_f64(5.0 * YEAR);
    let name = "etc/web.conf";
    let text = scene.cluster.nodes[0].read(name) + "\n[env]\nround = 1\n";
    scene.cluster.nodes[0].write(name, &text);
    let file = File::options().write(true).open(scene.cluster.nodes[0].path(name)).expect("it");
    file.set_modified(ahead).expect("its date");
    let has = |scene: &Scene, at: usize, round: u32| {
        scene.cluster.nodes[at].read(name).contains(&format!("round = {round}\n"))
    };
    wait_for("all have it", || (0..3).all(|at| has(&scene, at, 1)));
    scene.cluster.nodes[1].om_ok(&["web", "set", "--kw", "env.round=2"]);
    wait_for("all have the edit", || (0..3).all(|at| has(&scene, at, 2)));
    wait_for("n3 knows that all have it", || {
        let status = scene.cluster.nodes[2].status();
        let csum = |name: &str| {
            status["monitor"]["nodes"][name]["services"]["config"]["web"]["csum"].clone()
        };
        csum("n3").is_string()
            && csum("n1") == csum("n3")
            && csum("n2") == csum("n3")
            && csum("n3") == model_csum(&scene.cluster.nodes[2].read(name))
    });
    // As an editor does, dated by a clock that is right.
    let edited = scene.cluster.nodes[2].read(name).replace("round = 2", "round = 3");
    scene.cluster.nodes[2].write(name, &edited);
    wait_for("all have what was written", || (0..3).all(|at| has(&scene, at, 3)));
    assert!(!scene.cluster.nodes[2].path("etc/web.conf.rej").exists());
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
    }
    goes_on(&mut scene);
}

/// When a node is frozen as another one sees it; 0: it is not.
fn frozen(cluster: &Cluster, viewer: usize, node: &str) -> Option<f64> {
    cluster.nodes[viewer].status()["monitor"]["nodes"][node]["frozen"].as_f64()
}

#[test]
fn a_daemon_that_starts_follows_who_froze_meanwhile_by_whatever_clock() {
    let mut cluster = Cluster::configured(2, &ClusterConf::default()).with_clocks();
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.wait_beating();
    let end = |node: &mut Node| {
        node.signal(rustix::process::Signal::TERM);
        node.wait_end();
    };
    let has_joined = |cluster: &Cluster| {
        let node = &cluster.nodes[0].status()["monitor"]["nodes"]["n1"]["monitor"]["status"];
        node == "idle"
    };
    wait_for("the grace period of n1 ends", || has_joined(&cluster));
    // Long ago, by a clock that is ahead.
    cluster.nodes[1].step_clock(3_600.0);
    cluster.nodes[1].om_ok(&["node", "freeze", "--local"]);
    wait_for("n1 sees it", || frozen(&cluster, 0, "n2") > Some(0.0));
    assert_eq!(frozen(&cluster, 0, "n1"), Some(0.0));
    end(&mut cluster.nodes[0]);
    cluster.nodes[0].start();
    cluster.wait_beating();
    wait_for("n1 has joined", || has_joined(&cluster) && frozen(&cluster, 0, "n2") > Some(0.0));
    assert_eq!(frozen(&cluster, 0, "n1"), Some(0.0), "it followed what it knew before");
    // While it is away, by a clock that is behind.
    end(&mut cluster.nodes[0]);
    cluster.nodes[1].om_ok(&["node", "thaw", "--local"]);
    cluster.nodes[1].step_clock(-3_600.0);
    cluster.nodes[1].om_ok(&["node", "freeze", "--local"]);
    cluster.nodes[0].start();
    wait_for("n1 follows", || frozen(&cluster, 0, "n1") > Some(0.0));
}

#[test]
fn a_node_without_instance_whose_clock_is_behind_has_a_service_purged() {
    let cluster = Cluster::configured(3, &ClusterConf::default().patient()).with_clocks();
    let scene = Scene::of(cluster, &[("web", "nodes = n1 n2")], |_| {});
    scene.wait_up(2, "web", &[0]);
    scene.cluster.nodes[2].step_clock(-3_600.0);
    scene.cluster.nodes[2].om_ok(&["web", "purge"]);
    for node in &scene.cluster.nodes[..2] {
        wait_for("the service is gone", || !node.path("etc/web.conf").exists());
    }
    assert_eq!(scene.journal("web"), ["start n1", "stop n1"]);
}
