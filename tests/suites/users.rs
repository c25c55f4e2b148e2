//! Users over TLS: who is who, who may what, and what each is shown.

use harness::{Http, HttpReply, Kept, Node, Port, Provider, basic, wait_for, wait_until};
use serde_json::{Value, json};

/// A node that listens for TLS, with objects of two namespaces and users of each kind.
struct World {
    node: Node,
    port: Port,
}

impl World {
    fn start() -> Self {
        let (mut node, port) = Node::for_users("n1", "");
        node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
        for namespace in ["test", "prod"] {
            let flag = "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n";
            node.write(&format!("etc/namespaces/{namespace}/svc/web.conf"), flag);
        }
        node.write("etc/namespaces/test/cfg/c1.conf", "[DEFAULT]\n[data]\nmotd = literal:hello\n");
        node.start();
        node.om_ok(&["cluster", "tls"]);
        let it = Self { node, port };
        for (name, grant) in [
            ("admin", "root"),
            ("gtest", "guest:test"),
            ("optest", "operator:test"),
            ("adtest", "admin:test squatter"),
            ("nogrant", ""),
        ] {
            it.node.add_user(name, grant);
        }
        wait_for("it listens", || it.over(None).keep().is_some());
        wait_for("all is evaluated", || it.node.instance("prod/svc/web")["avail"].is_string());
        it
    }

    fn over(&self, fullpem: Option<&str>) -> Http {
        Http::tls(self.port.number(), fullpem)
    }

    fn ask_as(&self, name: &str, method: &str, target: &str, body: Option<&Value>) -> HttpReply {
        let header = basic(name, &format!("pw-{name}"));
        let body = body.map(ToString::to_string);
        self.over(None).ask(
            method,
            target,
            &[("authorization", &header)],
            body.as_deref().map(str::as_bytes),
        )
    }

    fn get_as(&self, name: &str, target: &str) -> HttpReply {
        self.ask_as(name, "GET", target, None)
    }
}

#[test]
fn each_way_to_prove_who_one_is_is_told_from_the_others() {
    let world = World::start();
    let whoami =
        |http: &Http, headers: &[(&str, &str)]| http.ask("GET", "/whoami", headers, None).json();
    let nobody =
        json!({"name": "nobody", "namespace": null, "auth": null, "raw_grant": "", "grant": {}});
    assert_eq!(whoami(&world.over(None), &[]), nobody);
    assert_eq!(
        world.get_as("gtest", "/whoami").json(),
        json!({"name": "gtest", "namespace": "system", "auth": "basic", "raw_grant": "guest:test",
            "grant": {"guest": ["test"], "admin": [], "operator": []}})
    );
    let fullpem = world.node.om_ok(&["system/usr/gtest", "fullpem"]);
    let certified = world.over(Some(&fullpem));
    assert_eq!(whoami(&certified, &[])["auth"], "x509");
    assert_eq!(whoami(&certified, &[])["name"], "gtest");
    // A header goes before the certificate, and each request is judged anew.
    let mut kept = certified.keep().expect("a connection");
    let wrong = basic("admin", "x");
    let right = basic("admin", "pw-admin");
    for (header, status) in [(&right, 200), (&wrong, 401), (&right, 200)] {
        let reply = kept.get("/node_config", &[("authorization", header)]).expect("a reply");
        assert_eq!(reply.status, status);
    }
    assert_eq!(kept.get("/whoami", &[("authorization", &wrong)]).expect("a reply").json(), nobody);
    let anonymous = world.over(None).get("/daemon_status");
    assert_eq!(anonymous.status, 401);
    assert_eq!(anonymous.json(), json!({"status": 401, "error": "Not Authorized"}));
    assert_eq!(anonymous.headers["www-authenticate"], "Bearer realm=\"demo\"");
    // The secret of the cluster is no header here, and a request that is none is told before all.
    let secret = [("o-secret", world.node.secret())];
    assert_eq!(world.over(None).ask("GET", "/daemon_status", &secret, None).status, 401);
    assert_eq!(world.over(None).get("/nothing").status, 501);
    for token in ["eyJhbGciOiJub25lIn0.e30.", "a.b.c", "", "x"] {
        let header = format!("Bearer {token}");
        let reply =
            world.over(None).ask("GET", "/daemon_status", &[("authorization", &header)], None);
        assert!(matches!(reply.status, 401 | 429), "{token}: {}", reply.status);
    }
}

