//! Promise: the daemon is a process that nobody reads, that leaves nothing behind, and that says when it sees less.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use harness::{Node, is_root, skip, wait_for};

/// A user without rights, of whom no test knows the name.
const NOBODY: u32 = 65_534;

/// The daemon and the commands of a node, run by a shell that does this first.
fn behind(node: Node, before: &str, exec: &str) -> Node {
    let om = Node::built();
    node.script("tmp/wrapped", &format!("{before}\nexec {exec} '{}' \"$@\"", om.display()));
    let wrapped = node.path("tmp/wrapped");
    node.with_program(wrapped)
}

/// The soft limit of core files of a process.
fn core_limit(pid: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    line.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned()
}

fn oom_score(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap_or_default().trim().to_owned()
}

fn alerts(node: &Node) -> String {
    let status = node.status();
    let blocks = status.as_object().expect("blocks");
    blocks.values().map(|block| block["alerts"].to_string() + "\n").collect()
}

#[test]
fn no_core_is_written_of_the_daemon_and_its_services_have_what_it_was_given() {
    // Everybody may raise it, and lower it back to what it was.
    let score = "300";
    let before = format!("ulimit -S -c 100\necho {score} > /proc/self/oom_score_adj");
    let mut node = behind(Node::new("n1"), &before, "");
    let shell = Command::new("/bin/sh")
        .args(["-c", "ulimit -S -c 100; exec cat /proc/self/limits"])
        .output()
        .expect("a shell");
    let limits = String::from_utf8_lossy(&shell.stdout).into_owned();
    let given = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let given = given.and_then(|line| line.split_whitespace().next()).expect("a limit").to_owned();
    let sleeper = |name: &str, seconds: u32| {
        let text = format!(
            "[DEFAULT]\nnodes = n1\norchestrate = ha\n[app#1]\ntype = simple\nstart = /bin/sleep {seconds}\n"
        );
        node.write(&format!("etc/{name}.conf"), &text);
    };
    sleeper("web", 91_001);
    // What a tool starts inherits from that.
    let podman = "case $1 in --*) shift 2;; esac\n\
        case \"$1 $2\" in\n\
        \"container run\") { cat /proc/self/oom_score_adj; ulimit -S -c; ulimit -S -n; } >\"$OSVC_ROOT_PATH/tmp/limits\" ;;\n\
        \"container inspect\") test -e \"$OSVC_ROOT_PATH/tmp/limits\" || { echo no such container >&2; exit 1; }\n\
        echo '[{\"State\":{\"Running\":true,\"Status\":\"running\"},\"Config\":{\"Image\":\"i\"}}]' ;;\n\
        esac";
    node.script("tmp/podman", podman);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", node.path("tmp").display());
    node.set_env("PATH", Some(&path));
    node.write(
        "etc/box.conf",
        "[DEFAULT]\nnodes = n1\norchestrate = ha\n[container#1]\ntype = podman\nimage = i\n",
    );
    node.start();
    assert_eq!(core_limit(&node.pid().to_string()), "0");
    assert_eq!(oom_score(node.pid()), score);
    node.wait_avail("web", "up");
    node.write(
        "etc/hand.conf",
        "[DEFAULT]\nnodes = n1\n[app#1]\ntype = simple\nstart = /bin/sleep 91002\n",
    );
    node.om_ok(&["hand", "start", "--local"]);
    node.wait_avail("box", "up");
    let shell = Command::new("/bin/sh").args(["-c", "ulimit -S -n"]).output().expect("a shell");
    let files = String::from_utf8_lossy(&shell.stdout).into_owned();
    let core = if given == "0" { 0 } else { 100 };
    // Only root may be spared more than he was.
    let own = if is_root() { "0" } else { score };
    assert_eq!(node.read("tmp/limits"), format!("{own}\n{core}\n{files}"));
    for line in ["/bin/sleep 91001", "/bin/sleep 91002"] {
        let [pid] = node.processes(|it| it == line)[..] else { panic!("one process: {line}") };
        assert_eq!(core_limit(&pid.to_string()), given, "{line}");
        // Only root may lower it.
        assert_eq!(oom_score(pid), if is_root() { "0" } else { score }, "{line}");
    }
}

