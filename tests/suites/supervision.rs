//! Promise: an actor that panics comes back, the others are undisturbed, requests are answered, nothing accepted is lost.

use harness::{Events, Node, Peer, wait_for};
use serde_json::{Value, json};

/// Every actor of the daemon, by the id that `daemon_status` shows.
const ACTORS: [&str; 16] = [
    "listener",
    "http",
    "control_socket",
    "monitor",
    "scheduler",
    "config",
    "blacklist",
    "cluster_data",
    "runner",
    "logs",
    "relay",
    "peers",
    "membership",
    "quorum",
    "propagation",
    "service_monitor svc1",
];

fn restarts(status: &Value, actor: &str) -> u64 {
    status[actor]["restarts"].as_u64().unwrap_or(0)
}

#[test]
fn every_actor_that_panics_comes_back() {
    let node = Node::new("n1").with_env("OSVC_TEST_PANIC", "1");
    let mut node = node;
    node.start();
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    node.om_ok(&["svc1", "set", "provisioned"]);
    node.om_ok(&["svc1", "start", "--wait", "--time", "20s"]);
    let bad = Peer::sealed(&node).with_secret("81ec81d6e68c11f1ae3f02fcffffffff").from(99);
    assert_eq!(bad.exchange(&bad.frame(&json!({}))), b"");
    let blacklist = || node.request(&json!({"action": "daemon_blacklist_status"}))["data"].clone();
    assert_eq!(blacklist(), json!({"127.0.0.99": 1}));
    let slot = json!({"action": "relay_tx", "options": {"cluster_id": "c", "msg": "kept"}});
    assert_eq!(node.request(&slot)["status"], 0);

    let ids: Vec<String> = node.status().as_object().expect("an object").keys().cloned().collect();
    for actor in ACTORS {
        let before = node.status();
        let panic = json!({"action": "test_panic", "options": {"actor": actor}});
        let answer = node.try_request(&panic);
        // The control socket that panics may take its own connection with it.
        assert!(
            answer.is_none() || answer == Some(json!({"status": 0})),
            "{actor}: {answer:?} of {ids:?}"
        );
        wait_for(&format!("{actor} is restarted"), || {
            node.try_request(&json!({"action": "daemon_status"})).is_some_and(|status| {
                restarts(&status, actor) > restarts(&before, actor)
                    && status[actor]["state"] == "running"
            })
        });
        let after = node.status();
        assert!(
            after[actor].to_string().contains("panic"),
            "the reason is told: {:#}",
            after[actor]
        );
        for other in ACTORS.iter().filter(|other| **other != actor) {
            assert_eq!(
                restarts(&after, other),
                restarts(&before, other),
                "{actor} disturbed {other}"
            );
        }
        assert_eq!(
            Peer::sealed(&node).ask(&json!({"action": "daemon_blacklist_status"})).expect("TCP")["status"],
            0
        );
    }

    assert_eq!(blacklist(), json!({"127.0.0.99": 1}), "the count survived");
    let slot = json!({"action": "relay_rx", "options": {"cluster_id": "c", "slot": "n1"}});
    assert_eq!(node.request(&slot)["data"], "kept", "the relay's slot survived");
    let instance = node.wait_avail("svc1", "up");
    assert_eq!(
        instance["monitor"]["local_expect"], "started",
        "what the operator asked for survived"
    );
    node.om_ok(&["svc1", "stop", "--wait", "--time", "20s"]);
    node.wait_avail("svc1", "down");
}

#[test]
fn without_the_variable_there_is_no_way_to_make_it_panic() {
    let node = Node::started("n1");
    let reply = node.request(&json!({"action": "test_panic", "options": {"actor": "listener"}}));
    assert_eq!(reply, json!({"status": 501, "error": "handler None test_panic is not supported"}));
}

/// A node that can be made to panic, with a service that is down.
fn fragile() -> Node {
    let mut node = Node::new("n1").with_env("OSVC_TEST_PANIC", "1");
    node.start();
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    node
}

fn panic(node: &Node, actor: &str) {
    let request = json!({"action": "test_panic", "options": {"actor": actor}});
    assert_eq!(node.request(&request), json!({"status": 0}));
}