#[test]
fn a_certificate_that_is_revoked_or_without_user_is_nobodys_at_once() {
    let world = World::start();
    let fullpem = world.node.om_ok(&["system/usr/optest", "fullpem"]);
    let mut kept = world.over(Some(&fullpem)).keep().expect("a connection");
    assert_eq!(kept.get("/daemon_stats", &[]).expect("a reply").status, 200);
    world.node.om_ok(&["system/usr/optest", "revoke"]);
    wait_for("it is refused on the connection that it has", || {
        kept.get("/daemon_stats", &[]).is_some_and(|reply| reply.status == 401)
    });
    wait_for("it connects no more", || {
        world.over(Some(&fullpem)).keep().is_none_or(|mut kept| kept.get("/whoami", &[]).is_none())
    });
    // Its password goes on.
    assert_eq!(world.get_as("optest", "/daemon_stats").status, 200);
    let fullpem = world.node.om_ok(&["system/usr/gtest", "fullpem"]);
    let mut kept = world.over(Some(&fullpem)).keep().expect("a connection");
    assert_eq!(kept.get("/daemon_stats", &[]).expect("a reply").status, 200);
    world.node.om_ok(&["system/usr/gtest", "delete"]);
    wait_for("its user is gone", || {
        kept.get("/daemon_stats", &[]).is_some_and(|reply| reply.status == 401)
    });
}

#[test]
fn a_new_certificate_is_shown_and_no_connection_ends() {
    let world = World::start();
    let header = basic("admin", "pw-admin");
    let mut kept = world.over(None).keep().expect("a connection");
    world.node.om_ok(&["system/sec/cert-demo", "gen", "cert"]);
    wait_for("it is in force", || {
        world.node.node_log().matches("the certificate of the TLS listener is in force").count() > 1
    });
    assert_eq!(
        kept.get("/whoami", &[("authorization", &header)]).expect("it goes on").json()["name"],
        "admin"
    );
    assert_eq!(world.get_as("admin", "/whoami").json()["name"], "admin");
    // Stopped with the listener, as with deployed agents, and not the socket of the node.
    world.node.om_ok(&["daemon", "stop", "--thread-id", "listener"]);
    wait_for("nobody connects", || world.over(None).keep().is_none());
    assert_eq!(Http::of(&world.node).get("/whoami").json()["auth"], "uxsock");
    world.node.om_ok(&["daemon", "start", "--thread-id", "listener"]);
    wait_for("it listens again", || world.over(None).keep().is_some());
}

#[test]
fn who_guesses_passwords_waits_longer_each_time() {
    let world = World::start();
    let wrong = basic("admin", "guess");
    let try_it =
        || world.over(None).ask("GET", "/daemon_stats", &[("authorization", &wrong)], None);
    for _ in 0..5 {
        assert_eq!(try_it().status, 401);
    }
    let limited = try_it();
    assert_eq!(limited.status, 429);
    assert!(limited.headers.contains_key("retry-after"));
    // Whoever brings nothing is not kept waiting, and neither is the page that asks who it is.
    assert_eq!(world.over(None).get("/whoami").status, 200);
    let log = world.node.node_log();
    assert!(!log.contains("guess\"") && !log.contains("pw-"), "no password is in the log");
}