#[test]
fn the_memory_of_a_daemon_is_closed_to_those_who_run_as_its_user() {
    let is_root = is_root();
    let drop = format!("setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups");
    let mut node = Node::new("n1");
    if is_root {
        if !Command::new("setpriv").arg("--version").status().is_ok_and(|it| it.success()) {
            skip("no setpriv");
            return;
        }
        node = behind(node, "", &drop);
        let owner = NOBODY.to_string();
        let owned = Command::new("chown").args(["-R", &owner]).arg(node.root()).status();
        assert!(owned.is_ok_and(|status| status.success()));
    }
    node.start();
    let closed = |pid: u32| {
        // The kernel gives the files of a process that nobody may trace to root.
        fs::metadata(format!("/proc/{pid}/environ")).is_ok_and(|is| is.uid() == 0)
    };
    assert!(closed(node.pid()));
    for file in ["environ", "mem", "maps"] {
        let text = format!("exec head -c 1 /proc/{}/{file}", node.pid());
        let words = if is_root { format!("exec {drop} sh -c '{text}'") } else { text };
        let read = Command::new("/bin/sh").args(["-c", &words]).output().expect("a shell");
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(!read.status.success() && said.contains("Permission denied"), "{file}: {said}");
    }
    // So is that of a command that was handed a secret.
    let root = node.root().display().to_string();
    let mut join = Command::new(node.program())
        .args(["daemon", "join", "--node", "127.0.0.1:1", "--secret-file", "-"])
        .env("OSVC_ROOT_PATH", root)
        .env("OSVC_NODENAME", "n1")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("om runs");
    wait_for("the command is closed", || {
        let line = fs::read(format!("/proc/{}/cmdline", join.id())).unwrap_or_default();
        line.windows(4).any(|part| part == b"join") && closed(join.id())
    });
    _ = join.kill();
    _ = join.wait();
}

#[test]
fn what_a_killed_command_left_is_gone_once_the_daemon_starts() {
    let mut node = Node::new("n1");
    let hidden = |node: &Node| -> Vec<String> {
        let entries = fs::read_dir(node.path("etc")).expect("the folder").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with('.')).collect()
    };
    let mut left = 0;
    for step in 1..20 {
        node.set_env("OSVC_TEST_CRASH", Some(&format!("write:{step}")));
        let name = format!("env.round={step}");
        let done = node.om(&["cluster", "set", "--kw", &name]);
        if done.code.is_some() {
            break;
        }
        for name in hidden(&node) {
            let text = node.read(&format!("etc/{name}"));
            left += usize::from(text.contains(node.secret()));
        }
    }
    node.set_env("OSVC_TEST_CRASH", None);
    assert!(left > 0, "a kill leaves a file with the secret");
    // One that is being written meanwhile stays: its process lives.
    let own = fs::read_to_string("/proc/self/stat").expect("of this test");
    let start = own.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)).expect("a start");
    let living = format!("etc/.cluster.conf.{}-{start}.0", std::process::id());
    node.write(&living, "being written");
    node.start();
    wait_for("they are gone", || hidden(&node).len() == 1);
    assert!(node.path(&living).exists());
}

/// Whether a namespace with limits of its own can be made.
fn has_namespaces() -> bool {
    let probe = "echo 9 > /proc/sys/user/max_inotify_instances";
    let made =
        Command::new("unshare").args(["-Ur", "sh", "-c", probe]).stderr(Stdio::null()).status();
    made.is_ok_and(|status| status.success())
}

/// Sets a limit in the namespace of the daemon.
fn limit(node: &Node, name: &str, count: u32) {
    let set = format!("echo {count} > /proc/sys/user/max_inotify_{name}");
    let pid = node.pid().to_string();
    let entered = Command::new("nsenter")
        .args(["-t", &pid, "-U", "--preserve-credentials", "sh", "-c", &set])
        .status();
    assert!(entered.is_ok_and(|status| status.success()), "{set}");
}

