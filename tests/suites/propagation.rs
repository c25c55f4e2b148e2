//! Promise: a configuration written on one node reaches the others, byte for byte and with its time.

use std::os::unix::fs::MetadataExt as _;

use harness::{Cluster, ClusterConf, Node, wait_for, wait_until};
use serde_json::{Value, json};

/// Modification time as nodes publish it.
fn modified(node: &Node, file: &str) -> Option<f64> {
    let metadata = std::fs::metadata(node.path(file)).ok()?;
    Some(metadata.mtime() as f64 + metadata.mtime_nsec() as f64 / 1e9)
}

fn read(node: &Node, file: &str) -> Option<String> {
    std::fs::read_to_string(node.path(file)).ok()
}

/// Waits until a node has a file as another one has it.
fn wait_same(what: &str, from: &Node, to: &Node, file: &str) {
    wait_for(what, || {
        read(to, file) == read(from, file) && modified(to, file) == modified(from, file)
    });
}

fn service(nodes: &str) -> String {
    format!("# kept as it is\n[DEFAULT]\nid = 1\nnodes = {nodes}\n\n\n[env]\nround=0\n")
}

#[test]
fn an_edit_on_any_node_reaches_those_it_is_for_and_nobody_else() {
    let cluster = Cluster::start(3);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    n1.write("etc/web.conf", &service("n1 n2"));
    wait_same("n2 has the new service", n1, n2, "etc/web.conf");
    assert_eq!(read(n2, "etc/web.conf"), Some(service("n1 n2")));
    assert!(!n2.path("var/svc/web/frozen").exists(), "it is as free as on n1");
    // Or n2's edit would look like one that was made without knowing n1's: n1 would keep its own beside.
    wait_for("n1 sees that n2 has what it has", || {
        let nodes = n1.status()["monitor"]["nodes"].clone();
        let csum = |node: &str| nodes[node]["services"]["config"]["web"]["csum"].clone();
        csum("n1").is_string() && csum("n1") == csum("n2")
    });
    n2.om_ok(&["web", "set", "--kw", "env.round=1"]);
    wait_same("n1 has the edit of n2", n2, n1, "etc/web.conf");
    assert!(read(n1, "etc/web.conf").expect("a file").contains("round = 1"));
    assert_eq!(read(n1, "etc/web.conf.rej"), None);
    // Keys of all nodes, in a namespace.
    n3.om_ok(&["test/cfg/c1", "create"]);
    n3.om_ok(&["test/cfg/c1", "add", "--key", "k", "--value", "v"]);
    for node in [n1, n2] {
        wait_same("the keys are everywhere", n3, node, "etc/namespaces/test/cfg/c1.conf");
    }
    assert_eq!(read(n3, "etc/web.conf"), None, "not for n3");
    // It moves: from n2 to n3.
    n1.om_ok(&["web", "set", "--kw", "nodes=n1 n3"]);
    wait_same("n3 has it", n1, n3, "etc/web.conf");
    wait_for("n2 has it no more", || read(n2, "etc/web.conf").is_none());
    wait_for("nor an instance", || {
        n1.status()["monitor"]["nodes"]["n2"]["services"]["status"]["web"].is_null()
    });
    // It is deleted, and does not come back from anywhere.
    n1.om_ok(&["web", "delete", "--wait", "--time", "20s"]);
    for node in [n1, n3] {
        wait_for("it is gone", || read(node, "etc/web.conf").is_none());
    }
    n2.write("etc/marker.conf", &service("n1 n2 n3"));
    for node in [n1, n3] {
        wait_same("what comes later came through", n2, node, "etc/marker.conf");
    }
    assert!(cluster.nodes.iter().all(|node| read(node, "etc/web.conf").is_none()));
}

/// An application that is up on a node while `up.NODE` is there, and waits at its start while `hold` is.
const APP: &str = r#"cd "${0%/*}" || exit 9
case $1 in
start)
    while test -e hold; do sleep 0.02; done
    touch "up.$2" ;;
