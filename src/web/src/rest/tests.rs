use std::collections::BTreeSet;

use wire::{Action, ROUTES};

use super::*;

fn found(method: &str, path: &str) -> Found {
    find(method, path).unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
}

fn request(method: &str, path: &str, query: &str, body: &str) -> Request {
    found(method, path).request(Some(query), body.as_bytes(), 1 << 20).unwrap()
}

#[test]
fn every_request_has_a_path_or_is_listed_without() {
    for route in ROUTES {
        let request = (route.method, route.names[0]);
        let has_path = ENTRIES.iter().any(|entry| entry.request == request);
        assert!(has_path != WITHOUT.contains(&request), "{request:?}");
    }
    let mut paths = BTreeSet::new();
    for entry in ENTRIES {
        let (route, known) =
            (entry.route(), |name: &str| entry.route().options.iter().any(|it| it.name == name));
        assert!(paths.insert((entry.method, entry.path)), "{} {} twice", entry.method, entry.path);
        for (_, option) in entry.query {
            assert!(known(option), "{}: {option} is no option of {}", entry.path, route.names[0]);
        }
        assert!(entry.fixed.iter().all(|(option, _)| known(option)), "{}", entry.path);
        assert!(entry.body.is_none_or(known), "{}", entry.path);
    }
}

#[test]
fn a_path_becomes_the_request_that_it_names() {
    let Action::SetObjectMonitor(options) = request(
        "POST",
        "/api/object/path/test/svc/web/action/switch",
        "",
        "{\"destination\": [\"n2\"]}",
    )
    .action
    else {
        panic!("a monitor")
    };
    assert_eq!(
        (options.path.as_str(), options.global_expect.as_deref()),
        ("test/svc/web", Some("placed@n2"))
    );
    let start = request("POST", "/api/object/path/root/svc/web/action/start", "", "");
    let Action::SetObjectMonitor(options) = start.action else { panic!("a monitor") };
    assert_eq!((options.path.as_str(), options.global_expect.as_deref()), ("web", Some("started")));
    let act = request(
        "POST",
        "/api/node/name/n2/instance/path/test/svc/web/action/start",
        "rid=app%231",
        "",
    );
    assert_eq!(act.node, Some(wire::NodeSpec::Names(vec!["n2".into()])));
    let Action::ObjectAction(options) = act.action else { panic!("an action") };
    assert_eq!((options.action.as_deref(), options.sync), (Some("start"), false));
    assert_eq!(options.options["rid"], "app#1");
    let push = request("POST", "/api/node/name/_/action/push/asset", "", "");
    assert!(push.node.is_none());
    let Action::NodeAction(options) = push.action else { panic!("an action") };
    assert_eq!(options.action.as_deref(), Some("pushasset"));
    let key = request("PUT", "/api/object/path/test/cfg/c1/data/key", "name=k", "v\n");
    let Action::SetKey(options) = key.action else { panic!("a key") };
    assert_eq!((options.key.as_str(), options.data.as_str()), ("k", "v\n"));
    let stop =
        request("POST", "/api/node/name/n1/daemon/thread/name/scheduler/action/stop", "", "");
    let Action::DaemonStop(options) = stop.action else { panic!("a stop") };
    assert_eq!(options.thr_id.as_deref(), Some("scheduler"));
    let last =
        request("GET", "/api/object/path/test/svc/web/log", "lines=20&level=warning&since=1.5", "");
    let Action::ObjectBacklogs(options) = last.action else { panic!("a log") };
    assert_eq!(options.backlog.0, -1, "of all that is there");
    assert_eq!(json!(options.only), json!({"lines": 20, "level": "warning", "since": 1.5}));
    let keywords =
        request("GET", "/api/node/name/n2/config/keywords", "section=node&option=env", "");
    let Action::Keywords(options) = keywords.action else { panic!("keywords") };
    assert_eq!((&*options.kind, options.option.as_deref()), ("node", Some("env")));
    let set = request("PATCH", "/api/object/path/test/svc/web/config", "set=a%3Db&set=c%3Dd", "");
    let Action::ObjectAction(options) = set.action else { panic!("an action") };
    assert_eq!(
        (options.action.as_deref(), &options.options["kw"]),
        (Some("set"), &json!(["a=b", "c=d"]))
    );
    let both = request("PATCH", "/api/node/name/n1/config", "set=a.b%3Dc&unset=d.e", "");
    let Action::NodeAction(options) = both.action else { panic!("an action") };
    assert_eq!(
        (options.action.as_deref(), json!(options.options)),
        (Some("set"), json!({"kw": ["a.b=c"], "unset": ["d.e"]}))
    );
}

#[test]
fn a_dry_run_asks_what_a_target_would_do() {
    for (path, body, target) in [
        ("/api/object/path/test/svc/web/action/stop?", "", "stopped"),
        (
            "/api/object/path/test/svc/web/action/switch?",
            "{\"destination\": [\"n2\"]}",
            "placed@n2",
        ),
    ] {
        let mut found = found("POST", path.trim_end_matches('?'));
        found.dry(Some("dry_run=true"));
        let request = found.request(Some("dry_run=true"), body.as_bytes(), 1 << 20).unwrap();
        let Action::ObjectExplain(options) = request.action else { panic!("{request:?}") };
        assert_eq!(options.global_expect.as_deref(), Some(target));
    }
}

