//! Promise: what fails on one node is tried on another, once, and an operator gets out of every failure.

use harness::{ClusterConf, Scene, id_of, wait_for};

fn fails_at_first(name: &'static str) -> Scene {
    Scene::start_with(&ClusterConf::default(), &[(name, "")], |scene| {
        scene.touch(name, "fail-start.n1");
    })
}

#[test]
fn a_service_that_does_not_start_is_started_on_the_next_node() {
    let scene = fails_at_first("web");
    scene.wait_up(2, "web", &[1]);
    // The failure is forgotten once it is up: it could start here again.
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2"]);
    scene.wait_doing(2, "web", 0, "idle");
    scene.remove("web", "fail-start.n1");
    scene.cluster.nodes[2].om_ok(&["web", "giveback", "--wait", "--time", "20s"]);
    scene.wait_up(2, "web", &[0]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2", "stop n2", "start n1"]);
}

#[test]
fn a_service_that_starts_nowhere_is_tried_once_on_each_node_until_it_is_cleared() {
    let scene = Scene::start_with(&ClusterConf::default(), &[("web", "")], |scene| {
        for node in ["n1", "n2", "n3"] {
            scene.touch("web", &format!("fail-start.{node}"));
        }
    });
    for at in 0..3 {
        scene.wait_doing(1, "web", at, "start failed");
    }
    assert_eq!(scene.journal("web"), ["start n1", "start n2", "start n3"]);
    scene.remove("web", "fail-start.n3");
    scene.cluster.nodes[0].om_ok(&["web", "clear", "--node", "*"]);
    scene.wait_up(0, "web", &[2]);
}

#[test]
fn what_falls_and_does_not_come_back_here_is_started_elsewhere() {
    let keywords =
        "monitor_action = switch\n[app#1]\nrestart = 1\nrestart_reset = 0\nmonitor = true\n";
    let scene = Scene::start(&[("web", keywords)]);
    scene.cluster.nodes[0].wait_instance("web", "kept up", |instance| {
        instance["avail"] == "up"
            && instance["monitor"]["status"] == "idle"
            && instance["monitor"]["local_expect"] == "started"
    });
    // It falls, and is repaired.
    scene.remove("web", "up.n1");
    scene.cluster.nodes[0].om(&["web", "status", "--refresh"]);
    wait_for("it is repaired", || scene.file("web", "up.n1").exists());
    scene.wait_up(0, "web", &[0]);
    // It falls, and cannot be repaired.
    scene.touch("web", "fail-start.n1");
    scene.remove("web", "up.n1");
    scene.cluster.nodes[0].om(&["web", "status", "--refresh"]);
    scene.wait_up(2, "web", &[1]);
    let done = scene.journal("web");
    let starts = |node: &str| done.iter().filter(|line| **line == format!("start {node}")).count();
    assert_eq!((starts("n1"), starts("n2"), starts("n3")), (3, 1, 0), "{done:?}");
    assert!(scene.cluster.nodes[0].read("log/web.log").contains("monitor action switch"));
}

#[test]
fn what_does_not_stop_is_started_nowhere_else() {
    let scene = Scene::start_with(&ClusterConf::default(), &[("other", "")], |scene| {
        let script = scene.file("other", "stubborn");
        std::fs::write(&script, "trap '' TERM\nwhile :; do sleep 1; done\n").expect("a script");
        let text = format!(
            "[DEFAULT]\nid = {}\nnodes = n1 n2 n3\norchestrate = ha\n[sync#i0]\ndisable = true\n\
             [app#1]\ntype = simple\nstart = /bin/sh {}\n",
            id_of("web"),
            script.display()
        );
        scene.configure("web", &text);
    });
    scene.wait_up(1, "web", &[0]);
    let switch =
        scene.cluster.nodes[1].om(&["web", "switch", "--to", "n2", "--wait", "--time", "8s"]);
    assert_eq!(switch.code, Some(1), "{switch:?}");
    scene.wait_doing(1, "web", 0, "stop failed");
    for viewer in 0..3 {
        assert_eq!(scene.seen(viewer, "web", 0)["avail"], "up");
        assert_eq!(scene.seen(viewer, "web", 1)["avail"], "down");
    }
    scene.cluster.nodes[2].om(&["web", "abort", "--wait", "--time", "20s"]);
    scene.cluster.nodes[0].om_ok(&["web", "clear"]);
    scene.wait_up(2, "web", &[0]);
}

#[test]
fn a_start_that_hangs_is_ended_by_an_abort_from_anywhere_and_hangs_on_no_other_node() {
    let scene = Scene::start_with(&ClusterConf::default(), &[("web", "")], |scene| {
        for node in ["n1", "n2", "n3"] {
            scene.touch("web", &format!("hold.{node}"));
        }
    });
    let [n1, n2, n3] = &scene.cluster.nodes[..] else { panic!("three nodes") };
    scene.wait_doing(2, "web", 0, "starting");
    let refused = n2.om(&["web", "stop"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("om web abort"), "{refused:?}");
    let aborted = n3.om(&["web", "abort"]);
    let told = "web on n1: starting is ended, then web is frozen";
    assert!(aborted.err.contains(told), "{aborted:?}");
    for node in [n1, n2, n3] {
        node.wait_instance("web", "frozen", |instance| instance["frozen"] != 0.0);
    }
    let log = n1.read("log/web.log");
    assert!(log.contains("is ended, the action was asked to end"), "{log}");
    assert!(!n2.read("log/web.log").contains("do start"), "another node started it");
    // Nothing holds it any more.
    for node in ["n1", "n2", "n3"] {
        scene.remove("web", &format!("hold.{node}"));
    }
    scene.reach(0, &["web", "start"]);
    scene.wait_up(1, "web", &[0]);
}
