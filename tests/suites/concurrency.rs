//! Promise: thousands of connections cost little, and those that take without giving are closed for the others' sake.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use harness::{Events, Node, PATIENCE, Peer, wait_for, wait_within};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit};
use serde_json::{Value, json};

/// Idle connections to hold.
const MANY: usize = 10_000;

/// Descriptors that the process under test and the suite need for everything else.
const SPARE: u64 = 512;

/// Memory that an idle connection may take, in bytes.
const IDLE_BYTES: u64 = 20_000;

fn ping() -> Value {
    json!({"action": "daemon_blacklist_status", "method": "GET"})
}

/// A node with these keywords in the section `listener`.
fn node_with(keywords: &str) -> Node {
    let mut node = Node::new("n1");
    let port = node.port();
    node.write(
        "etc/node.conf",
        &format!("[listener]\naddr = 127.0.0.1\nport = {port}\n{keywords}"),
    );
    node.start();
    node
}

/// Sessions that the listener knew when it looked last. The one that asked then may be among them, or may not.
fn sessions(node: &Node) -> u64 {
    node.status()["listener"]["stats"]["sessions"]["alive_count"].as_u64().unwrap_or(0)
}

/// Sessions of an address.
fn sessions_from(node: &Node, address: &str) -> usize {
    let status = node.status();
    let alive = status["listener"]["stats"]["sessions"]["alive"].as_object();
    alive.map_or(0, |alive| alive.values().filter(|session| session["addr"] == address).count())
}

/// Whether the node closed a connection whose bytes are still to be read.
fn is_closed(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec::default())).expect("a descriptor of ours");
    fds[0].revents().contains(PollFlags::HUP)
}

/// Text of this length that does not compress.
fn noise(length: usize) -> String {
    let mut bytes = vec![0; length];
    SystemRandom::new().fill(&mut bytes).expect("random numbers");
    bytes.iter().map(|byte| char::from(b'0' + byte % 64)).filter(|c| c.is_alphanumeric()).collect()
}