#[test]
fn without_watches_changes_are_still_seen_within_seconds_and_an_alert_tells_which_limit_to_raise() {
    // As another user, the folder of temporary files belongs to nobody in a name space.
    if !has_namespaces() || !is_root() {
        skip("no user namespaces, or not root");
        return;
    }
    for (name, sysctl) in [("instances", "max_user_instances"), ("watches", "max_user_watches")] {
        let before = format!("echo 0 > /proc/sys/user/max_inotify_{name}");
        let exec = format!("unshare -Ur sh -c '{before}; exec \"$@\"' sh");
        let mut node = behind(Node::new("n1"), "", &exec);
        node.write("etc/svc1.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
        node.start();
        let is_told = || {
            let alerts = alerts(&node);
            alerts.matches(sysctl).count() >= 2
                && alerts.contains("configuration files are not watched")
                && alerts.contains("files of instances are not watched")
        };
        wait_for("both are told", is_told);
        node.wait_avail("svc1", "down");
        // A file of an instance that comes, and a configuration that comes: the usual sweep is a minute away.
        let begin = std::time::Instant::now();
        node.write("tmp/flags/svc/svc1/fs#1.flag", "");
        node.wait_avail("svc1", "up");
        node.write("etc/svc2.conf", "[DEFAULT]\nnodes = n1\n[fs#1]\ntype = flag\n");
        node.wait_avail("svc2", "down");
        assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
        limit(&node, name, 1_000);
        wait_for("the alerts end", || !alerts(&node).contains("not watched"));
        fs::remove_file(node.path("tmp/flags/svc/svc1/fs#1.flag")).expect("the flag");
        node.wait_avail("svc1", "down");
    }
}

#[test]
fn a_daemon_typed_in_the_shell_of_a_service_is_no_part_of_that_service() {
    const ID: &str = "00000000-0000-4000-8000-0000000000b1";
    let mut node = Node::new("n1");
    let sleeper = |name: &str, id: &str, keywords: &str, seconds: u32| {
        let text = format!(
            "[DEFAULT]\nid = {id}\nnodes = n1\n{keywords}[app#1]\ntype = simple\nstart = /bin/sleep {seconds}\n"
        );
        node.write(&format!("etc/{name}.conf"), &text);
    };
    sleeper("web", ID, "", 91_003);
    sleeper("other", "00000000-0000-4000-8000-0000000000b2", "orchestrate = ha\n", 91_004);
    let marks = [("OPENSVC_SVC_ID", ID), ("OPENSVC_RID", "app#1"), ("OPENSVC_SVCPATH", "web")];
    for (name, value) in marks {
        node.set_env(name, Some(value));
    }
    node.start();
    node.wait_avail("other", "up");
    node.om_ok(&["web", "start", "--local"]);
    for (name, _) in marks {
        node.set_env(name, None);
    }
    let pid = node.pid();
    node.om_ok(&["web", "stop", "--local"]);
    node.wait_avail("web", "down");
    assert_eq!(node.pid(), pid);
    assert_eq!(node.processes(|line| line == "/bin/sleep 91004").len(), 1, "it was none of web's");
    // What is started from there with a command of the prompt is none either, nor a daemon in the background.
    node.om_ok(&["other", "stop", "--wait"]);
    node.signal(rustix::process::Signal::TERM);
    node.wait_end();
    for (name, value) in marks {
        node.set_env(name, Some(value));
    }
    node.om_ok(&["daemon", "start"]);
    node.om_ok(&["other", "start", "--local"]);
    for (name, _) in marks {
        node.set_env(name, None);
    }
    node.om_ok(&["web", "start", "--local"]);
    node.om_ok(&["web", "stop", "--local"]);
    node.om_ok(&["daemon", "running"]);
    assert_eq!(node.processes(|line| line == "/bin/sleep 91004").len(), 1, "it was none of web's");
    node.om_ok(&["daemon", "stop"]);
}

#[test]
fn a_daemon_whose_session_began_outside_of_its_pid_namespace_starts() {
    let probe = Command::new("unshare").args(["-Ur", "--pid", "--fork", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        skip("no pid namespaces");
        return;
    }
    // The file in the way of its folder ends it, with the reason, once it has judged where it was typed.
    let mut node = behind(Node::new("n1"), "", "unshare -Ur --pid --fork --kill-child");
    node.write("tmp/file", "");
    let root = node.path("tmp/file").display().to_string();
    node.set_env("OSVC_ROOT_PATH", Some(&root));
    let output = node.om(&["daemon", "start", "--foreground"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains(&root) && !output.err.contains("panicked"), "{output:?}");
}
