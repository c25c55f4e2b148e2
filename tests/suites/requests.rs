//! Requests that change something, or that take their time.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::{Node, Peer, wait_for};
use serde_json::{Value, json};

/// A service that starts at once and stays up.
const SERVICE: &str = "[DEFAULT]\nnodes = *\n[fs#1]\ntype = flag\n";

/// The documents of a stream, one at a time; an empty text for a lone NUL.
struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(node: &Node, request: &Value) -> Self {
        let mut stream = UnixStream::connect(node.path("var/lsnr/lsnr.sock")).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(format!("{request}\0").as_bytes()).expect("a request");
        Self(BufReader::new(stream))
    }

    fn next_text(&mut self) -> Option<String> {
        let mut bytes = vec![];
        self.0.read_until(0, &mut bytes).expect("a document in time");
        let bytes = bytes.strip_suffix(b"\0")?;
        Some(String::from_utf8(bytes.to_vec()).expect("UTF-8"))
    }

    /// The next document that is not a keep-alive.
    fn next(&mut self) -> Value {
        loop {
            let text = self.next_text().expect("the stream goes on");
            if !text.is_empty() {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }
}

#[test]
fn a_joiner_becomes_a_member_and_leaves_again() {
    let node = Node::started("n1");
    let mut joiner = Peer::sealed(&node).of_cluster("join").named("n2");
    let reply = joiner.ask(&json!({"action": "join", "method": "POST"})).expect("a reply");
    assert_eq!(reply["status"], 0, "{reply}");
    assert_eq!(reply["data"]["cluster"]["data"]["cluster"]["nodes"], "n1 n2");
    assert_eq!(reply["data"]["cluster"]["data"]["cluster"]["secret"], node.secret());
    assert!(reply["data"]["cluster"]["mtime"].is_f64());
    assert!(node.read("etc/cluster.conf").contains("nodes = n1 n2"));
    wait_for("n2 is a member", || node.status()["cluster"]["nodes"] == json!(["n1", "n2"]));

    let before = node.read("etc/cluster.conf");
    let again = joiner.ask(&json!({"action": "join"})).expect("a reply");
    assert_eq!(again["data"]["cluster"], reply["data"]["cluster"], "joining again writes nothing");
    assert_eq!(node.read("etc/cluster.conf"), before);

    let refused = joiner.ask(&json!({"action": "daemon_status"})).expect("a reply");
    assert_eq!(refused["status"], 401, "`join` opens nothing else: {refused}");

    let mut member = Peer::sealed(&node).named("n2");
    assert_eq!(
        member.ask(&json!({"action": "leave", "method": "POST"})),
        Some(json!({"status": 0}))
    );
    wait_for("n2 is no member", || node.status()["cluster"]["nodes"] == json!(["n1"]));
    let stranger = member.ask(&json!({"action": "nodes_info"})).expect("a reply");
    assert_eq!(stranger["status"], 401);
}

#[test]
fn a_secret_is_stored_sealed_and_read_back() {
    let node = Node::new("n1");
    node.write("etc/sec/s1.conf", "[DEFAULT]\n");
    node.write("etc/cfg/c1.conf", "[DEFAULT]\n");
    let mut node = node;
    node.start();
    wait_for("the objects are known", || {
        let selector = json!({"action": "object_selector", "options": {"selector": "*/*/*1"}});
        node.request(&selector) == json!(["cfg/c1", "sec/s1"])
    });
    let ask = |action: &str, method: &str, options: Value| {
        node.request(&json!({"action": action, "method": method, "options": options}))
    };
    for path in ["sec/s1", "cfg/c1"] {
        for data in ["plain", "two\nlines\n", "é \"'$(id)"] {
            let set = ask("key", "POST", json!({"path": path, "key": "a/b", "data": data}));
            assert_eq!(set, json!({"status": 0, "info": "key a/b value set"}));
            let get = ask("key", "GET", json!({"path": path, "key": "a/b"}));
            assert_eq!(get, json!({"status": 0, "data": data}), "{path}");
        }
        assert_eq!(ask("object_keys", "GET", json!({"path": path}))["data"], json!(["a/b"]));
    }
    assert!(node.read("etc/sec/s1.conf").contains("a/b = sealed:"));
    assert!(!node.read("etc/sec/s1.conf").contains("plain"));
    let unset = ask("key", "DELETE", json!({"path": "sec/s1", "key": "a/b"}));
    assert_eq!(unset, json!({"status": 0, "info": "key a/b value unset"}));
    let gone = ask("key", "GET", json!({"path": "sec/s1", "key": "a/b"}));
    let error = "secret sec/s1 key a/b does not exist or has no value";
    assert_eq!(gone, json!({"status": 1, "error": error}));
    let refused = ask("key", "POST", json!({"path": "cfg/c1", "key": "x\n[env]", "data": "1"}));
    assert_eq!(refused["status"], 1);
}

#[test]
fn a_followed_log_is_sent_as_it_grows_and_keeps_the_connection_alive() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", SERVICE);
    node.write("log/svc1.log", "2026-11-22 16:33:11,175 INFO n:n1 o:svc1 | old\n");
    let mut node = node;
    node.start();
    wait_for("svc1 is known", || !node.instance("svc1").is_null());
    let mut entries = Stream::open(
        &node,
        &json!({"action": "object_logs", "method": "GET", "options": {"path": "svc1"}}),
    );
    let mut lines = Stream::open(
        &node,
        &json!({"action": "service_logs", "options": {"svcname": "svc1", "backlog": 0}}),
    );
    assert_eq!(entries.next_text().as_deref(), Some(""), "a lone NUL while nothing comes");
    assert_eq!(lines.next_text().as_deref(), Some(""));
    let new = "2026-11-22 16:33:12,001 INFO n:n1 o:svc1 r:app#1 | new\n";
    let file = node.path("log/svc1.log");
    let mut log = std::fs::OpenOptions::new().append(true).open(file).expect("the log");
    log.write_all(new.as_bytes()).expect("a line");
    let entry = entries.next();
    assert_eq!(entry[0]["m"], json!(["new"]));
    assert_eq!(entry[0]["x"], json!({"n": "n1", "o": "svc1", "r": "app#1"}));
    assert_eq!(lines.next(), json!([new]));

    let mut whole = Stream::open(
        &node,
        &json!({"action": "service_logs", "options": {"svcname": "svc1", "backlog": "1m"}}),
    );
    let whole_lines = whole.next();
    assert!(whole_lines[0].as_str().is_some_and(|line| line.ends_with("| old\n")), "{whole_lines}");
    assert_eq!(whole.next_text(), None, "closed after what is there");
}