#[test]
fn a_guest_is_shown_its_namespace_and_nothing_else() {
    let world = World::start();
    let status = world.get_as("gtest", "/daemon_status").json();
    let names =
        |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    assert_eq!(
        names(&status["monitor"]["services"]),
        Some(vec!["test/cfg/c1".into(), "test/svc/web".into()])
    );
    let local = &status["monitor"]["nodes"]["n1"]["services"];
    assert!(names(&local["status"]).expect("a map").iter().all(|path| path.starts_with("test/")));
    assert!(names(&local["config"]).expect("a map").iter().all(|path| path.starts_with("test/")));
    assert!(status["listener"]["stats"]["sessions"].get("alive").is_none());
    assert!(status["scheduler"].get("delayed").is_none());
    let none = world.get_as("gtest", "/daemon_status?namespace=prod").json();
    assert_eq!(none["monitor"]["services"], json!({}));
    let selected = |target: &str, headers: &[(&str, &str)]| {
        let auth = basic("gtest", "pw-gtest");
        let headers: Vec<_> =
            headers.iter().copied().chain([("authorization", auth.as_str())]).collect();
        world.over(None).ask("GET", target, &headers, None).json()
    };
    let own = json!(["test/cfg/c1", "test/svc/web"]);
    assert_eq!(selected("/object_selector?selector=**", &[]), own);
    assert_eq!(selected("/object_selector?selector=**", &[("o-node", "*")])["nodes"]["n1"], own);
    assert_eq!(
        selected("/object_selector?selector=prod/**", &[("o-node", "ANY")])["nodes"]["n1"],
        json!([])
    );
    for target in ["/schedules?selector=**", "/daemon_stats", "/pools", "/networks"] {
        for headers in [&[][..], &[("o-node", "*")][..]] {
            let text = selected(target, headers).to_string();
            assert!(!text.contains("prod/") && !text.contains("svc1"), "{target}: {text}");
        }
    }
    let wait = "/wait?duration=1&condition=monitor.services.'prod/svc/web'.avail";
    assert_eq!(selected(wait, &[])["data"]["satisfied"], false);
    let own = "/wait?duration=1&condition=monitor.services.'test/svc/web'.avail";
    assert_eq!(selected(own, &[])["data"]["satisfied"], true);
    for (target, status) in [
        ("/object_status?path=prod/svc/web", 403),
        ("/object_status?path=svc1", 403),
        ("/object_backlogs?path=prod/svc/nosuch", 403),
        ("/object/prod/svc/web/backlogs", 403),
        ("/instance/n1/prod/svc/web/backlogs", 403),
        ("/object_keys?path=cluster", 403),
        ("/node_backlogs", 403),
        ("/object_status", 400),
        ("/object_status?path=test/svc/web", 200),
        ("/key?path=test/cfg/c1&key=motd", 200),
    ] {
        assert_eq!(world.get_as("gtest", target).status, status, "{target}");
    }
    assert_eq!(world.get_as("nogrant", "/daemon_status").status, 403);
}

#[test]
fn no_spelling_of_an_option_leads_beyond_what_a_user_may() {
    let world = World::start();
    world.node.om_ok(&["test/sec/s1", "create"]);
    let act = |user: &str, action: &str, options: Value| {
        let body =
            json!({"path": "test/cfg/c1", "action": action, "sync": true, "options": options});
        world.ask_as(user, "POST", "/object_action", Some(&body))
    };
    let elsewhere = "system/usr/admin";
    for name in [
        "service",
        "parm_service",
        "parm-service",
        "selector",
        "svcs",
        "parm_svcs",
        "namespace",
        "server",
    ] {
        for (user, action) in [("gtest", "get"), ("optest", "freeze"), ("adtest", "decode")] {
            let reply = act(user, action, json!({"kw": ["grant"], name: elsewhere}));
            assert_eq!(reply.status, 403, "{user} {action} {name}: {}", reply.json());
        }
    }
    for (action, options) in [
        ("add", json!({"key": "k", "from": "/etc/hostname"})),
        ("set", json!({"parm_kw": ["grant=root"], "parm_service": "system/usr/adtest"})),
        ("set", json!({"kw": ["app#1.start=/bin/true"]})),
        ("set", json!({"parm_kw": ["app#1.start=/bin/true"]})),
        ("set", json!({"parm_param": "docker_exe", "parm_value": "/bin/true"})),
        ("set", json!({"kw": ["env.x=1"], "env": ["LD_PRELOAD=/x"]})),
    ] {
        let reply = act("adtest", action, options.clone());
        assert_eq!(reply.status, 403, "{options}: {}", reply.json());
    }
    let template = world.node.path("etc/cluster.conf").display().to_string();
    for path in ["test/svc/evil", "prod/svc/evil"] {
        let body = json!({"path": path, "namespace": "test", "template": template});
        assert_eq!(world.ask_as("adtest", "POST", "/object_create", Some(&body)).status, 403);
    }
    assert_eq!(
        world.node.om(&["system/usr/adtest", "get", "--kw", "grant"]).out.trim(),
        "admin:test squatter"
    );
    // And over the paths of REST.
    let target =
        "/api/node/name/n1/instance/path/test/svc/web/action/freeze?parm_service=prod/svc/web";
    assert_eq!(world.ask_as("optest", "POST", target, None).status, 403);
    // What it may, it does: the priority of others is passed over.
    let reply = act("adtest", "set", json!({"kw": " priority=7"}));
    assert_eq!(reply.status, 200, "{}", reply.json());
    assert_ne!(world.node.om_ok(&["test/cfg/c1", "get", "--kw", "priority"]).trim(), "7");
    let keyword = |name: &str| world.node.om(&["test/cfg/c1", "get", "--kw", name]).out;
    world.node.om_ok(&["test/cfg/c1", "set", "--kw", "priority=5", "--kw", "env.x=1"]);
    for (action, option) in [("unset", "kw"), ("set", "unset")] {
        world.node.om_ok(&["test/cfg/c1", "set", "--kw", "env.x=1"]);
        let reply = act("adtest", action, json!({option: ["env.x,priority"]}));
        assert_eq!(reply.status, 200, "{}", reply.json());
        assert_eq!(
            (keyword("priority").trim(), keyword("env.x").trim()),
            ("5", "None"),
            "{action}"
        );
    }
}

