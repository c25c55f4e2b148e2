//! Promise: whatever a member sends, the daemon takes no more than 64 MiB beyond what the largest legitimate message
//! needs, gives it back afterwards, and answers meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use harness::{Cluster, ClusterConf, Node, Peer, Responder, wait_for};
use serde_json::{Value, json};
use wire::Prepared;

/// What the daemon may take for what is hostile, in KiB.
const MOST_KIB: u64 = 64 << 10;

/// What it may keep afterwards.
const KEPT_KIB: u64 = 24 << 10;

/// What many may take beyond one, of what is worked on one after the other: what was freed within the last second may
/// still be there. Two at once would take more.
const FREED_KIB: u64 = 40 << 10;

/// Longest answer on the control socket meanwhile, on a quiet machine.
const PROMPT: Duration = Duration::from_secs(2);

fn ping() -> Value {
    json!({"action": "daemon_blacklist_status", "method": "GET"})
}

/// Two bytes of text for each map that it becomes.
fn values(count: usize) -> Value {
    Value::Array(vec![json!({}); count])
}

/// Measures what `attack` makes the daemon take, while its control socket is asked all the time.
fn under(node: &Node, what: &str, attack: impl Fn() + Sync) {
    _ = under_most(node, what, MOST_KIB, attack);
}

/// The same with another bound, in KiB; what it was.
fn under_most(node: &Node, what: &str, most: u64, attack: impl Fn() + Sync) -> u64 {
    node.forget_peak();
    let before = node.resident_kib();
    let slowest = std::thread::scope(|scope| {
        let attacking = scope.spawn(&attack);
        let mut slowest = Duration::ZERO;
        while !attacking.is_finished() {
            let begin = Instant::now();
            assert_eq!(node.request(&ping())["status"], 0);
            slowest = slowest.max(begin.elapsed());
        }
        attacking.join().expect("the attack is carried out");
        slowest
    });
    let grown = node.peak_kib().saturating_sub(before);
    eprintln!("{what}: {grown} KiB more, slowest answer {slowest:?}");
    assert!(grown < most, "{what}: {grown} KiB\n{}", node.node_log());
    assert!(slowest < harness::at_this_load(PROMPT), "{what}: {slowest:?}\n{}", node.node_log());
    wait_for(&format!("the memory of {what} is given back"), || {
        // Memory goes back when its thread allocates again: so are those that peers are asked by.
        _ = node.request(&ping());
        _ = node.request(&json!({"action": "node_checks", "method": "GET", "node": "*"}));
        node.resident_kib() < before + KEPT_KIB
    });
    grown
}

#[test]
fn requests_that_inflate_or_hold_many_values_are_refused_in_little_memory() {
    let node = Node::started("n1");
    let long = json!({"action": "whoami", "options": {"x": "a".repeat(48 << 20)}});
    let many = json!({"action": "whoami", "options": {"x": values(1 << 19)}});
    let fits = json!({"action": "whoami", "options": {"x": values(40_000)}});
    for (what, request, answer) in [
        // Nothing of it is read, so nothing tells where an answer goes.
        ("a long text", long, None),
        ("many values", many, Some(413)),
        ("values that fit", fits, Some(413)),
    ] {
        let body = Prepared::new(&request);
        let frames: Vec<Vec<u8>> = (0..12).map(|_| Peer::sealed(&node).seal(&body)).collect();
        under(&node, what, || {
            std::thread::scope(|scope| {
                for (frame, last) in frames.iter().zip(150..) {
                    // Addresses of their own: what they send may be counted against them.
                    let peer = Peer::sealed(&node).from(last);
                    scope.spawn(move || {
                        let reply = peer.exchange(frame);
                        let status =
                            (!reply.is_empty()).then(|| peer.open(&reply)["status"].clone());
                        assert!(status == answer.map(Value::from), "{what}: {status:?}");
                    });
                }
            });
        });
        // It is of a member, and counts against nobody.
        let counted = node.request(&self::ping())["data"].clone();
        assert!(counted.as_object().is_some_and(serde_json::Map::is_empty), "{what}: {counted}");
    }
    assert_eq!(Peer::sealed(&node).ask(&ping()).expect("a member is served")["status"], 0);
}

