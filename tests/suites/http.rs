//! Deployed clients find on the HTTP socket what they know: each recorded conversation is held with a cluster of two, and its
//! answer compared: the status, and the shape of what is answered, its errors word for word.

use std::collections::BTreeMap;
use std::io::Write as _;

use harness::{Cluster, Http, Node, Recorded, read_until, wait_for};
use serde_json::{Value, json};

const RECORDED: &str = include_str!("data/http.json");

/// Recorded answers that ours are not compared with, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("uds-body-empty", "no body is none, however it is sent"),
    ("uds-action-sync-json", "`get` writes JSON where JSON is asked for"),
    ("uds-node", "needs a name service"),
    ("uds-o-node-any", "deployed agents keep configurations of objects of others"),
    ("uds-authinfo", "the recorded node asks an OpenID provider"),
    ("uds-query-repeated", "deployed agents fail: ours is 400"),
    ("uds-501-head", "HEAD is GET without a body"),
    ("uds-501-options", "OPTIONS tells the methods"),
    ("uds-instance-path-ns", "deployed agents fail: ours answers"),
    ("uds-create-svc", "the same as for one node, without a second envelope"),
    ("uds-enter", "no terminal program is looked for"),
    ("uds-templates", "no collector is asked"),
    ("uds-drbd", "there is no such driver"),
    ("uds-favicon", "this agent has a page of its own"),
    ("uds-index", "this agent has a page of its own"),
    ("uds-index-js", "this agent has a page of its own"),
    ("uds-any-html", "this agent has a page of its own"),
    ("uds-html-params", "this agent has a page of its own"),
];

/// Keys whose values are told in words that differ from node to node.
const SHAPE_ONLY: &[&str] = &["uds-200-status3", "uds-create", "uds-action-set", "uds-thr"];

fn cluster() -> Cluster {
    let cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n1.write(
        "etc/svc1.conf",
        "[DEFAULT]\nnodes = n1 n2\norchestrate = ha\ncomment = y\n\n[fs#1]\ntype = flag\n\n[app#1]\ntype = simple\n\
         start = /bin/sleep 100000\nrestart = 1\ndisable = true\n\n[env]\na = b\n",
    );
    n1.write(
        "etc/namespaces/test/svc/web.conf",
        "[DEFAULT]\nnodes = n1 n2\ntopology = flex\n[task#1]\ntype = host\ncommand = /bin/true\nconfirmation = true\n",
    );
    n1.write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\n[data]\nmotd = literal:hello\n");
    n1.write("etc/namespaces/test/cfg/c2.conf", "[DEFAULT]\n");
    n1.write("etc/namespaces/test/sec/s1.conf", "[DEFAULT]\n");
    n2.write("etc/namespaces/prod/svc/db.conf", "[DEFAULT]\nnodes = n2\n[fs#1]\ntype = flag\n");
    n1.om_ok(&["test/sec/s1", "add", "--key", "password", "--value", "s3cret"]);
    for (node, path) in [(n1, "svc1"), (n2, "svc1"), (n1, "test/svc/web"), (n2, "prod/svc/db")] {
        node.wait_instance(path, "evaluated", |instance| instance["avail"].is_string());
    }
    wait_for("n1 hears of all", || {
        let services = n1.status()["monitor"]["services"].clone();
        ["svc1", "test/svc/web", "prod/svc/db"].iter().all(|path| services[path].is_object())
    });
    cluster
}

/// What was done before that conversation.
fn prepare(cluster: &Cluster, id: &str) {
    let log = |at: usize, name: &str, object: &str, text: &str| {
        let node = &cluster.nodes[at];
        let path = node.path(name);
        // Nothing may have been written there yet.
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut file =
            std::fs::File::options().create(true).append(true).open(path).expect("a log");
        let sid = "11111111-2222-3333-4444-555555555555";
        // More than what is asked for.
        for _ in 0..4 {
            let head = format!("2026-11-28 10:02:55,797 INFO sid:{sid} n:{}", node.name());
            writeln!(file, "{head} o:{object} r:app#1 sc:n | {text}").expect("written");
        }
    };
    match id {
        "uds-object-path" => log(0, "log/svc1.log", "svc1", "one\n  and its second line"),
        "uds-instance-path" => log(1, "log/svc1.log", "svc1", "two"),
        "uds-object-path-ns" => {
            for at in 0..2 {
                log(at, "log/namespaces/test/svc/web.log", "test/svc/web", "three");
            }
            wait_for("both nodes are known to have it", || {
                let nodes = cluster.nodes[0].status()["monitor"]["nodes"].clone();
                ["n1", "n2"]
                    .iter()
                    .all(|node| nodes[node]["services"]["status"]["test/svc/web"].is_object())
            });
        }
        "uds-monitor-thaw" => {
            wait_for("no node is about to do anything", || {
                let nodes = cluster.nodes[0].status()["monitor"]["nodes"].clone();
                ["n1", "n2"].iter().all(|node| {
                    let monitor = &nodes[node]["services"]["status"]["svc1"]["monitor"];
                    monitor["status"] == "idle" && monitor["global_expect"].is_null()
                })
            });
        }
        _ => {}
    }
}

