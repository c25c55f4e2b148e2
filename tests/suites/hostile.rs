//! Promise: nothing that is sent, written or typed makes the node panic, hang, grow, or do what it was not asked to.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use harness::{Node, Peer, wait_within};
use serde_json::{Value, json};

fn ping() -> Value {
    json!({"action": "daemon_blacklist_status", "method": "GET"})
}

/// A small deterministic generator: a failure shows its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // Steele, Lea, Flood: SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }
}

/// The node is as well as before: it answers, and no actor of it has fallen.
fn assert_well(node: &Node, what: &str) {
    let status = node.status();
    for (id, block) in status.as_object().expect("an object") {
        let restarts = block["restarts"].as_u64().unwrap_or(0);
        assert_eq!(restarts, 0, "{what}: {id} fell: {block:#}\n{}", node.node_log());
    }
    assert!(!node.read("log/node.log").contains("panicked"), "{what}: {}", node.node_log());
}

#[test]
fn damaged_frames_are_never_answered_and_never_hurt() {
    let node = Node::new("n1");
    node.write_cluster("envelope = any");
    let mut node = node;
    node.start();
    let good = Peer::sealed(&node).frame(&ping());
    let classic = Peer::classic(&node).frame(&ping());
    for seed in 0..300_u64 {
        let mut draw = Draw(seed);
        // Nothing authenticates a classic frame: with a bit flipped, it may open. A cut or overwritten one does not.
        let damage = draw.below(3);
        let is_sealed = damage == 1 || draw.below(2) == 0;
        let mut frame = if is_sealed { good.clone() } else { classic.clone() };
        // A cut, flipped bits, or bytes of anywhere; from ever new senders, so that all are opened.
        match damage {
            0 => frame.truncate(draw.below(frame.len() - 1)),
            1 => {
                let at = frame.iter().rposition(|byte| *byte == b'"').expect("a frame")
                    - 1
                    - draw.below(20);
                frame[at] = if frame[at] == b'A' { b'B' } else { b'A' };
            }
            _ => {
                let (from, length) = (draw.below(frame.len()), draw.below(64));
                for byte in frame.iter_mut().skip(from).take(length) {
                    *byte = u8::try_from(draw.below(256)).expect("a byte");
                }
                frame.insert(0, b'x');
            }
        }
        let sender = Peer::sealed(&node).from(u8::try_from(100 + seed % 100).expect("a byte"));
        assert_eq!(
            sender.exchange(&frame),
            b"",
            "seed {seed}: {:?}",
            String::from_utf8_lossy(&frame)
        );
    }
    assert_well(&node, "damaged frames");
    assert_eq!(Peer::sealed(&node).ask(&ping()).expect("a member is served")["status"], 0);
}

#[test]
fn requests_of_wrong_types_get_an_error_each() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!("\0\n"),
        json!([]),
        json!([[["x"]]]),
        json!({}),
        json!({"a": {}}),
    ];
    let api = node.request(&json!({"action": "api"}));
    // Once each: names come with and without a method.
    let routes: std::collections::BTreeSet<String> = api
        .as_array()
        .expect("the routes")
        .iter()
        .flat_map(|handler| handler["routes"].as_array().cloned().unwrap_or_default())
        .filter_map(|route| Some(route["path"].as_str()?.to_owned()))
        // Streams do not end, and these end the daemon or change its members.
        .filter(|name| !name.ends_with("_logs") && name != "events")
        .filter(|name| {
            !matches!(name.as_str(), "daemon_stop" | "daemon_shutdown" | "join" | "leave")
        })
        .collect();
    assert!(routes.len() > 30, "{api}");
    for name in &routes {
        for value in &wrong {
            let keys = [
                "path",
                "svcname",
                "selector",
                "options",
                "thr_id",
                "name",
                "slot",
                "backlog",
                "condition",
            ];
            let mut options = serde_json::Map::new();
            for key in keys {
                options.insert(key.into(), value.clone());
            }
            // Nothing is to be waited for: who may wait waits no time.
            options.insert("duration".into(), json!(0));
            options.insert("timeout".into(), json!(0));
            for method in [json!(null), value.clone()] {
                let request = json!({"action": name, "method": method, "options": options});
                // No reply at all is an answer too: null results send nothing.
                _ = node.try_request(&request);
            }
        }
        let reply = node.try_request(&json!({"action": name, "options": [1]}));
        assert!(
            reply.is_none_or(|reply| reply["status"] != 0),
            "{name} takes options that are no object"
        );
    }
    assert_well(&node, "wrong types");
    assert_eq!(node.instance("svc1")["avail"], "down");
}

