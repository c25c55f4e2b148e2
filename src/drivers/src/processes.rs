//! Processes that belong to a resource, known by marks that only root can write.
//!
//! A process belongs to a resource when it
//! - was launched for it, as the file of the launch says (`Launched`), or is in the session of one that was;
//! - is in the control group of the resource;
//! - has the identity in its environment, and whoever wrote that is root, we, or the user that the resource runs as: all
//!   users of the process are such, and its program was not made to run as another one by its file (a set-user-id program
//!   keeps the environment of who runs it). What deployed agents launched is found so;
//! - bears the identity, and is a child of one of these, whatever user it became;
//! - is in a session that one of these leads, unless it bears the marks of another resource.
//!
//! A child that has neither the session, nor the group, nor the marks is none: the shell of who logged in through a service.
//!
//! Anybody can write a command line or an environment: neither makes a stranger's process a part of a service.
//!
//! Reading all of `/proc` is what a check costs; so resources that are evaluated together share one scan, and a resource
//! whose processes are known only looks at these.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use rustix::process::Signal;

use machine::paths::ROOT_VARIABLE;
use machine::pidfd;
use machine::process::Stat;

use crate::owner::{Leader, Owner};

/// How old a scan may be. Shorter than the 0.2 s that a start takes at least, so that whoever asks after a start sees its
/// process.
const FRESH: Duration = Duration::from_millis(100);

/// Set for what runs for a resource and is no part of it: checks, stop commands.
pub(crate) const PASSING_VARIABLE: &str = "OPENSVC_PASSING";

/// Set for what runs for an object: its path.
const PATH_VARIABLE: &str = "OPENSVC_SVCPATH";

/// The parent of kernel threads.
const KTHREADD: u32 = 2;

/// A process that belongs to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Process id.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// When it was started, in ticks since the boot: with it, an id is that of one process for ever.
    pub start: u64,
    /// It was launched by us, and leads all that it started.
    pub is_leader: bool,
    /// Command line, words separated by blanks.
    pub command: String,
}

impl Process {
    /// Signals this process, and no other that has got its id meanwhile.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(process) = pidfd::Process::open(self.pid)? else { return Ok(()) };
        // Asked once it is open: what bears the id now is what it is open for.
        if Stat::read(self.pid).is_some_and(|stat| stat.start == self.start) {
            process.signal(signal)?;
        }
        Ok(())
    }
}

/// The marks in the environment of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marks {
    id: String,
    rid: String,
    /// Path of the object.
    path: Option<String>,
    /// Users that it runs as, and that its program was started by. None if its program runs as another than who started it.
    users: Option<BTreeSet<u32>>,
}

