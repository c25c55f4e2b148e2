//! Promise: what was recorded on the wire does nothing, wherever, however and whenever it is sent again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use harness::{Cluster, ClusterConf, Events, Node, PATIENCE, Peer, wait_for};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use wire::{ClusterSecret, Dialect, Form, Kind, Prepared, Sender};

fn ping() -> Value {
    json!({"action": "daemon_blacklist_status", "method": "GET"})
}

fn clear() -> Value {
    json!({"action": "blacklist_clear", "method": "POST"})
}

/// A node that has `n1`, `n2` and `n3` for members.
fn member(name: &str) -> Node {
    let mut node = Node::new(name);
    node.write_cluster("nodes = n1 n2 n3");
    node.start();
    node
}

#[test]
fn the_same_bytes_do_nothing_at_another_node_at_their_sender_and_after_a_restart() {
    let mut n1 = member("n1");
    let n2 = member("n2");
    // The clock of the sender is 20 s ahead: no wall time tells what is old.
    let mut peer = Peer::sealed(&n1).named("n2").ahead(20);
    let frame = peer.frame(&ping());
    assert_eq!(peer.ask_frame(&frame).expect("a reply")["status"], 0);
    assert_eq!(peer.ask_frame(&frame).expect("it opens")["error"], "replayed message");
    // At another node, which is also the one that sent it.
    let error = Peer::sealed(&n2).named("n2").ask_frame(&frame).expect("it opens");
    assert_eq!(error["status"], 421, "{error}");
    assert_eq!(error["error"], "this is node n2, the request is for node n1");
    let recorded = peer.frame(&ping());
    assert_eq!(peer.ask_frame(&recorded).expect("a reply")["status"], 0);
    for is_killed in [true, false] {
        if is_killed {
            n1.kill();
        } else {
            n1.om_ok(&["daemon", "stop"]);
            n1.wait_end();
        }
        n1.start();
        let mut again = Peer::sealed(&n1).named("n2").ahead(20);
        for frame in [&frame, &recorded] {
            let refused = again.ask_frame(frame).expect("it opens");
            let error = refused["error"].as_str().expect("an error");
            assert!(error.starts_with("late message"), "{error}");
        }
        // Nobody is deaf for it.
        wait_for("the sender is heard", || {
            again.ask(&ping()).is_some_and(|reply| reply["status"] == 0)
        });
    }
    assert_eq!(n1.request(&ping())["data"], json!({}), "none of it counts");
}

#[test]
fn a_request_without_a_recipient_is_answered_with_a_name_and_not_carried_out() {
    let node = Node::started("n1");
    let bad = Peer::sealed(&node).with_secret("81ec81d6e68c11f1ae3f02fcffffffff").from(98);
    assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
    for to in ["", "n2"] {
        let refused = Peer::sealed(&node).asking(to).ask(&clear()).expect("it opens");
        assert_eq!(refused["status"], 421, "{refused}");
    }
    assert_eq!(node.request(&ping())["data"], json!({"127.0.0.98": 1}));
    assert_eq!(Peer::sealed(&node).ask(&clear()).expect("a reply")["status"], 0);
    assert_eq!(node.request(&ping())["data"], json!({}));
    // `om` learns the name by itself, and from the node itself too.
    let server = format!("raw://127.0.0.1:{}", node.port());
    node.om_ok(&["daemon", "blacklist", "status", "--server", &server]);
}