#[test]
fn heartbeats_that_inflate_or_hold_many_values_are_refused_in_little_memory() {
    let mut cluster = Cluster::configured(2, &ClusterConf::default());
    cluster.nodes[0].start();
    let port = cluster.heartbeat_port(0);
    let (node, address) = (&cluster.nodes[0], cluster.address(0));
    let long = json!({"kind": "ping", "gen": {}, "monitor": {"status": "a".repeat(48 << 20)}});
    let many = json!({"gen": {"n2": 1}, "updated": 1.0, "services": values(1 << 19)});
    let head = json!({"gen": {"n2": 2}, "updated": 2.0, "compat": 10, "x": values(20_000)});
    let rx = || node.status()["hb#1.rx"].clone();
    // From an address where messages opened lately, so that what is large is taken.
    let send = |frame: &[u8]| {
        let mut stream =
            std::net::TcpStream::connect((address, port)).expect("the heartbeat listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        _ = stream.write_all(frame);
        _ = stream.shutdown(std::net::Shutdown::Write);
        _ = stream.read_to_end(&mut vec![]);
    };
    let ping =
        json!({"kind": "ping", "compat": 10, "gen": {"n2": 1}, "monitor": {}, "updated": 1.5});
    send(&Peer::sealed(node).named("n2").beat(&Prepared::new(&ping)));
    wait_for("n2 beats", || rx()["peers"]["n2"]["beating"] == json!(true));
    let first = rx()["peers"]["n2"]["last"].as_f64().expect("a time");
    for (what, message) in [("a long text", long), ("many values", many), ("a heavy head", head)] {
        let errors = rx()["stats"]["errors"].as_u64().expect("a counter");
        let body = Prepared::new(&message);
        let frames: Vec<Vec<u8>> =
            (0..4).map(|_| Peer::sealed(node).named("n2").beat(&body)).collect();
        under(node, what, || {
            std::thread::scope(|scope| {
                for frame in &frames {
                    scope.spawn(|| send(frame));
                }
            });
        });
        // Each opened, was found too large, and counts against nobody.
        wait_for(&format!("{what} is told"), || {
            rx()["stats"]["errors"].as_u64() >= Some(errors + frames.len() as u64)
        });
        let counted = node.request(&self::ping())["data"].clone();
        assert!(counted.as_object().is_some_and(serde_json::Map::is_empty), "{what}: {counted}");
    }
    // Who says what is too large to be kept is alive all the same.
    wait_for("n2 beats", || rx()["peers"]["n2"]["last"].as_f64() > Some(first));
}

#[test]
fn a_key_of_eight_mebibytes_is_still_set_and_got() {
    let node = Node::started("n1");
    node.om_ok(&["test/cfg/big", "create"]);
    wait_for("the object is known", || {
        node.status()["monitor"]["services"].get("test/cfg/big").is_some()
    });
    let data = "é".repeat((8 << 20) / 2);
    let set =
        json!({"action": "set_key", "options": {"path": "test/cfg/big", "key": "k", "data": data}});
    let mut peer = Peer::sealed(&node);
    assert_eq!(peer.ask(&ping()).expect("small first: it proves itself")["status"], 0);
    let answer = peer.ask(&set).expect("a member is served");
    assert_eq!(answer["status"], 0, "{answer:.300}");
}

#[test]
fn the_control_socket_answers_while_members_ask_for_the_impossible() {
    let node = Node::started("n1");
    for number in 0..200 {
        node.write(&format!("etc/{}{number}.conf", "a".repeat(40)), "[DEFAULT]\nnodes = n1\n");
    }
    wait_for("the objects are known", || {
        node.status()["monitor"]["services"].as_object().is_some_and(|all| all.len() >= 200)
    });
    let selector = |atom: &str| vec![atom; 900].join(",");
    let requests = [
        json!({"action": "daemon_status", "options": {"selector": selector(&format!("*{}*b", "*a".repeat(15)))}}),
        json!({"action": "object_selector", "options": {"selector": selector("$.avail=nothing")}}),
        json!({"action": "object_selector", "options": {"selector": selector("x~(a{1,40}){1,40}")}}),
        json!({"action": "daemon_stats", "options": {"selector": selector("fs.x=1")}}),
        json!({"action": "wait", "options": {"condition": "..a..a..*=1".repeat(20), "duration": 3}}),
        json!({"action": "wait", "options": {"condition": "$..nothing=1", "duration": 3}}),
        json!({"action": "wait", "options": {"condition": format!("x~{}", r"\w".repeat(400_000))}}),
        json!({"action": "object_selector", "options": {"selector": format!("x~{}", r"\w".repeat(30_000))}}),
        json!({"action": "node_backlogs", "node": vec!["x"; 5_000_000].join(",")}),
        json!({"action": "node_backlogs", "node": format!("*{}", "[".repeat(60_000))}),
        json!({"action": "node_backlogs", "node": vec!["x"; 200_000]}),
        json!({"action": "relay_status"}),
    ];
    // Beyond what the longest of them is.
    _ = under_most(&node, "selectors", MOST_KIB + (10 << 10), || {
        std::thread::scope(|scope| {
            for (request, last) in requests.iter().cycle().take(24).zip(150..) {
                let mut peer = Peer::sealed(&node).from(last);
                scope.spawn(move || drop(peer.ask(request)));
            }
        });
    });
}

#[test]
fn whole_logs_that_many_ask_for_at_once_are_told_in_little_memory() {
    let node = Node::started("n1");
    node.om_ok(&["svc1", "create"]);
    wait_for("the object is known", || node.status()["monitor"]["services"].get("svc1").is_some());
    // Short lines, each of which becomes a map.
    let line = "2026-11-28 20:43:37,108 INFO n:n1 c:x | x\n";
    node.write("log/svc1.log", &line.repeat((40 << 20) / line.len()));
    let request = json!({"action": "object_backlogs", "method": "GET",
        "options": {"path": "svc1", "backlog": -1}});
    let mut everywhere = request.clone();
    everywhere["node"] = "n1".into();
    for (what, request) in [("whole logs", request), ("whole logs of a node", everywhere)] {
        let ask = |count: u8| {
            std::thread::scope(|scope| {
                for last in 150..150 + count {
                    let mut peer = Peer::sealed(&node).from(last);
                    let request = &request;
                    scope.spawn(move || {
                        let answer = peer.ask(request).expect("an answer");
                        let part = if answer.is_array() { &answer } else { &answer["nodes"]["n1"] };
                        let told = part.as_array().map_or(0, Vec::len);
                        let is_busy = answer["status"] == 503 || part["status"] == 503;
                        assert!(told > 10_000 || is_busy, "{told} entries, {answer:.200}");
                    });
                }
            });
        };
        let one = under_most(&node, what, MOST_KIB, || ask(1));
        under_most(&node, what, one + FREED_KIB, || ask(6));
    }
    let told = node.om_ok(&["svc1", "print", "status"]);
    assert!(!told.is_empty(), "the control socket is read too");
}

/// A node whose peers answer at addresses of the test's own.
fn with_peers(peers: &[(&str, &Responder)]) -> Node {
    let mut node = Node::new("n1");
    let port = node.port();
    let names: Vec<&str> = peers.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "[cluster]\nnodes = n1 {}\n[listener]\naddr = 127.0.0.1\nport = {port}\n",
        names.join(" ")
    );
    for (name, peer) in peers {
        text += &format!(
            "addr@{name} = {}\nport@{name} = {}\n",
            peer.address().ip(),
            peer.address().port()
        );
    }
    node.write("etc/node.conf", &text);
    node.start();
    node
}

