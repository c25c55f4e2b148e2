//! Promise: a service that is kept available goes on elsewhere when its node is lost, once, and stays where it is when only
//! its daemon is away for a moment.

use std::time::Instant;

use harness::{ClusterConf, Node, Scene, id_of, wait_for};
use rustix::process::Signal;

fn node_status(viewer: &Node, name: &str) -> String {
    let status = &viewer.status()["monitor"]["nodes"][name]["monitor"]["status"];
    status.as_str().unwrap_or_default().to_owned()
}

/// What `n1` ran is not taken over while its daemon is away, and is found again.
fn is_left_alone(scene: &mut Scene, stop: impl FnOnce(&mut Node)) {
    scene.wait_up(1, "web", &[0]);
    let begun = Instant::now();
    stop(&mut scene.cluster.nodes[0]);
    assert_eq!(scene.cluster.nodes[0].wait_end(), Some(0));
    println!("measured: a daemon of three stopped in {} ms", begun.elapsed().as_millis());
    for viewer in [1, 2] {
        assert_eq!(node_status(&scene.cluster.nodes[viewer], "n1"), "maintenance");
        scene.cluster.wait_flag(viewer, "hb#1.rx", 0, false);
    }
    // They decide, and not on that.
    scene.cluster.nodes[1].om_ok(&["other", "restart", "--wait", "--time", "20s"]);
    for viewer in [1, 2] {
        assert_eq!(node_status(&scene.cluster.nodes[viewer], "n1"), "maintenance");
        assert_eq!(scene.seen(viewer, "web", 0)["avail"], "up", "kept as it was");
    }
    scene.cluster.nodes[0].start();
    scene.cluster.wait_beating();
    wait_for("n1 is idle for all", || {
        scene.cluster.nodes.iter().all(|viewer| node_status(viewer, "n1") == "idle")
    });
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0]);
    }
    assert_eq!(scene.journal("web"), ["start n1"]);
}

#[test]
fn a_daemon_that_stops_is_known_to_and_its_instances_are_left_alone() {
    let mut scene = Scene::start(&[("web", ""), ("other", "nodes = n2 n3")]);
    is_left_alone(&mut scene, |node| _ = node.om_ok(&["daemon", "stop"]));
    is_left_alone(&mut scene, |node| node.signal(Signal::TERM));
    let log = scene.cluster.nodes[0].read("log/node.log");
    assert!(!log.contains("acknowledged"), "{log}");
}