#[test]
fn an_actor_that_falls_again_and_again_comes_back_ever_later_and_is_reported() {
    let node = fragile();
    let mut alerts = vec![];
    for fall in 1..=5_u64 {
        panic(&node, "scheduler");
        let mut worst = Value::Null;
        wait_for("it is back", || {
            let block = node.status()["scheduler"].clone();
            if block["state"] == "restarting" {
                assert!(block["next_try"].as_f64().is_some_and(|time| time > 0.0), "{block:#}");
                worst = block["alerts"].clone();
            }
            block["restarts"] == fall && block["state"] == "running"
        });
        alerts.push((worst, node.status()["scheduler"]["alerts"].clone()));
    }
    // The pauses of the first falls may be too short to be seen from here; the fifth is 1.6 s.
    let while_down =
        json!([{"severity": "error", "message": "fell 5 times in a row, last: panic: test panic"}]);
    let since = json!([{"severity": "warning", "message": "fell 5 times in a row, last: panic: test panic"}]);
    assert_eq!(alerts[4], (while_down, since), "{alerts:#?}");
    assert_eq!(alerts[1].1, Value::Null, "two falls are over when it runs");
    node.om_ok(&["daemon", "stop", "--thread-id", "scheduler"]);
    node.om_ok(&["daemon", "start", "--thread-id", "scheduler"]);
    assert_eq!(node.status()["scheduler"]["alerts"], Value::Null, "who starts it knows");
}

#[test]
fn subscribers_hear_of_every_change_through_falls_of_what_tells_them() {
    let node = fragile();
    let mut events = Events::subscribe(&node, &json!({"full": true}));
    let full = events.wait("the whole first", |_| true);
    assert_eq!(full["kind"], "full");
    let mut last = None;
    for (round, actor) in ["cluster_data", "logs", "root", "cluster_data"].iter().enumerate() {
        panic(&node, actor);
        let rack = format!("r{round}");
        node.write("etc/node.conf", &format!("{}\n[labels]\nrack = {rack}\n", conf(&node)));
        loop {
            let document = events.next_document().expect("the stream goes on");
            if document["kind"] != "patch" {
                continue;
            }
            let id = document["id"].as_u64().expect("a number");
            assert!(last.is_none_or(|last| id == last + 1), "{last:?}, then {document}");
            last = Some(id);
            if document["data"].to_string().contains(&format!("\"{rack}\"")) {
                break;
            }
        }
    }
    assert_eq!(node.status()["cluster_data"]["restarts"], 2);
}

fn conf(node: &Node) -> String {
    format!("[listener]\naddr = 127.0.0.1\nport = {}\n", node.port())
}

#[test]
fn a_followed_log_goes_on_through_falls_of_the_log_keeper() {
    let node = fragile();
    let request = json!({"action": "node_logs", "method": "GET", "options": {"backlog": 0}});
    let mut log = Events::open(&node, &request);
    // A sign of life: it follows.
    while log.next_or_sign().is_some() {}
    for round in 1..=3 {
        panic(&node, "logs");
        wait_for("it is back", || node.status()["logs"]["restarts"] == round);
        for verb in ["stop", "start"] {
            node.om_ok(&["daemon", verb, "--thread-id", "scheduler"]);
        }
        let mut text = String::new();
        log.wait("both lines", |entries| {
            text += &entries.to_string();
            text.contains("scheduler stopped") && text.contains("scheduler started")
        });
    }
}

#[test]
fn a_worker_that_ends_is_replaced() {
    let node = fragile();
    let request = json!({"action": "test_panic", "options": {"actor": "worker"}});
    for _ in 0..8 {
        // It ends with the connection that asked for it, before its answer or after.
        _ = node.try_request(&request);
        wait_for("requests are answered again", || {
            node.try_request(&json!({"action": "daemon_blacklist_status"})).is_some()
        });
    }
    for _ in 0..32 {
        assert_eq!(node.request(&json!({"action": "daemon_blacklist_status"}))["status"], 0);
        let mut peer = Peer::sealed(&node);
        assert_eq!(
            peer.ask(&json!({"action": "daemon_blacklist_status"})).expect("TCP")["status"],
            0
        );
    }
    node.write("etc/svc2.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc2", "down");
}