stop) rm -f "up.$2" ;;
check) test -e "up.$2" ;;
esac"#;

#[test]
fn a_service_dropped_in_is_free_on_all_nodes_and_goes_on_where_its_node_dies() {
    let mut cluster = Cluster::start(2);
    let [n1, n2] = &mut cluster.nodes[..] else { panic!("two nodes") };
    n1.script("tmp/app", APP);
    n1.write("tmp/hold", "");
    let app = n1.path("tmp/app").display().to_string();
    let run = |action: &str| format!("{action} = {app} {action} {{nodename}}\n");
    n1.write(
        "etc/web.conf",
        &format!(
            "[DEFAULT]\nnodes = n1 n2\norchestrate = ha\n[sync#i0]\ndisable = true\n[app#1]\ntype = forking\n{}{}{}",
            run("start"),
            run("stop"),
            run("check")
        ),
    );
    n1.wait_instance("web", "starting", |web| web["monitor"]["status"] == "starting");
    wait_for("n1 sees it free on n2", || {
        let status = n1.status();
        status["monitor"]["nodes"]["n2"]["services"]["status"]["web"]["frozen"] == 0.0
    });
    assert!(!n2.path("var/svc/web/frozen").exists());
    // Not refused while it starts, and no order of somebody else: the start goes on.
    n1.om_ok(&["web", "thaw"]);
    assert!(!n1.path("tmp/up.n1").exists(), "it is still starting");
    std::fs::remove_file(n1.path("tmp/hold")).expect("a file");
    n1.wait_avail("web", "up");
    assert!(!n1.path("tmp/up.n2").exists(), "on one node only");
    // What is made to be looked at first waits everywhere.
    n1.om_ok(&["other", "create", "--kw", "nodes=n1 n2", "--kw", "orchestrate=ha"]);
    wait_same("n2 has it", n1, n2, "etc/other.conf");
    assert!(n2.path("var/svc/other/frozen").exists(), "it waits for somebody to thaw it");
    n1.kill();
    std::fs::remove_file(n1.path("tmp/up.n1")).expect("a file");
    n2.wait_avail("web", "up");
    assert!(n1.path("tmp/up.n2").exists());
}

#[test]
fn the_configuration_of_the_cluster_is_the_same_everywhere() {
    let cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n2.om_ok(&["cluster", "set", "--kw", "cluster.quorum=true"]);
    wait_same("n1 has it", n2, n1, "etc/cluster.conf");
    assert!(read(n1, "etc/cluster.conf").expect("a file").contains("quorum = true"));
    cluster.wait_beating();
}

#[test]
fn a_file_with_a_mistake_travels_nowhere_and_a_newer_one_mends_it() {
    let cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n1.write("etc/web.conf", &service("n1 n2"));
    wait_same("n2 has it", n1, n2, "etc/web.conf");
    let told = |node: &Node| node.status()["config"]["alerts"].to_string();
    wait_for("n2 knows it", || !n2.instance("web").is_null());
    let broken = service("n1 n2") + "[app#1]\ntype = smple\n";
    n2.write("etc/web.conf", &broken);
    wait_for("it is told", || told(n2).contains("web.conf line 10: app#1.type"));
    let conf = read(n1, "etc/cluster.conf").expect("a file");
    n1.write("etc/cluster.conf", &format!("{conf}\n[hb#9]\ntype = bogus\n"));
    wait_for("it is told", || told(n1).contains("hb#9.type"));
    cluster.wait_beating();
    // What comes later comes through, and what is wrong does not.
    n1.om_ok(&["web", "set", "--kw", "env.round=1"]);
    wait_same("n2 has the newer one", n1, n2, "etc/web.conf");
    assert_eq!(read(n2, "etc/web.conf.rej"), Some(broken));
    wait_for("nothing is wrong with it", || !told(n2).contains("web.conf line"));
    assert_eq!(read(n2, "etc/cluster.conf"), Some(conf.clone()));
    // One node alone mends its own.
    n1.om_ok(&["cluster", "delete", "--rid", "hb#9"]);
    wait_for("nothing is wrong with it", || !told(n1).contains("cluster.conf"));
    wait_same("n2 has that", n1, n2, "etc/cluster.conf");
}