#[test]
fn what_a_dead_node_sent_for_other_ends_or_long_ago_is_no_beat() {
    let mut cluster = Cluster::start(2);
    cluster.wait_beating();
    cluster.nodes[1].kill();
    cluster.wait_flag(0, "hb#1.rx", 1, false);
    let address = (cluster.address(0), cluster.heartbeat_port(0));
    let mut events = Events::subscribe(&cluster.nodes[0], &json!({"full": true}));
    events.wait("the subscription", |document| document["kind"] == "full");
    // Sends frames over one connection, and waits until the node has looked at all of them: the last one ends it.
    let send = |frames: &[Vec<u8>]| {
        let mut stream = TcpStream::connect(address).expect("the node listens");
        for frame in frames {
            stream.write_all(frame).expect("it is taken");
        }
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    };
    let secret = ClusterSecret::new(cluster.nodes[1].secret());
    let sender = Sender::new("demo", "n2", secret);
    let random = SystemRandom::new();
    let now = ::machine::clock::stamp();
    let message =
        json!({"kind": "ping", "compat": 10, "gen": {"n2": 1}, "monitor": {}, "updated": 1.5});
    let seal = |form: &Form| {
        sender.seal(form, &Prepared::new(&message), &random).expect("a usable secret")
    };
    // Its requests, its slots, and what was held back, by a clock that is right, ahead or behind.
    let slot = seal(&Form::heartbeat(Dialect::Sealed, Kind::Slot, now, &random));
    let request =
        || seal(&Form::request(Dialect::Sealed, "n1", ::machine::clock::stamp(), &random));
    let mut held = vec![];
    for (held_s, ahead_s) in [(29, 0), (29, 25), (29, -1), (3_600, 3_600), (3_600, 0)] {
        let mut past = now;
        past.b_us -= held_s * 1_000_000;
        past.t_ms -= (held_s - ahead_s) * 1_000;
        held.push(seal(&Form::heartbeat(Dialect::Sealed, Kind::Heartbeat, past, &random)));
    }
    held.push(request());
    for frames in [vec![request()], vec![slot], held] {
        send(&frames);
    }
    // A heartbeat at the listener is no request.
    let fresh = || {
        let form =
            Form::heartbeat(Dialect::Sealed, Kind::Heartbeat, ::machine::clock::stamp(), &random);
        seal(&form)
    };
    let mut listener =
        TcpStream::connect((cluster.address(0), cluster.port(0))).expect("the node listens");
    listener.write_all(&fresh()).expect("it is taken");
    assert_eq!(listener.read(&mut [0]).unwrap_or(0), 0, "it is not answered");
    // Only a heartbeat of now beats: what is told first comes of it.
    let since = ::machine::clock::now().0;
    send(&[fresh(), request()]);
    let told = events.wait("n2 beats", |document| {
        document["data"]["id"] == "hb_beating" && document["data"]["nodename"] == "n2"
    });
    assert!(told["ts"].as_f64().is_some_and(|at| at >= since), "{told} {since}");
}

#[test]
fn what_a_node_sends_in_the_classic_dialect_does_nothing_at_the_node_itself() {
    let conf = ClusterConf { cluster: "envelope = classic\n".into(), ..ClusterConf::default() };
    let mut cluster = Cluster::configured(2, &conf);
    cluster.nodes[0].start();
    // In place of n2, which hears it and answers nothing.
    let other = TcpListener::bind((cluster.address(1), cluster.port(1))).expect("a free port");
    let change = json!({
        "action": "set_node_monitor", "method": "POST", "node": "n2",
        "options": {"global_expect": "frozen"}
    });
    let frame = std::thread::scope(|scope| {
        let heard = scope.spawn(|| {
            loop {
                let (mut stream, _) = other.accept().expect("a connection");
                let mut frame = vec![];
                _ = BufReader::new(&mut stream).read_until(0, &mut frame);
                // The node asks for other things too.
                let peer = Peer::classic(&cluster.nodes[0]);
                if peer.open(&frame).to_string().contains("frozen") {
                    return frame;
                }
            }
        });
        _ = cluster.nodes[0].request(&change);
        heard.join().expect("it was sent")
    });
    let again = |cluster: &Cluster| {
        let peer = Peer::classic(&cluster.nodes[0]).at(cluster.address(0)).to(cluster.port(0));
        peer.from(77).ask_frame(&frame).expect("it opens")
    };
    assert_eq!(again(&cluster)["error"], "replayed message");
    // Also after a restart.
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    assert_eq!(again(&cluster)["error"], "replayed message");
    let monitor = cluster.nodes[0].status()["monitor"]["nodes"]["n1"]["monitor"].clone();
    assert_ne!(monitor["global_expect"], "frozen", "{monitor}");
}
