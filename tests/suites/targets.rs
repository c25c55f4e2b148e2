//! Promise: what an operator asks of a service is done on the right nodes, in the right order, and told when it is done.

use harness::{Scene, wait_for};

const FAILOVER: (&str, &str) = ("web", "");
const FLEX: (&str, &str) = ("flex", "topology = flex\nflex_min = 1\nflex_target = 2");

fn frozen(scene: &Scene, viewer: usize, name: &str) -> Vec<bool> {
    let is_frozen = |at| scene.seen(viewer, name, at)["frozen"].as_f64() > Some(0.0);
    (0..3).map(is_frozen).collect()
}

#[test]
fn a_failover_service_goes_where_it_is_told_to() {
    let scene = Scene::start(&[FAILOVER]);
    scene.wait_up(1, "web", &[0]);
    scene.reach(0, &["web", "switch", "--to", "n3"]);
    scene.wait_up(0, "web", &[2]);
    scene.reach(1, &["web", "takeover"]);
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.aggregate(0, "web", "placement"), "non-optimal");
    scene.reach(2, &["web", "giveback"]);
    scene.wait_up(0, "web", &[0]);
    assert_eq!(scene.aggregate(2, "web", "placement"), "optimal");
    scene.reach(2, &["web", "restart"]);
    scene.wait_up(2, "web", &[0]);
    let moves = [
        "start n1", "stop n1", "start n3", "stop n3", "start n2", "stop n2", "start n1", "stop n1",
        "start n1",
    ];
    assert_eq!(scene.journal("web"), moves);
    // Already there, or nowhere.
    scene.reach(1, &["web", "switch", "--to", "n1"]);
    scene.reach(1, &["web", "start"]);
    let nowhere = scene.cluster.nodes[1].om(&["web", "switch", "--to", "n9"]);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert_eq!(scene.journal("web"), moves);
}