#[test]
fn large_replies_of_a_peer_are_read_one_after_the_other() {
    let evil = Responder::new(Ipv4Addr::new(127, 0, 7, 2));
    let node = with_peers(&[("evil", &evil)]);
    let mut seed = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", seed ^ (seed >> 29))
    })
    .take(1_000_000)
    .collect();
    evil.answer(&node, "evil", Prepared::from_json(format!("[\"{noise}\"]").into_bytes()));
    let request = json!({"action": "node_backlogs", "method": "GET", "node": "evil",
        "options": {"backlog": -1}});
    let ask = |count: u8| {
        std::thread::scope(|scope| {
            for last in 150..150 + count {
                let mut peer = Peer::sealed(&node).from(last);
                let request = &request;
                scope.spawn(move || drop(peer.ask(request)));
            }
        });
    };
    // The largest that a peer may send, and that nothing makes shorter, needs this much by itself.
    let one = under_most(&node, "a large reply of a peer", 80 << 10, || ask(1));
    under_most(&node, "large replies of a peer", one + FREED_KIB, || ask(30));
}

#[test]
fn whole_logs_of_several_peers_come_in_one_reply() {
    let others = [2, 3].map(|last| Responder::new(Ipv4Addr::new(127, 0, 7, last)));
    let node = with_peers(&[("n2", &others[0]), ("n3", &others[1])]);
    let entry = r#"{"t":1795364107.123,"l":"info","m":{"n":"n1","o":"svc1"},"x":"x"}"#;
    let log = format!("[{}]", vec![entry; 30_000].join(","));
    for (name, other) in ["n2", "n3"].into_iter().zip(&others) {
        other.answer(&node, name, Prepared::from_json(log.clone().into_bytes()));
    }
    let request = json!({"action": "node_backlogs", "method": "GET", "node": ["n2", "n3"],
        "options": {"backlog": -1}});
    let begin = Instant::now();
    let answer = Peer::sealed(&node).ask(&request).expect("an answer");
    for name in ["n2", "n3"] {
        let told = answer["nodes"][name].as_array().map_or(0, Vec::len);
        assert_eq!(told, 30_000, "{name}: {:.300}", answer["nodes"][name]);
    }
    assert_eq!(answer["status"], 0);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    // And on the control socket, where nothing is compressed.
    let answer = node.request(&request);
    assert_eq!(answer["nodes"]["n3"].as_array().map_or(0, Vec::len), 30_000);
}

