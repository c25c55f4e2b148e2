//! Promise: nodes find each other alive over any heartbeat, notice who is gone in time, and nothing else disturbs them.

use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Cluster, ClusterConf, Events, Node, Port, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

fn is_event(document: &Value, id: &str, peer: &str) -> bool {
    let data = &document["data"];
    document["kind"] == "event"
        && data["id"] == id
        && (data["nodename"] == peer || data["peer"] == peer)
}

fn subscribe(cluster: &Cluster, at: usize) -> Events {
    let mut events = Events::subscribe(&cluster.nodes[at], &json!({"full": true}));
    events.wait("the subscription", |document| document["kind"] == "full");
    events
}

#[test]
fn a_node_that_dies_is_stale_within_the_timeout_and_a_tenth_then_forgotten_then_back() {
    let mut cluster = Cluster::start(3);
    let mut events = subscribe(&cluster, 0);
    let killed = now();
    cluster.nodes[2].kill();
    let stale = events.wait("n3 is stale", |document| {
        is_event(document, "hb_stale", "n3") && document["data"]["hb"]["id"] == "hb#1.rx"
    });
    let (last, at) = (&stale["data"]["hb"]["last"], stale["ts"].as_f64().expect("a time"));
    let silent = at - last.as_f64().expect("a time");
    println!(
        "measured: stale {:.0} ms after the kill, {:.0} ms after the last beat (timeout 1 s)",
        (at - killed) * 1_000.0,
        silent * 1_000.0
    );
    // A busy machine may let the alarm come late; too early would be a mistake of ours.
    assert!((0.999..2.0).contains(&silent), "{silent}");
    assert_eq!(stale["data"]["hb"]["timeout"], 1.0);
    events.wait("n3 is forgotten", |document| is_event(document, "forget_peer", "n3"));
    assert!(cluster.is_beating(0, "hb#1.rx", 1), "the others are undisturbed");
    cluster.wait_flag(1, "hb#1.rx", 2, false);
    cluster.nodes[2].start();
    events.wait("n3 is back", |document| is_event(document, "hb_beating", "n3"));
    cluster.wait_beating();
}

/// What a node says of all nodes, without what differs by who says it (`gen`) and by the moment (`stats`, `updated`).
fn dataset(node: &Node) -> Value {
    let mut nodes = node.status()["monitor"]["nodes"].clone();
    for data in nodes.as_object_mut().expect("nodes").values_mut() {
        if let Some(data) = data.as_object_mut() {
            data.retain(|key, _| !["gen", "stats", "updated"].contains(&key.as_str()));
        }
    }
    nodes
}

#[test]
fn the_dataset_of_all_is_the_same_and_follows_who_comes_and_goes() {
    let mut cluster = Cluster::start(3);
    let is_idle = |nodes: &Value| {
        ["n1", "n2", "n3"].iter().all(|name| nodes[name]["monitor"]["status"] == "idle")
    };
    let is_same = |cluster: &Cluster| {
        let all: Vec<Value> = cluster.nodes.iter().map(dataset).collect();
        is_idle(&all[0]) && all.iter().all(|one| *one == all[0])
    };
    wait_for("all say the same of all", || is_same(&cluster));
    cluster.nodes[0].om_ok(&["node", "freeze"]);
    let is_frozen = |name: &str| {
        cluster
            .nodes
            .iter()
            .all(|node| dataset(node)[name]["frozen"].as_f64().is_some_and(|frozen| frozen > 0.0))
    };
    wait_for("all nodes are frozen for all", || ["n1", "n2", "n3"].into_iter().all(is_frozen));
    cluster.nodes[2].kill();
    wait_for("n3 is forgotten", || {
        cluster.nodes[..2].iter().all(|node| dataset(node).get("n3").is_none())
    });
    cluster.nodes[2].start();
    wait_for("all say the same of all again", || is_same(&cluster));
}

