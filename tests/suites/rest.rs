//! The paths under `/api`, held against what the daemon does.

use harness::{Http, HttpReply, Node, wait_for};
use serde_json::{Value, json};

fn node() -> (Node, Http) {
    let mut node = Node::new("n1");
    node.write("etc/namespaces/test/svc/web.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
    node.write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\n");
    node.start();
    let http = Http::of(&node);
    wait_for("it is evaluated", || node.instance("test/svc/web")["avail"].is_string());
    (node, http)
}

fn ask(http: &Http, method: &str, target: &str, body: Option<&str>) -> HttpReply {
    http.ask(method, target, &[], body.map(str::as_bytes))
}

const WEB: &str = "/api/object/path/test/svc/web";
const INSTANCE: &str = "/api/node/name/n1/instance/path/test/svc/web";

#[test]
fn what_is_read_has_the_shape_of_its_path() {
    let (_node, http) = node();
    let get = |target: &str| http.get(target);
    let status = get("/api/cluster/status");
    assert_eq!((status.status, status.json()["cluster"]["nodes"].clone()), (200, json!(["n1"])));
    assert_eq!(status.headers["om-served-by"], "n1");
    assert_eq!(get("/api/object").json()["items"][0]["kind"], "ObjectItem");
    let instance = get(INSTANCE).json();
    assert_eq!(instance["meta"], json!({"object": "test/svc/web", "node": "n1"}));
    assert_eq!(get("/api/resource?path=test/svc/web").json()["items"][0]["meta"]["rid"], "fs#1");
    assert_eq!(get("/api/object/path?path=test/**").json(), json!(["test/cfg/c1", "test/svc/web"]));
    let file = get(&format!("{WEB}/config/file"));
    assert_eq!(file.headers["content-type"], "text/plain; charset=utf-8");
    assert!(String::from_utf8_lossy(&file.body).contains("[fs#1]"));
    assert_eq!(get("/api/auth/whoami").json()["name"], "root");
    assert!(get("/api/node/name/_/daemon/stats").json()["daemon"].is_object());
    assert!(get("/api/node/name/n1/daemon/stats").json()["daemon"].is_object());
}

#[test]
fn what_is_asked_for_is_begun_and_what_is_wrong_is_a_problem() {
    let (node, http) = node();
    let begun = ask(&http, "POST", &format!("{INSTANCE}/action/provision"), None);
    assert_eq!(begun.status, 202);
    assert!(begun.json()["session_id"].is_string(), "{}", begun.json());
    node.wait_instance("test/svc/web", "provisioned", |it| it["provisioned"] == true);
    let dry = ask(&http, "POST", &format!("{WEB}/action/freeze?dry_run=true"), None);
    assert_eq!(dry.status, 200, "{}", dry.json());
    assert!(node.instance("test/svc/web")["monitor"]["global_expect"].is_null());
    wait_for("the target is taken", || {
        let frozen = ask(&http, "POST", &format!("{WEB}/action/freeze"), None);
        frozen.status == 202 && frozen.json()["global_expect"] == "frozen"
    });
    node.wait_instance("test/svc/web", "frozen", |it| it["frozen"] != 0.0);
    let key = |method: &str, query: &str, body: Option<&str>| {
        ask(&http, method, &format!("/api/object/path/test/cfg/c1/data/key?name={query}"), body)
    };
    assert_eq!(key("PUT", "k", Some("nothing to change")).status, 409);
    assert_eq!(key("POST", "k", Some("one line")).status, 204);
    assert_eq!(key("POST", "k", Some("it is there")).status, 409);
    assert_eq!(key("PUT", "k", Some("two\nlines")).status, 204);
    assert_eq!(key("GET", "k", None).body, b"two\nlines");
    assert_eq!(key("DELETE", "k", None).status, 204);
    let problem = key("GET", "k", None);
    assert_eq!(
        (problem.status, &problem.headers["content-type"]),
        (409, &"application/problem+json".parse().expect("a value"))
    );
    assert_eq!(problem.json()["title"], "Conflict");
    for (method, target, status) in [
        ("GET", "/api/nothing", 404),
        ("GET", "/api/object/path/test/svc/nosuch/config", 404),
        ("DELETE", "/api/cluster/status", 405),
        ("PATCH", &format!("{WEB}/config") as &str, 400),
        ("GET", "/api/object?limit=x", 400),
        ("GET", "/api/cluster/wait", 400),
        ("GET", "/api/node/name/n9/daemon/stats", 502),
    ] {
        let answer = ask(&http, method, target, None);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.json());
        assert_eq!(answer.json()["status"], status, "{target}");
    }
    let set = ask(&http, "PATCH", &format!("{WEB}/config?set=env.a%3Db"), None);
    assert_eq!(set.status, 204);
    assert!(node.read("etc/namespaces/test/svc/web.conf").contains("a = b"));
    let both = ask(&http, "PATCH", &format!("{WEB}/config?set=env.c%3Dd&unset=env.a"), None);
    assert_eq!(both.status, 204);
    let text = node.read("etc/namespaces/test/svc/web.conf");
    assert!(text.contains("c = d") && !text.contains("a = b"), "{text}");
    let mistyped = ask(&http, "PATCH", &format!("{WEB}/config?set=env.q%3Dr&unset=env.z"), None);
    assert_eq!(mistyped.status, 400, "what is not set is not unset");
    assert!(mistyped.json()["detail"].to_string().contains("env.z"), "{}", mistyped.json());
    assert!(!node.read("etc/namespaces/test/svc/web.conf").contains("q = r"), "nor is the rest");
}