#[test]
fn recorded_conversations_are_answered_as_deployed_agents_do() {
    let cluster = cluster();
    let http = Http::of(&cluster.nodes[0]);
    let mut failures = BTreeMap::new();
    let mut lock = Value::Null;
    for mut recorded in Recorded::all(RECORDED) {
        let id = recorded.text("id").to_owned();
        if LEFT_OUT.iter().any(|(left_out, _)| *left_out == id) {
            continue;
        }
        prepare(&cluster, &id);
        if id == "uds-keywords" {
            // Told where there is one alone.
            let id = recorded.value["reply"]["DEFAULT"][0].as_object_mut().expect("a keyword");
            id.remove("default_text");
        }
        if id == "uds-unlock" {
            recorded.value["body"]["lock_id"] = lock["data"]["id"].clone();
        }
        let headers = recorded.headers();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = http.ask(
            recorded.text("method"),
            recorded.text("path"),
            &headers,
            recorded.body().as_deref(),
        );
        if id == "uds-lock" {
            lock = answer.json();
        }
        let mut found = recorded.differs(&answer);
        if SHAPE_ONLY.contains(&id.as_str()) {
            found = found.filter(|it| !it.contains("error:") && !it.contains("info:"));
        }
        failures.extend(found.map(|found| (id, found)));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn events_are_pushed_one_response_each() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let body = br#"{"selector": null, "namespace": null, "full": true}"#;
    let write = || node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    let (first, pushed) = http.pushes("/events", body, write, 3);
    assert_eq!((first.status, first.body.as_slice()), (200, b"{}".as_slice()));
    assert_eq!(first.headers["content-length"], "2");
    for (at, push) in pushed.iter().enumerate() {
        // Clients of 2.1 refuse a promise that lacks scheme or authority.
        assert_eq!(push.uri.to_string(), "http://localhost/events");
        assert_eq!(push.reply.status, 200);
        assert_eq!(
            push.reply.headers["content-length"],
            push.reply.body.len().to_string().as_str()
        );
        let kind = push.reply.json()["kind"].clone();
        if at == 0 { assert_eq!(kind, "full") } else { assert!(kind == "patch" || kind == "event") }
    }
}

#[test]
fn events_are_server_sent_or_lines_to_who_takes_no_pushes() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let ask = |accept: &str| {
        format!("GET /events?full=true HTTP/1.1\r\nHost: n1\r\nAccept: {accept}\r\n\r\n")
    };
    let events = http.exchange(ask("text/event-stream").as_bytes(), "\n\n\r\n");
    assert!(events.contains("content-type: text/event-stream\r\n"), "{events}");
    assert!(events.contains("cache-control: no-cache\r\n"), "{events}");
    assert!(
        events.contains("\r\nid: ") && events.contains("\ndata: {\"kind\":\"full\""),
        "{events}"
    );
    let lines = http.exchange(ask("*/*").as_bytes(), "}\n\r\n");
    assert!(lines.contains("content-type: application/x-ndjson\r\n"), "{lines}");
    assert!(lines.contains("\r\n{\"kind\":\"full\""), "{lines}");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

#[test]
fn the_path_of_the_socket_as_authority_is_understood() {
    let node = Node::started("n1");
    let path = node.path("var/lsnr/h2.sock");
    let path = path.to_str().expect("a path").as_bytes();
    // :method GET, :scheme http, :path /whoami and :authority as deployed clients write them, here without Huffman.
    let mut block = vec![0x82, 0x86, 0x41];
    assert!(path.len() < 127, "a short path");
    block.push(u8::try_from(path.len()).expect("a length"));
    block.extend_from_slice(path);
    block.extend_from_slice(b"\x44\x07/whoami");
    let mut stream = Http::of(&node).connect();
    let opening = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &frame(4, 0, 0, &[]),
        &frame(1, 4, 1, &block),
    ];
    stream.write_all(&opening.concat()).expect("sent");
    stream.write_all(&frame(0, 1, 1, b"{}")).expect("sent");
    let answer = read_until(&mut stream, "raw_grant");
    assert!(answer.contains("raw_grant"), "{answer:?}");
}

