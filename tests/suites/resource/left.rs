//! What runs on whatever the configuration says: a deletion and a stop end it, or say what is left.

use model::InstanceAction::{Delete, Start, Stop};
use model::{ActionOptions, Status};

use crate::resource::node::{Node, wait_until};

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// A launcher that leaves this behind, in a session of its own.
fn launcher(node: &Node, command: &str) {
    let text =
        format!("#!/bin/sh\nsetsid {command} </dev/null >/dev/null 2>&1 &\necho $! >>$0.pid\n");
    node.script("start.sh", &text);
}

fn launched(node: &Node, at: usize) -> u32 {
    node.lines("start.sh.pid")[at].parse().unwrap()
}

fn configure(node: &Node, id: &str, text: &str) {
    node.configure(&node.path, &format!("[DEFAULT]\nid = {id}\n{text}"));
}

/// A node whose app runs, and the process of that.
fn running(id: &str, text: &str, number: &str) -> (Node, u32) {
    let node = Node::new(&format!("[DEFAULT]\nid = {id}\n{text}"));
    launcher(&node, &format!("/bin/sleep {number}"));
    assert_eq!(node.act(Start), 0);
    let marks = [format!("OPENSVC_SVC_ID={id}"), "OPENSVC_RID=app#1".to_owned()];
    let mut found = None;
    wait_until("it runs", || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = all.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
        found = pids.find(|pid| {
            let read =
                |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let is_its = marks.iter().all(|mark| environment.split('\0').any(|it| it == mark));
            is_its && String::from_utf8_lossy(&read("cmdline")).starts_with("/bin/sleep")
        });
        found.is_some()
    });
    (node, found.unwrap())
}

const SIMPLE: &str = "[app#1]\ntype = simple\nstart = /bin/sleep";
const FORKING: &str = "[app#1]\ntype = forking\nstart = {dir}/start.sh\n";

#[test]
fn what_runs_outlives_no_deletion_whatever_its_section_says() {
    let simple = |number: &str, more: &str| format!("{SIMPLE} {number}\n{more}");
    let cases = [
        ("check", simple("1001.11", ""), simple("1001.11", "check = /bin/false\n")),
        ("disable", simple("1001.12", ""), simple("1001.12", "disable = true\n")),
        ("mistake", simple("1001.13", ""), simple("1001.13", "start_timeout = {no.such}\n")),
        ("type", simple("1001.14", ""), "[app#1]\nstart = /bin/true\n".to_owned()),
        ("forking", FORKING.to_owned(), String::new()),
    ];
    for (case, before, after) in cases {
        let number = before.split_whitespace().find(|word| word.starts_with("1001"));
        let id = format!("left-delete-{case}");
        let (node, pid) = running(&id, &before, number.unwrap_or("1001.15"));
        if !after.is_empty() {
            configure(&node, &id, &after);
        }
        let file = node.host.paths.config_file(&node.path);
        assert_eq!(node.act(Delete), 1, "{case}");
        assert!(file.exists() && is_alive(pid), "{case}: nothing is done unless it is forced");
        let forced = ActionOptions { force: true, ..Default::default() };
        assert_eq!(node.act_with(Delete, &forced), 0, "{case}");
        assert!(!file.exists() && !is_alive(pid), "{case}");
    }
}