#[test]
fn a_subscriber_gets_the_whole_then_the_changes_of_what_it_selected() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", SERVICE);
    node.write("etc/svc2.conf", SERVICE);
    let mut node = node;
    node.start();
    node.wait_avail("svc1", "down");
    node.wait_avail("svc2", "down");
    let events = |options: Value| {
        Stream::open(&node, &json!({"action": "events", "method": "GET", "options": options}))
    };
    let mut stream = events(json!({"full": true, "selector": "svc1"}));
    let full = stream.next();
    assert_eq!(full["kind"], "full", "{full}");
    assert_eq!(full["nodename"], "n1");
    let services = full["data"]["monitor"]["services"].as_object().expect("services").clone();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["svc1"]);
    for path in ["svc2", "svc1"] {
        node.om_ok(&[path, "freeze", "--local"]);
    }
    let mut last_id = None;
    loop {
        let document = stream.next();
        let text = document.to_string();
        assert!(!text.contains("svc2"), "not selected: {text}");
        if document["kind"] == "patch" {
            let id = document["id"].as_u64().expect("a number");
            assert!(last_id.is_none_or(|last| id == last + 1), "patches are numbered: {document}");
            last_id = Some(id);
            if text.contains("frozen") {
                break;
            }
        }
    }
    let refused = node.request(&json!({"action": "events", "options": {"selector": "name~("}}));
    assert_eq!(refused["status"], 400, "{refused}");
}

