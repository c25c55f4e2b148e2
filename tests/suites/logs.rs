//! Promise: a log is searched where it is, by time, level and text, also while it is followed; a terminal shows what a reader
//! needs, and a pipe what the files have.

use harness::{Node, Terminal, wait_for};

const SERVICE: &str = "[DEFAULT]\nid = 1\n[app#1]\ntype = simple\nstart = /usr/bin/sleep 1000\n";

/// A node whose service was started.
fn scene() -> Node {
    let node = Node::started("n1");
    node.write("etc/web.conf", SERVICE);
    node.wait_avail("web", "down");
    node.om_ok(&["web", "start", "--local"]);
    node
}

#[test]
fn entries_are_chosen_by_text_level_and_time() {
    let node = scene();
    let found = node.om_ok(&["web", "logs", "--grep", "exec .*sleep"]);
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(found.contains(" INFO ") && found.contains("r:app#1"), "as in the files: {found}");
    assert_eq!(node.om_ok(&["web", "logs", "--grep", "EXEC"]), "", "capital letters are meant");
    assert_eq!(node.om_ok(&["web", "logs", "--grep", "app#1"]), found, "the resource counts");
    assert_eq!(node.om_ok(&["web", "logs", "--level", "error"]), "");
    assert_eq!(node.om_ok(&["web", "logs", "--until", "1h"]), "");
    assert!(node.om_ok(&["web", "logs", "--since", "1h"]).contains("do start"));
    // What was rotated last is a part of it.
    let log = node.path("log/web.log");
    std::fs::rename(&log, node.path("log/web.log.1")).expect("rotated");
    node.om_ok(&["web", "freeze", "--local"]);
    let both = node.om_ok(&["web", "logs", "--since", "1h"]);
    assert!(both.contains("do start") && both.contains("do freeze"), "{both}");
    for (words, code, said) in [
        (["--level", "loud"], 2, "expected debug, info"),
        (["--since", "noon"], 2, "is no time"),
        (["--grep", "("], 2, "no regular expression"),
    ] {
        let refused = node.om(&[&["web", "logs"], &words[..]].concat());
        assert!(refused.code == Some(code) && refused.err.contains(said), "{refused:?}");
    }
    let request = serde_json::json!({"action": "object_backlogs", "options": {"path": "web", "only": {"grep": "("}}});
    assert_eq!(node.request(&request)["status"], 400, "by its own check, whoever asks");
}

#[test]
fn what_is_followed_is_searched_as_well() {
    let node = scene();
    let file = std::fs::File::create(node.path("tmp/out")).expect("a file");
    let words = ["web", "logs", "--follow", "--grep", "do thaw"];
    let mut command = node.spawn_into(&words, file);
    // Until the stream is open, the past has it.
    wait_for("a thaw is told", || {
        node.om_ok(&["web", "freeze", "--local"]);
        node.om_ok(&["web", "thaw", "--local"]);
        node.read("tmp/out").matches("do thaw").count() > 1
    });
    assert!(!node.read("tmp/out").contains("do freeze"), "{}", node.read("tmp/out"));
    _ = command.kill();
    _ = command.wait();
}

#[test]
fn a_terminal_shows_time_node_resource_and_text() {
    let node = scene();
    let (code, shown) = Terminal::run(&node, &["web", "logs", "--color", "no"]).wait_end();
    assert_eq!(code, Some(0));
    let line = shown.lines().find(|line| line.contains("exec")).expect("a line");
    assert!(line.contains(" n1 app#1  exec '/usr/bin/sleep 1000'"), "{line:?}");
    assert!(!shown.contains("sid:"), "{shown}");
    let words = ["web", "logs", "--verbose", "--color", "no"];
    let (_, verbose) = Terminal::run(&node, &words).wait_end();
    assert!(verbose.contains(" sid:") && verbose.contains(" INFO "), "{verbose}");
}
