//! Every request against every kind of user. The table is written by hand: it is not taken from the rows of the requests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use web::grants::Grants;
use web::rules::check;
use web::user::{Auth, User};
use wire::{ROUTES, Request};

/// The least that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    /// Nothing.
    Open,
    /// A role on any namespace.
    AnyGuest,
    AnyOperator,
    /// A role on the namespace `test`.
    Guest,
    Operator,
    Admin,
    /// A role of the cluster.
    Heartbeat,
    BlacklistAdmin,
    Root,
}

use Least::{Admin, AnyGuest, AnyOperator, BlacklistAdmin, Guest, Heartbeat, Open, Operator, Root};

/// Method, name, options, what it needs. An object is `test/svc/web`, unless its kind matters.
#[expect(clippy::too_many_lines, reason = "one table, a row for each request")]
fn table() -> Vec<(&'static str, &'static str, Value, Least)> {
    let web = || json!({"path": "test/svc/web"});
    let key = |path: &str| json!({"path": path, "key": "k", "data": "v"});
    let act = |action: &str| json!({"path": "test/svc/web", "action": action});
    let target = |target: &str| json!({"path": "test/svc/web", "global_expect": target});
    vec![
        ("POST", "blacklist_clear", json!({}), BlacklistAdmin),
        ("GET", "daemon_blacklist_status", json!({}), AnyGuest),
        ("GET", "daemon_status", json!({}), AnyGuest),
        ("POST", "daemon_stop", json!({}), Root),
        ("POST", "daemon_start", json!({"thr_id": "x"}), Root),
        ("POST", "daemon_shutdown", json!({}), Root),
        ("GET", "object_config", web(), Admin),
        ("GET", "object_config", json!({"path": "cluster"}), Root),
        ("POST", "object_clear", web(), Operator),
        ("POST", "node_monitor", json!({"global_expect": "frozen"}), Root),
        ("POST", "object_monitor", target("started"), Operator),
        ("POST", "object_monitor", target("stopped"), Operator),
        ("POST", "object_monitor", target("frozen"), Operator),
        ("POST", "object_monitor", target("thawed"), Operator),
        ("POST", "object_monitor", target("placed"), Operator),
        ("POST", "object_monitor", target("placed@n1"), Operator),
        ("POST", "object_monitor", target("aborted"), Operator),
        ("POST", "object_monitor", target("shutdown"), Operator),
        ("POST", "object_monitor", target("restarted"), Admin),
        ("POST", "object_monitor", target("provisioned"), Admin),
        ("POST", "object_monitor", target("unprovisioned"), Admin),
        ("POST", "object_monitor", target("purged"), Admin),
        ("POST", "object_monitor", target("deleted"), Admin),
        ("POST", "object_monitor", web(), Admin),
        (
            "POST",
            "object_monitor",
            json!({"path": "test/svc/web", "reset_retries": true}),
            Operator,
        ),
        ("GET", "object_monitor", web(), Guest),
        ("POST", "join", json!({}), Root),
        ("POST", "leave", json!({}), Root),
        ("POST", "rotate_secret", json!({}), Root),
        ("POST", "object_action", act("print_config_mtime"), Guest),
        ("POST", "object_action", act("get"), Guest),
        ("POST", "object_action", act("start"), Operator),
        ("POST", "object_action", act("run"), Operator),
        ("POST", "object_action", act("provision"), Admin),
        ("POST", "object_action", act("delete"), Admin),
        ("POST", "object_action", act("decode"), Admin),
        ("POST", "object_action", act("sync all"), Root),
        ("POST", "object_action", json!({"path": "test/svc/web", "cmd": ["start"]}), Root),
        ("POST", "object_action", json!({"path": "cluster", "action": "get"}), Root),
        ("POST", "node_action", json!({"action": "checks"}), Root),
        ("GET", "object_backlogs", web(), Guest),
        ("GET", "object_logs", web(), Guest),
        ("GET", "node_backlogs", json!({}), Root),
        ("GET", "node_logs", json!({}), Root),
        ("GET", "events", json!({}), AnyGuest),
        ("POST", "lock", json!({"name": "l"}), Root),
        ("POST", "unlock", json!({"name": "l", "lock_id": "i"}), Root),
        ("GET", "cluster/locks", json!({}), Root),
        ("POST", "wake_monitor", json!({}), AnyOperator),
        ("POST", "wake_monitor", web(), Operator),
        ("GET", "nodes_info", json!({}), AnyGuest),
        ("POST", "ask_full", json!({"peer": "n2"}), Root),
        ("POST", "run_done", json!({"action": "run", "path": "test/svc/web"}), Root),
        ("GET", "daemon_stats", json!({}), AnyGuest),
        ("POST", "relay_tx", json!({}), Heartbeat),
        ("GET", "relay_rx", json!({"slot": "n2"}), Heartbeat),
        ("GET", "daemon_relay_status", json!({}), Heartbeat),
        ("GET", "api", json!({}), AnyGuest),
        ("GET", "authinfo", json!({}), Open),
        ("GET", "whoami", json!({}), Open),
        ("GET", "node", json!({}), AnyGuest),
        ("GET", "node_metrics", json!({}), AnyGuest),
        ("GET", "node_config", json!({}), Root),
        ("POST", "object_config", json!({"path": "test/svc/web", "data": "[DEFAULT]\n"}), Admin),
        ("POST", "object_config", json!({"path": "cluster", "data": "[DEFAULT]\n"}), Root),
        ("GET", "node_checks", json!({}), Root),
        ("POST", "node_drain", json!({}), Root),
        ("POST", "object_create", json!({"data": {"test/svc/new": {}}}), Admin),
        (
            "POST",
            "object_create",
            json!({"path": "new", "template": "t", "namespace": "test"}),
            Root,
        ),
        ("GET", "object_status", web(), Guest),
        ("GET", "object_explain", web(), Guest),
        ("GET", "object_history", web(), Guest),
        ("GET", "node_history", json!({}), Root),
        ("GET", "cluster_whatif", json!({}), Root),
        ("POST", "object_status", json!({"path": "test/svc/web", "data": {}}), Root),
        ("GET", "object_selector", json!({"selector": "**"}), AnyGuest),
        ("GET", "object_keys", json!({"path": "test/sec/s1"}), Guest),
        ("GET", "key", key("test/cfg/c1"), Guest),
        ("GET", "key", key("test/sec/s1"), Admin),
        ("GET", "key", key("test/usr/u1"), Admin),
        ("POST", "key", key("test/cfg/c1"), Admin),
        ("DELETE", "key", key("test/cfg/c1"), Admin),
        ("GET", "object_confirmations", web(), Operator),
        ("GET", "object_enter", json!({"path": "test/svc/web", "rid": "container#1"}), Admin),
        ("GET", "wait", json!({"condition": "cluster"}), AnyGuest),
        ("GET", "sync", json!({}), AnyGuest),
        ("GET", "schedules", json!({}), AnyGuest),
        ("GET", "pools", json!({}), AnyGuest),
        ("GET", "networks", json!({}), AnyGuest),
        ("GET", "keywords", json!({"kind": "svc"}), AnyGuest),
        ("GET", "catalogs", json!({}), AnyGuest),
        ("GET", "templates", json!({"catalog": "c"}), AnyGuest),
        ("GET", "template", json!({"catalog": "c", "template": "t"}), AnyGuest),
        ("GET", "ssh_key", json!({}), Root),
        ("POST", "collector_xmlrpc", json!({}), Root),
        ("GET", "daemon_mutex", json!({}), Root),
        ("GET", "drivers/resource/disk/drbd/config", json!({"res": "r"}), Root),
        ("POST", "drivers/resource/disk/drbd/config", json!({"res": "r", "data": "d"}), Root),
        ("GET", "drivers/resource/disk/drbd/allocations", json!({}), Root),
    ]
}