#[test]
fn streams_keep_nothing_of_what_was_sent_with_their_requests() {
    let node = Node::started("n1");
    let pad = "x".repeat((1 << 20) - 4_096);
    // The whole state comes at once: a change might be long in coming.
    let options = json!({"x": pad, "selector": "svc*", "full": true});
    let events = json!({"action": "events", "method": "GET", "options": options});
    let mut followers: Vec<_> = (0..72)
        .map(|number| {
            let peer = Peer::sealed(&node).from(160 + number % 8);
            let mut stream = BufReader::new(peer.connect());
            for request in [&ping(), &events] {
                stream.get_mut().write_all(&peer.frame(request)).expect("it is read");
                if *request != events {
                    stream.read_until(0, &mut vec![]).expect("it proved itself");
                }
            }
            stream
        })
        .collect();
    for (number, stream) in followers.iter_mut().enumerate() {
        let mut item = vec![];
        stream.read_until(0, &mut item).expect("a stream");
        assert!(!item.is_empty(), "stream {number} begins");
    }
    let mut member = Peer::sealed(&node).from(150);
    assert_eq!(member.ask(&ping()).expect("served")["status"], 0);
    let large = json!({"action": "daemon_blacklist_status", "method": "GET", "options": {"x": "y".repeat(900 << 10)}});
    let begin = Instant::now();
    assert_eq!(member.ask(&large).expect("a large request is served")["status"], 0);
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    drop(followers);
}

/// State files of an instance and of its node, each of which something reads before or while an object is evaluated.
const STATES: [&str; 9] = [
    "svc/svc1/status.json",
    "svc/svc1/frozen",
    "svc/svc1/lock.status",
    "svc/svc1/fs#1/status.last",
    "svc/svc1/fs#1/status.history",
    "svc/svc1/fs#1/provisioned",
    "svc/svc1/scheduler/last_task#1",
    "svc/svc1/task#1/last_run_retcode",
    "node/last_boot_id",
];

#[test]
fn pipes_and_huge_files_in_place_of_state_files_hold_nothing_up_and_are_told_once() {
    let pipe = |file: &std::path::Path| {
        let made = std::process::Command::new("mkfifo").arg(file).status().expect("mkfifo runs");
        assert!(made.success());
    };
    let huge = |file: &std::path::Path| {
        std::fs::File::create(file).and_then(|file| file.set_len(1 << 30)).expect("a file");
    };
    for kind in ["pipe", "huge"] {
        let mut node = Node::new("n1");
        node.write(
            "etc/svc1.conf",
            "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n[task#1]\ntype = host\ncommand = /bin/true\n\
             schedule = @1d\ncheck = last_run\n",
        );
        for state in STATES {
            let file = node.path(&format!("var/{state}"));
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("its folder");
            if kind == "pipe" { pipe(&file) } else { huge(&file) }
        }
        node.start();
        wait_for(&format!("{kind}: the object is evaluated"), || {
            node.instance("svc1")["resources"]["fs#1"]["status"] == "down"
        });
        node.om_ok(&["svc1", "thaw", "--local"]);
        node.om_ok(&["svc1", "start", "--local"]);
        wait_for(&format!("{kind}: the start is seen"), || {
            node.instance("svc1")["resources"]["fs#1"]["status"] == "up"
        });
        // Each evaluation meets what cannot be read anew.
        for _ in 0..3 {
            node.om_ok(&["svc1", "status", "--refresh"]);
        }
        assert!(node.peak_kib() < 256 << 10, "{kind}: {} KiB", node.peak_kib());
        let log = node.read("log/node.log");
        let told = |state: &str| {
            let is_of = |line: &&str| line.contains("cannot be used") && line.contains(state);
            log.lines().filter(is_of).count()
        };
        for state in STATES {
            assert!(told(state) <= 1, "{kind}: {state} is told {} times\n{log}", told(state));
        }
        assert_eq!(told("fs#1/provisioned"), 1, "{kind}: {log}");
    }
}