impl Marks {
    fn read(pid: u32) -> Option<Self> {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let variable = |name: &str| {
            environment
                .split(|byte| *byte == 0)
                .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let (id, rid) = (variable("OPENSVC_SVC_ID")?, variable("OPENSVC_RID")?);
        // Another node on this machine has instances of the same objects.
        let is_ours = is_same_root(variable(ROOT_VARIABLE).as_deref(), own_root().as_deref());
        let is_passing = variable(PASSING_VARIABLE).is_some();
        let path = variable(PATH_VARIABLE);
        (is_ours && !is_passing).then(|| Self { id, rid, path, users: users(pid) })
    }

    fn is_of(&self, owner: &Owner) -> bool {
        let is_path = owner.path.is_some() && self.path == owner.path;
        let is_object = self.id == owner.id || owner.older_ids.contains(&self.id) || is_path;
        is_object
            && self.rid == owner.rid
            && !self.path.as_deref().is_some_and(|path| owner.is_of_another(path))
    }

    /// Whether they were written by one of these users, root or us.
    fn is_written_by(&self, users: &BTreeSet<u32>) -> bool {
        let own = rustix::process::geteuid().as_raw();
        let may = |uid: &u32| *uid == 0 || *uid == own || users.contains(uid);
        self.users.as_ref().is_some_and(|those| those.iter().all(may))
    }
}

/// All users of a process; none when its program is one that makes who runs it another user.
fn users(pid: u32) -> Option<BTreeSet<u32>> {
    let status = machine::kernel::text(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut users: BTreeSet<u32> =
        line.split_whitespace().map(|uid| uid.parse().ok()).collect::<Option<_>>()?;
    // What the kernel told the program at its start.
    const AT_NULL: u64 = 0;
    const AT_UID: u64 = 11;
    const AT_SECURE: u64 = 23;
    let told = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let mut numbers = told
        .chunks_exact(size_of::<usize>())
        .map(|bytes| bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
    if cfg!(target_endian = "big") {
        // Not read there: what the process is now has to do.
        return Some(users);
    }
    while let (Some(kind), Some(value)) = (numbers.next(), numbers.next()) {
        match kind {
            AT_NULL => break,
            AT_UID => _ = users.insert(u32::try_from(value).ok()?),
            AT_SECURE if value != 0 => return None,
            _ => {}
        }
    }
    Some(users)
}

#[derive(Debug)]
struct Entry {
    stat: Stat,
    marks: Option<Marks>,
}

impl Entry {
    fn read(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        let marks = if stat.parent == KTHREADD { None } else { Marks::read(pid) };
        Some(Self { stat, marks })
    }
}

/// All processes of the node, as they were once.
#[derive(Debug)]
pub(crate) struct Scan {
    began: Instant,
    found: BTreeMap<u32, Entry>,
}

/// The newest scan.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    scan: ArcSwapOption<Scan>,
}

impl ProcessTable {
    /// Processes of a resource, all that it has. Known ones that still are its main processes are believed to be all.
    pub(crate) fn find(
        &self,
        owner: &Owner,
        line: Option<&str>,
        known: Option<&BTreeSet<u32>>,
    ) -> Vec<Process> {
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            let found: Vec<Process> =
                known.iter().filter_map(|pid| known_process(*pid, owner)).collect();
            if found.len() == known.len() && main(&found, line).len() == found.len() {
                return found;
            }
        }
        let mut found = self.scan().members(owner);
        // The scan may be older than a death.
        found.retain(|process| Stat::read(process.pid).is_some_and(|it| it.start == process.start));
        found
    }

    /// All processes of a resource, read now.
    pub(crate) fn all(owner: &Owner) -> Vec<Process> {
        Scan::new().members(owner)
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
    /// All processes, now.
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && let Some(entry) = Entry::read(pid)
            {
                found.insert(pid, entry);
            }
        }
        Self { began, found }
    }

    /// The resources of an object that processes bear the marks of, whatever is configured. An object that has no id is known
    /// by its path.
    pub(crate) fn rids_of(&self, id: Option<&str>, path: &str) -> BTreeSet<String> {
        let marks = self.found.values().filter_map(|entry| entry.marks.as_ref());
        let is_of = |marks: &&Marks| match id {
            Some(id) => marks.id == id,
            None => marks.path.as_deref() == Some(path),
        };
        marks.filter(is_of).map(|marks| marks.rid.clone()).collect()
    }

    /// The id of the object that what was launched for a resource bears, as its configuration said then.
    pub(crate) fn id_of(&self, rid: &str, launched: &[Leader]) -> Option<String> {
        let is_of = |entry: &&Entry| launched.iter().any(|it| it.pid == entry.stat.session);
        let marks = self.found.values().filter(is_of).filter_map(|entry| entry.marks.as_ref());
        marks.filter(|marks| marks.rid == rid).map(|marks| marks.id.clone()).next()
    }

    /// This process, and those that it descends from.
    pub(crate) fn own_line(&self) -> BTreeSet<u32> {
        let mut line = BTreeSet::new();
        let mut pid = std::process::id();
        while line.insert(pid) {
            let Some(entry) = self.found.get(&pid) else { break };
            pid = entry.stat.parent;
        }
        line
    }