#[test]
fn the_status_of_a_heartbeat_has_the_shape_of_the_field() {
    let cluster = Cluster::start(2);
    let rx = cluster.worker(0, "hb#1.rx");
    assert_eq!(
        rx["config"],
        json!({"addr": "127.0.0.11", "port": cluster.heartbeat_port(0), "timeout": 1})
    );
    assert_eq!(cluster.worker(0, "hb#1.tx")["config"], json!({}));
    assert_eq!((&rx["state"], &rx["peers"]["n1"]), (&json!("running"), &json!({})));
    assert!(now() - rx["peers"]["n2"]["last"].as_f64().expect("a time") < 60.0);
    for number in ["created", "configured", "tid", "ident"] {
        assert!(rx[number].is_number(), "{number}");
    }
    assert_eq!(rx.get("alerts"), None);
    let listener = json!({"addr": "127.0.0.11", "port": cluster.port(0)});
    assert_eq!(cluster.worker(0, "listener")["config"], listener);
    wait_for("beats and bytes are counted", || {
        let stats = &cluster.worker(0, "hb#1.rx")["stats"];
        stats["beats"].as_u64() > Some(2) && stats["bytes"].as_u64() > Some(100)
    });
}

#[test]
fn a_paused_node_is_stale_for_the_others_and_judges_nobody_when_it_goes_on() {
    let cluster = Cluster::start(3);
    cluster.nodes[2].signal(Signal::STOP);
    cluster.wait_flag(0, "hb#1.rx", 2, false);
    cluster.wait_flag(1, "hb#1.rx", 2, false);
    cluster.nodes[2].signal(Signal::CONT);
    cluster.wait_beating();
    let log = cluster.nodes[2].read("log/node.log");
    assert!(!log.contains("hb#1.rx: stale") && !log.contains("forgotten"), "{log}");
}

#[test]
fn a_receiver_that_is_stopped_hears_nobody_until_it_is_started() {
    let cluster = Cluster::start(2);
    let mut events = subscribe(&cluster, 0);
    cluster.nodes[0].om_ok(&["daemon", "stop", "--thread-id", "hb#1.rx"]);
    let rx = cluster.worker(0, "hb#1.rx");
    assert_eq!((&rx["state"], &rx["peers"]["n2"]["beating"]), (&json!("stopped"), &json!(false)));
    events.wait("n2 is stale there", |document| is_event(document, "hb_stale", "n2"));
    assert!(cluster.is_beating(1, "hb#1.rx", 0), "it still sends");
    // That was asked for, and is no sign of its death: nothing of it is taken over.
    assert!(cluster.nodes[0].status()["monitor"]["nodes"]["n2"]["monitor"].is_object());
    // A change of the configuration does not start it.
    cluster.reconfigure(&ClusterConf {
        heartbeat: "timeout = 900ms".into(),
        ..ClusterConf::default()
    });
    wait_for("the timeout is taken", || cluster.worker(1, "hb#1.rx")["config"]["timeout"] == 0.9);
    assert_eq!(cluster.worker(0, "hb#1.rx")["state"], "stopped");
    cluster.nodes[0].om_ok(&["daemon", "start", "--thread-id", "hb#1.rx"]);
    cluster.wait_beating();
    cluster.nodes[0].om_ok(&["daemon", "stop", "--thread-id", "tx"]);
    assert_eq!(cluster.worker(0, "hb#1.tx")["state"], "stopped");
    let log = cluster.nodes[0].read("log/node.log");
    assert!(!log.contains("forgotten"), "{log}");
    cluster.wait_flag(1, "hb#1.rx", 0, false);
    cluster.nodes[0].om_ok(&["daemon", "start", "--thread-id", "tx"]);
    cluster.wait_beating();
}

#[test]
fn every_envelope_beats() {
    for envelope in ["classic", "any", "sealed"] {
        let cluster = format!("profile = fast\nenvelope = {envelope}");
        let cluster = Cluster::start_with(2, &ClusterConf { cluster, ..ClusterConf::default() });
        let beats = |at| cluster.worker(at, "hb#1.rx")["stats"]["beats"].as_u64().unwrap_or(0);
        let before = (beats(0), beats(1));
        wait_for(&format!("{envelope} goes on"), || {
            beats(0) > before.0 + 8 && beats(1) > before.1 + 8
        });
        for at in [0, 1] {
            let stats = cluster.worker(at, "hb#1.rx")["stats"].clone();
            assert_eq!(stats["errors"], 0, "{envelope}: {stats}");
        }
    }
}

