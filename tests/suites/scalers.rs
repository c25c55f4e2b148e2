//! Promise: a scaler has as many slices as it is to, each started where there is room; what is asked of an object is asked
//! of its slaves.

use harness::{Scene, id_of, wait_for};

/// Slices of a service that a node knows, and whether they are up.
fn slices(scene: &Scene, viewer: usize, name: &str) -> Vec<(String, String)> {
    let services = scene.cluster.nodes[viewer].status()["monitor"]["services"].clone();
    let ending = format!(".{name}");
    let services = services.as_object().into_iter().flatten();
    services
        .filter(|(path, _)| path.ends_with(&ending))
        .map(|(path, whole)| (path.clone(), whole["avail"].as_str().unwrap_or("").to_owned()))
        .collect()
}

fn wait_slices(scene: &Scene, name: &str, expected: &[&str]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|path| ((*path).to_owned(), "up".to_owned())).collect();
    for viewer in 0..3 {
        wait_for(&format!("n{} sees {expected:?} up", viewer + 1), || {
            slices(scene, viewer, name) == expected
        });
    }
}

fn scaler(scene: &Scene, name: &str, keywords: &str) {
    let text = format!(
        "[DEFAULT]\nid = {}\nnodes = n1 n2 n3\norchestrate = ha\n{keywords}\n\
         [fs#1]\ntype = flag\n[sync#i0]\ndisable = true\n",
        id_of(name)
    );
    scene.configure(name, &text);
}

#[test]
fn a_scaler_makes_and_removes_slices_as_its_scale_changes() {
    let scene = Scene::start(&[]);
    scaler(&scene, "web", "scale = 2\nplacement = shift");
    wait_slices(&scene, "web", &["0.web", "1.web"]);
    wait_for("the whole is up", || scene.aggregate(2, "web", "avail") == "up");
    scene.cluster.nodes[2].om_ok(&["web", "scale", "--to", "3"]);
    wait_slices(&scene, "web", &["0.web", "1.web", "2.web"]);
    // Slice n starts with the n-th node.
    wait_for("each node has one", || {
        (0..3).all(|at| scene.seen(1, &format!("{at}.web"), at)["avail"] == "up")
    });
    scene.cluster.nodes[0].om_ok(&["web", "scale", "--to", "1"]);
    wait_slices(&scene, "web", &["0.web"]);
    for node in &scene.cluster.nodes {
        wait_for("the configurations are gone", || !node.path("etc/2.web.conf").exists());
    }
}

#[test]
fn a_flex_scaler_fills_slices_as_wide_as_the_cluster() {
    let scene = Scene::start(&[]);
    scaler(&scene, "web", "topology = flex\nscale = 4");
    wait_slices(&scene, "web", &["0.web", "1.web"]);
    let up = |name: &str| (0..3).filter(|at| scene.seen(1, name, *at)["avail"] == "up").count();
    wait_for("four are up", || (up("0.web"), up("1.web")) == (3, 1));
    scene.cluster.nodes[1].om_ok(&["web", "set", "--kw", "scale=2"]);
    wait_slices(&scene, "web", &["0.web"]);
    wait_for("two are up", || up("0.web") == 2);
}

#[test]
fn what_is_asked_of_an_object_is_asked_of_its_slaves() {
    let scene = Scene::start(&[("web", ""), ("db", "nodes = n2 n1")]);
    let text = format!(
        "[DEFAULT]\nid = {}\nnodes = n1 n2 n3\norchestrate = ha\nslaves = web db\n",
        id_of("all")
    );
    scene.configure("all", &text);
    scene.wait_up(2, "web", &[0]);
    scene.wait_up(2, "db", &[1]);
    wait_for("the whole is up", || scene.aggregate(2, "all", "avail") == "up");
    scene.reach(2, &["all", "stop"]);
    for (name, node) in [("web", 0), ("db", 1)] {
        scene.wait_up(node, name, &[]);
    }
    wait_for("the whole is down", || scene.aggregate(0, "all", "avail") == "down");
    scene.reach(1, &["all", "start"]);
    scene.wait_up(2, "web", &[0]);
    scene.wait_up(2, "db", &[1]);
    wait_for("the whole is up", || scene.aggregate(2, "all", "avail") == "up");
    assert_eq!(scene.journal("web"), ["start n1", "stop n1", "start n1"]);
}