#[test]
fn a_wait_ends_when_its_condition_holds() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", SERVICE);
    let mut node = node;
    node.start();
    node.wait_avail("svc1", "down");
    let wait = |condition: &str, duration: &str| {
        node.request(&json!({"action": "wait", "method": "GET",
            "options": {"condition": condition, "duration": duration}}))
    };
    let start = Instant::now();
    let late = wait("monitor.services.'svc1'.avail=up", "1s");
    assert_eq!((&late["status"], &late["data"]["satisfied"]), (&json!(1), &json!(false)));
    assert!(start.elapsed() >= Duration::from_secs(1));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait("monitor.services.'svc1'.avail=up", "20s"));
        node.om_ok(&["svc1", "start", "--local"]);
        let reply = waiter.join().expect("an answer");
        assert_eq!(reply["status"], 0, "{reply}");
        assert_eq!(reply["data"]["duration"], 20);
    });
    assert_eq!(wait("a[", "1s")["status"], 400);
}

#[test]
fn no_shell_ever_sees_the_words_of_an_action() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", SERVICE);
    let mut node = node;
    node.start();
    wait_for("svc1 is known", || !node.instance("svc1").is_null());
    let bait = node.path("tmp/bait");
    let inject = format!("id; touch {0} $(touch {0}) `touch {0}` | touch {0}", bait.display());
    let forms = [
        json!({"path": "svc1", "command": ["get", "--kw", inject]}),
        json!({"path": "svc1", "cmd": ["get", "--kw", inject]}),
        json!({"path": "svc1", "action": "get", "options": {"kw": [inject]}}),
        json!({"path": "svc1", "action": inject}),
    ];
    for options in forms {
        let request = json!({"action": "object_action", "method": "POST", "options": options});
        let reply = node.request(&request);
        assert_eq!(reply["status"], 0, "{reply}");
    }
    let options = json!({"action": "get", "options": {"kw": [inject]}});
    _ = node.request(&json!({"action": "node_action", "method": "POST", "options": options}));
    assert!(!bait.exists());
    for path in ["../../etc/passwd", "svc1;x/../y", "a\nb", "svc1 x", ""] {
        let options = json!({"path": path, "action": "print_status"});
        let reply = node.request(&json!({"action": "service_action", "options": options}));
        assert_eq!(reply["status"], 404, "{path:?}: {reply}");
    }
}

#[test]
fn commands_run_as_both_manuals_write_them() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", SERVICE);
    let mut node = node;
    node.start();
    wait_for("svc1 is known", || !node.instance("svc1").is_null());
    let run =
        |options: Value| node.request(&json!({"action": "service_action", "options": options}));
    for options in [
        json!({"svcname": "svc1", "command": ["get", "--kw", "fs#1.type"], "sync": true}),
        json!({"svcpath": "svc1", "cmd": ["get", "--node", "n9", "--kw", "fs#1.type"]}),
        json!({"path": "svc1", "action": "get", "options": {"kw": ["fs#1.type"]}}),
    ] {
        let reply = run(options);
        assert_eq!(reply, json!({"status": 0, "data": {"out": "flag\n", "err": "", "ret": 0}}));
    }
    let started =
        run(json!({"path": "svc1", "action": "get", "options": {"kw": ["id"]}, "sync": false}));
    assert_eq!(started["info"], "started svc1 action get --kw=id --local");
    assert!(started["data"]["pid"].is_u64());
    assert_eq!(started["data"]["session_id"].as_str().map(str::len), Some(36));
}
