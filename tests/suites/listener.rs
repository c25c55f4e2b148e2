//! Promise: only whoever holds the secret is answered, mistakes are counted, and floods leave the others served.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{Events, GIVES_UP, Node, PATIENCE, Peer, wait_for, wait_until};
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
        for count in 1..=5 {
            assert_eq!(
                bad.exchange(&bad.frame(&ping())),
                b"",
                "what does not open is not answered"
            );
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
        for count in 1..=4 {
            assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
            assert_eq!(blacklist(&node)[&address], count);
        }
        assert_eq!(good.ask(&ping()).expect("four are forgiven")["status"], 0);
        assert_eq!(blacklist(&node).get(&address), None, "one that opens clears the count");
        assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
        assert_eq!(blacklist(&node)[&address], 1, "they are counted anew");
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
fn a_replayed_or_late_message_is_refused_and_not_counted() {
    let node = Node::started("n1");
    let mut peer = Peer::sealed(&node).from(41);
    let frame = peer.frame(&ping());
    assert_eq!(peer.ask_frame(&frame).expect("fresh")["status"], 0);
    let replayed = peer.ask_frame(&frame).expect("it opens");
    assert_eq!(replayed["error"], "replayed message");
    let late = peer.frame_at(&ping(), -40);
    let refused = peer.ask_frame(&late).expect("it opens")["error"].clone();
    let refused = refused.as_str().expect("a text").to_owned();
    let expected = [40, 41, 42].map(|s| format!("late message: made {s} s ago"));
    assert!(expected.contains(&refused), "{refused}");
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
fn without_a_collector_an_empty_packet_starts_nothing_and_counts_nothing() {
    let node = Node::started("n1");
    let peer = Peer::sealed(&node).from(61);
    wait_for("all is started", || node.read("log/node.log").contains("from=init to=idle"));
    let before = node.read("log/node.log");
    for packet in [&b""[..], b"\0", b"dequeue_actions", b"dequeue_actions\0"].repeat(20) {
        assert_eq!(peer.exchange(packet), b"");
    }
    assert_eq!(blacklist(&node), json!({}));
    assert!(node.processes(|line| line.contains("dequeue")).is_empty());
    assert_eq!(node.read("log/node.log"), before, "not a line");
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

/// A collector that holds its answers back: it tells of each call, and answers it with an empty queue when released.
fn collector() -> (String, mpsc::Receiver<String>, mpsc::Sender<()>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let uri = format!("http://{}/feed", listener.local_addr().expect("bound"));
    let ((called, calls), (release, releases)) = (mpsc::channel(), mpsc::channel());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 16 << 10];
            let length = stream.read(&mut request).unwrap_or(0);
            _ = called.send(String::from_utf8_lossy(&request[..length]).into_owned());
            if releases.recv().is_err() {
                return;
            }
            let body = "<?xml version='1.0'?><methodResponse><params><param><value><array><data/></array></value></param></params></methodResponse>";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            _ = stream.write_all((head + body).as_bytes());
        }
    });
    (uri, calls, release)
}

#[test]
fn actions_are_dequeued_one_run_at_a_time_and_triggers_meanwhile_make_one_more() {
    let (uri, calls, release) = collector();
    let mut node = Node::new("n1");
    node.write_cluster("envelope = any");
    let listener = node.read("etc/node.conf");
    let uuid = "0e9bcbf5-9b9c-4d2b-a6f3-d8ae0e9bcbf5";
    node.write("etc/node.conf", &format!("{listener}[node]\ndbopensvc = {uri}\nuuid = {uuid}\n"));
    node.start();
    let runs = || node.read("log/node.log").matches("| dequeue actions").count();
    let call = || calls.recv_timeout(PATIENCE).expect("the collector is asked");
    let trigger = |packet: &[u8]| {
        let peer = Peer::sealed(&node).from(62);
        assert_eq!(peer.exchange(packet), b"");
    };
    let ended = || {
        wait_for("the run ends", || node.processes(|line| line.contains("dequeue")).is_empty());
    };
    assert_eq!(runs(), 0, "a start is no trigger");
    for (round, first) in [&b""[..], b"dequeue_actions"].into_iter().enumerate() {
        let begin = Instant::now();
        trigger(first);
        call();
        for packet in [&b""[..], b"\0", b"dequeue_actions", b"dequeue_actions\0"].repeat(3) {
            trigger(packet);
        }
        // The log is written in its own time.
        wait_for("the run is logged", || runs() == 2 * round + 1);
        assert!(calls.try_recv().is_err(), "one at a time");
        release.send(()).expect("the collector lives");
        call();
        assert!(begin.elapsed() > Duration::from_secs(9), "one per ten seconds");
        release.send(()).expect("the collector lives");
        ended();
        wait_for("one more run is logged, for all of them", || runs() == 2 * round + 2);
    }
    assert_eq!(blacklist(&node), json!({}));
    let log = node.read("log/node.log");
    assert!(!log.contains(uuid), "the key of the collector is a secret");
}

#[test]
fn a_control_socket_that_is_deleted_is_made_again() {
    let node = Node::started("n1");
    let mut events = Events::subscribe(&node, &json!({"full": true}));
    events.wait("the whole first", |document| document["kind"] == "full");
    let socket = node.path("var/lsnr/lsnr.sock");
    let is_back = || wait_for("it answers again", || node.try_request(&ping()).is_some());
    std::fs::remove_file(&socket).expect("a socket");
    is_back();
    // At once: what is removed file by file is made again in between.
    std::fs::rename(node.path("var/lsnr"), node.path("tmp/gone")).expect("a folder");
    is_back();
    std::fs::rename(&socket, node.path("tmp/moved")).expect("a socket");
    is_back();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&socket).expect("a socket").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    events.wait("who was connected stays so", |document| document.to_string().contains("svc1"));
    assert_eq!(node.status()["control_socket"]["restarts"], 0);
}

#[test]
fn a_host_name_is_listened_on_and_one_that_is_none_is_named() {
    let node = Node::started("n1");
    let conf = |addr: &str| {
        node.write(
            "etc/node.conf",
            &format!("[listener]\naddr = {addr}\nport = {}\n", node.port()),
        );
    };
    let block = || node.status()["listener"].clone();
    conf("localhost");
    wait_for("the name is in force", || block()["config"]["addr"] == "localhost");
    assert!(std::net::TcpStream::connect(("localhost", node.port())).is_ok());
    conf("no such host");
    wait_for("the mistake is told", || {
        let text = block()["alerts"].to_string();
        text.contains("no such host") && text.contains("not an IP address, nor the name of one")
    });
    assert_eq!(block()["config"]["addr"], "localhost", "the last good one stays in force");
    assert!(std::net::TcpStream::connect(("localhost", node.port())).is_ok());
    // From one address to any, and back, on the same port.
    for addr in ["", "127.0.0.1"] {
        conf(addr);
        wait_for("the address is in force, the alert is over", || {
            block()["alerts"].is_null() && block()["config"]["addr"] == addr
        });
    }
    assert_eq!(Peer::sealed(&node).ask(&ping()).expect("a reply")["status"], 0);
}