#[test]
fn of_two_edits_made_apart_the_newer_one_counts_and_the_older_is_kept_beside() {
    let mut cluster = Cluster::start(2);
    cluster.nodes[0].write("etc/web.conf", &service("n1 n2"));
    wait_same("n2 has it", &cluster.nodes[0], &cluster.nodes[1], "etc/web.conf");
    cluster.nodes[1].kill();
    let older = service("n1 n2") + "by = n2\n";
    cluster.nodes[1].write("etc/web.conf", &older);
    let newer = service("n1 n2") + "by = n1\n";
    // The time of a file moves in steps of milliseconds.
    wait_for("a later time", || {
        cluster.nodes[0].write("etc/web.conf", &newer);
        modified(&cluster.nodes[0], "etc/web.conf") > modified(&cluster.nodes[1], "etc/web.conf")
    });
    cluster.nodes[1].start();
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    wait_same("n2 follows", n1, n2, "etc/web.conf");
    assert_eq!(read(n1, "etc/web.conf"), Some(newer));
    assert_eq!(read(n2, "etc/web.conf.rej"), Some(older));
    wait_for("it is logged", || {
        read(n2, "log/web.log").is_some_and(|log| log.contains("web.conf.rej"))
    });
    let told = || n2.om(&["mon"]).out;
    wait_for("it is told, with who won", || {
        let told = told();
        told.contains("web.conf.rej") && told.contains("the version of n1")
    });
    std::fs::remove_file(n2.path("etc/web.conf.rej")).expect("a file");
    wait_for("no longer", || !told().contains("web.conf.rej"));
}

#[test]
fn a_third_node_joins_two_and_leaves_them() {
    let mut cluster = Cluster::configured(3, &ClusterConf::default());
    let text = cluster.conf(&ClusterConf::default());
    let pair = text.replace("nodes = n1 n2 n3", "nodes = n1 n2");
    assert_ne!(pair, text);
    for node in &cluster.nodes[..2] {
        node.write("etc/cluster.conf", &pair);
    }
    // Where it listens is also its own business until it is a member.
    cluster.nodes[2].write("etc/cluster.conf", "");
    let (address, port) = (cluster.address(2), cluster.port(2));
    cluster.nodes[2]
        .write("etc/node.conf", &format!("[listener]\naddr = {address}\nport = {port}\n"));
    for node in &mut cluster.nodes {
        node.start();
    }
    for (at, peer) in [(0, 1), (1, 0)] {
        cluster.wait_flag(at, "hb#1.rx", peer, true);
    }
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    n1.write("etc/web.conf", &service("n1 n3"));
    let j = format!("{}:{}", cluster.address(0), cluster.port(0));
    let joined = n3.om_stdin(&["daemon", "join", "--node", &j, "--secret", "-"], n1.secret());
    assert_eq!(joined.code, Some(0), "{joined:?}\n{}", n1.node_log());
    cluster.wait_beating();
    for node in [n2, n3] {
        wait_same("all have one cluster.conf", n1, node, "etc/cluster.conf");
        wait_for("all know all", || node.status()["cluster"]["nodes"] == json!(["n1", "n2", "n3"]));
    }
    wait_same("the joiner gets what is for it", n1, n3, "etc/web.conf");
    assert!(!n3.path("var/node/frozen").exists());

    n3.om_ok(&["daemon", "leave"]);
    for node in [n1, n2] {
        wait_for("the others are two", || node.status()["cluster"]["nodes"] == json!(["n1", "n2"]));
        wait_for("and forget it", || node.status()["monitor"]["nodes"]["n3"].is_null());
    }
    // Each edited its own.
    assert_eq!(read(n1, "etc/cluster.conf"), read(n2, "etc/cluster.conf"));
    wait_for("it is alone", || n3.status()["cluster"]["nodes"] == json!(["n3"]));
    assert!(!read(n3, "etc/cluster.conf").expect("a file").contains(n1.secret()));
    assert!(n3.path("var/node/frozen").exists());
}