#[test]
fn documents_without_end_or_bottom_are_refused() {
    let node = Node::new("n1");
    node.write(
        "etc/node.conf",
        &format!(
            "[listener]\naddr = 127.0.0.1\nport = {}\nmax_frame = 1m\nmax_message = 1m\n",
            node.port()
        ),
    );
    let mut node = node;
    node.start();
    let before = node.resident_kib();
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000], vec![0]].concat();
    // Over the control socket.
    let mut socket = std::os::unix::net::UnixStream::connect(node.path("var/lsnr/lsnr.sock"))
        .expect("the socket");
    socket.write_all(&deep).expect("sent");
    let mut reply = vec![];
    socket.read_to_end(&mut reply).expect("a reply");
    assert!(String::from_utf8_lossy(&reply).contains("invalid data format"), "{reply:?}");
    // Over TCP, outside and inside of an envelope.
    assert_eq!(Peer::sealed(&node).from(131).exchange(&deep), b"");
    let nested = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let mut peer = Peer::sealed(&node).from(132);
    let refused = peer.ask(&json!({"action": "whoami", "options": {"x": nested}}));
    assert!(refused.is_none_or(|reply| reply["status"] != 0));
    // 64 MiB that travel as 64 KiB.
    let bomb = Peer::sealed(&node).from(133);
    let frame = bomb.frame(&json!({"action": "whoami", "options": {"x": "a".repeat(64 << 20)}}));
    assert!(frame.len() < 1 << 20);
    assert_eq!(bomb.exchange(&frame), b"");
    // A line that does not end.
    let mut endless = Peer::sealed(&node).from(134).connect();
    let piece = vec![b' '; 1 << 20];
    while endless.write_all(&piece).is_ok() {}
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "grown by {grown} KiB");
    assert_well(&node, "endless documents");
}

#[test]
fn names_cannot_leave_their_folder_and_values_cannot_add_keywords() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    node.write("secret.conf", "[DEFAULT]\nstolen = yes\n");
    for path in [
        "../secret",
        "svc/../../secret",
        "..",
        "/etc/passwd",
        "a/../../b",
        "x\ny",
        "x\0y",
        "ns/svc/..",
        "svc1/../../secret",
    ] {
        for action in ["object_config", "get_service_config", "object_backlogs", "object_keys"] {
            let reply = node.try_request(&json!({"action": action, "options": {"path": path}}));
            let text = reply.unwrap_or_default().to_string();
            assert!(
                !text.contains("stolen") && !text.contains("root:"),
                "{action} {path:?}: {text}"
            );
        }
        let data = json!({path: {"DEFAULT": {"nodes": "n1"}}});
        _ = node.try_request(&json!({"action": "create", "options": {"data": data}}));
        _ = node.try_request(&json!({"action": "object_monitor", "method": "POST", "options": {"path": path, "global_expect": "frozen"}}));
    }
    let outside: Vec<_> = std::fs::read_dir(node.root())
        .expect("the root")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(outside.len(), 5, "{outside:?}");
    let set = node.om(&["svc1", "set", "--kw", "env.x=1\n[DEFAULT]\nstolen=yes"]);
    let text = node.read("etc/svc1.conf");
    assert!(
        !text.lines().any(|line| line.starts_with("stolen") || line == "[DEFAULT]stolen"),
        "{set:?}\n{text}"
    );
    assert_eq!(text.matches("\n[DEFAULT]").count(), 0, "{text}");
    assert_well(&node, "names");
}

#[test]
fn no_shell_reads_what_a_request_says() {
    let node = Node::started("n1");
    node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("svc1", "down");
    let mark = node.path("tmp/mark").display().to_string();
    for text in [
        format!("; touch {mark}"),
        format!("$(touch {mark})"),
        format!("| touch {mark}"),
        format!("\ntouch {mark}\n"),
    ] {
        for options in [
            json!({"path": "svc1", "action": "status", "options": {"rid": text}}),
            json!({"path": "svc1", "action": text}),
            json!({"path": "svc1", "command": ["status", "--rid", text]}),
            json!({"path": "svc1", "cmd": ["status", text]}),
        ] {
            _ = node.try_request(&json!({"action": "service_action", "options": options}));
        }
        _ = node.try_request(&json!({"action": "node_action", "options": {"action": text}}));
        node.om(&[
            "svc1",
            "set",
            "--kw",
            &format!("app#1.start=/bin/true {text}"),
            "--kw",
            "app#1.type=simple",
        ]);
        node.om(&["svc1", "unset", "--kw", "app#1.start"]);
    }
    assert!(!node.path("tmp/mark").exists());
    // The same word where the keyword's text asks for a shell does run: the test can fail.
    node.write(
        "etc/svc2.conf",
        &format!("[DEFAULT]\nnodes = n1\n[app#1]\nstart = true && touch {mark}\n"),
    );
    node.wait_instance("svc2", "known", |instance| !instance.is_null());
    node.om(&["svc2", "start", "--local"]);
    assert!(node.path("tmp/mark").exists());
    assert_well(&node, "shell words");
}