#[test]
fn a_stop_freezes_and_a_start_thaws_and_a_frozen_service_stays_where_it_is() {
    let mut scene = Scene::start(&[FAILOVER, FLEX]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(1, "flex", &[0, 1]);
    for name in ["web", "flex"] {
        scene.reach(2, &[name, "stop"]);
        scene.wait_up(0, name, &[]);
        assert_eq!(frozen(&scene, 1, name), [true; 3]);
        scene.reach(1, &[name, "start"]);
        scene.wait_up(2, name, if name == "web" { &[0] } else { &[0, 1] });
        assert_eq!(frozen(&scene, 0, name), [false; 3]);
    }
    scene.reach(1, &["*", "freeze"]);
    assert_eq!(frozen(&scene, 2, "web"), [true; 3]);
    assert_eq!(scene.aggregate(0, "flex", "frozen"), "frozen");
    scene.kill(0);
    wait_for("n1 is forgotten", || scene.seen(1, "web", 0).is_null());
    scene.wait_up(1, "web", &[]);
    scene.wait_up(1, "flex", &[1]);
    scene.reach(2, &["*", "thaw"]);
    scene.wait_up(1, "web", &[1]);
    scene.wait_up(1, "flex", &[1, 2]);
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n1", "start n2"]);
}

#[test]
fn a_flex_service_keeps_its_number_and_moves_without_falling_below() {
    let scene = Scene::start(&[FLEX]);
    scene.wait_up(2, "flex", &[0, 1]);
    scene.reach(0, &["flex", "switch", "--to", "n3"]);
    let moves = scene.journal("flex");
    assert_eq!(moves[2], "start n3 beside up.n1 up.n2", "{moves:?}");
    // The others were stopped, and one of them is wanted again.
    wait_for("two are up", || {
        let up = |at| scene.seen(1, "flex", at)["avail"] == "up";
        scene.journal("flex").len() >= 6 && (0..3).filter(|at| up(*at)).count() == 2
    });
    scene.reach(1, &["flex", "giveback"]);
    scene.wait_up(0, "flex", &[0, 1]);
}

#[test]
fn a_wait_that_is_too_long_says_so_and_the_target_stays() {
    let scene = Scene::start(&[FAILOVER]);
    scene.wait_up(1, "web", &[0]);
    scene.touch("web", "hold.n2");
    let late =
        scene.cluster.nodes[2].om(&["web", "switch", "--to", "n2", "--wait", "--time", "500ms"]);
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!((late.out + &late.err).contains("timeout"));
    // One target at a time.
    let refused = scene.cluster.nodes[0].om(&["web", "stop"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    scene.remove("web", "hold.n2");
    scene.wait_up(2, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n2"]);
}

#[test]
fn parents_are_started_first_and_children_stopped_first() {
    let scene = Scene::start(&[("db", ""), ("web", "parents = db")]);
    scene.wait_up(2, "web", &[0]);
    let before = |scene: &Scene, first: &str, then: &str, what: &str| {
        let time = |name: &str| {
            let log = scene.cluster.nodes[0].read(&format!("log/{name}.log"));
            let line = log.lines().rev().find(|line| line.contains(what)).unwrap_or_default();
            line.chars().take(23).collect::<String>()
        };
        let (one, other) = (time(first), time(then));
        assert!(!one.is_empty() && one < other, "{what}: {first} at {one}, {then} at {other}");
    };
    before(&scene, "db", "web", "action ended action=start");
    scene.cluster.nodes[1].om_ok(&["web,db", "stop", "--wait", "--time", "20s"]);
    scene.wait_up(1, "db", &[]);
    scene.cluster.nodes[1].om_ok(&["web,db", "start", "--wait", "--time", "20s"]);
    scene.wait_up(2, "web", &[0]);
    before(&scene, "db", "web", "action ended action=start");
}

#[test]
fn a_parent_is_stopped_once_its_children_are() {
    let scene = Scene::start(&[("db", "children = web"), ("web", "")]);
    scene.wait_up(2, "web", &[0]);
    scene.wait_up(2, "db", &[0]);
    scene.cluster.nodes[1].om_ok(&["db", "stop"]);
    scene.cluster.nodes[0].wait_instance("db", "waiting for web", |instance| {
        instance["monitor"]["status"] == "wait children"
    });
    assert_eq!(scene.journal("db"), ["start n1"]);
    scene.reach(2, &["web", "stop"]);
    scene.wait_up(1, "db", &[]);
    assert_eq!(scene.journal("db"), ["start n1", "stop n1"]);
}

#[test]
fn a_purged_service_is_stopped_and_gone_everywhere() {
    let scene = Scene::start(&[FAILOVER, FLEX]);
    scene.wait_up(1, "web", &[0]);
    scene.wait_up(1, "flex", &[0, 1]);
    scene.reach(2, &["web", "purge"]);
    for node in &scene.cluster.nodes {
        wait_for("its configuration is gone", || !node.path("etc/web.conf").exists());
    }
    scene.reach(0, &["flex", "delete"]);
    for (at, node) in scene.cluster.nodes.iter().enumerate() {
        wait_for("it is known nowhere", || {
            let services = &node.status()["monitor"]["services"];
            services["web"].is_null() && services["flex"].is_null()
        });
        assert!(!node.path("etc/flex.conf").exists(), "n{}", at + 1);
    }
    assert_eq!(scene.journal("web"), ["start n1", "stop n1"]);
    assert!(
        scene.journal("flex").iter().all(|line| line.starts_with("start")),
        "deleted, not stopped"
    );
}

#[test]
fn what_is_provisioned_is_so_on_all_nodes_and_up_on_one() {
    let scene = Scene::start(&[]);
    let node = &scene.cluster.nodes[0];
    node.om_ok(&[
        "dir",
        "create",
        "--kw",
        "nodes=n1 n2 n3",
        "--kw",
        "orchestrate=ha",
        "--kw",
        "fs#1.type=flag",
        "--kw",
        "sync#i0.disable=true",
    ]);
    wait_for("all have an instance", || {
        (0..3).all(|at| scene.seen(0, "dir", at)["avail"] == "down")
    });
    scene.reach(1, &["dir", "provision"]);
    for viewer in 0..3 {
        scene.wait_up(viewer, "dir", &[0]);
    }
    assert_eq!(scene.aggregate(2, "dir", "provisioned"), true);
    assert_eq!(frozen(&scene, 2, "dir"), [false; 3]);
    scene.reach(2, &["dir", "unprovision"]);
    scene.wait_up(1, "dir", &[]);
    assert_eq!(scene.aggregate(2, "dir", "provisioned"), false);
}
