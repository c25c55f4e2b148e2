//! Promise: an actor that panics comes back, the others are undisturbed, requests are answered, nothing accepted is lost.

use harness::{Node, Peer, wait_for};
use serde_json::{Value, json};

/// Every actor of the daemon, by the id that `daemon_status` shows.
const ACTORS: [&str; 11] = [
    "listener",
    "control_socket",
    "monitor",
    "scheduler",
    "config",
    "blacklist",
    "cluster_data",
    "runner",
    "logs",
    "relay",
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
