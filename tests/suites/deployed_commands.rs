//! Promise: the unmodified commands of a deployed agent, run on a node of ours, find what they look for.

use harness::{Cluster, Http, Node, wait_for};
use serde_json::{Value, json};

const FLAG: &str = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";

/// What `create` of a deployed agent tells of the object that it made.
fn status(kind: &str) -> Value {
    json!({"updated": 1_796_001_540.7, "kind": kind, "avail": "n/a", "overall": "n/a",
        "csum": "5998feb0dd652ab5988954e6039c9d66", "resources": {}, "optional": "n/a",
        "provisioned": false, "frozen": 0, "topology": "failover", "env": "TST", "app": "default"})
}

#[test]
fn an_object_is_known_once_its_file_is_written() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    for (path, kind, file) in [
        ("svc1", "svc", "etc/svc1.conf"),
        ("test/svc/web", "svc", "etc/namespaces/test/svc/web.conf"),
        ("test/cfg/c1", "cfg", "etc/namespaces/test/cfg/c1.conf"),
    ] {
        let body = json!({"path": path, "data": status(kind)}).to_string();
        let tell = || http.ask("POST", "/object_status", &[], Some(body.as_bytes()));
        assert_eq!(tell().status, 404, "{path}");
        node.write(file, if kind == "svc" { FLAG } else { "[DEFAULT]\n" });
        let reply = tell();
        let text = String::from_utf8_lossy(&reply.body);
        assert_eq!(text, r#"{"info": "instance status updated", "status": 0}"#, "{path}");
    }
    node.write("etc/namespaces/test/sec/s1.conf", "[DEFAULT]\n");
    let keys = http.get("/object_keys?path=test/sec/s1");
    assert_eq!((keys.status, keys.json()["data"].clone()), (200, json!([])));
}

#[test]
fn objects_without_instances_have_a_status_on_each_node() {
    let cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n1.write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\n");
    let told = |node: &str| {
        n2.status()["monitor"]["nodes"][node]["services"]["status"]["test/cfg/c1"].clone()
    };
    for node in ["n1", "n2"] {
        wait_for("it has a status", || told(node)["monitor"]["status"] == "idle");
        assert_eq!(told(node)["kind"], "cfg");
    }
    // What a command tells of it takes nothing away. It is evaluated anew behind that: no reader may have seen what was told.
    let body = json!({"path": "test/cfg/c1", "data": {"kind": "cfg", "updated": 1.0}}).to_string();
    let reply = Http::of(n2).ask("POST", "/object_status", &[], Some(body.as_bytes()));
    assert_eq!(reply.status, 200);
    wait_for("it is evaluated", || told("n2")["updated"].as_f64().is_some_and(|time| time > 1.0));
    assert_eq!(told("n2")["monitor"]["status"], "idle");
    n1.om_ok(&["test/cfg/c1", "delete"]);
    for node in ["n1", "n2"] {
        wait_for("it has none any more", || told(node).is_null());
    }
}

#[test]
fn the_daemon_is_seen_to_run_and_to_have_ended() {
    let mut node = Node::started("n1");
    // `daemon running` looks for that text in what `ps` shows of that process.
    let shown = |node: &Node| {
        let pid = node.read("var/osvcd.pid");
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).ok()?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        Some(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
    };
    let mark = node.read("var/osvcd.pid.args");
    assert!(!mark.is_empty() && shown(&node).is_some_and(|line| line.contains(&mark)), "{mark}");
    node.om_ok(&["daemon", "stop"]);
    _ = node.wait_end();
    assert!(shown(&node).is_none_or(|line| !line.contains(&mark)));
    node.start();
    assert!(shown(&node).is_some_and(|line| line.contains(&mark)));
}

#[test]
fn lines_of_a_resource_are_pairs_in_its_file() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = nosuch\n");
    let last = || -> Option<Value> {
        let text = std::fs::read(node.path("var/svc/svc1/fs#1/status.last")).ok()?;
        serde_json::from_slice(&text).ok()
    };
    wait_for("it is evaluated", || last().is_some_and(|last| last["log"][0].is_array()));
    let last = last().expect("a file");
    let line = last["log"][0].as_array().expect("a pair");
    assert!(line.len() == 2 && line.iter().all(Value::is_string), "{last}");
}