    /// The processes of a resource.
    pub(crate) fn members(&self, owner: &Owner) -> Vec<Process> {
        let mut members: BTreeSet<u32> =
            owner.groups.iter().flat_map(|folder| group_members(folder)).collect();
        let mut sessions = BTreeSet::new();
        for leader in &owner.launched {
            match self.found.get(&leader.pid) {
                Some(entry) if entry.stat.start == leader.start => {
                    members.insert(leader.pid);
                    sessions.insert(leader.pid);
                }
                // The id is that of another process: all of the session were gone before.
                Some(_) => {}
                None => _ = sessions.insert(leader.pid),
            }
        }
        let is_marked = |entry: &Entry| {
            let marks = entry.marks.as_ref().filter(|marks| marks.is_of(owner));
            marks.is_some_and(|marks| marks.is_written_by(&owner.users))
        };
        let marked = self.found.iter().filter(|(_, entry)| is_marked(entry));
        members.extend(marked.map(|(pid, _)| *pid));
        // What bears the marks of another resource is that one's, whoever started it. We and who runs us are none.
        let is_free = |pid: u32, entry: &Entry| {
            pid > 1
                && pid != std::process::id()
                && entry
                    .marks
                    .as_ref()
                    .is_none_or(|marks| marks.is_of(owner) || !marks.is_written_by(&owner.users))
        };
        members.retain(|pid| self.found.get(pid).is_some_and(|entry| is_free(*pid, entry)));
        loop {
            let leads = |pid: &u32| self.found.get(pid).is_some_and(|it| it.stat.session == *pid);
            sessions.extend(members.iter().copied().filter(leads));
            let before = members.len();
            let more = self.found.iter().filter(|(pid, entry)| {
                let is_marked = entry.marks.as_ref().is_some_and(|marks| marks.is_of(owner));
                let is_near = sessions.contains(&entry.stat.session)
                    || is_marked && members.contains(&entry.stat.parent);
                is_near && !members.contains(*pid) && is_free(**pid, entry)
            });
            let more: Vec<u32> = more.map(|(pid, _)| *pid).collect();
            members.extend(more);
            if members.len() == before {
                break;
            }
        }
        members
            .iter()
            .filter_map(|pid| Some(process(*pid, self.found.get(pid)?.stat, owner)))
            .collect()
    }
}

fn process(pid: u32, stat: Stat, owner: &Owner) -> Process {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    Process {
        pid,
        parent: stat.parent,
        start: stat.start,
        is_leader: owner.launched.contains(&Leader { pid, start: stat.start }),
        command: words.join(" ").trim_end().to_owned(),
    }
}

/// A process that was found before, if it still is one of the resource by marks of its own.
fn known_process(pid: u32, owner: &Owner) -> Option<Process> {
    let stat = Stat::read(pid)?;
    let is_launched = owner.launched.contains(&Leader { pid, start: stat.start });
    let is_its = is_launched
        || Marks::read(pid)
            .is_some_and(|marks| marks.is_of(owner) && marks.is_written_by(&owner.users));
    is_its.then(|| process(pid, stat, owner))
}

/// The main processes among those of a resource: those whose command line has the text of the start command, or else what
/// was launched, whatever it calls itself. Their children are left out.
pub(crate) fn main(processes: &[Process], line: Option<&str>) -> Vec<Process> {
    let is_text = |process: &&Process| line.is_some_and(|line| process.command.contains(line));
    let mut found: Vec<Process> = processes.iter().filter(is_text).cloned().collect();
    if found.is_empty() {
        found = processes.iter().filter(|process| process.is_leader).cloned().collect();
    }
    roots(&found)
}

/// Those that none of the others is the parent of.
pub(crate) fn roots(processes: &[Process]) -> Vec<Process> {
    without_children(processes).into_iter().cloned().collect()
}

/// Process ids, for a reader.
pub(crate) fn pids(processes: &[Process]) -> String {
    let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
    pids.join(" ")
}

/// Without those whose parent is among them, or descends from one that is.
fn without_children(processes: &[Process]) -> Vec<&Process> {
    let pids: BTreeSet<u32> = processes.iter().map(|process| process.pid).collect();
    processes.iter().filter(|process| !pids.contains(&process.parent)).collect()
}

/// The processes in a control group and in those below it.
fn group_members(folder: &Path) -> Vec<u32> {
    let Ok(text) = std::fs::read_to_string(folder.join("cgroup.procs")) else { return vec![] };
    let mut members: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            members.extend(group_members(&entry.path()));
        }
    }
    members
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

#[cfg(test)]
pub(crate) mod tests;