#[test]
fn heartbeats_come_change_and_go_without_losing_a_beat_of_the_others() {
    let cluster = Cluster::start(2);
    let created = |worker: &str| cluster.worker(0, worker)["created"].clone();
    let (rx, tx) = (created("hb#1.rx"), created("hb#1.tx"));
    let ports = [Port::reserve(), Port::reserve()];
    let second = |timeout: &str| ClusterConf {
        sections: format!(
            "[hb#2]\ntype = unicast\ntimeout = {timeout}\naddr@n1 = 127.0.0.11\naddr@n2 = 127.0.0.12\n\
             port@n1 = {}\nport@n2 = {}\n",
            ports[0].number(),
            ports[1].number()
        ),
        ..ClusterConf::default()
    };
    cluster.reconfigure(&second("1s"));
    cluster.wait_beating_on("hb#2");
    cluster.reconfigure(&second("30s"));
    wait_for("the timeout is taken", || cluster.worker(0, "hb#2.rx")["config"]["timeout"] == 30);
    cluster.wait_beating_on("hb#2");
    cluster.reconfigure(&ClusterConf::default());
    wait_for("hb#2 is gone", || {
        let status = cluster.nodes[0].status();
        status.get("hb#2.rx").is_none() && status.get("hb#2.tx").is_none()
    });
    cluster.reconfigure(&second("1s"));
    cluster.wait_beating_on("hb#2");
    assert_eq!((created("hb#1.rx"), created("hb#1.tx")), (rx, tx));
    let log = cluster.nodes[0].read("log/node.log");
    assert!(!log.contains("hb#1.rx: stale") && !log.contains("hb#1.rx reconfigured"), "{log}");
}

/// A change that is written on one node reaches the others by the very heartbeat that it changes.
#[test]
fn a_heartbeat_that_becomes_another_one_costs_no_peer() {
    let cluster = Cluster::start(3);
    let multicast = |name: &str| {
        format!("[{name}]\ntype = multicast\nintf = lo\nport = {}\n", Port::reserve().number())
    };
    let unicast: String = (0..3)
        .map(|at| {
            let (name, address) = (cluster.nodes[at].name(), cluster.address(at));
            format!("addr@{name} = {address}\nport@{name} = {}\n", Port::reserve().number())
        })
        .collect();
    // Another driver, another section, other ports of the same driver, and back.
    for (at, heartbeat, section) in [
        (0, "hb#1", multicast("hb#1")),
        (1, "hb#2", multicast("hb#2")),
        (2, "hb#2", format!("[hb#2]\ntype = unicast\n{unicast}")),
        (0, "hb#1", format!("[hb#1]\ntype = unicast\n{unicast}")),
    ] {
        let text = cluster.nodes[at].read("etc/cluster.conf");
        let (before, _) = text.split_once("[hb#").expect("a heartbeat");
        let text = format!("{before}{section}");
        cluster.nodes[at].write("etc/cluster.conf", &text);
        for node in &cluster.nodes {
            wait_for("all have it", || node.read("etc/cluster.conf") == text);
        }
        let kind = if section.contains("multicast") { "multicast" } else { "unicast" };
        cluster.wait_beating_on(heartbeat);
        let workers = json!([format!("{heartbeat}.rx"), format!("{heartbeat}.tx")]);
        for node in &cluster.nodes {
            wait_for(&format!("only {workers} by {kind} are left"), || {
                let status = node.status();
                let keys = status.as_object().into_iter().flat_map(|status| status.keys());
                json!(keys.filter(|key| key.starts_with("hb#")).collect::<Vec<_>>()) == workers
            });
            let log = node.read("log/node.log");
            assert!(!log.contains("forgotten"), "{section}\n{log}");
        }
        cluster.wait_beating_on(heartbeat);
    }
}

