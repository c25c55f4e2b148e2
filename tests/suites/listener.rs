//! Promise: only whoever holds the secret is answered, mistakes are counted, and floods leave the others served.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use harness::{GIVES_UP, Node, Peer, wait_for, wait_until};
use serde_json::{Value, json};

const WRONG: &str = "81ec81d6e68c11f1ae3f02fcffffffff";

fn ping() -> Value {
    json!({"action": "daemon_blacklist_status", "method": "GET"})
}

/// Blacklist of the node, as its own administrator sees it.
fn blacklist(node: &Node) -> Value {
    node.request(&ping())["data"].clone()
}

#[test]
fn the_fifth_invalid_message_in_a_row_blacklists_its_sender() {
    let mut node = Node::new("n1");
    node.write_cluster("envelope = any");
    node.start();
    for (last, peer) in [(11, Peer::sealed(&node)), (12, Peer::classic(&node))] {
        let address = format!("127.0.0.{last}");
        let mut good = peer.from(last);
        let bad = Peer::sealed(&node).with_secret(WRONG).from(last);
        for count in 1..=4 {
            assert_eq!(
                bad.exchange(&bad.frame(&ping())),
                b"",
                "what does not open is not answered"
            );
            assert_eq!(blacklist(&node)[&address], count);
        }
        assert_eq!(good.ask(&ping()).expect("four are forgiven")["status"], 0);
        assert_eq!(blacklist(&node).get(&address), None, "one that opens clears the count");
        for count in 1..=5 {
            assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
            assert_eq!(blacklist(&node)[&address], count);
        }
        assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
        assert_eq!(blacklist(&node)[&address], 5, "a dropped message does not count");
        assert_eq!(
            good.exchange(&good.frame(&ping())),
            b"",
            "a blacklisted sender is not answered"
        );
        let other =
            Peer::sealed(&node).from(19).ask(&ping()).expect("another sender is")["data"].clone();
        assert_eq!(other[&address], 5);
        node.om_ok(&["daemon", "blacklist", "clear"]);
        assert_eq!(blacklist(&node), json!({}));
        assert_eq!(good.from(last).ask(&ping()).expect("forgiven")["status"], 0);
    }
}

#[test]
fn the_blacklist_is_printed_as_the_manual_shows_it() {
    let node = Node::started("n1");
    let bad = Peer::sealed(&node).with_secret(WRONG).from(21);
    assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
    let expected = "{\n    \"data\": {\n        \"127.0.0.21\": 1\n    },\n    \"status\": 0\n}\n";
    assert_eq!(node.om_ok(&["daemon", "blacklist", "status"]), expected);
    assert_eq!(
        node.om_ok(&["node", "daemon", "blacklist", "status"]),
        expected,
        "the older spelling"
    );
}

#[test]
fn only_members_are_served_and_join_opens_nothing_else() {
    let node = Node::started("n1");
    let stranger = Peer::sealed(&node).named("stranger").ask(&ping()).expect("it holds the secret");
    assert_eq!(
        stranger,
        json!({"status": 401, "error": "node stranger is not a cluster demo node"})
    );
    let other = Peer::sealed(&node).of_cluster("other").from(31);
    assert_eq!(other.exchange(&other.frame(&ping())), b"");
    assert_eq!(
        blacklist(&node)["127.0.0.31"],
        1,
        "a wrong cluster name is what a member never sends"
    );
    let mut joiner = Peer::sealed(&node).of_cluster("join").named("n2");
    assert_eq!(joiner.ask(&ping()).expect("a ping is allowed")["status"], 0);
    assert_eq!(joiner.ask(&json!({"action": "daemon_status"})).expect("a refusal")["status"], 401);
    let options = json!({"path": "cluster"});
    let refused =
        joiner.ask(&json!({"action": "object_config", "method": "GET", "options": options}));
    assert_eq!(refused.expect("a refusal")["status"], 401);
    let joined = joiner.ask(&json!({"action": "join", "method": "POST"})).expect("a reply");
    assert_eq!(joined["status"], 0, "{joined}");
    assert_eq!(joined["data"]["cluster"]["data"]["cluster"]["nodes"], "n1 n2");
    wait_for("it is a member", || node.status()["cluster"]["nodes"] == json!(["n1", "n2"]));
    assert_eq!(Peer::sealed(&node).named("n2").ask(&ping()).expect("a member")["status"], 0);
    let left = Peer::sealed(&node).named("n2").ask(&json!({"action": "leave", "method": "POST"}));
    assert_eq!(left.expect("a reply"), json!({"status": 0}));
    wait_for("it is none any more", || node.status()["cluster"]["nodes"] == json!(["n1"]));
}

#[test]
fn a_replayed_or_stale_message_is_refused_and_not_counted() {
    let node = Node::started("n1");
    let mut peer = Peer::sealed(&node).from(41);
    let frame = peer.frame(&ping());
    assert_eq!(peer.ask_frame(&frame).expect("fresh")["status"], 0);
    let replayed = peer.ask_frame(&frame).expect("it opens");
    assert_eq!(replayed["error"], "replayed message");
    for (seconds, differ) in [(-40, 40), (40, 40)] {
        let stale = peer.frame_at(&ping(), seconds);
        let refused =
            peer.ask_frame(&stale).expect("it opens")["error"].as_str().expect("a text").to_owned();
        let expected = [differ - 1, differ, differ + 1]
            .map(|s| format!("stale message: clocks differ by {s} s"));
        assert!(expected.contains(&refused), "{refused}");
    }
    assert_eq!(blacklist(&node), json!({}));
}

