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
