//! Promise: a service has its volumes wherever the daemon or an operator starts it, whatever their own instances elsewhere
//! are, and waits for no dead node to have them.

use harness::{Cluster, ClusterConf, Scene, id_of, wait_for};

fn two_nodes(services: &[(&str, &str)], prepare: impl FnOnce(&Scene)) -> Scene {
    Scene::of(Cluster::configured(2, &ClusterConf::default().patient()), services, prepare)
}

/// What the daemon of a node had its commands do with an object.
fn log(scene: &Scene, at: usize, relative: &str) -> String {
    std::fs::read_to_string(scene.cluster.nodes[at].path(relative)).unwrap_or_default()
}

/// Provisions the service, and waits until both nodes know that nothing moves any more.
fn provision(scene: &Scene) {
    wait_for("both nodes know of both instances", || {
        [(0, 0), (0, 1), (1, 0), (1, 1)]
            .iter()
            .all(|(viewer, at)| scene.seen(*viewer, "web", *at)["provisioned"] == false)
    });
    scene.reach(0, &["web", "provision"]);
    for (viewer, at) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        scene.wait_doing(viewer, "web", at, "idle");
    }
}

fn wait_volume(scene: &Scene, at: usize, state: &str) {
    let what = format!("volume#1 of n{} is {state}", at + 1);
    wait_for(&what, || scene.seen(at, "web", at)["resources"]["volume#1"]["status"] == state);
}

#[test]
fn a_standby_volume_is_up_on_all_nodes() {
    let keywords = "[app#1]\n\n[volume#1]\nname = dta\nsize = 1m\nstandby = true\n";
    let scene = two_nodes(&[("web", keywords)], |_| {});
    provision(&scene);
    wait_volume(&scene, 0, "stdby up");
    wait_volume(&scene, 1, "stdby up");
    for to in ["n2", "n1"] {
        scene.reach(0, &["web", "switch", "--to", to]);
    }
    // An operator's own start of it on a second node is another matter.
    let output = scene.cluster.nodes[1].om(&["vol/dta", "stop", "--local"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let output = scene.cluster.nodes[1].om(&["vol/dta", "start", "--local"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("vol/dta is up on n1"), "{output:?}");
    scene.cluster.nodes[1].om_ok(&["web", "startstandby", "--local"]);
    wait_volume(&scene, 1, "stdby up");
}

#[test]
fn a_volume_that_is_up_on_one_node_keeps_no_other_from_the_service() {
    // Nor does a provision leave half of it up on a second node, though failures are not rolled back.
    let keywords = "rollback = false\n[app#1]\n\n[volume#1]\nname = dta\nsize = 1m\n";
    let scene = two_nodes(&[("web", keywords)], |_| {});
    provision(&scene);
    scene.wait_up(1, "web", &[0]);
    assert_eq!(scene.seen(1, "web", 1)["avail"], "down");
    scene.reach(0, &["web", "stop"]);
    scene.cluster.nodes[0].om_ok(&["vol/dta", "start", "--local"]);
    wait_for("n2 knows that the volume is up on n1", || {
        scene.seen(1, "vol/dta", 0)["avail"] == "up"
    });
    scene.reach(0, &["web", "switch", "--to", "n2"]);
    wait_for("web is up on n2", || scene.seen(0, "web", 1)["avail"] == "up");
}

#[test]
fn a_flex_service_has_an_existing_volume_on_each_node() {
    let keywords =
        "topology = flex\nflex_min = 2\nflex_max = 2\n[app#1]\n\n[volume#1]\nname = dta\n";
    let scene = two_nodes(&[("web", keywords)], |scene| {
        for node in &scene.cluster.nodes {
            std::fs::create_dir_all(node.path("etc/vol")).expect("a folder");
        }
        let text = format!(
            "[DEFAULT]\nid = {}\nnodes = n1 n2\nchildren = web\n[fs#1]\ntype = flag\n[sync#i0]\ndisable = true\n",
            id_of("dta")
        );
        scene.configure("vol/dta", &text);
    });
    provision(&scene);
    scene.wait_up(0, "web", &[0, 1]);
    scene.reach(0, &["web", "stop"]);
    scene.reach(0, &["web", "start"]);
    scene.wait_up(0, "web", &[0, 1]);
}

#[test]
fn a_takeover_asks_no_dead_node_about_a_volume() {
    let keywords = "[app#1]\n\n[volume#1]\nname = dta\nsize = 1m\n";
    let mut scene = two_nodes(&[("web", keywords)], |_| {});
    provision(&scene);
    scene.reach(0, &["web", "switch", "--to", "n1"]);
    scene.wait_up(1, "web", &[0]);
    scene.kill(0);
    wait_for("the volume is up on n2", || {
        scene.seen(1, "web", 1)["resources"]["volume#1"]["status"] == "up"
            && scene.file("web", "up.n2").exists()
    });
    let told = log(&scene, 1, "log/web.log") + &log(&scene, 1, "log/vol/dta.log");
    assert!(told.contains("vol/dta"), "{told}");
    assert!(!told.contains("does not answer"), "{told}");
}
