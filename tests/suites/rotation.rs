//! Promise: the secret of a cluster is changed on all its nodes together, and no edit takes one of them out of it.

use std::time::Duration;

use harness::{Cluster, ClusterConf, Node, Peer, is_root, wait_for, wait_within};
use serde_json::{Value, json};

/// The text of all alerts of a node.
fn alerts(node: &Node) -> String {
    let status = node.status();
    let threads = status.as_object().expect("threads").values();
    threads.map(|thread| thread["alerts"].to_string()).collect()
}

#[test]
fn an_edit_that_would_cut_the_node_off_is_held_back_with_the_command_to_use() {
    let cluster = Cluster::start(3);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    let text = n1.read("etc/cluster.conf");
    let rotate = "om cluster rotate secret";
    for (words, told) in [
        (&["cluster", "set", "--kw", "cluster.secret=another-secret-0123456"][..], rotate),
        (&["cluster", "set", "--kw", "cluster.secret@n2=another-secret-0123456"], rotate),
        (&["cluster", "set", "--kw", "cluster.secret_generation=2"], rotate),
        (&["cluster", "set", "--kw", "cluster.secret_next=another-secret-0123456"], rotate),
        (&["cluster", "set", "--kw", "cluster.name=other"], "om daemon leave"),
        (&["cluster", "unset", "--kw", "cluster.name"], "om daemon leave"),
        (&["node", "set", "--kw", "cluster.secret=another-secret-0123456"], rotate),
        (&["node", "set", "--kw", "cluster.name=other"], "om daemon leave"),
    ] {
        let refused = n1.om(words);
        assert_eq!(refused.code, Some(1), "{words:?} {refused:?}");
        assert!(refused.err.contains(told), "{words:?} {refused:?}");
        assert!(!refused.err.contains("another-secret"), "{words:?} {refused:?}");
    }
    assert_eq!(n1.read("etc/cluster.conf"), text);
    // By hand: what is in force stays in force, here and there.
    for (edited, told) in [
        (text.replace(n1.secret(), "another-secret-0123456"), rotate),
        (text.replace("name = demo", "name = other"), "om daemon leave"),
        (text.replace("name = demo", "name = demo\nenvelope = classic"), "set it to any"),
    ] {
        n1.write("etc/cluster.conf", &edited);
        wait_for("the edit is told", || alerts(n1).contains(told));
        assert!(!alerts(n1).contains("another-secret"), "{}", alerts(n1));
        let ping = n1.om(&["node", "ping", "--node", "n2"]);
        assert_eq!(ping.code, Some(0), "{ping:?}");
        for at in 0..3 {
            for peer in (0..3).filter(|peer| *peer != at) {
                assert!(cluster.is_beating(at, "hb#1.rx", peer), "{at} hears {peer}");
            }
        }
        assert!([n2, n3].iter().all(|node| node.read("etc/cluster.conf") == text));
        n1.write("etc/cluster.conf", &text);
        wait_for("it is mended", || !alerts(n1).contains(told));
    }
}

/// What a node shows of the secret.
fn secret(node: &Node) -> (u64, String) {
    let block = node.status()["secret"].clone();
    (block["generation"].as_u64().unwrap_or(0), block["rotation"].as_str().unwrap_or("").to_owned())
}

fn keyword(node: &Node, name: &str) -> Option<String> {
    let text = node.read("etc/cluster.conf");
    let line = text.lines().find(|line| line.starts_with(&format!("{name} = ")))?;
    Some(line.split_once(" = ")?.1.to_owned())
}

/// What the first node answers to who holds the secret of the start, in the name of a node.
fn ask_old(cluster: &Cluster, name: &str, request: &Value) -> Option<Value> {
    // From an address of its own: what does not open counts against it.
    let mut peer = Peer::sealed(&cluster.nodes[0]).at(cluster.address(0)).from(99).named(name);
    peer.ask(request)
}

fn assert_all_beat(cluster: &Cluster) {
    for at in 0..cluster.nodes.len() {
        for peer in (0..cluster.nodes.len()).filter(|peer| *peer != at) {
            assert!(cluster.is_beating(at, "hb#1.rx", peer), "{at} hears {peer}");
        }
    }
}

/// How often a node was lost for another one, as the nodes tell in their logs.
fn losses(cluster: &Cluster) -> usize {
    let lost = |node: &Node| node.node_log().matches("forgotten").count();
    cluster.nodes.iter().map(lost).sum()
}

