//! Promise: what is followed on several nodes is told once, and goes on when a node comes back; a member that is lost is
//! not left out in silence.

use std::fs::File;
use std::io::Write as _;
use std::process::Child;
use std::sync::mpsc;
use std::time::Duration;

use harness::{Cluster, Http, Node, wait_for};
use serde_json::Value;

/// A command that goes on, and what it has written.
struct Followed<'a> {
    node: &'a Node,
    child: Child,
}

impl<'a> Followed<'a> {
    fn start(node: &'a Node, words: &[&str]) -> Self {
        let file = |name| File::create(node.path(name)).expect("a file");
        let child = node.spawn_with(words, file("tmp/out"), file("tmp/err"));
        Self { node, child }
    }

    fn out(&self) -> String {
        self.node.read("tmp/out")
    }

    fn err(&self) -> String {
        self.node.read("tmp/err")
    }

    fn wait_out(&self, text: &str) {
        wait_for(text, || self.out().contains(text));
    }

    fn wait_err(&self, text: &str) {
        wait_for(text, || self.err().contains(text));
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

const SERVICE: &str = "[DEFAULT]\nid = 1\nnodes = n1 n2 n3\n[env]\nround = 0\n";

/// A cluster whose nodes have a service.
fn cluster() -> Cluster {
    let cluster = Cluster::start(3);
    cluster.nodes[0].write("etc/web.conf", SERVICE);
    for node in &cluster.nodes {
        wait_for("it is there", || {
            cluster.nodes[0].status()["monitor"]["nodes"][node.name()]["services"]["config"]["web"]
                .is_object()
        });
    }
    cluster
}

/// Logs a line for the service of [`cluster`].
fn log(node: &Node, second: u32, text: &str) {
    let mut file =
        File::options().append(true).create(true).open(node.path("log/web.log")).expect("the log");
    let name = node.name();
    writeln!(file, "2026-11-22 16:33:{second:02},000 INFO n:{name} o:web sc:n | {text}")
        .expect("it is written");
}

#[test]
fn a_followed_log_goes_on_when_its_node_is_back_and_no_line_is_lost_or_told_twice() {
    let mut cluster = cluster();
    log(&cluster.nodes[0], 1, "line one of n1");
    log(&cluster.nodes[2], 2, "line one of n3");
    let (first, rest) = cluster.nodes.split_at_mut(1);
    let (n1, n3) = (&first[0], &mut rest[1]);
    let followed = Followed::start(n1, &["web", "logs", "--follow", "--node", "*"]);
    followed.wait_out("line one of n3");
    // Behind the past: the stream is there.
    let mut signs = 0;
    wait_for("it follows", || {
        signs += 1;
        log(n3, 3, &format!("sign of n3, number {signs}"));
        followed.out().contains("sign of n3")
    });
    n3.kill();
    followed.wait_err("n3: its log is lost");
    log(n3, 4, "line two of n3");
    log(n1, 5, "line two of n1");
    followed.wait_out("line two of n1");
    n3.start();
    followed.wait_err("n3: its log is followed again");
    log(n3, 6, "line three of n3");
    followed.wait_out("line three of n3");
    let out = followed.out();
    for line in
        ["line one of n1", "line one of n3", "line two of n3", "line two of n1", "line three of n3"]
    {
        assert_eq!(out.matches(line).count(), 1, "{line}\n{out}");
    }
    assert_eq!(out.matches("sign of n3").count(), signs);
    assert_eq!(followed.err().matches("lost").count(), 1, "{}", followed.err());
}

/// Reads a stream over HTTP until it has a line of this node, which is logged again and again until then.
fn read_over_http(http: &Http, target: &str, accept: &str, node: &Node) -> String {
    let (done, is_done) = mpsc::channel::<()>();
    let headers = [("o-node", "*"), ("accept", accept)];
    std::thread::scope(|scope| {
        let log_on = move || {
            let rounds = (0..600).map(|round| round % 60);
            for round in rounds {
                log(node, round, "sign");
                let pause = Duration::from_millis(100);
                if is_done.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        scope.spawn(log_on);
        let end = format!("\"n\":\"{}\"", node.name());
        let text = http.stream(target, &headers, || (), &end);
        drop(done);
        text
    })
}

#[test]
fn over_http_the_logs_of_all_nodes_come_as_one_stream() {
    let mut cluster = cluster();
    let http = Http::of(&cluster.nodes[0]);
    for node in &cluster.nodes {
        let text = read_over_http(&http, "/object/web/logs", "text/event-stream", node);
        assert!(text.lines().any(|line| line.starts_with("data: [{")), "{text}");
    }
    let lines = read_over_http(&http, "/object_logs?path=web", "*/*", &cluster.nodes[1]);
    assert!(lines.lines().any(|line| line.starts_with("[{")), "{lines}");
    // Two answers at once: the first goes on while its node is away, and has what was logged meanwhile.
    let (first, rest) = cluster.nodes.split_at_mut(1);
    let n2 = &mut rest[0];
    let headers = [("o-node", "*"), ("accept", "text/event-stream")];
    let text = std::thread::scope(|scope| {
        let reading =
            scope.spawn(|| Http::of(&first[0]).stream("/object/web/logs", &headers, || (), "last"));
        wait_for("it is followed", || {
            let told = Http::of(n2).get("/metrics").body;
            String::from_utf8_lossy(&told).contains("opensvc_streams{kind=\"logs\"} 1\n")
        });
        n2.kill();
        log(n2, 59, "last");
        n2.start();
        reading.join().expect("it is read")
    });
    assert_eq!(text.matches("last").count(), 1, "{text}");
}

/// The documents that are whole.
fn documents(text: &str) -> Vec<Value> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).expect("a document"))
        .collect()
}

fn is_event(document: &Value, id: &str, nodename: &str) -> bool {
    document["kind"] == "event" && document["data"]["id"] == id && document["nodename"] == nodename
}

#[test]
fn the_events_of_all_nodes_are_told_on_each_and_the_changes_once() {
    let mut cluster = cluster();
    let [n1, n2, n3] = &mut cluster.nodes[..] else { panic!("three nodes") };
    let followed = Followed::start(n1, &["node", "events"]);
    let chosen = Followed::start(n2, &["node", "events", "--node", "n1,n3"]);
    // Until both have subscribed everywhere; then all of it is told.
    let mut is_frozen = false;
    wait_for("all three nodes are heard", || {
        is_frozen = !is_frozen;
        let action = if is_frozen { "freeze" } else { "thaw" };
        n1.om_ok(&["node", action, "--wait", "--time", "20s"]);
        ["n1", "n2", "n3"].iter().all(|node| {
            documents(&followed.out()).iter().any(|it| is_event(it, "node_freeze", node))
        }) && ["n1", "n3"]
            .iter()
            .all(|node| documents(&chosen.out()).iter().any(|it| is_event(it, "node_freeze", node)))
    });
    let told = documents(&chosen.out());
    assert!(!told.iter().any(|it| it["nodename"] == "n2"), "only the chosen ones");
    // Patches are numbered by the node that tells them: those of one.
    let ids: Vec<i64> = documents(&followed.out())
        .iter()
        .filter(|it| it["kind"] == "patch")
        .filter_map(|it| it["id"].as_i64())
        .collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    assert!(!ids.is_empty());
    // A node that restarts is told to be lost, then back.
    n3.kill();
    followed.wait_err("n3: its stream of events is lost");
    n3.start();
    followed.wait_err("n3: its stream of events is followed again");
    let unknown = n1.om(&["node", "events", "--node", "x*"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

#[test]
fn a_lost_member_is_selected_and_its_answer_is_that_it_cannot_be_reached() {
    let mut cluster = cluster();
    log(&cluster.nodes[0], 1, "line of n1");
    cluster.nodes[2].kill();
    let n1 = &cluster.nodes[0];
    wait_for("n3 is forgotten", || n1.status()["monitor"]["nodes"].get("n3").is_none());
    let ping = n1.om(&["node", "ping", "--node", "*"]);
    assert_eq!(ping.code, Some(1), "{ping:?}");
    assert_eq!(ping.out, "n1 is alive\nn2 is alive\nn3 is not alive\n");
    assert_eq!(n1.om_ok(&["node", "ls", "--node", "n*"]), "n1\nn2\nn3\n");
    for words in [
        &["node", "freeze", "--node", "n3"][..],
        &["node", "frozen", "--node", "n3"],
        &["web", "logs", "--node", "n3"],
        &["node", "logs", "--node", "n3"],
        &["web", "freeze", "--node", "n3"],
        &["node", "get", "--kw", "node.env", "--node", "n3"],
    ] {
        let output = n1.om(words);
        assert_eq!((output.code, output.out.as_str()), (Some(1), ""), "{words:?}: {output:?}");
        let is_told = output.err.contains("n3") && output.err.contains("Connection refused");
        assert!(is_told, "{words:?}: {output:?}");
    }
    // Those that are there answer nevertheless.
    let logs = n1.om(&["web", "logs", "--node", "*"]);
    assert!(logs.out.contains("line of n1") && logs.err.contains("n3"), "{logs:?}");
    let frozen = |name: &str| n1.om(&["node", "frozen", "--node", name]).code;
    assert_eq!(frozen("n2"), Some(0));
    cluster.nodes[1].om_ok(&["node", "freeze", "--local"]);
    wait_for("n2 is frozen", || frozen("n2") == Some(1));
}