/// A grant, and what it is enough for.
fn users() -> BTreeMap<&'static str, Vec<Least>> {
    let guest = vec![Open, AnyGuest, Guest];
    let operator = [guest.clone(), vec![AnyOperator, Operator]].concat();
    let admin = [operator.clone(), vec![Admin]].concat();
    let all = [admin.clone(), vec![Heartbeat, BlacklistAdmin, Root]].concat();
    [
        ("", vec![Open]),
        ("guest:test", guest),
        ("operator:test", operator),
        ("admin:t*", admin),
        ("guest:prod", vec![Open, AnyGuest]),
        ("operator:prod", vec![Open, AnyGuest, AnyOperator]),
        ("admin:prod", vec![Open, AnyGuest, AnyOperator]),
        ("admin:root", vec![Open, AnyGuest, AnyOperator]),
        ("admin:nowhere", vec![Open]),
        ("heartbeat", vec![Open, Heartbeat]),
        ("blacklistadmin", vec![Open, BlacklistAdmin]),
        ("squatter", vec![Open]),
        ("prioritizer", vec![Open]),
        ("root", all),
    ]
    .into()
}

#[test]
fn every_request_is_refused_to_all_but_those_it_is_for() {
    let namespaces: BTreeSet<String> = ["prod", "root", "test"].map(str::to_owned).into();
    for (method, name, options, least) in table() {
        let message = json!({"action": name, "method": method, "options": options});
        let request = Request::from_value(message).unwrap();
        for (grant, enough) in users() {
            let auth = Some(Auth::Basic);
            let user =
                User { name: "u".into(), auth, grants: Grants::parse(grant).0, ..User::nobody() };
            let checked = check(&user, &request, &namespaces);
            assert_eq!(
                checked.is_ok(),
                enough.contains(&least),
                "{grant:?}: {method} {name} {options}: {checked:?}"
            );
        }
        let nobody = check(&User::nobody(), &request, &namespaces);
        assert_eq!(nobody.is_ok(), least == Open, "nobody: {method} {name}");
    }
}

#[test]
fn every_request_is_in_the_table() {
    let table = table();
    for route in ROUTES {
        let is_there = table
            .iter()
            .any(|(method, name, ..)| *method == route.method && *name == route.names[0]);
        assert!(is_there, "{} {}", route.method, route.names[0]);
    }
}
