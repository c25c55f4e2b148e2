//! Promise: a service runs where those it is bound to run, and not where those it flees are: always, or if it can.

use harness::{Scene, wait_for};

#[test]
fn a_hard_affinity_is_followed_and_nothing_starts_without_it() {
    let scene = Scene::start(&[("db", "nodes = n2 n3 n1"), ("web", "hard_affinity = db")]);
    scene.wait_up(0, "web", &[1]);
    assert_eq!(scene.journal("web"), ["start n2"]);
    scene.reach(0, &["web", "stop"]);
    scene.reach(0, &["db", "stop"]);
    scene.cluster.nodes[0].om_ok(&["web", "start"]);
    wait_for("nobody may start it", || {
        (0..3).all(|at| scene.seen(2, "web", at)["frozen"] == 0.0)
            && (0..3).all(|at| scene.seen(2, "web", at)["monitor"]["placement"] == "")
    });
    assert_eq!(scene.journal("web"), ["start n2", "stop n2"]);
    scene.reach(0, &["db", "start"]);
    scene.wait_up(0, "web", &[1]);
}

#[test]
fn a_hard_anti_affinity_keeps_away_even_where_nothing_else_is_left() {
    let mut scene = Scene::start(&[("db", "nodes = n1 n2"), ("web", "hard_anti_affinity = db")]);
    scene.wait_up(2, "db", &[0]);
    // Whichever starts first.
    scene.wait_up_anywhere(0, "web", 1);
    scene.reach(0, &["web,db", "stop"]);
    scene.reach(0, &["db", "start"]);
    scene.reach(0, &["web", "start"]);
    scene.wait_up(0, "web", &[1]);
    scene.kill(1);
    scene.wait_up(0, "web", &[2]);
    scene.kill(2);
    wait_for("n3 is forgotten", || scene.seen(0, "web", 2).is_null());
    scene.wait_up(0, "db", &[0]);
    assert_eq!(scene.aggregate(0, "web", "avail"), "down");
    assert_eq!(scene.seen(0, "web", 0)["monitor"]["placement"], "");
    scene.reach(0, &["db", "stop"]);
    scene.wait_up(0, "web", &[0]);
}

#[test]
fn a_soft_affinity_is_a_preference() {
    let scene = Scene::start(&[("db", "nodes = n2 n1"), ("web", "soft_affinity = db")]);
    scene.wait_up(0, "db", &[1]);
    scene.wait_up_anywhere(0, "web", 1);
    scene.reach(0, &["web", "stop"]);
    scene.reach(0, &["web", "start"]);
    scene.wait_up(0, "web", &[1]);
    scene.reach(0, &["*", "stop"]);
    scene.reach(0, &["web", "start"]);
    scene.wait_up(0, "web", &[0]);
}

#[test]
fn a_soft_anti_affinity_is_a_preference() {
    let mut scene = Scene::start(&[("db", "nodes = n1"), ("web", "soft_anti_affinity = db")]);
    scene.wait_up(0, "db", &[0]);
    scene.wait_up_anywhere(0, "web", 1);
    scene.reach(0, &["web", "stop"]);
    scene.reach(0, &["web", "start"]);
    scene.wait_up(0, "web", &[1]);
    scene.kill(1);
    scene.wait_up(0, "web", &[2]);
    scene.kill(2);
    scene.wait_up(0, "web", &[0]);
    assert_eq!(scene.aggregate(0, "db", "avail"), "up");
}
