//! Promise: what strangers send takes little, what they send from a member's address does not concern the member, and
//! silence keeps nobody out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Cluster, ClusterConf, Node, Peer, Port, wait_for};
use serde_json::{Value, json};

const WRONG: &str = "81ec81d6e68c11f1ae3f02fcffffffff";

fn ping() -> Value {
    json!({"action": "daemon_blacklist_status", "method": "GET"})
}

fn blacklist(node: &Node) -> Value {
    node.request(&ping())["data"].clone()
}

/// Address `number` of those that belong to nobody.
fn stranger(number: usize) -> Ipv4Addr {
    let number = u16::try_from(number).expect("a small crowd").to_be_bytes();
    Ipv4Addr::new(127, 9, number[0], number[1])
}

/// So many times sixteen letters that no compression makes much shorter.
fn noise(count: usize) -> String {
    let mut seed = 1_u64;
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", seed ^ (seed >> 29))
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Lines of the node log that contain a text.
fn lines(node: &Node, text: &str) -> usize {
    node.read("log/node.log").lines().filter(|line| line.contains(text)).count()
}

#[test]
fn what_others_send_from_a_members_address_does_not_concern_the_member() {
    let mut cluster = Cluster::configured(2, &ClusterConf::default());
    let port = Port::reserve();
    let text = cluster.nodes[0].read("etc/cluster.conf");
    let multicast = format!("[hb#2]\ntype = multicast\nintf = lo\nport = {}\n", port.number());
    for node in &cluster.nodes {
        node.write("etc/cluster.conf", &format!("{text}\n{multicast}"));
        node.write(
            "etc/svc1.conf",
            "[DEFAULT]\nnodes = n2 n1\norchestrate = ha\n[fs#1]\ntype = flag\n",
        );
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    cluster.wait_beating_on("hb#2");
    let (n1, n2) = (&cluster.nodes[0], &cluster.nodes[1]);
    _ = n2.om(&["svc1", "provision", "--local"]);
    n2.om_ok(&["svc1", "thaw", "--wait"]);
    wait_for("the service is up", || n2.instance("svc1")["avail"] == "up");
    let member = || {
        Peer::sealed(n1)
            .named("n2")
            .from_address(cluster.address(1))
            .at(cluster.address(0))
            .to(cluster.port(0))
    };
    let mut kept = member();
    assert_eq!(kept.ask(&ping()).expect("served")["status"], 0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whoever may run something on n2 sends what does not open, to the listener and to the heartbeat.
        for (thread, to) in
            [cluster.port(0), cluster.heartbeat_port(0)].repeat(2).into_iter().enumerate()
        {
            let (is_over, garbage) =
                (&is_over, member().with_secret(WRONG).at(cluster.address(0)).to(to));
            scope.spawn(move || {
                let frame = if thread < 2 { garbage.frame(&ping()) } else { b"{}\0".to_vec() };
                while !is_over.load(Ordering::Relaxed) {
                    _ = garbage.exchange(&frame);
                }
            });
        }
        wait_for("it is shown by the name of the node", || blacklist(n1)["n2"] == 5);
        wait_for("an alert tells of it", || {
            let alerts = n1.status()["blacklist"]["alerts"].to_string();
            alerts.contains("127.0.0.12, an address of n2, sends messages that do not open")
        });
        let begin = Instant::now();
        let mut rounds = 0;
        while begin.elapsed() < Duration::from_secs(5) || rounds < 20 {
            rounds += 1;
            assert_eq!(kept.ask(&ping()).expect("a proven connection is served")["status"], 0);
            let asked = Instant::now();
            assert_eq!(member().ask(&ping()).expect("a new one too")["status"], 0);
            let most = harness::at_this_load(Duration::from_secs(5));
            assert!(asked.elapsed() < most, "{:?}", asked.elapsed());
            for heartbeat in ["hb#1.rx", "hb#2.rx"] {
                assert!(cluster.is_beating(0, heartbeat, 1), "{heartbeat}");
            }
            assert_eq!(n2.instance("svc1")["avail"], "up");
            assert_ne!(n1.instance("svc1")["avail"], "up");
        }
        // The heartbeat is connected anew while the flood goes on.
        n2.om_ok(&["daemon", "stop", "--thread-id", "hb#1.tx"]);
        cluster.wait_flag(0, "hb#1.rx", 1, false);
        n2.om_ok(&["daemon", "start", "--thread-id", "hb#1.tx"]);
        cluster.wait_flag(0, "hb#1.rx", 1, true);
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(lines(n1, "sends messages that do not open"), 1, "told once");
    assert_eq!(lines(n1, "blacklisted"), 0);
    n1.om_ok(&["daemon", "blacklist", "clear"]);
    wait_for("the alert is over", || {
        !n1.status()["blacklist"]["alerts"].to_string().contains("n2")
    });
}

#[test]
fn an_address_from_which_messages_opened_lately_is_not_refused() {
    let node = Node::started("n1");
    let client = || Peer::sealed(&node).from_address(stranger(1));
    assert_eq!(client().ask(&ping()).expect("served")["status"], 0);
    let bad = client().with_secret(WRONG);
    for _ in 0..8 {
        assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
    }
    assert_eq!(blacklist(&node)[stranger(1).to_string()], 5);
    assert_eq!(client().ask(&ping()).expect("a new connection is served")["status"], 0);
    // What was heard before and is sent again proves nothing.
    let recorded = client().frame(&ping());
    assert_eq!(client().ask_frame(&recorded).expect("served")["status"], 0);
    let other = || Peer::sealed(&node).from_address(stranger(2));
    for _ in 0..8 {
        assert_eq!(other().ask_frame(&recorded).expect("it opens")["error"], "replayed message");
    }
    let bad = other().with_secret(WRONG);
    for _ in 0..5 {
        assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
    }
    assert_eq!(other().exchange(&other().frame(&ping())), b"", "it is no acquaintance");
}

/// A node that takes both dialects, and has `n1`, `n2` and `n3` for members.
fn taking_both() -> Node {
    let mut node = Node::new("n1");
    node.write_cluster("envelope = any\nnodes = n1 n2 n3");
    node.start();
    node
}

#[test]
fn what_is_recorded_and_refused_proves_nothing_however_often_it_is_sent() {
    let node = taking_both();
    let left = Peer::sealed(&node).named("n9").frame(&ping());
    let classic = Peer::classic(&node).named("n3");
    let unknown = classic.frame(&json!({"action": "no_such_action", "method": "GET"}));
    let gone = Peer::classic(&node).named("n9").frame(&ping());
    // Of a node that is no member any more, of one that asked for nothing that exists; sealed and classic.
    let recorded = [(left, "not a cluster"), (unknown, "not supported"), (gone, "not a cluster")];
    for (number, (frame, reason)) in recorded.iter().enumerate() {
        let sender = Peer::sealed(&node).from_address(stranger(1 + number));
        let replay = || {
            let reply = sender.exchange(frame);
            let told = sender.open(&reply).to_string();
            assert!(told.contains(reason), "{told}");
        };
        for _ in 0..6 {
            replay();
        }
        for count in 1..=5 {
            assert_eq!(sender.exchange(b"{}\0"), b"");
            assert_eq!(blacklist(&node)[stranger(1 + number).to_string()], count, "{reason}");
            if count < 5 {
                replay();
            }
        }
        assert_eq!(sender.exchange(frame), b"", "{reason}: it is no acquaintance");
        assert_eq!(sender.exchange(&sender.frame(&ping())), b"", "{reason}");
    }
}

#[test]
fn no_classic_request_makes_an_address_known() {
    let node = taking_both();
    let sender = || Peer::classic(&node).named("n3").from_address(stranger(1));
    for _ in 0..6 {
        assert_eq!(sender().ask(&ping()).expect("served")["status"], 0);
        let change = json!({"action": "blacklist_clear", "method": "POST"});
        assert_eq!(sender().ask(&change).expect("served")["status"], 0);
    }
    for _ in 0..5 {
        assert_eq!(sender().exchange(b"{}\0"), b"");
    }
    assert_eq!(sender().exchange(&sender().frame(&ping())), b"", "the address is refused");
}

#[test]
fn a_proven_connection_goes_on_while_others_misuse_its_address() {
    let node = Node::started("n1");
    let mut kept = Peer::sealed(&node).from_address(stranger(1));
    assert_eq!(kept.ask(&ping()).expect("served")["status"], 0);
    let bad = Peer::sealed(&node).with_secret(WRONG).from_address(stranger(1));
    for _ in 0..8 {
        assert_eq!(bad.exchange(&bad.frame(&ping())), b"");
    }
    assert_eq!(kept.ask(&ping()).expect("who proved itself is not slowed")["status"], 0);
}

#[test]
fn a_crowd_of_blacklisted_senders_is_a_handful_of_lines() {
    let node = Node::started("n1");
    const CROWD: usize = 400;
    for number in 0..CROWD {
        let bad = Peer::sealed(&node).with_secret(WRONG).from_address(stranger(number));
        for _ in 0..5 {
            _ = bad.exchange(b"{}\0");
        }
    }
    let counts = blacklist(&node);
    assert_eq!(counts.as_object().map(serde_json::Map::len), Some(CROWD));
    let told = lines(&node, "blacklisted");
    assert!((1..=4).contains(&told), "{told} lines\n{}", node.node_log());
    wait_for("the number is shown", || {
        node.status()["blacklist"]["stats"]["blacklisted"] == json!(CROWD)
    });
}

/// What strangers may take, in KiB: 1 MiB of messages, 200 connections, and what the allocator keeps of both.
const MOST_KIB: u64 = 8 << 10;

/// Connections of strangers, each of which sends without an end until it is closed: what the daemon grows by at most.
fn grown_under_endless_messages(node: &Node, to: Ipv4Addr, port: u16) -> u64 {
    let piece = vec![b'x'; 16 << 10];
    let connect = |number: usize| {
        let peer = Peer::sealed(node).from_address(stranger(number)).at(to).to(port);
        let stream = peer.connect();
        stream.set_nonblocking(true).expect("a socket option");
        stream
    };
    // What connections, their counters and the list cost is no cost of messages.
    for number in 0..2_000 {
        let from = stranger(1_000 + number % 250);
        let peer = Peer::sealed(node).with_secret(WRONG).from_address(from);
        _ = peer.at(to).to(port).exchange(b"{}\0");
    }
    let before = node.resident_kib();
    let mut most = before;
    let mut streams: Vec<TcpStream> = (0..200).map(connect).collect();
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < Duration::from_secs(8) {
        for (number, stream) in streams.iter_mut().enumerate() {
            // Just below what is too long, and again once it is closed.
            match stream.write(&piece[..4_000]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => *stream = connect(number),
            }
        }
        most = most.max(node.resident_kib());
    }
    assert!(sent > 16 << 20, "{sent} bytes were sent");
    most - before
}

#[test]
fn messages_of_strangers_without_an_end_take_little_on_the_listener_and_on_heartbeats() {
    let cluster = Cluster::start_with(2, &ClusterConf::default());
    let node = &cluster.nodes[0];
    for (what, port) in [("listener", cluster.port(0)), ("heartbeat", cluster.heartbeat_port(0))] {
        let grown = grown_under_endless_messages(node, cluster.address(0), port);
        println!("measured: 200 strangers send without an end to the {what}: {grown} KiB at most");
        assert!(grown < MOST_KIB, "{what}: grown by {grown} KiB");
        // Silent for a second, a peer of this profile is stale: none was, however many strangers were served.
        for node in &cluster.nodes {
            assert_eq!(lines(node, ": stale"), 0, "{what}\n{}", node.node_log());
        }
    }
    assert!(cluster.is_beating(0, "hb#1.rx", 1));
    assert!(lines(node, "too many") <= 4, "{}", node.node_log());
}

#[test]
fn only_who_is_known_sends_what_is_large() {
    let mut node = Node::new("n1");
    let member = Ipv4Addr::new(127, 0, 7, 2);
    let port = node.port();
    node.write(
        "etc/node.conf",
        &format!(
            "[cluster]\nnodes = n1 n2\n[listener]\naddr = 127.0.0.1\naddr@n2 = {member}\nport = {port}\n"
        ),
    );
    node.start();
    let large = json!({"action": "daemon_blacklist_status", "options": {"pad": noise(16_384)}});
    let mut fresh = Peer::sealed(&node).from_address(stranger(1));
    assert!(fresh.frame(&large).len() > 64 << 10);
    assert_eq!(fresh.ask(&large), None, "a stranger's first message is small");
    let mut proven = Peer::sealed(&node).from_address(stranger(2));
    assert_eq!(proven.ask(&ping()).expect("served")["status"], 0);
    assert_eq!(proven.ask(&large).expect("who proved itself may")["status"], 0);
    let mut member = Peer::sealed(&node).named("n2").from_address(member);
    assert_eq!(member.ask(&large).expect("a member may")["status"], 0);
}

#[test]
fn a_silent_crowd_keeps_neither_members_nor_voters_out() {
    harness::lift_descriptors();
    let mut node = Node::new("n1");
    let port = node.port();
    node.write(
        "etc/node.conf",
        &format!("[listener]\naddr = 127.0.0.1\nport = {port}\nmax_connections = 200\n"),
    );
    node.start();
    let mut kept = Peer::sealed(&node).from_address(stranger(900));
    assert_eq!(kept.ask(&ping()).expect("served")["status"], 0);
    let crowd = |count: usize| -> Vec<TcpStream> {
        (0..count)
            .map(|number| Peer::sealed(&node).from_address(stranger(number % 16)).connect())
            .collect()
    };
    let mut silent = crowd(16 * 70);
    for _ in 0..10 {
        let mut member = Peer::sealed(&node);
        assert_eq!(member.ask(&ping()).expect("a member is served")["status"], 0);
        let mut voter = Peer::sealed(&node).of_cluster("join").from_address(stranger(901));
        assert_eq!(voter.ask(&ping()).expect("a voter is served")["status"], 0);
        silent.extend(crowd(64));
    }
    assert_eq!(kept.ask(&ping()).expect("who proved itself is never closed")["status"], 0);
    let begin = Instant::now();
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "nothing is answered");
    }
    let most = harness::at_this_load(Duration::from_secs(8));
    assert!(begin.elapsed() < most, "strangers have 5 s");
}

#[test]
fn a_crowd_that_dribbles_keeps_no_voter_waiting() {
    harness::lift_descriptors();
    let node = Node::started("n1");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (node, is_over) = (&node, &is_over);
            scope.spawn(move || {
                let connect = |number: usize| {
                    let peer = Peer::sealed(node).from_address(stranger(7 * thread + number % 7));
                    let stream = peer.connect();
                    stream.set_nonblocking(true).expect("a socket option");
                    stream
                };
                let mut crowd: Vec<TcpStream> = (0..7 * 60).map(connect).collect();
                while !is_over.load(Ordering::Relaxed) {
                    for (number, stream) in crowd.iter_mut().enumerate() {
                        match stream.write(b"x") {
                            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                                *stream = connect(number);
                            }
                            _ => {}
                        }
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let sessions = || node.status()["listener"]["stats"]["sessions"]["alive_count"].as_u64();
        wait_for("the crowd is there", || sessions() > Some(500));
        let mut slowest = Duration::ZERO;
        for number in 0..6 {
            // A vote in two pieces, from an address that was not heard before.
            let voter = Peer::sealed(&node).of_cluster("join").from_address(stranger(900 + number));
            let frame = voter.frame(&ping());
            let begin = Instant::now();
            let mut stream = voter.connect();
            let (head, rest) = frame.split_at(frame.len() / 2);
            stream.write_all(head).expect("it is read");
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(rest).expect("it is read");
            let answered = stream.read(&mut [0; 16]).expect("an answer");
            assert!(answered > 0, "the vote is given, {:?}", begin.elapsed());
            slowest = slowest.max(begin.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        println!("measured: a vote among 1,260 that dribble: {slowest:?}");
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    });
}

#[test]
fn one_address_has_sixty_four_silent_connections() {
    let node = Node::started("n1");
    let connect = || Peer::sealed(&node).from_address(stranger(1)).connect();
    // Not because their 5 s are over.
    wait_for("the oldest go at once", || {
        let begin = Instant::now();
        let mut silent: Vec<_> = (0..80).map(|_| connect()).collect();
        for stream in &mut silent[..16] {
            assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
        }
        begin.elapsed() < Duration::from_secs(4)
    });
    assert_eq!(
        Peer::sealed(&node).from_address(stranger(1)).ask(&ping()).expect("served")["status"],
        0
    );
}

#[test]
fn the_administrator_is_answered_when_descriptors_are_short() {
    let node = Node::new("n1");
    node.script("tmp/few", "ulimit -n 320; exec \"$OM_TESTED\" \"$@\"");
    let script = node.path("tmp/few");
    let mut node =
        node.with_env("OM_TESTED", &Node::built().display().to_string()).with_program(script);
    node.start();
    let text = node.status()["listener"]["alerts"].to_string();
    assert!(text.contains("listener.max_connections is 16384") && text.contains("160"), "{text}");
    let mut held = vec![];
    for number in 0..400 {
        let mut peer = Peer::sealed(&node).from_address(stranger(number / 50));
        // Proven: none of them makes room.
        let reply = peer.ask(&ping());
        assert_eq!(reply.is_none(), number >= 160, "connection {number}");
        held.push(peer);
    }
    for _ in 0..20 {
        assert_eq!(node.request(&ping())["status"], 0);
    }
    assert_eq!(node.om(&["daemon", "status"]).code, Some(0));
    assert_eq!(lines(&node, "limit of open files"), 1, "told once");
}

#[test]
fn when_a_classic_message_is_refused_does_not_tell_how_far_it_could_be_read() {
    let mut cluster = Cluster::configured(2, &ClusterConf::default());
    let text = cluster.nodes[0].read("etc/cluster.conf");
    let text = text.replace("[cluster]\n", "[cluster]\nenvelope = any\n");
    cluster.nodes[0].write("etc/cluster.conf", &text);
    cluster.nodes[0].start();
    let (listener, heartbeat) = (cluster.port(0), cluster.heartbeat_port(0));
    let sender = |number, port| {
        let peer = Peer::classic(&cluster.nodes[0]).named("n2").at(cluster.address(0));
        peer.from_address(stranger(number)).to(port)
    };
    let good = sender(0, listener).frame(&json!({"action": "whoami", "x": "y".repeat(5_000)}));
    // The first block of the text, and the last one: what is read of the message is next to nothing, or all but its end.
    let begin = good.windows(9).position(|bytes| bytes == b"\"data\": \"").expect("a text") + 9;
    for (number, (at, port)) in [begin, good.len() - 30]
        .into_iter()
        .flat_map(|at| [(at, listener), (at, heartbeat)])
        .enumerate()
    {
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        let begin = Instant::now();
        assert_eq!(sender(1 + number, port).exchange(&bad), b"");
        assert!(begin.elapsed() >= Duration::from_secs(1), "{at} {:?}", begin.elapsed());
    }
}

#[test]
fn what_names_another_cluster_or_dialect_is_refused_before_the_secret_touches_it() {
    // A message that takes long to read, and is no small one.
    let text = noise(2_048) + &"x".repeat(900 << 10);
    for (envelope, cluster) in [("any", "other"), ("sealed", "demo")] {
        let mut node = Node::new("n1");
        node.write_cluster(&format!("envelope = {envelope}\nnodes = n1 n2"));
        node.start();
        let sender = |number: usize| {
            let peer = Peer::classic(&node).named("n2").of_cluster(cluster);
            peer.from_address(stranger(number))
        };
        let good = sender(0).frame(&json!({"action": "whoami", "x": text}));
        let bad = sender(0).with_secret(WRONG).frame(&json!({"action": "whoami", "x": text}));
        let took = |number: usize, frame: &[u8]| {
            let begin = Instant::now();
            assert_eq!(sender(number).exchange(frame), b"");
            begin.elapsed()
        };
        // In turn: what else the machine does concerns both.
        let pairs: Vec<_> = (0..12).map(|at| (took(1 + at, &good), took(20 + at, &bad))).collect();
        let opens = pairs.iter().map(|(opens, _)| *opens).min().expect("twelve");
        let does_not = pairs.iter().map(|(_, does_not)| *does_not).min().expect("twelve");
        println!(
            "measured: {envelope}: {opens:?} for what would open, {does_not:?} for what would not"
        );
        assert!(opens < does_not + Duration::from_millis(5), "{opens:?} {does_not:?}");
    }
}
