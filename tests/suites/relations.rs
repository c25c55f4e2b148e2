//! Promise: what needs something starts after it and stops before it, on whichever nodes the two run.

use harness::Scene;

#[test]
fn a_child_waits_for_its_parent_on_another_node() {
    let services = [("db", "nodes = n1\norchestrate = no"), ("web", "nodes = n2 n3\nparents = db")];
    let scene = Scene::start(&services);
    scene.wait_doing(2, "web", 1, "wait parents");
    // Being started is not enough.
    scene.touch("db", "hold.n1");
    scene.cluster.nodes[2].om_ok(&["db", "start"]);
    scene.wait_doing(1, "db", 0, "starting");
    assert_eq!(scene.doing(1, "web", 1), "wait parents");
    assert!(scene.journal("web").is_empty());
    scene.remove("db", "hold.n1");
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n2"]);
}

#[test]
fn a_child_waits_for_the_very_instance_of_its_parent_that_it_names() {
    let scene = Scene::start(&[("db", ""), ("web", "nodes = n1 n3\nparents = db@n2")]);
    scene.wait_up(2, "db", &[0]);
    scene.wait_doing(2, "web", 0, "wait parents");
    scene.reach(0, &["db", "switch", "--to", "n2"]);
    scene.wait_up(2, "web", &[0]);
    assert_eq!(scene.journal("web"), ["start n1"]);
    // It stays up without it, and does not start without it.
    scene.reach(2, &["db", "switch", "--to", "n3"]);
    scene.wait_up(1, "web", &[0]);
    scene.reach(2, &["web", "stop"]);
    scene.cluster.nodes[1].om_ok(&["web", "start"]);
    scene.wait_doing(1, "web", 0, "wait parents");
    assert_eq!(scene.journal("web"), ["start n1", "stop n1"]);
    scene.reach(1, &["db", "switch", "--to", "n2"]);
    scene.wait_up(1, "web", &[0]);
}

#[test]
fn a_parent_stops_once_its_children_on_other_nodes_have() {
    let services = [("db", "nodes = n1\nchildren = web"), ("web", "nodes = n2\nparents = db")];
    let scene = Scene::start(&services);
    scene.wait_up(2, "web", &[1]);
    scene.touch("web", "hold-stop.n2");
    let mut stop = scene.cluster.nodes[2].spawn(&["*", "stop", "--wait", "--time", "30s"]);
    scene.wait_doing(2, "web", 1, "stopping");
    scene.wait_doing(2, "db", 0, "wait children");
    assert_eq!(scene.journal("db"), ["start n1"]);
    scene.remove("web", "hold-stop.n2");
    assert!(stop.wait().is_ok_and(|status| status.success()));
    for name in ["db", "web"] {
        scene.wait_up(0, name, &[]);
    }
    assert_eq!(scene.journal("db"), ["start n1", "stop n1"]);
}

#[test]
fn a_parent_waits_for_no_other_instance_of_its_child_than_the_one_it_names() {
    let scene = Scene::start(&[("db", "nodes = n1\nchildren = web@n2"), ("web", "nodes = n2 n3")]);
    scene.wait_up(2, "web", &[1]);
    scene.wait_up(2, "db", &[0]);
    scene.cluster.nodes[2].om_ok(&["db", "stop"]);
    scene.wait_doing(2, "db", 0, "wait children");
    assert_eq!(scene.journal("db"), ["start n1"]);
    scene.reach(0, &["web", "switch", "--to", "n3"]);
    scene.wait_up(1, "db", &[]);
    assert_eq!(scene.journal("db"), ["start n1", "stop n1"]);
    scene.wait_up(1, "web", &[2]);
}
