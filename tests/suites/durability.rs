//! Promise: a kill at any moment and a full disk leave every file whole, old or new.

use std::process::Command;
use std::time::Duration;

use harness::{Node, is_root, skip, wait_for};

#[test]
fn a_kill_at_any_moment_leaves_the_configuration_old_or_new() {
    let node = Node::new("n1");
    node.write("etc/svc1.conf", "# kept\n[DEFAULT]\nnodes = n1\n\n[env]\nround = 0\n");
    for round in 1..=40_u64 {
        let mut child = node.spawn(&[
            "svc1",
            "set",
            "--kw",
            &format!("env.round={round}"),
            "--kw",
            &format!("env.same={round}"),
        ]);
        // Later and later: from before it starts to after it is done.
        std::thread::sleep(Duration::from_micros(400 * round));
        _ = child.kill();
        _ = child.wait();
        let text = node.read("etc/svc1.conf");
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.and_then(|value| value.parse::<u64>().ok())
        };
        assert!(text.starts_with("# kept\n[DEFAULT]\nnodes = n1\n"), "round {round}: {text:?}");
        let done = value("round").expect("whole");
        assert!(
            done == 0 || value("same") == Some(done),
            "round {round}: half of an edit: {text:?}"
        );
    }
    node.om_ok(&["svc1", "set", "--kw", "env.round=last"]);
    let leftovers: Vec<_> =
        std::fs::read_dir(node.path("etc")).expect("the folder").flatten().collect();
    let conf = leftovers
        .iter()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".conf"))
        .count();
    assert_eq!(conf, 3, "a file that was not finished is not an object: {leftovers:?}");
}

#[test]
fn a_daemon_killed_again_and_again_keeps_its_files_and_its_service() {
    let mut node = Node::new("n1");
    node.write(
        "etc/web.conf",
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /bin/sleep 81001\n",
    );
    for _ in 0..5 {
        node.start();
        node.wait_avail("web", "up");
        node.kill();
        let running = node.processes(|line| line == "/bin/sleep 81001");
        assert_eq!(running.len(), 1, "the service goes on, once");
        let status = node.read("var/svc/web/status.json");
        let status: serde_json::Value = serde_json::from_str(&status).expect("a whole file");
        assert_eq!(status["avail"], "up");
    }
}

#[test]
fn a_full_disk_keeps_what_was_there() {
    if !is_root() {
        skip("mounting a small disk needs root");
        return;
    }
    let node = Node::new("n1");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(node.path("etc"))
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip("this machine does not let us mount a small disk");
        return;
    }
    let before = "[DEFAULT]\nnodes = n1\n\n[env]\nround = 0\n";
    node.write("etc/svc1.conf", before);
    _ = std::fs::write(node.path("etc/filler"), vec![b'x'; 1 << 20]);
    let value = "x".repeat(64 << 10);
    let set = node.om(&["svc1", "set", "--kw", &format!("env.round={value}")]);
    let after = node.read("etc/svc1.conf");
    let unmounted = Command::new("umount").arg("-l").arg(node.path("etc")).status();
    assert_eq!(set.code, Some(1), "{set:?}");
    assert!(set.err.contains("svc1.conf"), "the error names the file: {set:?}");
    assert_eq!(after, before);
    assert!(unmounted.is_ok_and(|status| status.success()));
}

#[test]
fn a_log_goes_on_after_its_file_was_taken_away_or_could_not_be_written_and_tells_what_was_lost() {
    let mut node = Node::new("n1");
    node.start();
    let log = node.path("log/node.log");
    let has = |text: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(text);
    std::fs::remove_file(&log).expect("the log");
    node.om_ok(&["node", "freeze"]);
    wait_for("a new file", || has("node_freeze"));
    std::fs::rename(&log, node.path("log/moved")).expect("renamed");
    node.om_ok(&["node", "thaw"]);
    wait_for("a new file again", || has("node_thaw"));
    std::fs::remove_file(&log).expect("the log");
    std::os::unix::fs::symlink("/dev/full", &log).expect("a full disk");
    node.om_ok(&["node", "freeze"]);
    // Written in order: whoever is refused on the control socket is told after the freeze.
    node.om_ok(&["daemon", "blacklist", "clear"]);
    std::fs::remove_file(&log).expect("the link");
    node.om_ok(&["daemon", "blacklist", "clear"]);
    wait_for("what was lost", || has("log entries were lost: they could not be written"));
    assert!(has("blacklist cleared") && !has("node_freeze"));
}