#[test]
fn a_peer_that_hears_nothing_delays_a_stop_by_five_seconds() {
    let mut scene = Scene::start(&[("web", "nodes = n1 n3")]);
    scene.wait_up(2, "web", &[0]);
    // It goes on beating, and cannot acknowledge.
    scene.cluster.nodes[1].om_ok(&["daemon", "stop", "--thread-id", "hb#1.rx"]);
    let begun = Instant::now();
    scene.cluster.nodes[0].om_ok(&["daemon", "stop"]);
    assert_eq!(scene.cluster.nodes[0].wait_end(), Some(0));
    assert!((5..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let log = scene.cluster.nodes[0].read("log/node.log");
    assert!(log.contains("a peer has not acknowledged the announcement of the stop"), "{log}");
    assert_eq!(node_status(&scene.cluster.nodes[2], "n1"), "maintenance");
    assert_eq!(scene.journal("web"), ["start n1"]);
}

#[test]
fn a_daemon_that_shuts_down_hands_its_instances_over() {
    let mut scene = Scene::start(&[("web", "")]);
    scene.wait_up(1, "web", &[0]);
    scene.cluster.nodes[0].om_ok(&["daemon", "shutdown", "--time", "20s"]);
    assert_eq!(scene.cluster.nodes[0].wait_end(), Some(0));
    for viewer in [1, 2] {
        scene.wait_up(viewer, "web", &[1]);
    }
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n2"]);
    let log = scene.cluster.nodes[1].read("log/node.log");
    assert!(!log.contains("was_shutting=false"), "no split: {log}");
    scene.cluster.nodes[0].start();
    scene.cluster.wait_beating();
    wait_for("n1 is idle", || node_status(&scene.cluster.nodes[1], "n1") == "idle");
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.journal("web").len(), 3);
}

#[test]
fn what_a_dead_node_ran_is_started_elsewhere_once_and_stays_there_when_it_is_back() {
    let mut scene = Scene::start(&[("web", ""), ("flex", "topology = flex\nflex_target = 2")]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(1, "flex", &[0, 1]);
    scene.kill(0);
    scene.wait_up(1, "web", &[1]);
    scene.wait_up(2, "web", &[1]);
    scene.wait_up(2, "flex", &[1, 2]);
    scene.cluster.nodes[0].start();
    scene.cluster.wait_beating();
    wait_for("n1 is idle", || node_status(&scene.cluster.nodes[1], "n1") == "idle");
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[1]);
        scene.wait_up(viewer, "flex", &[1, 2]);
    }
    assert_eq!(scene.journal("web"), ["start n1", "start n2"]);
    wait_for("n1 would be the better place", || {
        scene.cluster.nodes[2].status()["monitor"]["services"]["web"]["placement"] == "non-optimal"
    });
    scene.cluster.nodes[2].om_ok(&["web", "giveback", "--wait", "--time", "20s"]);
    scene.wait_up(0, "web", &[0]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2", "stop n2", "start n1"]);
}

#[test]
fn a_paused_daemon_that_goes_on_is_seen_and_nothing_flaps() {
    let scene = Scene::start(&[("web", "")]);
    scene.wait_up(1, "web", &[0]);
    scene.cluster.nodes[0].signal(Signal::STOP);
    // Nothing stops its instance meanwhile, as no quorum is asked for.
    scene.wait_up(1, "web", &[1]);
    scene.cluster.nodes[0].signal(Signal::CONT);
    scene.cluster.wait_beating();
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[0, 1]);
        let web = scene.cluster.nodes[viewer].status()["monitor"]["services"]["web"].clone();
        assert_eq!(web["avail"], "warn", "{web:#}");
    }
    scene.cluster.nodes[1].om_ok(&["web", "stop", "--node", "n1"]);
    scene.wait_up(1, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2 beside up.n1", "stop n1"]);
}

/// Gives a node the node.conf of another cluster, as a join does: an edit that cuts it off would not be followed.
fn move_to(node: &Node, text: &str) {
    node.write("var/node/other_cluster", &dataset::config::csum(text.as_bytes()));
    node.write("etc/node.conf", text);
}

#[test]
fn the_minority_of_a_split_stops_what_the_majority_takes_over() {
    let conf = ClusterConf {
        cluster: "profile = fast\nquorum = true".into(),
        sections: "[node]\nsplit_action = stop".into(),
        ..ClusterConf::default()
    };
    let scene = Scene::start_with(&conf, &[("web", "")], |_| {});
    scene.wait_up(1, "web", &[0]);
    // Both directions at once, as when a cable is pulled: what comes from another cluster is nobody's. A receiver that is
    // stopped would not do: that is an order, and judges nobody.
    move_to(&scene.cluster.nodes[0], "[cluster]\nname = another\n");
    for viewer in [1, 2] {
        scene.wait_up(viewer, "web", &[1]);
    }
    scene.wait_up(0, "web", &[]);
    // Which of both is first is a matter of timeouts; what is up where is not.
    let mut done = scene.journal("web");
    println!("measured: {done:?}");
    done.sort();
    let done: Vec<&str> = done.iter().map(|line| &line[..line.len().min(8)]).collect();
    assert_eq!(done, ["start n1", "start n2", "stop n1"]);
    assert!(!scene.file("web", "up.n1").exists() && scene.file("web", "up.n2").exists());
    // An emptied file would be one that is being written.
    move_to(&scene.cluster.nodes[0], "[node]\n");
    scene.cluster.wait_beating();
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[1]);
    }
    assert_eq!(scene.journal("web").len(), 3);
}