#[test]
fn a_heartbeat_that_cannot_work_is_an_alert_and_no_outage_and_works_once_it_can() {
    let taken = TcpListener::bind(("127.0.0.11", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let other = Port::reserve().number();
    let sections = format!(
        "[hb#2]\ntype = unicast\naddr@n1 = 127.0.0.11\naddr@n2 = 127.0.0.12\nport@n1 = {port}\nport@n2 = {other}\n"
    );
    let cluster = Cluster::start_with(2, &ClusterConf { sections, ..ClusterConf::default() });
    wait_for("the alert", || {
        cluster.worker(0, "hb#2.rx")["alerts"][0]["message"]
            .as_str()
            .is_some_and(|message| message.contains(&format!("port {port}")))
    });
    assert!(cluster.is_beating(0, "hb#1.rx", 1));
    drop(taken);
    cluster.wait_beating_on("hb#2");
    wait_for("the alert ends", || cluster.worker(0, "hb#2.rx").get("alerts").is_none());
}

#[test]
fn a_daemon_that_stops_loses_nobody_and_is_kept_for_the_grace() {
    let mut cluster = Cluster::start(2);
    let begun = Instant::now();
    cluster.nodes[0].om_ok(&["daemon", "stop"]);
    assert_eq!(cluster.nodes[0].wait_end(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20));
    let log = cluster.nodes[0].read("log/node.log");
    assert!(!log.contains("forgotten"), "{log}");
    cluster.wait_flag(1, "hb#1.rx", 0, false);
    cluster.nodes[0].start();
    cluster.wait_beating();
}

#[test]
fn an_actor_that_panics_costs_no_peer() {
    let conf = ClusterConf::default();
    let mut cluster = Cluster::configured(2, &conf).with_env("OSVC_TEST_PANIC", "1");
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    for worker in ["hb#1.rx", "hb#1.tx", "membership"] {
        let panic = json!({"action": "test_panic", "options": {"actor": worker}});
        assert_eq!(cluster.nodes[0].request(&panic), json!({"status": 0}), "{worker}");
        wait_for(&format!("{worker} is back"), || {
            let block = cluster.worker(0, worker);
            block["restarts"] == 1 && block["state"] == "running"
        });
        cluster.wait_beating();
    }
    for node in &cluster.nodes {
        let log = node.read("log/node.log");
        assert!(!log.contains("forgotten"), "{log}");
    }
}

#[test]
fn every_driver_carries_beats_and_one_that_works_keeps_a_peer() {
    let mut relay = Node::started("relay");
    let folder = tempfile::tempdir().expect("a folder");
    let device = folder.path().join("device");
    std::fs::File::create(&device).and_then(|file| file.set_len(8 << 20)).expect("a device");
    let sections = format!(
        "[hb#2]\ntype = multicast\nintf = lo\nport = {}\n\n[hb#3]\ntype = disk\ndev = {}\n\n\
         [hb#4]\ntype = relay\nrelay = 127.0.0.1:{}\nsecret = {}\n",
        Port::reserve().number(),
        device.display(),
        relay.port(),
        relay.secret()
    );
    for envelope in ["sealed", "any"] {
        let cluster = format!("profile = fast\nenvelope = {envelope}");
        let sections = sections.clone();
        let cluster =
            Cluster::start_with(3, &ClusterConf { cluster, sections, ..ClusterConf::default() });
        for heartbeat in ["hb#2", "hb#3", "hb#4"] {
            cluster.wait_beating_on(heartbeat);
        }
        for driver in ["hb#1", "hb#2", "hb#4"] {
            let worker = format!("{driver}.rx");
            cluster.nodes[0].om_ok(&["daemon", "stop", "--thread-id", &worker]);
        }
        assert!(cluster.is_beating(0, "hb#3.rx", 1), "{}", cluster.worker(0, "hb#3.rx"));
        let log = cluster.nodes[0].read("log/node.log");
        assert!(!log.contains("forgotten"), "{log}");
        let slots = &cluster.worker(0, "hb#3.rx")["peers"];
        for name in ["n1", "n2", "n3"] {
            assert!(slots[name]["slot"].as_i64().is_some_and(|slot| slot < 3), "{slots}");
        }
        if envelope == "any" {
            relay.kill();
            wait_for("the loss of the relay is told", || {
                cluster.worker(1, "hb#4.rx")["alerts"].to_string().contains("relay 127.0.0.1")
            });
            cluster.wait_flag(1, "hb#4.rx", 2, false);
            assert!(cluster.is_beating(1, "hb#1.rx", 2));
        }
    }
}
