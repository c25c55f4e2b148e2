//! Processes that resources started, found by the identity in their environment.
//!
//! Reading all of `/proc` is what a check costs; so resources that are evaluated together share one scan, and a resource
//! whose processes are known only looks at these.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use regex::Regex;

use crate::paths::ROOT_VARIABLE;

/// How old a scan may be. Shorter than the 0.2 s that a start takes at least, so that whoever asks after a start sees its
/// process.
const FRESH: Duration = Duration::from_millis(100);

/// A process that a resource started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Process id.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Command line, words separated by blanks.
    pub command: String,
}

#[derive(Debug)]
struct Scan {
    began: Instant,
    found: BTreeMap<(String, String), Vec<Process>>,
}

/// The newest scan.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    scan: ArcSwapOption<Scan>,
}

impl ProcessTable {
    /// Processes of a resource whose command line matches. Known ones that all still match are believed to be all.
    pub(crate) fn find(
        &self,
        id: &str,
        rid: &str,
        pattern: &Regex,
        known: Option<&BTreeSet<u32>>,
    ) -> Vec<Process> {
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            let found: Vec<Process> = known
                .iter()
                .filter_map(|pid| read_process(*pid))
                .filter(|(owner, process)| {
                    owner.0 == id && owner.1 == rid && pattern.is_match(&process.command)
                })
                .map(|(_, process)| process)
                .collect();
            if found.len() == known.len() {
                return found;
            }
        }
        let mut found = self.tree(id, rid);
        found.retain(|process| pattern.is_match(&process.command));
        found
    }

    /// Processes of a resource, whatever they run.
    pub(crate) fn tree(&self, id: &str, rid: &str) -> Vec<Process> {
        let owner = (id.to_owned(), rid.to_owned());
        let scan = self.scan();
        let found = scan.found.get(&owner).map_or(&[][..], Vec::as_slice);
        found
            .iter()
            // The scan may be older than a death.
            .filter(|process| read_process(process.pid).is_some_and(|(now, _)| now == owner))
            .cloned()
            .collect()
    }

    /// All processes of a resource, whatever they run, read now.
    pub(crate) fn all(id: &str, rid: &str) -> Vec<Process> {
        Scan::new().found.remove(&(id.to_owned(), rid.to_owned())).unwrap_or_default()
    }

    fn scan(&self) -> Arc<Scan> {
        match self.scan.load_full() {
            Some(scan) if scan.began.elapsed() < FRESH => scan,
            _ => {
                let scan = Arc::new(Scan::new());
                self.scan.store(Some(scan.clone()));
                scan
            }
        }
    }
}

impl Scan {
    fn new() -> Self {
        let began = Instant::now();
        let mut found: BTreeMap<_, Vec<Process>> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some((owner, process)) = read_process(pid) {
                found.entry(owner).or_default().push(process);
            }
        }
        Self { began, found }
    }
}

/// Without those whose parent is among them, or descends from one that is.
pub(crate) fn without_children(processes: &[Process]) -> Vec<&Process> {
    let pids: BTreeSet<u32> = processes.iter().map(|process| process.pid).collect();
    processes.iter().filter(|process| !pids.contains(&process.parent)).collect()
}

/// The private root of this agent, as what it starts inherits it.
fn own_root() -> Option<String> {
    std::env::var_os(ROOT_VARIABLE).map(|root| root.to_string_lossy().into_owned())
}

/// Whether two agents have the same files; none and empty are those of a package.
fn is_same_root(one: Option<&str>, other: Option<&str>) -> bool {
    let path = |root: Option<&str>| root.filter(|root| !root.is_empty()).map(PathBuf::from);
    path(one) == path(other)
}

/// The owner and the process, if it is one that this agent started, and alive.
fn read_process(pid: u32) -> Option<((String, String), Process)> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable = |name: &[u8]| {
        environment
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(name))
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let owner = (variable(b"OPENSVC_SVC_ID=")?, variable(b"OPENSVC_RID=")?);
    // Another node on this machine has instances of the same objects.
    if !is_same_root(variable(b"OSVC_ROOT_PATH=").as_deref(), own_root().as_deref()) {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and parentheses: fields are counted from the last one.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    Some((owner, Process { pid, parent, command: words.join(" ").trim_end().to_owned() }))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Running(Child);

    impl Running {
        fn new(id: &str, script: &str) -> Self {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).env("OPENSVC_SVC_ID", id).env("OPENSVC_RID", "app#1");
            Self(command.stdout(Stdio::null()).spawn().unwrap())
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            _ = self.0.kill();
            _ = self.0.wait();
        }
    }

    fn pattern() -> Regex {
        Regex::new("read line").unwrap()
    }

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(10), "waited in vain");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_process_is_found_by_its_identity_and_command_line() {
        let id = "9c0c7f0e-0000-4000-8000-000000000001";
        let mut running = Running::new(id, "while :; do read line || sleep 5; done");
        let table = ProcessTable::default();
        let pid = running.0.id();
        let find = |rid, known: Option<&BTreeSet<u32>>| {
            let found = table.find(id, rid, &pattern(), known);
            found.iter().map(|process| process.pid).collect::<Vec<_>>()
        };
        wait_until(|| find("app#1", None) == [pid]);
        assert!(find("app#2", None).is_empty());
        assert_eq!(find("app#1", Some(&BTreeSet::from([pid]))), [pid]);
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        // Neither a known pid nor a fresh scan outlives the process.
        assert!(find("app#1", Some(&BTreeSet::from([pid]))).is_empty());
    }

    #[test]
    fn a_process_of_another_node_on_this_machine_is_not_ours() {
        let id = "9c0c7f0e-0000-4000-8000-000000000002";
        let start = |root: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "while :; do read line || sleep 5; done"]).stdout(Stdio::null());
            command.env("OPENSVC_SVC_ID", id).env("OPENSVC_RID", "app#1").env(ROOT_VARIABLE, root);
            Running(command.spawn().unwrap())
        };
        let (_theirs, ours) = (start("/n2"), start(own_root().as_deref().unwrap_or_default()));
        let table = ProcessTable::default();
        let pids = || -> Vec<u32> {
            table.find(id, "app#1", &pattern(), None).iter().map(|process| process.pid).collect()
        };
        wait_until(|| pids() == [ours.0.id()]);
        assert!(is_same_root(Some("/n1/"), Some("/n1")) && is_same_root(Some(""), None));
        assert!(!is_same_root(Some("/n1"), None));
    }

    #[test]
    fn children_of_a_match_are_not_counted() {
        let process = |pid, parent| Process { pid, parent, command: "x".into() };
        let all = [process(10, 1), process(11, 10), process(12, 11), process(20, 1)];
        let pids: Vec<u32> = without_children(&all).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [10, 20]);
    }
}
