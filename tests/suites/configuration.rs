//! Promise: configuration files are followed; a change applies only what it changes, a mistake changes nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use harness::{Node, Peer, Port, wait_for};
use serde_json::{Value, json};

fn node_conf(port: u16) -> String {
    format!("[listener]\naddr = 127.0.0.1\nport = {port}\n")
}

fn alerts(node: &Node, thread: &str) -> usize {
    node.status()[thread]["alerts"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_changed_port_is_bound_and_established_connections_live_on() {
    let node = Node::started("n1");
    let mut kept = Peer::sealed(&node);
    let request = json!({"action": "daemon_blacklist_status"});
    assert_eq!(kept.ask(&request).expect("a reply")["status"], 0);
    let reserved = Port::reserve();
    let port = reserved.number();
    node.write("etc/node.conf", &node_conf(port));
    wait_for("the new port is open", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    wait_for("the old port is closed", || TcpStream::connect(("127.0.0.1", node.port())).is_err());
    assert_eq!(kept.ask(&request).expect("a reply")["status"], 0);
    wait_for("the new port is published", || node.status()["listener"]["config"]["port"] == port);
}

#[test]
fn a_bad_address_keeps_the_old_one_and_raises_an_alert() {
    let node = Node::started("n1");
    node.write("etc/node.conf", &format!("[listener]\naddr = 192.0.2.1\nport = {}\n", node.port()));
    wait_for("an alert", || alerts(&node, "listener") > 0);
    assert!(TcpStream::connect(("127.0.0.1", node.port())).is_ok());
    node.write("etc/node.conf", &node_conf(node.port()));
    wait_for("the alert is gone", || alerts(&node, "listener") == 0);
}

#[test]
fn a_file_that_is_no_configuration_changes_nothing_and_is_named() {
    let node = Node::started("n1");
    let good =
        "[DEFAULT]\nid = 11111111-2222-3333-4444-555555555555\nnodes = n1\n[fs#1]\ntype = flag\n";
    node.write("etc/svc1.conf", good);
    node.wait_avail("svc1", "down");
    let csum =
        || node.status()["monitor"]["nodes"]["n1"]["services"]["config"]["svc1"]["csum"].clone();
    let before = csum();
    for text in [
        "no section\n",
        "[DEFAULT]\nnodes = n1\nthis line has no delimiter\n",
        "\0\u{1}\u{2}binary",
    ] {
        node.write("etc/svc1.conf", text);
        wait_for("the mistake is reported", || {
            node.status()["config"].to_string().contains("svc1.conf")
        });
        assert!(!node.instance("svc1").is_null(), "the last good configuration stays in force");
        assert_eq!(csum(), before);
        let validated = node.om(&["svc1", "validate", "config"]);
        assert_ne!(validated.code, Some(0), "{text:?}: {validated:?}");
        node.write("etc/svc1.conf", good);
        wait_for("the report is gone", || {
            !node.status()["config"].to_string().contains("svc1.conf")
        });
    }
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\napp = x\n[fs#1]\ntype = flag\n");
    wait_for("the good one is in force", || node.instance("svc1")["app"] == "x");
}

#[test]
fn concurrent_writers_lose_nothing() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "# kept\n[DEFAULT]\nnodes = n1\nunknown_keyword = kept\n");
    std::fs::set_permissions(node.path("etc/svc1.conf"), std::fs::Permissions::from_mode(0o640))
        .expect("a file");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let node = &node;
            scope.spawn(move || {
                node.om_ok(&["svc1", "set", "--kw", &format!("env.k{writer}=v{writer}")])
            });
        }
    });
    let text = node.read("etc/svc1.conf");
    for writer in 0..8 {
        assert!(text.contains(&format!("k{writer} = v{writer}\n")), "{text}");
    }
    assert_eq!(node.om_ok(&["svc1", "get", "--kw", "env.k3"]), "v3\n");
    assert!(text.starts_with("# kept\n") && text.contains("unknown_keyword = kept\n"), "{text}");
    let mode = std::fs::metadata(node.path("etc/svc1.conf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the mode is kept");
}

#[test]
fn the_first_start_makes_a_cluster_of_one_node() {
    let mut node = Node::new("n1");
    std::fs::remove_file(node.path("etc/cluster.conf")).expect("a file");
    node.start();
    let mode =
        std::fs::metadata(node.path("etc/cluster.conf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status: Value = node.status();
    assert_eq!(status["cluster"]["name"], "default");
    assert_eq!(status["cluster"]["nodes"], json!(["n1"]));
    let text = node.read("etc/cluster.conf");
    node.kill();
    node.start();
    assert_eq!(node.read("etc/cluster.conf"), text, "it is written once");
}

#[test]
fn an_occupied_port_is_reported_and_taken_when_it_is_free() {
    let reserved = Port::reserve();
    let port = reserved.number();
    let blocker = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let mut node = Node::new("n1");
    node.write("etc/node.conf", &node_conf(port));
    node.start();
    wait_for("an alert", || alerts(&node, "listener") > 0);
    drop(blocker);
    wait_for("the port is taken", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        // Ours closes on nonsense; a port that nobody serves refuses.
        _ = stream.write_all(b"nonsense\0");
        stream.read(&mut [0; 16]).is_ok()
    });
}
