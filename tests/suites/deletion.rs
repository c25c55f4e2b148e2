//! Promise: what is deleted is deleted on every node that has it, those too that are away, and comes back from none.

use harness::{Cluster, Node, wait_for};

fn read(node: &Node, file: &str) -> Option<String> {
    std::fs::read_to_string(node.path(file)).ok()
}

/// Waits until all nodes have the same text in a file.
fn wait_everywhere(nodes: &[Node], file: &str) {
    wait_for(&format!("{file} is everywhere"), || {
        let first = read(&nodes[0], file);
        first.is_some() && nodes.iter().all(|node| read(node, file) == first)
    });
}

/// Waits until a file that is written later than something else has come through to all nodes.
fn settle(from: &Node, nodes: &[Node], marker: &str) {
    from.om_ok(&[&format!("test/cfg/{marker}"), "create"]);
    let file = format!("etc/namespaces/test/cfg/{marker}.conf");
    for node in nodes {
        wait_for("what comes later came through", || read(node, &file).is_some());
    }
}

#[test]
fn what_has_no_instances_is_deleted_on_all_nodes_once_the_command_ends_and_stays_so() {
    let cluster = Cluster::start(3);
    let [n1, n2, _] = &cluster.nodes[..] else { panic!("three nodes") };
    let kinds = [("cfg", "delete"), ("sec", "purge"), ("usr", "delete")];
    for (kind, action) in kinds {
        let path = format!("test/{kind}/it");
        let file = format!("etc/namespaces/test/{kind}/it.conf");
        n1.om_ok(&[&path, "create"]);
        if kind == "sec" {
            n1.om_ok(&[&path, "add", "--key", "password", "--value", "1234"]);
        }
        wait_everywhere(&cluster.nodes, &file);
        n2.om_ok(&[&path, action, "--wait", "--time", "20s"]);
        for node in &cluster.nodes {
            assert_eq!(read(node, &file), None, "{path} on {}", node.name());
        }
    }
    settle(n1, &cluster.nodes, "later");
    for (kind, _) in kinds {
        let file = format!("etc/namespaces/test/{kind}/it.conf");
        assert!(cluster.nodes.iter().all(|node| read(node, &file).is_none()), "{file} came back");
    }
    // Nobody is away: nothing is left to remember.
    for node in &cluster.nodes {
        wait_for("the record of it goes", || {
            node.status()["monitor"]["nodes"][node.name()]["deleted"].is_null()
        });
    }
}

#[test]
fn a_node_that_was_away_brings_nothing_back_and_what_is_created_anew_is_another_object() {
    let mut cluster = Cluster::start(3);
    let file = "etc/namespaces/test/sec/it.conf";
    let other = "etc/namespaces/test/cfg/other.conf";
    cluster.nodes[0].om_ok(&["test/sec/it", "create"]);
    cluster.nodes[0].om_ok(&["test/sec/it", "add", "--key", "password", "--value", "1234"]);
    cluster.nodes[0].om_ok(&["test/cfg/other", "create"]);
    wait_everywhere(&cluster.nodes, file);
    wait_everywhere(&cluster.nodes, other);
    cluster.nodes[2].kill();
    wait_for("it is lost", || {
        cluster.nodes[0].status()["monitor"]["nodes"]["n3"]["monitor"].is_null()
    });
    for path in ["test/sec/it", "test/cfg/other"] {
        let deleted = cluster.nodes[0].om(&[path, "delete", "--wait", "--time", "20s"]);
        assert_eq!(deleted.code, Some(0), "{deleted:?}");
        assert!(deleted.err.contains("n3"), "who is away is told: {deleted:?}");
    }
    for node in &cluster.nodes[..2] {
        assert_eq!((read(node, file), read(node, other)), (None, None));
    }
    // Whoever knows of it may go and come meanwhile.
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.nodes[1].om_ok(&["test/cfg/other", "create"]);
    let anew = read(&cluster.nodes[1], other);
    wait_for("n1 has the new one", || read(&cluster.nodes[0], other) == anew);
    cluster.nodes[2].start();
    wait_for("n3 deletes what it has", || read(&cluster.nodes[2], file).is_none());
    wait_for("and has the new one", || read(&cluster.nodes[2], other) == anew);
    settle(&cluster.nodes[2], &cluster.nodes, "later");
    for node in &cluster.nodes {
        assert_eq!(read(node, file), None, "{}", node.name());
        assert_eq!(read(node, other), anew, "{}", node.name());
    }
}