#[test]
fn a_lock_is_one_for_all_nodes() {
    let mut cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    let lock =
        |timeout: &str| json!({"action": "lock", "options": {"name": "a", "timeout": timeout}});
    let locks = |node: &Node| {
        node.request(&json!({"action": "cluster/locks", "method": "GET"}))["data"].clone()
    };
    // Heartbeats may go round before anybody knows anybody.
    for node in [n1, n2] {
        wait_for("all are heard", || {
            let nodes = node.status()["monitor"]["nodes"].clone();
            ["n1", "n2"].iter().all(|name| nodes[name]["locks"].is_object())
        });
    }
    let taken = n1.request(&lock("10s"));
    let id = taken["data"]["id"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned();
    assert_eq!(locks(n2)["a"]["id"], id.as_str());
    assert_eq!(n2.request(&lock("300ms")), json!({"status": 1}), "n1 has it");
    let released = json!({"action": "unlock", "options": {"name": "a", "lock_id": id}});
    assert_eq!(n1.request(&released), json!({"status": 0}));
    assert_eq!(locks(n2), json!({}), "released everywhere when it is answered");
    assert_eq!(n2.request(&lock("10s"))["status"], 0);
    // Whoever holds it goes away: the lock does once it is forgotten.
    cluster.nodes[1].kill();
    let n1 = &cluster.nodes[0];
    wait_until("n1 gets it", || {
        let taken: Value = n1.request(&lock("2s"));
        (taken["status"] == 0).then_some(())
    });
}

#[test]
fn requests_are_for_nodes_by_name_by_pattern_by_label_and_for_any() {
    let cluster = Cluster::configured(3, &ClusterConf::default());
    let mut cluster = cluster;
    for (node, dc) in cluster.nodes.iter().zip(["a", "b", "a"]) {
        let text = node.read("etc/node.conf") + &format!("\n[labels]\ndc = {dc}\n");
        node.write("etc/node.conf", &text);
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.wait_beating();
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    wait_for("labels of all nodes are known", || {
        n2.om(&["node", "ls", "--node", "dc=a"]).out == "n1\nn3\n"
    });
    assert_eq!(n1.om_ok(&["node", "ls", "--node", "n[23]"]), "n2\nn3\n");
    assert_eq!(
        n1.om_ok(&["node", "ping", "--node", "*"]),
        "n1 is alive\nn2 is alive\nn3 is alive\n"
    );
    // Labels select the nodes of a service, too, also for commands of their own process.
    n1.write("etc/labeled.conf", "[DEFAULT]\nid = 2\nnodes = dc=a\n");
    wait_same("nodes of dc a have it", n1, n3, "etc/labeled.conf");
    assert_eq!(n1.om_ok(&["labeled", "get", "--eval", "--kw", "nodes"]), "n1 n3\n");
    let any = json!({"action": "object_config", "node": "ANY", "options": {"path": "labeled"}});
    let reply = n2.request(&any);
    assert_eq!(reply["nodes"]["n1"]["status"], 0, "{reply}");
    assert_eq!(reply["nodes"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(read(n2, "etc/labeled.conf"), None);
}

#[test]
fn a_label_that_takes_a_node_out_of_a_service_takes_its_file_and_a_purge_ends() {
    let mut cluster = Cluster::configured(3, &ClusterConf::default());
    for node in &mut cluster.nodes {
        node.write("etc/node.conf", "[labels]\nsite = a\n");
        node.start();
    }
    cluster.wait_beating();
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    let labelled = |at: &Node| {
        let nodes = at.status()["monitor"]["nodes"].clone();
        ["n1", "n2", "n3"].iter().all(|name| nodes[name]["labels"]["site"] == "a")
    };
    for node in [n1, n2, n3] {
        wait_for("the labels are known", || labelled(node));
    }
    n1.write("etc/web.conf", "[DEFAULT]\nid = 1\nnodes = site=a\n[fs#1]\ntype = flag\n");
    n1.write("etc/db.conf", "[DEFAULT]\nid = 2\nnodes = site=a\n[fs#1]\ntype = flag\n");
    for node in [n2, n3] {
        for file in ["etc/web.conf", "etc/db.conf"] {
            wait_same("it is everywhere", n1, node, file);
        }
    }
    let instances = |name: &str| {
        let nodes = n1.status()["monitor"]["nodes"].clone();
        ["n1", "n2", "n3"]
            .iter()
            .filter(|node| nodes[node]["services"]["status"][name]["avail"].is_string())
            .count()
    };
    wait_for("all have instances", || instances("web") == 3 && instances("db") == 3);
    n3.om_ok(&["node", "set", "--kw", "labels.site=b"]);
    // At once, and when the label is settled.
    n1.om_ok(&["db", "purge", "--wait", "--time", "20s"]);
    wait_for("n3 has it no more", || read(n3, "etc/web.conf").is_none());
    wait_for("two are left", || instances("web") == 2);
    assert_eq!(read(n2, "etc/web.conf"), read(n1, "etc/web.conf"));
    assert!(read(n1, "etc/web.conf").is_some());
    n1.om_ok(&["web", "purge", "--wait", "--time", "20s"]);
    n2.write("etc/marker.conf", &service("n1 n2 n3"));
    for node in [n1, n3] {
        wait_same("what comes later came through", n2, node, "etc/marker.conf");
    }
    for (node, file) in
        [n1, n2, n3].into_iter().flat_map(|node| [(node, "etc/web.conf"), (node, "etc/db.conf")])
    {
        assert_eq!(read(node, file), None, "{}", node.name());
    }
}

#[test]
fn a_node_that_deletes_its_copy_leaves_the_others_theirs() {
    let cluster = Cluster::start(3);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    n1.write("etc/web.conf", &service("n1 n2 n3"));
    wait_same("n2 has the new service", n1, n2, "etc/web.conf");
    wait_same("n3 has the new service", n1, n3, "etc/web.conf");
    n2.om_ok(&["web", "delete", "--local"]);
    assert_eq!(read(n2, "etc/web.conf"), None);
    wait_for("n2 is none of its nodes any more", || {
        let has_left =
            |node| read(node, "etc/web.conf").is_some_and(|it| it.contains("nodes = n1 n3\n"));
        has_left(n1) && has_left(n3)
    });
    // What is newer than that reaches n2, and brings nothing back.
    n1.write("etc/marker.conf", &service("n1 n2 n3"));
    wait_same("n2 follows", n1, n2, "etc/marker.conf");
    assert_eq!(read(n2, "etc/web.conf"), None);
    wait_for("nothing is left of it", || !n2.path("var/svc/web").exists());
    assert!(!n2.path("log/web.log").exists());
}

#[test]
fn an_action_on_another_node_acts_on_what_was_configured_here_a_moment_before() {
    let cluster = Cluster::start(2);
    let [n1, n2] = &cluster.nodes[..] else { panic!("two nodes") };
    n1.write("etc/web.conf", &service("n1 n2"));
    wait_same("n2 has it", n1, n2, "etc/web.conf");
    for round in 1..=5 {
        let rid = format!("fs#{round}");
        let kw = format!("{rid}.type=flag");
        n1.om_ok(&["web", "set", "--kw", &kw]);
        n1.om_ok(&["web", "start", "--node", "n2", "--rid", &rid]);
        n2.wait_instance("web", "known", |it| it["resources"][&rid]["status"] == "up");
        n1.om_ok(&["web", "stop", "--node", "n2", "--rid", &rid]);
    }
}