#[test]
fn what_is_no_path_tells_so_and_what_methods_it_has() {
    assert_eq!(find("GET", "/api/nothing").unwrap_err(), NotFound::Path);
    assert_eq!(find("GET", "/api/object/path/test/svc//config").unwrap_err(), NotFound::Path);
    assert_eq!(
        find("POST", "/api/node/name/n1/config").unwrap_err(),
        NotFound::Method(vec!["GET", "PATCH"])
    );
    for query in ["lines=-1", "lines=two", "since=yesterday", "lines=1&lines=2"] {
        let wrong = found("GET", "/api/node/name/n1/log").request(Some(query), b"", 1 << 20);
        assert_eq!(wrong.unwrap_err().status, 400, "{query}");
    }
    for query in [None, Some("delete=fs%231&set=a%3Db")] {
        let patch = found("PATCH", "/api/object/path/test/svc/web/config");
        assert_eq!(patch.request(query, b"", 1 << 20).unwrap_err().status, 400, "{query:?}");
    }
    for path in ["/api/", "/api//////", "/api/object/path/../../../etc", &"/api/x".repeat(1_000)] {
        assert_eq!(find("GET", path).unwrap_err(), NotFound::Path, "{path:.40}");
    }
}

fn shaped(method: &str, path: &str, reply: Value) -> Shaped {
    found(method, path).shaped(reply, &Page::default())
}

#[test]
fn errors_are_problems_with_the_status_of_http() {
    let problem = |reply: Value| {
        let shaped = shaped("GET", "/api/object/path/test/svc/web/config", reply);
        let Content::Problem(problem) = shaped.content else { panic!("{shaped:?}") };
        assert_eq!(problem["status"], shaped.status);
        (shaped.status, problem["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(problem(json!({"status": 3, "error": "no file"})), (404, "no file".into()));
    assert_eq!(problem(json!({"status": 1, "error": ["a", "b"]})), (409, "a\nb".into()));
    assert_eq!(problem(json!({"status": 403, "error": "Forbidden"})), (403, "Forbidden".into()));
    let part =
        json!({"nodes": {"n2": {"status": 1, "error": "refused", "retryable": true}}, "status": 1});
    let shaped = shaped("GET", "/api/node/name/n2/daemon/stats", part);
    let Content::Problem(problem) = &shaped.content else { panic!("{shaped:?}") };
    assert_eq!((shaped.status, &problem["node"]), (502, &json!("n2")));
}

#[test]
fn lists_are_sorted_and_go_on_page_by_page() {
    let status = json!({"monitor": {
        "services": {"svc2": {"avail": "up"}, "svc1": {"avail": "up"}, "test/svc/web": {"avail": "down"}},
        "nodes": {"n2": {"frozen": 0, "services": {"status": {"svc1": {"resources": {"app#1": {"status": "up"}}}}, "config": {}}},
            "n1": {"frozen": 0, "services": {"status": {"svc1": {"resources": {}}}, "config": {"svc1": {"csum": "x"}}}}},
    }});
    let list = |path: &str, query: &str| {
        let shaped = found("GET", path).shaped(status.clone(), &Page::of(Some(query)));
        let Content::Json(list) = shaped.content else { panic!("{shaped:?}") };
        list
    };
    let first = list("/api/object", "limit=2");
    let names: Vec<_> = first["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["meta"]["object"].clone())
        .collect();
    assert_eq!(
        (names, &first["next"], &first["kind"]),
        (vec![json!("svc1"), json!("svc2")], &json!("svc2"), &json!("ObjectList"))
    );
    let second = list("/api/object", "limit=2&after=svc2");
    assert_eq!(second["items"].as_array().map(Vec::len), Some(1));
    assert!(second.get("next").is_none());
    assert_eq!(
        list("/api/instance", "")["items"][0]["meta"],
        json!({"object": "svc1", "node": "n1"})
    );
    assert_eq!(list("/api/instance", "node=n2")["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list("/api/resource", "")["items"][0]["meta"]["rid"], "app#1");
    assert!(list("/api/node", "")["items"][0]["data"].get("services").is_none());
    let wrong = found("GET", "/api/object").shaped(status.clone(), &Page::of(Some("limit=0")));
    assert_eq!(wrong.status, 400);
}

#[test]
fn the_document_names_every_path_once() {
    let document = document("1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut ids = BTreeSet::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id} twice");
            let variables = path.matches('{').count();
            let named = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|it| it["in"] == "path");
            assert_eq!(named.count(), variables, "{path}");
            assert!(operation["responses"].is_object(), "{path}");
        }
    }
    assert!(ids.len() > ENTRIES.len() + 50);
    assert!(paths.contains_key("/daemon_status") && paths.contains_key("/api/cluster/status"));
}