#[test]
fn requests_of_a_connection_run_side_by_side_and_bodies_may_be_long() {
    let node = Node::started("n1");
    node.write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\n");
    let http = Http::of(&node);
    wait_for("the object is known", || http.get("/object_keys?path=test/cfg/c1").status == 200);
    let long = json!({"path": "test/cfg/c1", "key": "k", "data": "x".repeat(1 << 20)}).to_string();
    let reply = http.ask("POST", "/key", &[], Some(long.as_bytes()));
    assert_eq!(reply.json()["status"], 0);
    let read = http.get("/key?path=test/cfg/c1&key=k");
    assert_eq!(read.json()["data"].as_str().map(str::len), Some(1 << 20));
    let text = http.exchange(
        b"GET /whoami HTTP/1.1\r\n\r\nPOST /object_monitor HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
          f\r\n{\"path\": \"svc1\"\r\n1\r\n}\r\n0\r\n\r\n",
        "",
    );
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
}

#[test]
fn the_socket_follows_its_keyword_and_stays_at_a_stop() {
    let mut node = Node::started("n1");
    let path = node.path("var/lsnr/h2.sock");
    assert!(path.exists());
    node.om_ok(&["daemon", "stop", "--thread-id", "http"]);
    assert!(path.exists(), "a deployed client that follows events tries again");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
    node.om_ok(&["daemon", "start", "--thread-id", "http"]);
    wait_for("it answers", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    node.om_ok(&["node", "set", "--kw", "listener.h2=false"]);
    wait_for("it is gone", || !path.exists());
    node.om_ok(&["node", "set", "--kw", "listener.h2=true"]);
    wait_for("it is there", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    std::fs::remove_file(&path).expect("removed");
    wait_for("it is made again", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    node.om_ok(&["daemon", "stop"]);
    _ = node.wait_end();
    assert!(path.exists());
}

/// What is between two marks, the last time that both are there.
fn last_between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.match_indices(begin)
        .filter_map(|(at, _)| text[at + begin.len()..].split_once(end))
        .last()
        .map(|(found, _)| found)
}

#[test]
fn who_comes_back_goes_on_or_is_told_what_is_lost() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let events = |last: &str, end: &str| {
        let headers = [("accept", "text/event-stream"), ("last-event-id", last)];
        let headers = if last.is_empty() { &headers[..1] } else { &headers[..] };
        http.stream("/api/node/name/n1/daemon/event", headers, || (), end)
    };
    let set = |nonce: &str| {
        node.write("etc/svc1.conf", &format!("[DEFAULT]\nnodes = n1\n[env]\nx = {nonce}\n"));
    };
    let first = std::thread::scope(|scope| {
        let reading = scope.spawn(|| events("", "csum"));
        // Whatever came before is not told: it is changed until it is.
        let mut nonce = 0;
        wait_for("a change is told", || {
            nonce += 1;
            set(&nonce.to_string());
            reading.is_finished()
        });
        reading.join().expect("read")
    });
    let last = last_between(&first, "id: ", "\n").expect("an id").to_owned();
    let (life, number) = last.split_once('.').expect("a run and a number");
    assert!(life.len() == 16 && number.parse::<u64>().is_ok(), "{last}");
    set("while nobody reads");
    let next = format!("id: {life}.{}\n", number.parse::<u64>().expect("a number") + 1);
    let again = events(&last, &next);
    assert!(!again.contains("\"kind\":\"gap\""), "nothing is lost: {again}");
    for (id, reason) in [
        ("0123456789abcdef.1", "boot"),
        ("none", "unknown"),
        (&format!("{life}.99999999"), "unknown"),
    ] {
        let told = events(id, "\"kind\":\"full\"");
        assert!(told.contains("\"kind\":\"gap\""), "{id}: {told}");
        assert!(told.contains(&format!("\"reason\":\"{reason}\"")), "{id}: {told}");
    }
}