#[test]
fn a_configuration_is_created_read_and_replaced_as_a_whole() {
    let (node, http) = node();
    let target = "/api/object/path/test/svc/new/config/file";
    let write = |method: &str, headers: &[(&str, &str)], text: &str| {
        let answer = http.ask(method, target, headers, Some(text.as_bytes()));
        let told = if answer.body.is_empty() { Value::Null } else { answer.json() };
        (answer.status, told["detail"].as_str().unwrap_or_default().to_owned())
    };
    let text = "[DEFAULT]\nnodes = n1\n\n[fs#1]\ntype = flag\n";
    assert_eq!(write("PUT", &[("if-match", "\"abc\"")], text).0, 412, "nothing is there");
    let created = write("POST", &[], text);
    assert_eq!(created.0, 204, "{}", created.1);
    wait_for("it is there", || http.get(target).status == 200);
    assert_eq!(write("POST", &[], text).0, 409, "it is there already");
    assert_eq!(write("PUT", &[("if-none-match", "*")], text).0, 409);
    let read = http.get(target);
    let tag = read.headers["etag"].to_str().expect("a tag").to_owned();
    let own = String::from_utf8(read.body).expect("a text");
    assert!(own.contains("[fs#1]"), "{own}");
    assert_eq!(http.ask("GET", target, &[("if-none-match", &tag)], None).status, 304);
    let id = own.lines().find(|line| line.starts_with("id")).expect("its id").to_owned();
    // A comment is kept, and what tells it from another object of its name.
    let second = format!("# by hand\n{text}comment = x\n");
    let replaced = write("PUT", &[("if-match", &tag)], &second);
    assert_eq!(replaced.0, 204, "{}", replaced.1);
    let file = node.read("etc/namespaces/test/svc/new.conf");
    assert!(file.starts_with("# by hand\n") && file.contains(&id), "{file}");
    let late = write("PUT", &[("if-match", &tag)], text);
    assert!(late.0 == 412 && late.1.contains("was changed"), "{late:?}");
    let bad = write("PUT", &[], "[DEFAULT]\nnodes = n1\norchestrate = perhaps\n");
    assert!(bad.0 == 400 && bad.1.contains("orchestrate"), "{bad:?}");
    assert_eq!(write("PUT", &[], "no section\n").0, 400);
    assert_eq!(node.read("etc/namespaces/test/svc/new.conf"), file, "nothing was written");
    let cluster = "/api/object/path/root/ccfg/cluster/config/file";
    assert_eq!(http.ask("PUT", cluster, &[], Some(b"[cluster]\nname = x\n")).status, 400);
}

#[test]
fn what_counts_is_left_out_where_that_is_asked() {
    let (_node, http) = node();
    let target = "/api/cluster/status?counters=false";
    let tag = || http.get(target).headers["etag"].to_str().expect("a tag").to_owned();
    let status = http.get(target).json();
    assert!(status["cluster"].is_object() && status["listener"].get("stats").is_none(), "{status}");
    // Until something happens, it is the same: the daemon may just be starting.
    let mut last = tag();
    wait_for("two looks are the same", || {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        let now = tag();
        std::mem::replace(&mut last, now.clone()) == now
    });
}