#[test]
fn an_edit_is_judged_as_it_is_carried_out_however_it_is_written() {
    let world = World::start();
    let text = "[DEFAULT]\nnodes = n1\n[env]\nx = 1\n[app#1]\ntype = simple\nstart = /bin/true\nuser = nobody\n";
    world.node.write("etc/namespaces/test/svc/app.conf", text);
    wait_for("it is evaluated", || world.node.instance("test/svc/app")["avail"].is_string());
    let keyword = |name: &str| world.node.om(&["test/svc/app", "get", "--kw", name]).out;
    for (action, options) in [
        ("set", json!({"kw": ["app#1.start=/bin/false"]})),
        ("_set", json!({"kw": ["app#1.start=/bin/false"]})),
        (" set_", json!({"kw": ["app#1.start=/bin/false"]})),
        ("unset", json!({"kw": ["app#1.user"]})),
        ("unset", json!({"kw": ["env.x,app#1.user"]})),
        ("un_set", json!({"kw": ["app#1.user"]})),
        ("unset_", json!({"kw": ["app#1.user"]})),
        ("set", json!({"unset": ["app#1.user"]})),
        ("set", json!({"unset": ["env.x,app#1.user"], "kw": ["env.y=1"]})),
    ] {
        let body =
            json!({"path": "test/svc/app", "action": action, "sync": true, "options": options});
        let reply = world.ask_as("adtest", "POST", "/object_action", Some(&body));

        assert_eq!(keyword("app#1.user").trim(), "nobody", "{action} {options}");
        assert_eq!(keyword("app#1.start").trim(), "/bin/true", "{action} {options}");
        assert_eq!(reply.status, 403, "{action} {options}: {}", reply.json());
    }
}

#[test]
fn events_of_a_guest_tell_of_its_namespace_alone() {
    let world = World::start();
    let auth = basic("gtest", "pw-gtest");
    let touch = || {
        for path in ["prod/svc/web", "svc1", "test/svc/web"] {
            let options = json!({"path": path, "global_expect": "frozen"});
            let request = json!({"action": "object_monitor", "method": "POST", "options": options});
            wait_for("it is taken", || world.node.request(&request)["status"] == 0);
        }
    };
    let headers = [("authorization", auth.as_str()), ("accept", "text/event-stream")];
    let text = world.over(None).stream(
        "/events?full=true",
        &headers,
        touch,
        "\"test/svc/web\",\"monitor\",\"status\"",
    );
    assert!(text.contains("\"kind\":\"full\""), "{text}");
    assert!(!text.contains("prod/svc/web") && !text.contains("\"svc1\""), "{text}");
}