#[test]
fn what_runs_while_its_app_is_locked_outlives_no_deletion() {
    let (node, pid) = running("left-locked", &format!("{SIMPLE} 1001.21\n"), "");
    let lock = std::fs::File::create(node.var("app#1").join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(node.state("app#1"), Status::NotApplicable);
    let forced = ActionOptions { force: true, ..Default::default() };
    assert_eq!(node.act_with(Delete, &forced), 0);
    assert!(!is_alive(pid));
}

#[test]
fn what_is_left_of_a_deletion_fails_it_and_is_named() {
    let node = Node::new(&format!("[DEFAULT]\nid = left-deaf\n{FORKING}"));
    launcher(&node, "/bin/sh -c 'trap \"\" TERM; echo >'$0.deaf'; exec /bin/sleep 1001.22'");
    assert_eq!(node.om(&["svc1", "start", "--local"]).0, 0);
    let pid = launched(&node, 0);
    wait_until("it ignores the signal", || node.file("start.sh.deaf").exists());
    for words in [&["svc1", "delete", "--force", "--local"][..], &["svc1", "stop", "--local"]] {
        let (code, said) = node.om(words);
        assert_eq!(code, 1, "{words:?}: {said}");
        assert!(said.contains("SIGTERM") && said.contains(&pid.to_string()), "{words:?}: {said}");
        assert!(node.host.paths.config_file(&node.path).exists() && is_alive(pid), "{words:?}");
    }
    kill(pid);
    wait_until("it is dead", || !is_alive(pid));
    assert_eq!(node.om(&["svc1", "stop", "--local"]).0, 0);
}

#[test]
fn a_stop_ends_what_was_started_when_the_section_had_another_type() {
    for (case, after) in [("other", "[app#1]\ntype = forking\n"), ("none", "[app#1]\n")] {
        let id = format!("left-type-{case}");
        let (node, pid) = running(&id, &format!("{SIMPLE} 1001.31\n"), "");
        configure(&node, &id, &format!("{after}start = /bin/true\n"));
        assert_eq!(node.act(Stop), 0, "{case}");
        assert!(!is_alive(pid), "{case}");
    }
}

#[test]
fn a_forking_app_is_ended_by_its_stop_whatever_the_stop_command_does() {
    for stop in ["", "stop = /bin/false\n", "stop = /no/such/file\n", "stop = true\n"] {
        let (node, pid) = running("left-forking", &format!("{FORKING}{stop}"), "1001.41");
        assert_eq!(node.act(Stop), 0, "{stop}");
        assert!(!is_alive(pid), "{stop}");
    }
    // What says of itself that it is down runs on as well.
    let (node, pid) = running("left-forking", FORKING, "1001.42");
    configure(&node, "left-forking", &format!("{FORKING}check = /bin/false\n"));
    assert_eq!(node.act(Stop), 0);
    assert!(!is_alive(pid));
}

#[test]
fn a_stop_command_may_have_its_app_end_after_itself() {
    let stop = "stop = {dir}/stop.sh\n";
    let node = Node::new(&format!("[DEFAULT]\nid = left-late\n{FORKING}{stop}"));
    let late =
        "pid=$(cat $(dirname $0)/start.sh.pid)\n(sleep 0.3; kill -USR1 $pid) >/dev/null 2>&1 &";
    node.script("stop.sh", &format!("#!/bin/sh\n{late}\n"));
    let traps = "trap 'echo usr1 >app.how; exit' USR1\ntrap 'echo term >app.how; exit' TERM";
    let wait = "echo >app.ready\nwhile :; do sleep 0.05; done";
    node.script("app.sh", &format!("#!/bin/sh\ncd $(dirname $0)\n{traps}\n{wait}\n"));
    launcher(&node, &node.file("app.sh").display().to_string());
    assert_eq!(node.act(Start), 0);
    wait_until("it is ready", || node.file("app.ready").exists());
    assert_eq!(node.act(Stop), 0);
    assert_eq!(node.lines("app.how"), ["usr1"], "it had its time");
}

#[test]
fn what_a_removed_section_started_is_ended_before_what_it_may_stand_on() {
    let (node, pid) = running("left-order", &format!("[fs#1]\ntype = flag\n{FORKING}"), "1001.51");
    // What is dead and not yet buried is dead.
    let look = "stat=$(cat /proc/$(cat $(dirname $0)/start.sh.pid)/stat 2>/dev/null)\n\
                case \"$stat\" in ''|*') Z '*) ;; *) echo up >$0.out ;; esac";
    node.script("look.sh", &format!("#!/bin/sh\n{look}\n"));
    configure(&node, "left-order", "[fs#1]\ntype = flag\npre_stop = {dir}/look.sh\n");
    assert!(is_alive(pid));
    assert_eq!(node.act(Stop), 0);
    assert!(!is_alive(pid) && !node.file("look.sh.out").exists());
}

#[test]
fn a_section_that_was_renamed_runs_once() {
    for (case, before) in
        [("simple", format!("{SIMPLE} 1001.61\n")), ("forking", FORKING.to_owned())]
    {
        let id = format!("left-renamed-{case}");
        let (node, pid) = running(&id, &before, "1001.61");
        configure(&node, &id, &before.replace("app#1", "app#2"));
        assert_eq!(node.act(Start), 0, "{case}");
        wait_until("the first one is ended", || !is_alive(pid));
        assert_eq!(node.act(Stop), 0, "{case}");
    }
}

#[test]
fn a_stop_leaves_what_is_disabled_and_what_is_standby() {
    let (node, pid) = running("left-disabled", &format!("{SIMPLE} 1001.71\n"), "");
    configure(&node, "left-disabled", &format!("{SIMPLE} 1001.71\ndisable = true\n"));
    assert_eq!(node.act(Stop), 0);
    assert!(is_alive(pid), "nobody touches it");
    configure(&node, "left-disabled", &format!("{SIMPLE} 1001.71\nstandby = true\n"));
    assert_eq!(node.act(Stop), 0);
    assert!(is_alive(pid), "it stays up");
    configure(&node, "left-disabled", &format!("{SIMPLE} 1001.71\n"));
    assert_eq!(node.act(Stop), 0);
    assert!(!is_alive(pid));
}

#[test]
fn what_was_started_when_the_object_had_another_id_is_its_own() {
    for (case, text) in [("simple", format!("{SIMPLE} 1001.81\n")), ("forking", FORKING.to_owned())]
    {
        let (node, pid) = running(&format!("left-id-{case}"), &text, "1001.81");
        configure(&node, &format!("left-other-{case}"), &text);
        assert_eq!(node.act(Stop), 0, "{case}");
        assert!(!is_alive(pid), "{case}");
    }
}
