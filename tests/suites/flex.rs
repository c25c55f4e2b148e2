//! Promise: a flex service runs on as many nodes as it is to, whatever is lost, added by hand or asked for.

use harness::{Scene, wait_for};

#[test]
fn a_lost_instance_is_started_elsewhere_and_too_few_are_told() {
    let mut scene = Scene::start(&[("flex", "topology = flex\nflex_min = 2\nflex_target = 2")]);
    scene.wait_up(2, "flex", &[0, 1]);
    scene.kill(1);
    scene.wait_up(0, "flex", &[0, 2]);
    assert_eq!(scene.aggregate(2, "flex", "avail"), "up");
    scene.kill(0);
    wait_for("too few are up", || scene.aggregate(2, "flex", "avail") == "warn");
    scene.wait_up(2, "flex", &[2]);
    assert_eq!(scene.journal("flex").len(), 3, "{:?}", scene.journal("flex"));
}

#[test]
fn an_instance_too_many_is_stopped_where_it_is_wanted_least() {
    let scene = Scene::start(&[("flex", "topology = flex\nflex_target = 1\nflex_max = 2")]);
    scene.wait_up(2, "flex", &[0]);
    scene.cluster.nodes[2].om_ok(&["flex", "start", "--local"]);
    wait_for("the one too many is stopped", || {
        scene.journal("flex").last().is_some_and(|line| line == "stop n3")
    });
    scene.wait_up(1, "flex", &[0]);
    assert_eq!(scene.journal("flex"), ["start n1", "start n3 beside up.n1", "stop n3"]);
}

#[test]
fn a_changed_target_starts_or_stops_the_difference() {
    let scene = Scene::start(&[("flex", "topology = flex\nflex_target = 1")]);
    scene.wait_up(2, "flex", &[0]);
    for (target, on) in [("3", &[0, 1, 2][..]), ("2", &[0, 1]), ("1", &[0])] {
        let keyword = format!("flex_target={target}");
        scene.cluster.nodes[1].om_ok(&["flex", "set", "--kw", &keyword]);
        for viewer in 0..3 {
            scene.wait_up(viewer, "flex", on);
        }
        assert_eq!(scene.aggregate(0, "flex", "avail"), "up");
        assert_eq!(scene.aggregate(0, "flex", "placement"), "optimal");
    }
    // n1 was wanted all along.
    assert_eq!(scene.journal("flex").iter().filter(|line| line.starts_with("start n1")).count(), 1);
}

#[test]
fn more_than_its_maximum_is_told() {
    let scene =
        Scene::start(&[("flex", "topology = flex\norchestrate = no\nflex_min = 1\nflex_max = 1")]);
    for (node, avail) in [(0, "up"), (1, "warn")] {
        scene.cluster.nodes[node].om_ok(&["flex", "start", "--local"]);
        wait_for(&format!("the whole is {avail}"), || scene.aggregate(2, "flex", "avail") == avail);
    }
}

#[test]
fn a_restart_goes_from_node_to_node() {
    let scene = Scene::start(&[("flex", "topology = flex\nflex_target = 3")]);
    scene.wait_up(2, "flex", &[0, 1, 2]);
    let before = scene.journal("flex").len();
    scene.reach(1, &["flex", "restart"]);
    scene.wait_up(0, "flex", &[0, 1, 2]);
    let done: Vec<String> =
        scene.journal("flex")[before..].iter().map(|line| line.chars().take(8).collect()).collect();
    let in_turn = ["stop n1", "start n1", "stop n2", "start n2", "stop n3", "start n3"];
    assert_eq!(done.iter().map(|line| line.trim()).collect::<Vec<_>>(), in_turn);
}