#[test]
fn a_flood_from_many_senders_leaves_members_served() {
    let node = Node::started("n1");
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let node = &node;
            scope.spawn(move || {
                for last in 140 + thread * 20..160 + thread * 20 {
                    let sender = Peer::sealed(node)
                        .with_secret("0000000000000000000000000000ffff")
                        .from(last);
                    for _ in 0..8 {
                        assert_eq!(sender.exchange(&sender.frame(&ping())), b"");
                    }
                }
            });
        }
        let begin = Instant::now();
        for _ in 0..50 {
            assert_eq!(Peer::sealed(&node).ask(&ping()).expect("a member is served")["status"], 0);
        }
        assert!(begin.elapsed().as_secs() < 20);
    });
    let counts = node.request(&ping())["data"].as_object().expect("the blacklist").clone();
    assert_eq!(counts.len(), 80);
    assert!(counts.values().all(|count| *count == 5), "{counts:?}");
    assert_well(&node, "a flood");
}

#[test]
fn a_configuration_of_any_bytes_changes_nothing_else() {
    let node = Node::started("n1");
    node.write("etc/good.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.wait_avail("good", "down");
    let valid = b"[DEFAULT]\nnodes = n1 {nodename}\norchestrate = ha\n[app#1]\nstart = $(1+2)\n{x}={y}\n[env]\nx={env.y}\ny={env.x}\n";
    for seed in 0..60_u64 {
        let mut draw = Draw(seed);
        let mut text = valid.to_vec();
        for _ in 0..1 + draw.below(8) {
            let at = draw.below(text.len());
            match draw.below(3) {
                0 => text[at] = u8::try_from(draw.below(256)).expect("a byte"),
                1 => text.truncate(at.max(1)),
                _ => text.splice(at..at, [b'\n', b'[', b'$', b'(']).for_each(drop),
            }
        }
        std::fs::write(node.path(&format!("etc/bad{}.conf", seed % 7)), &text).expect("a file");
    }
    std::fs::write(
        node.path("etc/long.conf"),
        [b"[DEFAULT]\nx = ".to_vec(), vec![b'x'; 8 << 20]].concat(),
    )
    .expect("a file");
    std::fs::write(node.path("etc/node.conf"), b"\xff\xfe\0[listener]\nport = 0x\n")
        .expect("a file");
    // The long one takes its time in a build for tests.
    wait_within(Duration::from_secs(120), "the mistake is told", || {
        node.status()["config"].to_string().contains("node.conf").then_some(())
    });
    assert_eq!(node.instance("good")["avail"], "down");
    assert_eq!(Peer::sealed(&node).ask(&ping()).expect("the port is kept")["status"], 0);
    assert_well(&node, "any bytes");
}

#[test]
fn a_recorded_classic_request_does_nothing_a_second_time_also_after_a_restart() {
    let mut node = Node::new("n1");
    node.write_cluster("envelope = any");
    node.start();
    let peer = Peer::classic(&node);
    let changing = json!({"action": "set_node_monitor", "method": "POST", "options": {"global_expect": "frozen"}});
    for request in [ping(), changing.clone()] {
        let frame = peer.frame(&request);
        assert_ne!(peer.open(&peer.exchange(&frame))["status"], 401, "{request}");
        for _ in 0..2 {
            let again = peer.open(&peer.exchange(&frame));
            assert_eq!(again, json!({"status": 401, "error": "replayed message"}), "{request}");
        }
    }
    let recorded = peer.frame(&changing);
    assert_ne!(peer.open(&peer.exchange(&recorded))["status"], 401);
    node.kill();
    node.start();
    let peer = Peer::classic(&node);
    assert_eq!(peer.open(&peer.exchange(&recorded))["error"], "replayed message");
    // A new one is served, also with bytes after its NUL.
    let mut frame = peer.frame(&ping());
    frame.extend_from_slice(b"x");
    assert_eq!(peer.open(&peer.exchange(&frame))["status"], 0);
    assert_well(&node, "replays");
}
