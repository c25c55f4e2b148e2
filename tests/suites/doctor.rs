//! Promise: `om doctor` tells what is wrong with a node and what mends it, with a daemon or without one, here or elsewhere, and
//! finds nothing wrong where nothing is.

use harness::{Cluster, ClusterConf, Node, Output};
use serde_json::Value;

/// The verdict and the text of each finding of an id.
fn of(found: &Value, node: &str, id: &str) -> Vec<(String, String)> {
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let checks = found[node].as_array().expect("the findings of the node").iter();
    checks
        .filter(|check| check["id"] == id)
        .map(|check| {
            let said = format!("{} | {}", text(check, "what"), text(check, "remedy"));
            (text(check, "verdict"), said)
        })
        .collect()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.out).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn fails(found: &Value) -> Vec<&Value> {
    let all = found.as_object().expect("nodes").values().filter_map(Value::as_array).flatten();
    all.filter(|check| check["verdict"] == "fail").collect()
}

/// That an id has one finding, with this verdict and these words.
fn assert_found(found: &Value, id: &str, verdict: &str, words: &[&str]) {
    let told = of(found, "n1", id);
    let [(is, said)] = &told[..] else { panic!("{id}: {told:?}") };
    assert_eq!(is, verdict, "{id}: {said}");
    for word in words {
        assert!(said.contains(word), "{id}, {word}: {said}");
    }
}

#[test]
fn a_healthy_node_fails_nothing_and_one_without_daemon_fails_that() {
    let mut node = Node::started("n1");
    node.write("etc/web.conf", "[DEFAULT]\nid = 1\n[fs#1]\ntype = flag\n");
    let found = node.om(&["doctor", "--format", "json"]);
    assert_eq!((found.code, fails(&json(&found))), (Some(0), vec![]), "{found:?}");
    for id in ["daemon", "secret", "port", "names", "tools", "configuration", "heartbeat"] {
        assert_eq!(of(&json(&found), "n1", id)[0].0, "pass", "{id}: {found:?}");
    }
    let shown = node.om(&["node", "doctor"]);
    assert!(shown.out.contains("PASS  daemon ") && shown.out.ends_with(", 0 FAIL\n"), "{shown:?}");
    let selected = node.om_ok(&["doctor", "--filter", "$.n1[0].verdict"]);
    assert_eq!(selected, "pass\n");
    node.kill();
    let found = node.om(&["doctor", "--format", "json"]);
    assert_eq!(found.code, Some(1));
    let found = json(&found);
    assert_found(&found, "daemon", "fail", &["no daemon runs", "om daemon start"]);
    assert_eq!(fails(&found).len(), 1, "{found}");
}

#[test]
fn the_faults_of_a_node_are_found_and_what_mends_them_is_told() {
    let mut node = Node::new("n1");
    let other = Node::new("n2");
    let port = other.port();
    // A port that nobody listens on, a name that is none, a secret that makes no key, and no heartbeat.
    node.write(
        "etc/cluster.conf",
        &format!(
            "[DEFAULT]\nid = 1\n[cluster]\nname = demo\nid = 2\nsecret = too-short\nnodes = n1 n2 n3\n[listener]\n\
             addr@n2 = 127.0.0.1\nport@n2 = {port}\naddr@n3 = no-such-host.invalid\n"
        ),
    );
    node.write(
        "etc/web.conf",
        "[DEFAULT]\nid = 3\nnodes = n1 n2\n[sync#1]\ntype = rsync\nsrc = /nope\ndst = /nope\ntarget = nodes\n",
    );
    node.write("etc/odd.conf", "[DEFAULT]\nid = 4\n[app#1]\ntype = simple\nrestart = often\n");
    std::fs::create_dir_all(node.path("bin")).expect("a folder");
    let path = node.path("bin").display().to_string();
    node.set_env("PATH", Some(&path));
    let found = node.om(&["doctor", "--format", "json"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(!format!("{}{}", found.out, found.err).contains("too-short"), "{found:?}");
    let found = json(&found);
    assert_found(&found, "names", "fail", &["no-such-host.invalid", "listener.addr@n3"]);
    assert_found(&found, "secret", "fail", &["has 9 bytes", "cluster.secret"]);
    assert_found(&found, "heartbeat", "fail", &["no heartbeat", "hb#1.type=unicast"]);
    assert_found(&found, "peers", "fail", &["n2 does not answer"]);
    assert_found(&found, "quorum", "warn", &["quorum is off"]);
    let tools = of(&found, "n1", "tools");
    assert!(
        tools
            .iter()
            .any(|(is, said)| is == "fail" && said.contains("rsync is missing, which web sync#")),
        "{tools:?}"
    );
    let files = of(&found, "n1", "configuration");
    for (verdict, words) in [("warn", "odd.conf line 5"), ("fail", "om cluster validate config")] {
        let is_told = |(is, said): &(String, String)| is == verdict && said.contains(words);
        assert!(files.iter().any(is_told), "{words}: {files:?}");
    }
    assert_eq!(files.len(), 2, "each mistake once: {files:?}");
}

#[test]
fn each_member_is_asked_and_one_that_is_away_is_a_failure() {
    let conf =
        ClusterConf { cluster: "profile = fast\nquorum = false".into(), ..ClusterConf::default() };
    let mut cluster = Cluster::start_with(2, &conf);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    let found = n1.om(&["doctor", "--node", "*", "--format", "json"]);
    assert_eq!((found.code, fails(&json(&found))), (Some(0), vec![]), "{found:?}");
    let found = json(&found);
    for node in [n1, n2] {
        for id in ["daemon", "heartbeat", "peers", "clock", "names"] {
            assert_eq!(of(&found, node.name(), id)[0].0, "pass", "{}: {found}", node.name());
        }
    }
    cluster.nodes[1].kill();
    let found = cluster.nodes[0].om(&["doctor", "--node", "*", "--format", "json"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let found = json(&found);
    assert_found(&found, "peers", "fail", &["n2 does not answer"]);
    let away = of(&found, "n2", "daemon");
    assert!(away[0].0 == "fail" && away[0].1.contains("n2 cannot be asked"), "{away:?}");
    let shown = cluster.nodes[0].om(&["doctor", "--node", "*"]).out;
    assert!(shown.starts_with("n1\n") && shown.contains("\nn2\nFAIL  daemon"), "{shown}");
}

#[test]
fn a_clock_that_is_off_and_a_certificate_that_ended_are_found() {
    let mut cluster = Cluster::configured(2, &ClusterConf::default()).with_clocks();
    cluster.start_all();
    cluster.wait_beating();
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n2.step_clock(10.0);
    harness::wait_for("the clock of n2 is found to be ahead", || {
        let found = json(&n1.om(&["doctor", "--format", "json"]));
        of(&found, "n1", "clock").iter().any(|(is, said)| is == "warn" && said.contains("ahead of"))
    });
    // It ended in 2020.
    let order = certs::Order {
        subject: certs::Subject { cn: Some("tls".to_owned()), ..certs::Subject::default() },
        alt_names: vec![],
        purpose: certs::Purpose::Authority,
        validity: 86_400.0,
        now: model::Timestamp(1_577_836_800.0),
    };
    let certificate = &order.make(None).expect("a certificate").certificate;
    n1.om_ok(&["test/sec/tls", "create"]);
    n1.om_ok(&["test/sec/tls", "add", "--key", "certificate", "--value", certificate]);
    let found = json(&n1.om(&["doctor", "--format", "json"]));
    assert_found(&found, "certificate", "fail", &["test/sec/tls key certificate", "has ended"]);
}