#[test]
fn a_rolling_restart_of_all_daemons_leaves_every_process_as_it_is() {
    let mut scene = Scene::start_with(&ClusterConf::default(), &[("flag", "")], |scene| {
        let web = format!(
            "[DEFAULT]\nid = {}\nnodes = n2 n3 n1\norchestrate = ha\n[app#1]\ntype = simple\n\
             start = /bin/sleep 81001\n",
            id_of("web")
        );
        scene.configure("web", &web);
    });
    scene.wait_up(0, "web", &[1]);
    scene.wait_up(0, "flag", &[0]);
    let sleeping = |scene: &Scene| -> Vec<Vec<u32>> {
        let nodes = scene.cluster.nodes.iter();
        nodes.map(|node| node.processes(|line| line == "/bin/sleep 81001")).collect()
    };
    let before = sleeping(&scene);
    for at in [0, 1, 2] {
        scene.cluster.nodes[at].om_ok(&["daemon", "stop"]);
        assert_eq!(scene.cluster.nodes[at].wait_end(), Some(0));
        scene.cluster.nodes[at].start();
        scene.cluster.wait_beating();
        let name = format!("n{}", at + 1);
        wait_for("it is idle for all", || {
            scene.cluster.nodes.iter().all(|viewer| node_status(viewer, &name) == "idle")
        });
    }
    for viewer in 0..3 {
        scene.wait_up(viewer, "web", &[1]);
        scene.wait_up(viewer, "flag", &[0]);
    }
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(sleeping(&scene), before);
    assert_eq!(scene.journal("flag"), ["start n1"]);
}

#[test]
fn a_drained_node_hands_over_and_takes_nothing_until_it_is_thawed() {
    let scene = Scene::start(&[("web", "")]);
    scene.wait_up(1, "web", &[0]);
    scene.cluster.nodes[1].om_ok(&["node", "drain", "--node", "n1", "--wait", "--time", "20s"]);
    scene.wait_up(1, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n2"]);
    scene.cluster.nodes[0].om_ok(&["node", "drain", "--node", "n2", "--wait", "--time", "20s"]);
    scene.wait_up(1, "web", &[2]);
    for node in ["n1", "n2"] {
        scene.cluster.nodes[2].om_ok(&["node", "thaw", "--node", node]);
    }
    wait_for("the nodes are thawed", || {
        let nodes = scene.cluster.nodes[2].status()["monitor"]["nodes"].clone();
        ["n1", "n2"].iter().all(|name| nodes[name]["frozen"] == 0.0)
    });
    scene.cluster.nodes[2].om_ok(&["web", "restart", "--wait", "--time", "20s"]);
    scene.wait_up(1, "web", &[2]);
    let moves = ["start n1", "stop n1", "start n2", "stop n2", "start n3", "stop n3", "start n3"];
    assert_eq!(scene.journal("web"), moves);
}

#[test]
fn a_service_that_is_up_twice_is_told_where_it_is_until_somebody_has_chosen() {
    let scene = Scene::start(&[("web", "")]);
    scene.wait_up(1, "web", &[0]);
    let alerts = |at: usize| scene.cluster.nodes[at].status()["monitor"]["alerts"].clone();
    scene.cluster.nodes[1].om_ok(&["web", "start", "--local", "--force"]);
    for at in [0, 1] {
        wait_for("it is told where it is up", || {
            let told = alerts(at).to_string();
            told.contains("web is up on n1 and n2 at once") && told.contains("om web stop --local")
        });
    }
    wait_for("a third node shows it once, with who tells it", || {
        let shown = scene.cluster.nodes[2].om_ok(&["mon"]);
        shown.contains(" n1,n2 monitor: error: web is up on n1 and n2 at once")
    });
    // Nobody has chosen for them meanwhile.
    assert_eq!(scene.journal("web"), ["start n1", "start n2 beside up.n1"]);
    assert_eq!(alerts(2), serde_json::Value::Null, "it runs nothing");
    scene.cluster.nodes[1].om_ok(&["web", "stop", "--local"]);
    for at in [0, 1] {
        wait_for("it is told no more", || alerts(at).is_null());
    }
    scene.wait_up(2, "web", &[0]);
    assert_eq!(scene.journal("web"), ["start n1", "start n2 beside up.n1", "stop n2"]);
}
