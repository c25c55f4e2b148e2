//! What a demo leaves behind when it is killed itself: the next one finds its folder, and ends what still runs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::server;
use machine::pidfd::Process;
use machine::process::started_at;

/// Names its processes, one a line: `demo <pid> <start>`, `daemon <pid> <start>`, `port <number>`. A folder without it is
/// to stay.
const FILE: &str = "processes";

/// Makes the folder of this demo, which nobody else may have made.
pub(super) fn claim(root: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(root)?;
    note(root, "demo", std::process::id())
}

/// Notes a daemon that is to be ended with the demo.
pub(super) fn note_daemon(root: &Path, pid: u32) {
    _ = note(root, "daemon", pid);
}

/// Notes where the service answers.
pub(super) fn note_port(root: &Path, port: u16) {
    _ = append(root, &format!("port {port}"));
}

/// The folder, and what runs in it, are the user's from now on.
pub(super) fn keep(root: &Path) {
    _ = fs::remove_file(root.join(FILE));
}

fn note(root: &Path, what: &str, pid: u32) -> io::Result<()> {
    let start = started_at(pid).ok_or(io::ErrorKind::NotFound)?;
    append(root, &format!("{what} {pid} {start}"))
}

fn append(root: &Path, line: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(root.join(FILE))?;
    writeln!(file, "{line}")
}

/// Ends what demos of this user left behind that were killed, and removes their folders.
pub(super) fn sweep() {
    let own = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with("om-demo-"));
        let is_ours = |root: &PathBuf| {
            fs::symlink_metadata(root).is_ok_and(|it| it.is_dir() && it.uid() == own)
        };
        let root = entry.path();
        if is_named && is_ours(&root) && clean(&root) {
            _ = writeln!(
                io::stderr(),
                "{}: left by a demo that was killed, removed",
                root.display()
            );
        }
    }
}

/// Cleans up after a demo that is gone. False when it is not, or its folder is to stay.
fn clean(root: &Path) -> bool {
    let Ok(text) = fs::read_to_string(root.join(FILE)) else { return false };
    let (mut daemons, mut port) = (vec![], None);
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["demo", pid, start] if find(pid, start).is_some() => return false,
            ["daemon", pid, start] => daemons.extend(find(pid, start)),
            ["port", number] => port = number.parse().ok(),
            _ => {}
        }
    }
    for daemon in daemons {
        _ = daemon.signal(Signal::KILL);
    }
    if let Some(port) = port {
        server::kill_all(port);
    }
    fs::remove_dir_all(root).is_ok()
}

/// The process with this id, if it is the one that was started then.
fn find(pid: &str, start: &str) -> Option<Process> {
    let pid = pid.parse().ok()?;
    let process = Process::open(pid).ok()??;
    (started_at(pid)?.to_string() == start).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_demo_left_is_ended_and_a_living_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (living, dead) = (folder.path().join("living"), folder.path().join("dead"));
        claim(&living).unwrap();
        assert!(claim(&living).is_err(), "made by somebody else");
        assert!(!clean(&living) && living.exists());
        claim(&dead).unwrap();
        let mut daemon = std::process::Command::new("sleep").arg("1000.625").spawn().unwrap();
        fs::write(dead.join(FILE), "demo 1 99999999999\n").unwrap();
        note_daemon(&dead, daemon.id());
        // An id that is that of another process by now.
        append(&dead, &format!("daemon {} 1", std::process::id())).unwrap();
        assert!(clean(&dead) && !dead.exists());
        assert!(!daemon.wait().unwrap().success());
        keep(&living);
        assert!(!clean(&living) && living.exists());
    }
}