#[test]
fn a_service_deleted_while_a_node_was_away_is_deleted_there_when_it_is_back() {
    let mut cluster = Cluster::start(3);
    let text = "[DEFAULT]\nid = 00000000-0000-4000-8000-000000000001\nnodes = n1 n2 n3\n\n[fs#1]\ntype = flag\n";
    cluster.nodes[0].write("etc/web.conf", text);
    wait_everywhere(&cluster.nodes, "etc/web.conf");
    cluster.nodes[2].kill();
    wait_for("it is lost", || {
        cluster.nodes[0].status()["monitor"]["nodes"]["n3"]["monitor"].is_null()
    });
    let deleted = cluster.nodes[1].om(&["web", "delete", "--wait", "--time", "20s"]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(deleted.err.contains("n3"), "who is away is told: {deleted:?}");
    cluster.nodes[2].start();
    wait_for("n3 deletes what it has", || read(&cluster.nodes[2], "etc/web.conf").is_none());
    settle(&cluster.nodes[2], &cluster.nodes, "later");
    for node in &cluster.nodes {
        assert_eq!(read(node, "etc/web.conf"), None, "{}", node.name());
        assert!(!node.path("var/svc/web").exists(), "{}", node.name());
    }
}

/// A peer has it by then, and has not told so.
#[test]
fn what_is_deleted_as_soon_as_it_is_created_comes_back_from_no_node() {
    let cluster = Cluster::start(3);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    for round in 0..12 {
        let path = format!("test/cfg/quick{round}");
        let mut creation = n1.spawn(&[&path, "create"]);
        let file = format!("etc/namespaces/test/cfg/quick{round}.conf");
        while read(n2, &file).is_none() {
            std::thread::yield_now();
        }
        n2.signal(rustix::process::Signal::STOP);
        assert!(creation.wait().expect("a child of ours").success());
        let mut deletion = n1.spawn(&[&path, "delete", "--wait", "--time", "20s"]);
        wait_for("n1 has deleted it", || read(n1, &file).is_none());
        n2.signal(rustix::process::Signal::CONT);
        assert!(deletion.wait().expect("a child of ours").success());
        assert_eq!(read(n2, &file), None, "it ends once n2 has followed");
    }
    settle(n1, &cluster.nodes, "later");
    for node in [n2, n3, n1] {
        settle(node, &cluster.nodes, node.name());
    }
    for node in &cluster.nodes {
        for round in 0..12 {
            let file = format!("etc/namespaces/test/cfg/quick{round}.conf");
            wait_for(&format!("{file} is nowhere"), || read(node, &file).is_none());
        }
    }
    let back: Vec<String> = cluster.nodes[0].status()["monitor"]["services"]
        .as_object()
        .map(|all| all.keys().filter(|path| path.contains("quick")).cloned().collect())
        .unwrap_or_default();
    assert_eq!(back, [""; 0]);
}

#[test]
fn a_deletion_is_reached_when_a_node_that_stood_still_has_followed_it() {
    let cluster = Cluster::start(3);
    let [n1, n2, n3] = &cluster.nodes[..] else { panic!("three nodes") };
    for action in ["delete", "purge"] {
        n1.om_ok(&["web", "create", "--kw", "nodes=n1 n2 n3", "--kw", "fs#1.type=flag"]);
        wait_for("all have an instance", || {
            let nodes = n1.status()["monitor"]["nodes"].clone();
            ["n1", "n2", "n3"]
                .iter()
                .all(|name| nodes[name]["services"]["status"]["web"]["avail"] == "down")
        });
        n2.signal(rustix::process::Signal::STOP);
        let mut deletion = n1.spawn(&["web", action, "--wait", "--time", "20s"]);
        wait_for("n3 has followed", || read(n3, "etc/web.conf").is_none());
        assert!(deletion.try_wait().expect("a child of ours").is_none(), "n2 has it: {action}");
        assert!(read(n2, "etc/web.conf").is_some());
        n2.signal(rustix::process::Signal::CONT);
        assert!(deletion.wait().expect("a child of ours").success(), "{action}");
        for node in &cluster.nodes {
            assert_eq!(read(node, "etc/web.conf"), None, "{action} on {}", node.name());
        }
    }
}