#[test]
fn a_rotation_is_carried_out_while_everything_goes_on_and_the_old_secret_opens_nothing() {
    let cluster = Cluster::start(3);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    n2.om_ok(&["ns1/sec/s1", "create"]);
    n2.om_ok(&["ns1/sec/s1", "set", "--kw", "nodes=*"]);
    n2.om_ok(&["ns1/sec/s1", "add", "--key", "pw", "--value", "hidden"]);
    let file = "etc/namespaces/ns1/sec/s1.conf";
    for node in [n1, n2, n3] {
        wait_for("the object is everywhere", || {
            node.path(file).exists() && node.read(file).contains("sealed:")
        });
    }
    let request = json!({"action": "daemon_blacklist_status"});
    let old = n1.read(file);
    assert!(ask_old(&cluster, "n2", &request).is_some(), "the secret of the start opens");
    let rotation = n2.spawn(&["cluster", "rotate", "secret", "--wait", "--time", "1m"]);
    // Requests work throughout, from anybody to anybody, by new processes and by daemons.
    let mut asked = 0;
    wait_for("the rotation is over", || {
        for (from, to) in [(n1, "n2"), (n2, "n3"), (n3, "n1")] {
            let ping = from.om(&["node", "ping", "--node", to]);
            assert_eq!(ping.code, Some(0), "{ping:?}");
            asked += 1;
        }
        assert_all_beat(&cluster);
        [n1, n2, n3].iter().all(|node| secret(node) == (2, "none".into()))
    });
    assert!(asked > 6);
    assert_eq!(rotation.wait_with_output().expect("it ends").status.code(), Some(0));
    assert_eq!(losses(&cluster), 0);
    let now = keyword(n1, "secret").expect("a secret");
    assert_ne!(now, n1.secret());
    for node in [n1, n2, n3] {
        assert_eq!(keyword(node, "secret"), Some(now.clone()));
        assert_eq!(keyword(node, "secret_previous"), None);
        assert_eq!(node.om_ok(&["ns1/sec/s1", "decode", "--key", "pw"]), "hidden");
        let all = [node.node_log(), node.status().to_string()].concat();
        assert!(!all.contains(&now) && !all.contains(n1.secret()), "a secret is shown");
    }
    // Sealed anew: the old secret opens neither what is stored nor a listener.
    assert_ne!(n1.read(file), old);
    for action in ["daemon_blacklist_status", "object_config"] {
        let request = json!({"action": action, "method": "GET", "options": {"path": "cluster"}});
        for name in ["n1", "n2", "n3", "n9"] {
            let answered = ask_old(&cluster, name, &request);
            assert_eq!(answered, None, "{action} of {name}");
        }
    }
}