#[test]
fn a_sealed_connection_stays_and_answers_in_order() {
    let node = Node::started("n1");
    let peer = Peer::sealed(&node);
    let mut stream = peer.connect();
    let requests = [ping(), json!({"action": "whoami"}), json!({"action": "nothing"}), ping()];
    let frames: Vec<u8> = requests.iter().flat_map(|request| peer.frame(request)).collect();
    // In pieces that end anywhere.
    for piece in frames.chunks(37) {
        stream.write_all(piece).expect("the node reads");
    }
    stream.shutdown(Shutdown::Write).expect("a half close");
    let mut replies = vec![];
    stream.read_to_end(&mut replies).expect("the replies");
    let replies: Vec<Value> = replies
        .split(|byte| *byte == 0)
        .filter(|reply| !reply.is_empty())
        .map(|reply| peer.open(reply))
        .collect();
    assert_eq!(replies.len(), requests.len());
    assert_eq!(replies[0], json!({"status": 0, "data": {}}));
    assert_eq!(replies[1]["auth"], "secret", "{}", replies[1]);
    assert_eq!(
        replies[2],
        json!({"status": 501, "error": "handler None nothing is not supported"})
    );
    assert_eq!(replies[3], replies[0]);
}

#[test]
fn a_sealed_node_does_not_take_classic_messages() {
    let node = Node::started("n1");
    let peer = Peer::classic(&node).from(51);
    assert_eq!(peer.exchange(&peer.frame(&ping())), b"");
    assert_eq!(blacklist(&node)["127.0.0.51"], 1);
}

#[test]
fn a_classic_connection_closes_right_after_the_reply() {
    let node = Node::new("n1");
    node.write_cluster("envelope = classic");
    let mut node = node;
    node.start();
    let peer = Peer::classic(&node);
    let mut stream = peer.connect();
    stream.write_all(&peer.frame(&ping())).expect("the node reads");
    let mut reply = vec![];
    // No half close of ours: the node ends the connection.
    stream.read_to_end(&mut reply).expect("the reply, then the end");
    assert_eq!(peer.open(&reply), json!({"status": 0, "data": {}}));
}

#[test]
fn an_empty_packet_dequeues_the_actions_and_counts_nothing() {
    let node = Node::started("n1");
    let peer = Peer::sealed(&node).from(61);
    for packet in [&b""[..], b"\0", b"dequeue_actions", b"dequeue_actions\0"] {
        let runs = || node.read("log/node.log").matches("dequeue actions").count();
        let before = runs();
        assert_eq!(peer.exchange(packet), b"");
        wait_for("the command runs", || runs() > before);
    }
    assert_eq!(blacklist(&node), json!({}));
}

#[test]
fn a_sender_that_never_ends_its_message_is_given_up() {
    let node = Node::started("n1");
    let peer = Peer::sealed(&node);
    let begin = Instant::now();
    let mut stream = peer.connect();
    stream.write_all(b"{\"clustername\": ").expect("the node reads");
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "nothing is answered");
    assert!(begin.elapsed() < GIVES_UP, "given up after {:?}", begin.elapsed());
    assert_eq!(Peer::sealed(&node).ask(&ping()).expect("others are served")["status"], 0);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let node = Node::new("n1");
    node.write(
        "etc/node.conf",
        &format!(
            "[listener]\naddr = 127.0.0.1\nport = {}\nmax_connections_per_address = 8\n",
            node.port()
        ),
    );
    let mut node = node;
    node.start();
    let greedy = Peer::sealed(&node).from(71);
    let held: Vec<_> = (0..8).map(|_| greedy.connect()).collect();
    let mut ninth = greedy.connect();
    assert_eq!(ninth.read(&mut [0; 16]).unwrap_or(0), 0, "the ninth is closed at once");
    assert_eq!(
        Peer::sealed(&node).from(72).ask(&ping()).expect("another address is served")["status"],
        0
    );
    drop(held);
    wait_until("the address is welcome again", || {
        let mut peer = Peer::sealed(&node).from(71);
        peer.ask(&ping())
    });
}

#[test]
fn an_event_stream_ends_with_its_session_and_carries_patches() {
    let node = Node::started("n1");
    let peer = Peer::sealed(&node);
    let mut stream = peer.connect();
    stream
        .write_all(&peer.frame(&json!({"action": "events", "options": {"full": true}})))
        .expect("sent");
    let mut reader = std::io::BufReader::new(stream.try_clone().expect("a second handle"));
    let mut next = || {
        let mut document = vec![];
        std::io::BufRead::read_until(&mut reader, 0, &mut document).expect("a document");
        (!document.is_empty()).then(|| peer.open(&document))
    };
    assert_eq!(next().expect("a full first")["kind"], "full");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    let begin = Instant::now();
    loop {
        let document = next().expect("the stream goes on");
        if document["kind"] == "patch" && document.to_string().contains("svc1") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "no patch names the new object");
    }
    stream.shutdown(Shutdown::Both).expect("the subscriber leaves");
    wait_for("the session ends", || {
        let status = node.status();
        status["listener"]["stats"]["sessions"]["alive"]
            .as_object()
            .is_some_and(|alive| alive.len() <= 1)
    });
}
