//! Promise: a node that drains stops its instances and starts none, whatever they were doing; what a monitor action takes
//! away stays away.

use harness::{Node, wait_for};
use serde_json::Value;

/// A configuration with one application that sleeps.
fn sleeper(more: &str) -> String {
    format!(
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n{more}\n[app#1]\ntype = simple\nstart = /bin/sleep 91001\n"
    )
}

fn sleeping(node: &Node) -> Vec<u32> {
    node.processes(|line| line == "/bin/sleep 91001")
}

fn is_kept_up(instance: &Value) -> bool {
    instance["avail"] == "up"
        && instance["monitor"]["status"] == "idle"
        && instance["monitor"]["local_expect"] == "started"
}

fn node_state(node: &Node) -> (Value, bool) {
    let data = node.status()["monitor"]["nodes"]["n1"].clone();
    (data["monitor"]["status"].clone(), data["frozen"].as_f64() > Some(0.0))
}

#[test]
fn a_drain_shuts_the_instances_down_and_freezes_the_node_until_it_is_thawed() {
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(""));
    node.wait_instance("web", "kept up", is_kept_up);
    node.om_ok(&["node", "drain", "--wait", "--time", "20s"]);
    assert_eq!(sleeping(&node), [] as [u32; 0]);
    assert_eq!(node.instance("web")["avail"], "down");
    assert_eq!(node.instance("web")["frozen"], 0.0, "its node is frozen, not the instance");
    assert_eq!(node_state(&node), (Value::from("idle"), true));
    node.om_ok(&["node", "thaw"]);
    node.wait_instance("web", "kept up", is_kept_up);
    assert_eq!(sleeping(&node).len(), 1);
}

#[test]
fn a_drain_stops_what_is_being_started() {
    let node = Node::started("n1");
    let dir = node.path("tmp").display().to_string();
    node.script(
        "tmp/start",
        &format!(
            "touch {dir}/begun; while ! test -e {dir}/go; do sleep 0.02; done; touch {dir}/up"
        ),
    );
    node.script("tmp/stop", &format!("rm {dir}/up"));
    node.script("tmp/check", &format!("test -e {dir}/up"));
    node.write(
        "etc/web.conf",
        &format!(
            "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\nstart = {dir}/start\nstop = {dir}/stop\ncheck = {dir}/check\n"
        ),
    );
    wait_for("it starts", || node.path("tmp/begun").exists());
    node.om_ok(&["node", "drain"]);
    wait_for("the node drains", || node_state(&node) == (Value::from("draining"), true));
    node.write("tmp/go", "");
    wait_for("the node has drained", || node_state(&node) == (Value::from("idle"), true));
    let instance = node.wait_avail("web", "down");
    assert!(!node.path("tmp/up").exists(), "{instance:#}");
}

#[test]
fn a_drain_starts_nothing() {
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper(""));
    node.wait_instance("web", "kept up", is_kept_up);
    // Without restarts: it is to be kept started, and is down.
    let [pid] = sleeping(&node)[..] else { panic!("one process") };
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    node.wait_instance("web", "lost", |web| {
        web["avail"] == "down" && web["monitor"]["local_expect"] == "started"
    });
    let starts = || node.read("log/web.log").matches("do start").count();
    let before = starts();
    node.om_ok(&["node", "drain", "--wait", "--time", "20s"]);
    node.wait_avail("web", "down");
    assert_eq!((starts(), sleeping(&node)), (before, vec![]));
}

#[test]
fn freezestop_and_switch_take_the_instance_away() {
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper("monitor_action = freezestop"));
    node.wait_instance("web", "kept up", is_kept_up);
    node.om_ok(&["web", "toc", "--local"]);
    let web = node.wait_avail("web", "down");
    assert!(web["frozen"].as_f64() > Some(0.0), "{web:#}");
    let refused = node.om(&["web", "toc", "--local"]);
    assert_eq!(refused.code, Some(1), "what is frozen is left alone: {refused:?}");

    // Without a peer to switch to, it may come back here: as another process.
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper("monitor_action = switch"));
    node.wait_instance("web", "kept up", is_kept_up);
    let before = sleeping(&node);
    node.om_ok(&["web", "toc", "--local"]);
    assert!(sleeping(&node).iter().all(|pid| !before.contains(pid)));
    assert!(node.read("log/web.log").contains("monitor action switch"));
}

#[test]
fn a_monitor_action_that_would_take_the_machine_down_is_refused_under_a_private_root() {
    let node = Node::started("n1");
    node.write("etc/web.conf", &sleeper("monitor_action = crash"));
    node.wait_instance("web", "kept up", is_kept_up);
    let toc = node.om(&["web", "toc", "--local"]);
    assert_eq!(toc.code, Some(1), "{toc:?}");
    assert!(toc.err.contains("without private root"), "{toc:?}");
    wait_for("the node is frozen instead", || node_state(&node).1);
}