#[test]
fn a_node_that_was_away_is_handed_the_secret_and_until_then_the_old_one_opens_only_that() {
    let mut cluster = Cluster::start(3);
    let text = cluster.nodes[2].read("etc/cluster.conf");
    cluster.nodes[2].kill();
    wait_for("n3 is lost", || (0..2).all(|at| !cluster.is_beating(at, "hb#1.rx", 2)));
    let n1 = &cluster.nodes[0];
    n1.om_ok(&["cluster", "rotate", "secret"]);
    wait_for("it is told whom it waits for", || alerts(n1).contains("n3 not heard"));
    assert_eq!(secret(n1), (1, "offered".into()));
    n1.om_ok(&["cluster", "rotate", "secret", "--force"]);
    let (n1, n2) = (&cluster.nodes[0], &cluster.nodes[1]);
    for node in [n1, n2] {
        wait_for("the next one is used", || secret(node) == (2, "used".into()));
    }
    // The old one, in the name of each node: nothing but the configuration, and for n3 only.
    let ask = |name: &str, request: &Value| ask_old(&cluster, name, request);
    let config =
        json!({"action": "object_config", "method": "GET", "options": {"path": "cluster"}});
    let other = json!({"action": "daemon_blacklist_status"});
    wait_for("it opens the hand-over only", || ask("n3", &other).is_none());
    assert_eq!((ask("n2", &config), ask("n9", &config)), (None, None));
    for request in [
        json!({"action": "object_config", "method": "GET", "options": {"path": "svc1"}}),
        json!({"action": "daemon_status"}),
        json!({"action": "node_action", "method": "POST", "options": {"action": "freeze"}}),
        json!({"action": "join", "method": "POST"}),
    ] {
        assert_eq!(ask("n3", &request), None, "{request}");
    }
    let handed = ask("n3", &config).expect("n3 is handed the configuration");
    assert!(handed["data"].as_str().is_some_and(|text| text.contains("secret_generation = 2")));
    let refused = n1.om(&["cluster", "rotate", "secret", "--wait", "--time", "1s"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("n3"), "{refused:?}");
    assert_eq!(cluster.nodes[2].read("etc/cluster.conf"), text);
    cluster.nodes[2].start();
    cluster.wait_beating();
    for node in &cluster.nodes {
        wait_for("it is over", || secret(node) == (2, "none".into()));
    }
    assert!(cluster.nodes[2].node_log().contains("handed to this node"));
    assert!(!cluster.nodes[2].node_log().contains("split"));
    assert_eq!(ask_old(&cluster, "n3", &config), None);
}

#[test]
fn a_rotation_that_is_interrupted_at_any_step_goes_on() {
    for point in [
        "rotate.offered",
        "rotate.use",
        "rotate.used",
        "rotate.sealed",
        "rotate.drop",
        "rotate.dropped",
    ] {
        let mut cluster = Cluster::configured(2, &ClusterConf::default());
        cluster.nodes[0].set_env("OSVC_TEST_CRASH", Some(point));
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.wait_beating();
        cluster.nodes[0].om(&["sec/s1", "create"]);
        cluster.nodes[0].om(&["sec/s1", "add", "--key", "pw", "--value", "hidden"]);
        // Its answer may be lost.
        _ = cluster.nodes[0].om(&["cluster", "rotate", "secret"]);
        cluster.nodes[0].wait_end();
        cluster.nodes[0].set_env("OSVC_TEST_CRASH", None);
        cluster.nodes[0].start();
        cluster.wait_beating();
        for node in &cluster.nodes {
            wait_for(&format!("{point}: it is over"), || secret(node) == (2, "none".into()));
        }
        let decoded = cluster.nodes[0].om_ok(&["sec/s1", "decode", "--key", "pw"]);
        assert_eq!(decoded, "hidden", "{point}");
    }
}

#[test]
fn stored_secrets_go_with_the_envelope_and_back() {
    let cluster = Cluster::start(2);
    let n1 = &cluster.nodes[0];
    for path in ["sec/s1", "usr/u1"] {
        n1.om_ok(&[path, "create"]);
        n1.om_ok(&[path, "add", "--key", "pw", "--value", "hidden"]);
    }
    let files = ["etc/sec/s1.conf", "etc/usr/u1.conf"];
    let all_are = |form: &str| files.iter().all(|file| n1.read(file).contains(form));
    assert!(all_are("pw = sealed:"));
    for (envelope, form) in [("any", "pw = crypt:"), ("sealed", "pw = sealed:")] {
        n1.om_ok(&["cluster", "set", "--kw", &format!("cluster.envelope={envelope}")]);
        wait_for(&format!("values for {envelope}"), || all_are(form));
        for path in ["sec/s1", "usr/u1"] {
            assert_eq!(n1.om_ok(&[path, "decode", "--key", "pw"]), "hidden");
        }
    }
}

#[test]
fn with_a_dialect_that_knows_no_generations_a_rotation_is_refused_with_the_procedure() {
    let conf =
        ClusterConf { cluster: "profile = fast\nenvelope = any".into(), ..ClusterConf::default() };
    let cluster = Cluster::start_with(2, &conf);
    let refused = cluster.nodes[0].om(&["cluster", "rotate", "secret"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for told in ["deployed agents", "sealed", "stop the daemon on every node"] {
        assert!(refused.err.contains(told), "{refused:?}");
    }
}

#[test]
fn the_secret_before_is_nowhere_in_the_memory_of_a_daemon_once_a_rotation_is_over() {
    if !is_root() {
        println!("skipped: the memory of a daemon is read by root only");
        return;
    }
    let cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    let old = n1.secret().to_owned();
    for node in [n1, n2] {
        // It is there while it is in force, so it would be found; and all that is done with it leaves nothing behind.
        assert!(node.in_memory(old.as_bytes()) > 0);
        for command in [&["cluster", "print", "config"][..], &["cluster", "validate", "config"]] {
            _ = node.om(command);
        }
    }
    let text = n1.read("etc/cluster.conf");
    n1.write("etc/cluster.conf", &text.replace("name = demo", "name = other"));
    wait_for("a wrong edit is told", || alerts(n1).contains("om daemon leave"));
    n1.write("etc/cluster.conf", &text);
    wait_for("it is mended", || !alerts(n1).contains("om daemon leave"));
    n1.om_ok(&["cluster", "set", "--kw", "cluster.vip=10.0.0.1/24@lo"]);
    n2.om_ok(&["cluster", "rotate", "secret", "--wait", "--time", "1m"]);
    for node in [n1, n2] {
        wait_for("the rotation is over", || secret(node) == (2, "none".into()));
        let now = keyword(node, "secret").expect("a secret");
        assert!(node.in_memory(now.as_bytes()) > 0);
        // Whoever works with what was read before ends, and lets it go: a connection that nobody uses, within a minute.
        wait_within(Duration::from_secs(120), "the old secret is gone", || {
            _ = node.status();
            (node.in_memory(old.as_bytes()) == 0).then_some(())
        });
    }
}