/// One reply on a connection that stays.
fn ask_on(peer: &Peer, stream: &mut TcpStream) -> Value {
    stream.write_all(&peer.frame(&ping())).expect("the node reads");
    let mut reply = vec![];
    BufReader::new(stream).read_until(0, &mut reply).expect("a reply");
    peer.open(&reply)
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_requests_are_answered() {
    harness::lift_descriptors();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let allowed = maximum.unwrap_or(u64::MAX).saturating_sub(SPARE);
    let count = MANY.min(usize::try_from(allowed).unwrap_or(usize::MAX));
    if count < MANY {
        println!("scaled down to {count} connections: the limit of open files is {maximum:?}");
    }
    let node = node_with("idle_timeout = 10m\n");
    let peers: Vec<_> = (100..200).map(|last| Peer::sealed(&node).from(last)).collect();
    // What the first requests and a full set of workers cost is no cost of the connections.
    for peer in &peers {
        assert_eq!(ask_on(peer, &mut peer.connect())["status"], 0);
    }
    wait_for("the first sessions are over", || sessions(&node) <= 1);
    let before = node.resident_kib();
    // Idle, and proven: whoever says nothing at all is closed.
    let mut held: Vec<_> = (0..count)
        .map(|index| {
            let peer = &peers[index % peers.len()];
            let mut stream = peer.connect();
            assert_eq!(ask_on(peer, &mut stream)["status"], 0);
            stream
        })
        .collect();
    wait_for("all connections are served", || sessions(&node) >= count as u64);
    let grown = node.resident_kib().saturating_sub(before);
    let each = (grown << 10) / count as u64;
    println!("{count} idle connections: {each} bytes each");
    assert!(each < IDLE_BYTES, "an idle connection takes {each} bytes");
    let mut newcomer = Peer::sealed(&node).from(9);
    assert_eq!(newcomer.ask(&ping()).expect("a new connection is served")["status"], 0);
    for index in (0..count).step_by(997) {
        let reply = ask_on(&peers[index % peers.len()], &mut held[index]);
        assert_eq!(reply["status"], 0, "connection {index} is served");
    }
    // So is the operator.
    assert!(node.om(&["daemon", "status"]).code == Some(0));
    drop(held);
    wait_for("they are gone", || sessions(&node) <= 2);
}

#[test]
fn the_total_of_connections_has_a_limit_that_leaves_the_operator_in() {
    let node = node_with("max_connections = 12\n");
    let peers = [Peer::sealed(&node).from(31), Peer::sealed(&node).from(32)];
    let mut held: Vec<_> = (0..12).map(|index| peers[index % 2].connect()).collect();
    for (index, stream) in held.iter_mut().enumerate() {
        assert_eq!(ask_on(&peers[index % 2], stream)["status"], 0);
    }
    let mut refused = Peer::sealed(&node).from(33).connect();
    assert_eq!(refused.read(&mut [0; 16]).unwrap_or(0), 0, "the thirteenth is closed at once");
    assert_eq!(node.request(&ping())["status"], 0, "the control socket has no such limit");
    wait_for("the refusal is counted", || {
        let counted = node.status()["listener"]["stats"]["sessions"].clone();
        counted["refused"] == 1 && counted["alive_count"].as_u64() >= Some(12)
    });
    drop(held);
    wait_for("others are welcome again", || {
        Peer::sealed(&node).from(33).ask(&ping()).is_some_and(|reply| reply["status"] == 0)
    });
}

#[test]
fn clients_that_never_read_are_dropped_and_hold_no_memory() {
    const CLIENTS: usize = 4;
    let node = Node::new("n1");
    let comment = noise(800_000);
    let lines: String = comment
        .as_bytes()
        .chunks(8_000)
        .enumerate()
        .map(|(number, part)| format!("text{number} = {}\n", String::from_utf8_lossy(part)))
        .collect();
    node.write("etc/large.conf", &format!("[env]\n{lines}"));
    let mut node = node;
    node.start();
    let large = json!({"action": "object_config", "method": "GET", "options": {"path": "large"}});
    let mut reader = Peer::sealed(&node).from(41);
    wait_for("the object is known", || {
        reader.ask(&large).is_some_and(|reply| reply.to_string().len() > comment.len())
    });
    let before = node.resident_kib();
    let greedy = Peer::sealed(&node).from(42);
    // More replies than the buffers of the system hold.
    let mut deaf: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut stream = greedy.connect();
            let socket = socket2::SockRef::from(&stream);
            socket.set_recv_buffer_size(16 << 10).expect("a socket option");
            let frames: Vec<u8> = (0..128).flat_map(|_| greedy.frame(&large)).collect();
            stream.write_all(&frames).expect("requests fit into the buffers");
            stream
        })
        .collect();
    wait_for("they are connected", || sessions_from(&node, "127.0.0.42") == CLIENTS);
    let mut most = 0;
    // What the buffers of the system do hold is evaluated, sealed and sent before they are full.
    wait_within(4 * PATIENCE, "they are dropped", || {
        most = most.max(node.resident_kib());
        (sessions_from(&node, "127.0.0.42") == 0).then_some(())
    });
    println!("{CLIENTS} deaf clients: {} KiB at most", most.saturating_sub(before));
    // A reply in progress each, and what the allocator keeps, not the 1,024 that were asked for (1 GB).
    assert!(most.saturating_sub(before) < 200 << 10, "{before} -> {most}");
    assert!(reader.ask(&large).is_some() || reader.ask(&large).is_some(), "others are served");
    for stream in &mut deaf {
        let mut rest = vec![];
        _ = stream.read_to_end(&mut rest);
        let replies = rest.iter().filter(|byte| **byte == 0).count();
        assert!(replies < 128, "a dropped client does not get all it asked for");
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_the_others_miss_nothing() {
    let node = node_with("");
    let mut deaf = UnixStream::connect(node.path("var/lsnr/lsnr.sock")).expect("the socket");
    deaf.write_all(b"{\"action\": \"events\", \"options\": {\"full\": true}}\0").expect("sent");
    let mut events = Events::subscribe(&node, &json!({"full": true}));
    assert_eq!(events.wait("a full first", |_| true)["kind"], "full");
    // What the buffers of a unix socket hold, and more.
    let env = noise(120_000);
    for index in 0..12 {
        let text = format!("[DEFAULT]\nnodes = n1\napp = {env}\n[fs#1]\ntype = flag\n");
        node.write(&format!("etc/svc{index}.conf"), &text);
        let name = format!("svc{index}");
        events.wait("its patch", |document| {
            document["kind"] == "patch" && document.to_string().contains(&name)
        });
    }
    wait_for("the deaf one is dropped", || is_closed(&deaf));
    // It reads what was sent before it was dropped, then the end.
    let mut rest = vec![];
    _ = deaf.read_to_end(&mut rest);
    assert!(!rest.is_empty());
    node.write("etc/last.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    events.wait("the next change", |document| document.to_string().contains("last"));
}

#[test]
fn a_request_of_a_member_passes_while_sixty_four_others_press() {
    let mut node = Node::new("n1");
    // 127.0.0.1, and 64 addresses that press.
    let addresses: String =
        (2..=66).map(|last| format!("addr@m{last} = 127.0.0.{}\n", 100 + last)).collect();
    let members: String = (2..=66).map(|last| format!(" m{last}")).collect();
    node.write(
        "etc/cluster.conf",
        &format!(
            "[DEFAULT]\nid = 154a5a0d-dc2d-4ea0-a03e-bfe936cc04ee\n[cluster]\nname = demo\nsecret = {}\n\
             nodes = n1{members}\n[listener]\n{addresses}",
            node.secret()
        ),
    );
    node.start();
    let honest = Peer::sealed(&node).named("m2").from(102);
    let request =
        json!({"action": "daemon_blacklist_status", "options": {"pad": noise(9_000_000)}});
    let frame = honest.frame(&request);
    assert!(frame.len() > 6 << 20, "{}", frame.len());
    let alone = Peer::sealed(&node).named("m2").from(102).ask(&request);
    // Too much for this request, and read to the end to find that out.
    assert_eq!(alone.as_ref().map(|reply| &reply["status"]), Some(&json!(413)), "{alone:?}");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let closed = std::sync::atomic::AtomicUsize::new(0);
    let part = format!("{{\"clustername\": \"{}", noise(7_000_000));
    std::thread::scope(|scope| {
        for last in 103..=166_u8 {
            let (node, part, is_over, closed) = (&node, part.as_bytes(), &is_over, &closed);
            scope.spawn(move || {
                let presser = Peer::sealed(node).from(last);
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut stream = presser.connect();
                    // All at once, then in drops: it never ends.
                    let mut is_open = stream.write_all(&part[..4 << 20]).is_ok();
                    while is_open && !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        is_open = stream.write_all(b"x").is_ok();
                    }
                    closed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let served: Vec<bool> = (0..5)
            .map(|round| {
                wait_for("the bound is reached", || {
                    closed.load(std::sync::atomic::Ordering::Relaxed) > 10 * round
                });
                let mut honest = Peer::sealed(&node).named("m2").from(102);
                honest.ask(&request) == alone
            })
            .collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(served, [true; 5]);
    });
    assert!(node.node_log().contains("too many unfinished messages"));
}
