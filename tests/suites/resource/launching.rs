//! What launchers leave behind, and launchers that do not end.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::Status;
use rustix::process::{Pid, Signal, kill_process};

use crate::resource::node::{Node, wait_until};

/// A forking app that is up once `up` is there.
const FORKING: &str = "[app#1]\ntype = forking\nstart = {dir}/start.sh\nstop = {dir}/stop.sh\n\
    check = {dir}/check.sh\n";

fn forking(start: &str) -> Node {
    let node = Node::new(FORKING);
    node.script("start.sh", &format!("#!/bin/sh\ncd $(dirname $0)\n{start}\n"));
    node.script("stop.sh", "#!/bin/sh\ncd $(dirname $0)\necho stop >>calls\nrm -f up\n");
    node.script("check.sh", "#!/bin/sh\ncd $(dirname $0)\ntest -f up\n");
    node
}

/// Starts a command on the node, and does not wait for it.
fn spawn(node: &Node, words: &[&str]) -> Child {
    Command::new(&node.host.agent)
        .args(words)
        .env("OSVC_ROOT_PATH", node.folder.path())
        .env("OSVC_NODENAME", node.host.nodename.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn what_a_launcher_leaves_behind_may_go_on_writing() {
    // More than a pipe holds, on both outputs.
    let node = forking(
        "touch up; line=$(head -c 4000 /dev/zero | tr '\\0' x)\n\
         (while test -f up; do echo $line; echo $line >&2; echo x >>written; sleep 0.01; done) &",
    );
    let (code, said) = node.om(&["svc1", "start", "--local"]);
    assert_eq!(code, 0, "{said}");
    let before = node.lines("written").len();
    wait_until("it still writes", || node.lines("written").len() > before + 60);
    assert_eq!(node.om(&["svc1", "stop", "--local"]).0, 0);
}

#[test]
fn a_launcher_whose_child_floods_its_output_has_started() {
    let node = forking("touch up; (timeout 30 yes; yes 2>&1 >/dev/null) & echo $! >child");
    let began = Instant::now();
    let (code, said) = node.om(&["svc1", "start", "--local"]);
    assert_eq!(code, 0, "{}", &said[..said.len().min(2000)]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let (_, _) = node.om(&["svc1", "stop", "--local"]);
    _ = Command::new("pkill").args(["-P", &node.lines("child")[0]]).status();
    _ = Command::new("kill").arg(&node.lines("child")[0]).status();
}

#[test]
fn a_start_that_hangs_is_ended_when_asked_and_what_was_started_is_stopped() {
    let node =
        Node::new(&format!("[app#0]\ntype = simple\nstart = /bin/sleep 1000.125\n\n{FORKING}"));
    node.script(
        "start.sh",
        "#!/bin/sh\ncd $(dirname $0)\ntrap '' TERM\nsleep 600 & echo $! >child.new; mv child.new child\nwait\nsleep 600\n",
    );
    node.script("stop.sh", "#!/bin/sh\n");
    node.script("check.sh", "#!/bin/sh\nfalse\n");
    let mut om = spawn(&node, &["svc1", "start", "--local"]);
    wait_until("the launcher hangs", || !node.lines("child").is_empty());
    assert_eq!(node.state("app#0"), Status::Up);
    let pid = Pid::from_raw(om.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let began = Instant::now();
    assert_eq!(om.wait().unwrap().code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let child = node.lines("child")[0].clone();
    wait_until("the launcher is gone with its child", || !is_alive(&child));
    assert_eq!(node.state("app#0"), Status::Down);
}
