//! Promise: the last versions of a configuration are kept on each node that edits or receives it, tell who changed what, show no
//! secret, and can be taken back as a new edit.

use harness::{Cluster, Node, Terminal, wait_for, wait_until};
use serde_json::Value;

const SERVICE: &str = "[DEFAULT]\nid = 7\n[env]\nround = 0\npassword = first-word\n";

fn history(node: &Node, words: &[&str]) -> Vec<Value> {
    let out = node.om_ok(&[words, &["config", "history", "--format", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[test]
fn edits_are_told_shown_and_taken_back() {
    let node = Node::new("n1");
    node.write("etc/web.conf", SERVICE);
    node.om_ok(&["web", "set", "--kw", "env.round=1"]);
    node.om_ok(&["web", "set", "--kw", "env.password=second-word"]);
    let told = history(&node, &["web"]);
    let whats: Vec<&str> = told.iter().filter_map(|it| it["what"].as_str()).collect();
    assert_eq!(whats, ["first known", "env.round = 1", "env.password = xxxx"]);
    assert_eq!((&told[0]["by"], told[1]["by"].as_str()), (&"file".into(), told[2]["by"].as_str()));
    let shown = node.om_ok(&["web", "config", "show", "3", "--diff"]);
    assert!(shown.contains("-password = xxxx\n+password = xxxx"), "{shown}");
    let first = node.om_ok(&["web", "config", "show", "1"]);
    assert!(first.contains("round = 0") && !first.contains("first-word"), "{first}");
    let back = node.om(&["web", "config", "revert", "1"]);
    assert!(back.code == Some(0) && back.err.contains("+round = 0"), "{back:?}");
    assert!(!back.err.contains("-word"), "no secret: {back:?}");
    assert_eq!(node.read("etc/web.conf"), SERVICE);
    // The last one before what is there now.
    node.om_ok(&["web", "config", "revert"]);
    assert!(node.read("etc/web.conf").contains("second-word"));
    assert_eq!(history(&node, &["web"]).len(), 5);
    for (words, said) in [
        (&["web", "config", "revert", "9"][..], "has no version 9: 1 to 5 are kept"),
        (&["web", "config", "show", "x"], "expected one number"),
        (&["gone", "config", "history"], "gone"),
    ] {
        let refused = node.om(words);
        assert!(refused.code != Some(0) && refused.err.contains(said), "{refused:?}");
    }
    // A version with a mistake is refused as any edit.
    let bad = SERVICE.replace("[env]", "[app#1]\ntype = simple\nrestart = often\n[env]");
    node.write("etc/web.conf", &bad);
    node.om_ok(&["web", "set", "--force", "--kw", "app#1.restart=2"]);
    let number = history(&node, &["web"]).len() - 1;
    let refused = node.om(&["web", "config", "revert", &number.to_string()]);
    assert!(refused.code == Some(1) && refused.err.contains("often"), "{refused:?}");
}

#[test]
fn a_cluster_that_is_taken_back_keeps_its_id_and_secret() {
    let node = Node::new("n1");
    node.write_cluster("");
    let secret = node.secret().to_owned();
    let text = node.read("etc/cluster.conf");
    node.write("etc/cluster.conf", &text.replace(&secret, "an-older-secret-of-this-cluster"));
    node.om_ok(&["cluster", "set", "--kw", "cluster.quorum=false"]);
    let with_secret =
        node.read("etc/cluster.conf").replace("an-older-secret-of-this-cluster", &secret);
    node.write("etc/cluster.conf", &with_secret);
    node.om_ok(&["cluster", "set", "--kw", "DEFAULT.comment=x"]);
    let back = node.om(&["cluster", "config", "revert", "1"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    let now = node.read("etc/cluster.conf");
    assert!(now.contains(&secret) && !now.contains("quorum") && !now.contains("older"), "{now}");
    let all = format!("{}{}", back.err, node.om_ok(&["cluster", "config", "show", "2", "--diff"]));
    assert!(!all.contains(&secret) && !all.contains("older"), "{all}");
    node.om_ok(&["node", "set", "--kw", "node.env=PRD"]);
    node.om_ok(&["node", "set", "--kw", "node.env=DEV"]);
    assert!(node.om_ok(&["node", "config", "history"]).contains("node.env = DEV"));
    let mode =
        std::fs::metadata(node.path("var/ccfg/cluster/config/1")).expect("kept").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let sec = node.om(&["test/sec/s1", "create"]);
    assert_eq!(sec.code, Some(0), "{sec:?}");
    let refused = node.om(&["test/sec/s1", "config", "history"]);
    assert!(refused.code == Some(1) && refused.err.contains("holds secrets"), "{refused:?}");
}

#[test]
fn what_is_received_or_written_by_hand_is_kept_as_well() {
    let cluster = Cluster::start(2);
    let service = "[DEFAULT]\nid = 7\nnodes = n1 n2\n[env]\nround = 0\n";
    cluster.nodes[0].write("etc/web.conf", service);
    let follows = |at: usize, text: &str| {
        wait_for(text, || {
            cluster.nodes[at].om(&["web", "get", "--kw", "env.round"]).out.trim() == text
        });
    };
    follows(1, "0");
    // As an editor does it, not a command.
    cluster.nodes[0].write("etc/web.conf", &service.replace("round = 0", "round = 1"));
    follows(1, "1");
    let by = |at: usize| {
        let told = history(&cluster.nodes[at], &["web"]);
        told.last().and_then(|it| it["by"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    wait_for("each node knows how it came", || {
        (by(0).as_str(), by(1).as_str()) == ("file", "peer")
    });
    cluster.nodes[1].om_ok(&["web", "config", "revert"]);
    follows(0, "0");
    let id = wait_until("the id is kept", || {
        Some(cluster.nodes[0].om_ok(&["web", "get", "--kw", "id"])).filter(|id| id == "7\n")
    });
    assert_eq!(id, "7\n");
}

#[test]
fn an_edit_shows_what_changes_and_asks_on_a_terminal() {
    let mut node = Node::new("n1");
    node.write(
        "etc/web.conf",
        "[DEFAULT]\nid = 7\n[app#1]\ntype = simple\nstart = /bin/sleep 9\nrestart = 1\n",
    );
    std::fs::create_dir_all(node.path("bin")).expect("a folder");
    node.script("bin/edit", "sed -i s/restart.*/retsart=2/ \"$1\"");
    let editor = node.path("bin/edit").display().to_string();
    node.set_env("EDITOR", Some(&editor));
    let refused = node.om(&["web", "config", "edit"]);
    assert!(refused.err.contains("-restart = 1\n+retsart=2\n"), "{refused:?}");
    if refused.code == Some(0) {
        return;
    }
    node.om(&["web", "config", "edit", "--discard"]);
    node.om(&["web", "config", "edit", "--discard"]);
    let mut terminal = Terminal::run(&node, &["web", "edit", "config", "--discard"]);
    terminal.wait("install it all the same");
    terminal.type_keys("y\n");
    assert_eq!(terminal.wait_end().0, Some(0));
    assert!(node.read("etc/web.conf").contains("retsart"));
}
