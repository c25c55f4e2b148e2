//! Promise: a monitoring system reads what a node does, no more than its user may look at, in words that it understands.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Cluster, Http, HttpReply, Node, Port, skip, wait_for};
use serde_json::Value;

const OBJECT: &str = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";

/// A node of a few objects, that listens for TLS at this port.
fn node(more: &str) -> (Node, Port) {
    let (mut node, port) = Node::for_users("n1", more);
    node.write("etc/svc1.conf", OBJECT);
    for namespace in ["test", "prod"] {
        node.write(&format!("etc/namespaces/{namespace}/svc/web.conf"), OBJECT);
    }
    node.start();
    for path in ["svc1", "test/svc/web", "prod/svc/web"] {
        node.wait_instance(path, "evaluated", |it| it["avail"].is_string());
    }
    (node, port)
}

fn text(reply: &HttpReply) -> String {
    String::from_utf8(reply.body.clone()).expect("a text")
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

/// A program that the machine may not have.
fn find(program: &str) -> Option<&str> {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        skip(&format!("{program} is not installed"));
    }
    is_there.then_some(program)
}

/// With what promtool finds wrong.
fn check(text: &str) {
    let Some(program) = find("promtool") else { return };
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("its end");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn what_the_node_does_is_told_in_both_forms() {
    let (node, _port) = node("");
    node.om_ok(&["svc1", "provision", "--wait"]);
    let http = Http::of(&node);
    wait_for("the action is told", || {
        let told = text(&http.get("/metrics"));
        has(&told, "opensvc_object_up{namespace=\"root\",kind=\"svc\",name=\"svc1\"} 1")
            && has(&told, "opensvc_actions_total{action=\"provision\",result=\"ok\"} 1")
    });
    let reply = http.get("/metrics?cgroup=true");
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let told = text(&reply);
    for line in [
        "opensvc_object_up{namespace=\"prod\",kind=\"svc\",name=\"web\"} 0",
        "opensvc_thread_running{thread=\"listener\"} 1",
        "opensvc_node_up{node=\"n1\"} 1",
        "opensvc_action_duration_seconds_count{action=\"provision\"} 1",
        "# TYPE opensvc_requests_total counter",
        "opensvc_streams{kind=\"events\"} 0",
    ] {
        assert!(has(&told, line), "{line}\n{told}");
    }
    let counted = |handler: &str| {
        told.lines().any(|line| {
            line.starts_with("opensvc_requests_total{transport=\"lsnr_unix\"")
                && line.contains(&format!("handler=\"{handler}\",code=\"200\""))
        })
    };
    assert!(counted("object_monitor") && counted("daemon_status"), "{told}");
    check(&told);
    let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3")];
    let open = http.ask("GET", "/api/node/name/_/metrics", &accept, None);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((open.status, &open.headers["content-type"]), (200, &content_type.parse().unwrap()));
    let open = text(&open);
    assert!(open.ends_with("# EOF\n") && has(&open, "# TYPE opensvc_requests counter"), "{open}");
    assert_eq!(http.get("/api/node/name/n9/metrics").status, 404);
    assert_eq!(http.ask("POST", "/metrics", &[], None).status, 501);
}

#[test]
fn a_user_is_told_of_its_namespaces_and_access_is_configured() {
    let (node, port) = node("metrics_objects = 1\n");
    node.om_ok(&["cluster", "tls"]);
    for (name, grant) in [("root1", "root"), ("gtest", "guest:test"), ("nobody1", "")] {
        let path = format!("system/usr/{name}");
        node.om_ok(&[&path, "create", "--kw", &format!("grant={grant}")]);
        node.om_ok(&[&path, "add", "--key", "password", "--value", "pw"]);
    }
    let http = Http::tls(port.number(), None);
    wait_for("it listens", || http.keep().is_some());
    // What is written last is in force a moment later.
    let ask = |name: &str| {
        let header = format!("Basic {}", STANDARD.encode(format!("{name}:pw")));
        http.ask("GET", "/metrics", &[("authorization", &header)], None)
    };
    wait_for("the users are known", || ask("gtest").status == 200 && ask("root1").status == 200);
    let guest = text(&ask("gtest"));
    assert!(guest.contains("namespace=\"test\""), "{guest}");
    for foreign in ["prod", "svc1", "system/", "namespace=\"system\""] {
        assert!(!guest.contains(foreign), "{foreign}: {guest}");
    }
    assert!(has(&guest, "opensvc_metrics_objects_left_out 0"));
    let root = text(&ask("root1"));
    assert!(root.contains("opensvc_certificate_expiry_timestamp_seconds{object=\"system/sec/ca-"));
    assert_eq!(root.matches("opensvc_object_up{").count(), 1, "{root}");
    wait_for("the last user is known", || ask("nobody1").status == 403);
    assert_eq!(http.get("/metrics").status, 401);
    node.om_ok(&["node", "set", "--kw", "listener.metrics=open"]);
    wait_for("all are told", || http.get("/metrics").status == 200);
    node.om_ok(&["node", "set", "--kw", "listener.metrics=off"]);
    wait_for("nobody is told", || ask("root1").status == 403);
    assert_eq!(Http::of(&node).get("/metrics").status, 200);
}

#[test]
fn a_service_that_is_taken_over_counts_once() {
    let mut cluster = Cluster::start(2);
    let object = "[DEFAULT]\nnodes = n1 n2\norchestrate = ha\n[fs#1]\ntype = flag\n";
    cluster.nodes[0].write("etc/svc1.conf", object);
    cluster.nodes[1].wait_instance("svc1", "known", |it| it["avail"].is_string());
    cluster.nodes[0].om_ok(&["svc1", "provision", "--wait", "--time", "30s"]);
    wait_for("it is up on n1", || cluster.nodes[0].instance("svc1")["avail"] == "up");
    let counted = |node: &Node, count: u64| {
        let told = text(&Http::of(node).get("/metrics"));
        has(&told, &format!("opensvc_takeovers_total {count}"))
    };
    assert!(counted(&cluster.nodes[1], 0) && counted(&cluster.nodes[0], 0), "nobody was lost yet");
    wait_for("n2 sees it there", || {
        let status = cluster.nodes[1].status();
        status["monitor"]["nodes"]["n1"]["services"]["status"]["svc1"]["avail"] == "up"
    });
    cluster.nodes[0].kill();
    wait_for("n2 takes it over", || cluster.nodes[1].instance("svc1")["avail"] == "up");
    assert!(counted(&cluster.nodes[1], 1));
}

/// A Prometheus that ends with its test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn a_prometheus_scrapes_a_node_and_answers_queries() {
    let Some(program) = find("prometheus") else { return };
    let (node, port) = node("");
    node.om_ok(&["cluster", "tls"]);
    node.om_ok(&["system/usr/scraper", "create", "--kw", "grant=guest:*"]);
    node.om_ok(&["system/usr/scraper", "add", "--key", "password", "--value", "pw"]);
    let own = Port::reserve();
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: opensvc\n    scheme: https\n    \
         tls_config:\n      insecure_skip_verify: true\n    basic_auth:\n      username: scraper\n      \
         password: pw\n    static_configs:\n      - targets: ['127.0.0.1:{}']\n",
        port.number()
    );
    node.write("tmp/prometheus.yml", &config);
    let started = Command::new(program)
        .arg(format!("--config.file={}", node.path("tmp/prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", node.path("tmp/prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", own.number()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Prometheus(started.expect("prometheus"));
    let query = |query: &str| -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", own.number())).ok()?;
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (_, body) = reply.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    };
    wait_for("it tells the objects that are down", || {
        let found = query("sum(opensvc_object_up==bool%200)");
        found.is_some_and(|found| found["data"]["result"][0]["value"][1] == "3")
    });
    node.om_ok(&["svc1", "provision", "--wait"]);
    wait_for("it tells the one that is up", || {
        let found = query("opensvc_object_up==1");
        found.is_some_and(|found| found["data"]["result"][0]["metric"]["name"] == "svc1")
    });
}
