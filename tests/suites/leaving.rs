//! Promise: a node that drains stops its instances and starts none, whatever they were doing; what a monitor action takes
//! away stays away; and a node that the others take out of the cluster starts nothing of what they run.

use harness::{Cluster, ClusterConf, Node, Scene, wait_for};
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

#[test]
fn a_member_that_the_others_take_out_is_frozen_and_starts_nothing_of_theirs() {
    let cluster = Cluster::configured(4, &ClusterConf::default());
    let services = [("web", ""), ("db", "placement = load avg"), ("shop", "")];
    let scene = Scene::of(cluster, &services, |_| {});
    let names = services.map(|(name, _)| name);
    let running =
        |name: &str| (1..=4).filter(|at| scene.file(name, &format!("up.n{at}")).exists()).count();
    wait_for("all are up", || names.iter().all(|name| running(name) == 1));
    let [n1, _, _, n4] = &scene.cluster.nodes[..] else { panic!("four nodes") };
    // What runs there is moved before.
    n4.om_ok(&["node", "drain", "--wait", "--time", "20s"]);
    n4.om_ok(&["node", "thaw", "--local"]);
    wait_for("all are up elsewhere", || {
        names.iter().all(|name| running(name) == 1 && !scene.file(name, "up.n4").exists())
    });
    let journals: Vec<_> = names.iter().map(|name| scene.journal(name)).collect();
    wait_for("n4 is thawed for n1", || n1.status()["monitor"]["nodes"]["n4"]["frozen"] == 0.0);

    n1.om_ok(&["cluster", "set", "--force", "--kw", "cluster.nodes=n1 n2 n3"]);
    for node in &scene.cluster.nodes[..3] {
        wait_for("the others drop n4", || {
            node.status()["cluster"]["nodes"] == serde_json::json!(["n1", "n2", "n3"])
        });
    }
    let alert = || {
        let alert = n4.status()["standing"]["alerts"][0].clone();
        (alert["severity"].clone(), alert["message"].as_str().unwrap_or_default().to_owned())
    };
    wait_for("n4 knows that it is out", || alert().0 == "error");
    let is_frozen = || n4.status()["monitor"]["nodes"]["n4"]["frozen"].as_f64() > Some(0.0);
    wait_for("it is frozen", is_frozen);
    wait_for("it hears nobody any more", || {
        n4.status()["monitor"]["nodes"].as_object().is_some_and(|nodes| nodes.len() == 1)
    });
    let mon = n4.om_ok(&["mon"]);
    assert!(mon.contains("om daemon rejoin") && mon.contains("om daemon leave"), "{mon}");
    assert!(n4.node_log().contains("have taken this node out"), "{}", n4.node_log());
    // Not even when somebody thaws it without asking why it is frozen.
    n4.om_ok(&["node", "thaw"]);
    wait_for("it is thawed", || !is_frozen());
    wait_for("it says why it starts nothing", || {
        n4.om(&["web", "explain"]).out.contains("none of theirs")
    });
    let now: Vec<_> = names.iter().map(|name| scene.journal(name)).collect();
    assert_eq!(now, journals, "nothing was started or stopped");

    // It is taken in again, and says nothing more.
    n4.om_ok(&["daemon", "rejoin", "--node", &format!("127.0.0.11:{}", n1.port())]);
    wait_for("n4 is a member again", || alert().0.is_null());
    scene.cluster.wait_beating();
    let now: Vec<_> = names.iter().map(|name| scene.journal(name)).collect();
    assert_eq!(now, journals, "nothing was started or stopped");
}
