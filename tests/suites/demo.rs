//! Promise: the demo leaves nothing behind, however it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::{Node, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// A demo that makes its folder below this one.
fn demo(temporary: &Path) -> Child {
    Command::new(Node::new("n1").program())
        .args(["demo"])
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the demo")
}

/// Reads its story until its service answers, and tells its folder and its processes.
fn until_it_answers(demo: &mut Child, temporary: &Path) -> (PathBuf, Vec<String>) {
    let story = BufReader::new(demo.stdout.as_mut().expect("its output"));
    let told = story.lines().map_while(Result::ok).any(|line| line.contains("It answers"));
    if !told {
        let mut said = String::new();
        let errors = demo.stderr.as_mut().expect("its errors");
        errors.read_to_string(&mut said).expect("text");
        panic!("the service does not answer: {said}");
    }
    let root = roots(temporary).pop().expect("its folder");
    let noted = fs::read_to_string(root.join("processes")).expect("its processes");
    let pids = noted.lines().filter_map(|line| line.strip_prefix("daemon "));
    let pids: Vec<String> =
        pids.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(pids.len(), 3, "{noted}");
    (root, pids)
}

fn roots(temporary: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(temporary).expect("the folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn are_gone(pids: &[String]) -> bool {
    let is_alive = |pid: &String| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    !pids.iter().any(is_alive)
}

fn signal(demo: &Child, signal: Signal) {
    let pid = Pid::from_raw(demo.id().try_into().expect("a process id")).expect("a process");
    kill_process(pid, signal).expect("it runs");
}

#[test]
fn a_demo_that_is_interrupted_or_not_read_any_more_leaves_nothing() {
    let temporary = tempfile::tempdir().expect("a folder");
    for ending in [Some(Signal::INT), Some(Signal::HUP), None] {
        let mut demo = demo(temporary.path());
        let (_, pids) = until_it_answers(&mut demo, temporary.path());
        match ending {
            Some(ending) => signal(&demo, ending),
            None => drop(demo.stdout.take()),
        }
        let ended = demo.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{ending:?}: {said}");
        assert!(said.contains("demo ended: "), "{ending:?}: {said}");
        assert_eq!(roots(temporary.path()), [] as [PathBuf; 0], "{ending:?}");
        assert!(are_gone(&pids), "{ending:?}");
    }
}

#[test]
fn what_a_killed_demo_left_is_swept_by_the_next_one() {
    let temporary = tempfile::tempdir().expect("a folder");
    let mut killed = demo(temporary.path());
    let (root, pids) = until_it_answers(&mut killed, temporary.path());
    signal(&killed, Signal::KILL);
    killed.wait().expect("it ends");
    assert!(root.exists() && !are_gone(&pids));
    let mut next = demo(temporary.path());
    wait_for("the old folder is removed", || !root.exists());
    wait_for("the old daemons are gone", || are_gone(&pids));
    let (_, pids) = until_it_answers(&mut next, temporary.path());
    signal(&next, Signal::TERM);
    next.wait().expect("it ends");
    assert_eq!(roots(temporary.path()), [] as [PathBuf; 0]);
    assert!(are_gone(&pids));
}