#[test]
fn what_runs_as_root_is_configured_by_root_alone() {
    let world = World::start();
    let act = |kw: &str| {
        let body = json!({"path": "test/svc/web", "action": "set", "options": {"kw": [kw]}});
        world.ask_as("adtest", "POST", "/object_action", Some(&body))
    };
    let refused = act("app#1.start=/bin/true");
    assert_eq!(refused.status, 403);
    let errors = refused.json()["error"].clone();
    assert!(
        errors.as_array().is_some_and(|errors| errors
            .contains(&json!("test/svc/web: resource app#1 requires the root privilege"))),
        "{errors}"
    );
    let create = |data: Value| {
        let body = json!({"data": data});
        world.ask_as("adtest", "POST", "/object_create", Some(&body))
    };
    let bad = create(json!({"test/svc/bad": {"task#1": {"type": "host", "command": "/bin/true"}}}));
    assert_eq!(
        (bad.status, bad.json()["error"].clone()),
        (403, json!(["test/svc/bad: resource task#1 type task.host requires the root privilege"]))
    );
    assert_eq!(create(json!({"prod/cfg/cc": {}})).status, 403);
    let begun = create(json!({"fresh/cfg/cc": {"DEFAULT": {"priority": "1"}}}));
    assert_eq!((begun.status, begun.json()["status"].clone()), (200, json!(0)), "{}", begun.json());
    assert!(!world.node.read("etc/namespaces/fresh/cfg/cc.conf").contains("priority"));
    wait_for("who began a namespace is its admin", || {
        world.get_as("adtest", "/whoami").json()["raw_grant"] == "admin:test squatter admin:fresh"
    });
}

#[test]
fn a_token_of_the_provider_is_a_user_and_no_other_is() {
    let world = World::start();
    let provider = Provider::start();
    let issuer = provider.issuer();
    world.node.om_ok(&["node", "set", "--kw", &format!("listener.openid_issuer={issuer}")]);
    let http = world.over(None);
    let whoami = |token: &str| {
        let header = format!("Bearer {token}");
        http.ask("GET", "/whoami", &[("authorization", &header)], None).json()
    };
    let claims = json!({"iss": issuer, "aud": "demo", "exp": 99_999_999_999_u64, "preferred_username": "carol",
        "grant": "guest:test"});
    let token = provider.token(&json!({"alg": "EdDSA", "kid": "k1"}), &claims);
    wait_for("the provider is heard", || whoami(&token)["name"] == "carol");
    let user = whoami(&token);
    assert_eq!((user["auth"].as_str(), user["namespace"].as_str()), (Some("jwt"), Some("system")));
    assert_eq!(user["grant"]["guest"], json!(["test"]));
    assert_eq!(http.get("/authinfo").json()["openid"]["client_id"], "demo");
    for (head, changed) in [
        (json!({"alg": "none", "kid": "k1"}), claims.clone()),
        (json!({"alg": "HS256", "kid": "k1"}), claims.clone()),
        (json!({"alg": "EdDSA", "kid": "../k1"}), claims.clone()),
        (
            json!({"alg": "EdDSA", "kid": "k1"}),
            json!({"iss": issuer, "aud": "other", "exp": 99_999_999_999_u64}),
        ),
    ] {
        assert_eq!(whoami(&provider.token(&head, &changed))["name"], "nobody", "{head} {changed}");
    }
}

#[test]
fn a_new_grant_counts_on_a_connection_that_is_kept() {
    let (mut node, port) = Node::for_users("n1", "");
    node.start();
    node.om_ok(&["cluster", "tls"]);
    node.add_user("alice", "guest:test");
    let fullpem = node.om_ok(&["system/usr/alice", "fullpem"]);
    let http = Http::tls(port.number(), Some(&fullpem));
    let status = |kept: &mut Kept| kept.get("/node_config", &[]).expect("it goes on").status;
    let mut kept = wait_until("it listens", || http.keep());
    wait_for("the user is known", || status(&mut kept) == 403);
    node.om_ok(&["system/usr/alice", "set", "--kw", "grant=root"]);
    wait_for("it may more", || status(&mut kept) != 403);
    node.om_ok(&["system/usr/alice", "set", "--kw", "grant=guest:test"]);
    wait_for("it may less", || status(&mut kept) == 403);
}
