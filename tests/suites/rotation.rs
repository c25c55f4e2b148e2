//! Promise: the secret of a cluster is changed on all its nodes together, and no edit takes one of them out of it.

use harness::{Cluster, Node, wait_for};

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
