//! Promise: `om top` shows the cluster on a full screen as it changes, and does nothing that was not foretold and confirmed.

use harness::{Node, Terminal, wait_for};

const SERVICE: &str = "[DEFAULT]\nid = 1\n[app#1]\ntype = simple\nstart = /usr/bin/sleep 1000\n";

#[test]
fn a_service_is_looked_at_and_started_by_keys() {
    let node = Node::started("n1");
    node.write("etc/web.conf", SERVICE);
    node.wait_avail("web", "down");
    let mut top = Terminal::run(&node, &["top"]);
    top.wait("down");
    top.type_keys("?");
    top.wait("what would happen is shown");
    top.type_keys("?as");
    top.wait("y, or any other key");
    assert_eq!(node.instance("web")["avail"], "down", "nothing is done before it is confirmed");
    // What stays on the screen is not drawn again: only what changes can be waited for, each change by itself.
    top.type_keys("na");
    top.wait("giveback");
    top.type_keys("s");
    top.wait("y, or any other key");
    top.type_keys("y");
    wait_for("it is started", || node.instance("web")["avail"] == "up");
    // By events, without a key.
    top.wait("up");
    top.type_keys("h");
    top.wait("asked");
    top.type_keys("l");
    top.wait("exec");
    top.type_keys("qq");
    let (code, rest) = top.wait_end();
    assert_eq!(code, Some(0));
    assert!(rest.contains("\u{1b}[?1049l"), "the terminal is given back: {rest:?}");
    let history = node.om_ok(&["web", "history"]);
    assert_eq!(history.matches("asked").count(), 1, "the one that was confirmed: {history}");
}

#[test]
fn who_has_no_terminal_or_no_daemon_is_told() {
    let node = Node::new("n1");
    let piped = node.om(&["top"]);
    assert!(piped.code == Some(2) && piped.err.contains("om mon"), "{piped:?}");
    let (code, said) = Terminal::run(&node, &["top"]).wait_end();
    assert!(
        code == Some(1) && said.contains("error: ") && !said.contains("\u{1b}[?1049h"),
        "{said:?}"
    );
}