#[test]
fn logs_schedules_keywords_and_metrics_have_their_paths() {
    let (node, http) = node();
    node.om_ok(&["test/svc/web", "freeze", "--wait", "--time", "20s"]);
    let get = |target: &str| http.get(target);
    let all = get(&format!("{WEB}/log"));
    assert_eq!(all.status, 200);
    let times: Vec<f64> =
        all.json().as_array().expect("entries").iter().filter_map(|it| it["t"].as_f64()).collect();
    assert!(!times.is_empty() && times.is_sorted(), "{times:?}");
    for target in [
        format!("{INSTANCE}/log?follow=true&backlog=10k"),
        format!("{WEB}/log?follow=true&backlog=10k"),
    ] {
        let headers = [("accept", "text/event-stream")];
        let told = http.stream(&target, &headers, || (), "data: [");
        assert!(told.contains("id: "), "{told}");
    }
    assert_eq!(get(&format!("{WEB}/schedule")).status, 200);
    assert_eq!(get(&format!("{INSTANCE}/schedule")).status, 200);
    for target in [
        &format!("{WEB}/config/keywords") as &str,
        "/api/cluster/config/keywords",
        "/api/node/name/_/config/keywords",
        "/api/keywords/svc",
    ] {
        let answer = get(target);
        assert!(answer.status == 200 && answer.body.len() > 1_000, "{target}: {}", answer.status);
    }
    let one = get("/api/node/name/n1/config/keywords?section=hb&option=port").json();
    let drivers: Vec<&str> =
        one["hb"].as_array().expect("rows").iter().filter_map(|row| row["type"].as_str()).collect();
    assert_eq!(drivers, ["unicast", "multicast"]);
    assert_eq!(get(&format!("{WEB}/config/keywords?section=app%231&option=strat")).status, 404);
    let two = get(&format!("{WEB}/log?lines=2")).json();
    assert_eq!(
        two.as_array().expect("entries"),
        &all.json().as_array().expect("entries")[times.len() - 2..]
    );
    assert_eq!(
        (get("/api/node/name/_/ping").status, get("/api/node/name/n1/ping").status),
        (204, 204)
    );
    let document = get("/api/openapi.json").json();
    for path in [
        "/metrics",
        "/api/node/name/{nodename}/metrics",
        "/api/object/path/{namespace}/{kind}/{name}/config/file",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert_eq!(get("/node_metrics").status, 501, "it has rules of its own");
}

#[test]
fn a_node_tells_the_metrics_of_another() {
    let cluster = harness::Cluster::start(2);
    let http = Http::of(&cluster.nodes[0]);
    let get = |node: &str| http.get(&format!("/api/node/name/{node}/metrics"));
    wait_for("n2 tells its own", || get("n2").status == 200);
    let own = |node: &str| {
        let text = String::from_utf8(get(node).body).expect("a text");
        let of = |line: &&str| line.starts_with("process_start_time_seconds ");
        text.lines().find(of).map(str::to_owned).expect("when it was started")
    };
    assert_ne!(own("n1"), own("n2"));
    assert_eq!(get("n9").status, 404);
    wait_for("changes are sent and heard", || {
        let text = String::from_utf8(get("n2").body).expect("a text");
        ["tx", "rx"].iter().all(|way| {
            let line = format!("opensvc_patches_total{{direction=\"{way}\"}} ");
            text.lines().any(|it| it.strip_prefix(&line).is_some_and(|count| count != "0"))
        })
    });
}

#[test]
fn who_has_an_answer_already_is_told_so() {
    let (_node, http) = node();
    let target = "/api/cluster/config";
    let first = http.get(target);
    let tag = first.headers["etag"].to_str().expect("a tag").to_owned();
    let again = http.ask("GET", target, &[("if-none-match", &tag)], None);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(http.ask("GET", target, &[("if-none-match", "\"x\"")], None).status, 200);
}

#[test]
fn openapi_tells_what_the_server_answers() {
    let (node, http) = node();
    let document = http.get("/api/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let fill = |path: &str| {
        let values = [("nodename", "n1"), ("namespace", "test"), ("kind", "svc"), ("name", "web")];
        let path = values.iter().fold(path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        (!path.contains('{')).then_some(path)
    };
    // What only reads, and answers at once.
    let slow = ["follow", "event", "logs", "/wait", "/sync", "/node", "checks", "property"];
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let is_read = operations.get("get").is_some()
            && !slow.iter().any(|word| path.contains(word) && path != "/api/node");
        let Some(target) = fill(path).filter(|_| is_read) else { continue };
        let answer = http.get(&target);
        let operation = &operations["get"];
        let told = &operation["responses"];
        let is_told =
            told.get(answer.status.to_string()).is_some() || told.get("default").is_some();
        assert!(is_told, "{target}: {}", answer.status);
        let content = answer.headers["content-type"].to_str().expect("a type");
        let known: Vec<&String> = told
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(_, it)| it["content"].as_object())
            .flatten()
            .map(|(name, _)| name)
            .collect();
        assert!(
            known.iter().any(|known| content.starts_with(known.as_str())),
            "{target}: {content}, told {known:?}"
        );
    }
    assert!(node.om_ok(&["api"]).contains("GET    /api/cluster/status"));
    assert_eq!(
        node.om_ok(&["api", "/api/cluster/status", "--filter", "cluster.name"]).trim(),
        "demo"
    );
    let refused = node.om(&["api", "/api/nothing"]);
    assert_eq!(refused.code, Some(1));
    let read: Value = serde_json::from_str(&refused.out).expect("JSON");
    assert_eq!(read["status"], 404);
}
