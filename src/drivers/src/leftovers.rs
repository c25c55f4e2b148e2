//! What runs on of an object, whatever is configured: a section was removed, has another type, is disabled, or the object is
//! gone.
//!
//! Processes are known by the marks that they bear, by what was noted when they were launched, and by their control groups;
//! containers by their labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{ObjectPath, ResourceSettings, ResourceStatus, Status, Timestamp};
use monitor::ResourceReport;

use dataset::config::LoadedObject;
use dataset::shared_map::SharedMap;
use machine::paths::Paths;

use crate::cgroup::Cgroups;
use crate::container::left;
use crate::driver::Instance;
use crate::ending::Manner;
use crate::host::Host;
use crate::journal::Journal;
use crate::launched::Launched;
use crate::owner::Owner;
use crate::processes::{Process, Scan, pids};
use crate::{ending, launched};

/// Processes that are left of an object, by the id of the resource that they were started for.
pub(crate) type Left = BTreeMap<String, Vec<Process>>;

/// Whose processes are looked for.
pub(crate) struct Search<'a> {
    /// Where the object has its folder.
    pub paths: &'a Paths,
    /// The object.
    pub path: &'a ObjectPath,
    /// Its id. Without one, what runs tells it.
    pub id: Option<&'a str>,
    /// Where its processes may be.
    pub cgroups: &'a Cgroups,
    /// All processes, where that has just been looked at.
    pub scan: Option<&'a Scan>,
    /// The resources that are meant, by id.
    pub is_meant: &'a dyn Fn(&str) -> bool,
    /// Users that one of them may run as, beside those noted when it was launched.
    pub users: &'a dyn Fn(&str) -> BTreeSet<u32>,
}

/// The folders of resources, below that of an object.
fn resource_folders(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    named.filter(|(rid, _)| rid.contains('#'))
}

/// The resources that something was launched for.
fn launched_for(folder: &Path) -> BTreeSet<String> {
    let noted = resource_folders(folder).filter(|(_, own)| own.join(launched::FILE).exists());
    noted.map(|(rid, _)| rid).collect()
}

/// The resources that have a folder and may have a container.
fn container_rids(folder: &Path) -> impl Iterator<Item = String> + use<> {
    resource_folders(folder).map(|(rid, _)| rid).filter(|rid| rid.starts_with("container#"))
}

impl Search<'_> {
    /// What is left. Nothing that this process descends from: a service may be stopped from within.
    pub(crate) fn find(&self) -> Left {
        let folder = self.paths.var_dir(self.path);
        let groups = self.cgroups.found(self.paths, self.path);
        let own = if self.scan.is_none() { Some(Scan::new()) } else { None };
        let Some(scan) = self.scan.or(own.as_ref()) else { return Left::new() };
        let mut rids = launched_for(&folder);
        rids.extend(scan.rids_of(self.id, self.path.as_str()));
        rids.extend(groups.keys().cloned());
        let own_line = scan.own_line();
        let mut left = Left::new();
        for rid in rids.into_iter().filter(|rid| (self.is_meant)(rid)) {
            let launched = Launched::of(&folder.join(&rid));
            let leaders = launched.read();
            let id = self.id.map(str::to_owned).or_else(|| scan.id_of(&rid, &leaders));
            let users = &launched.users() | &(self.users)(&rid);
            let owner = Owner {
                id: id.unwrap_or_default(),
                older_ids: launched.ids(),
                path: self.id.is_none().then(|| self.path.to_string()),
                object: Some((self.path.clone(), self.paths.clone())),
                groups: groups.get(&rid).cloned().unwrap_or_default(),
                rid: rid.clone(),
                users,
                launched: leaders,
            };
            let mut found = scan.members(&owner);
            if found.is_empty() {
                launched.forget(&owner.launched);
            }
            found.retain(|process| !own_line.contains(&process.pid));
            if !found.is_empty() {
                left.insert(rid, found);
            }
        }
        left
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// What does not end is named.
    pub(crate) fn end(&self, tell: impl Fn(&str)) -> Result<(), String> {
        let of = std::cell::RefCell::new(BTreeMap::new());
        let all = || {
            let left = self.find();
            let each = left.iter().flat_map(|(rid, all)| all.iter().map(move |it| (it.pid, rid)));
            of.borrow_mut().extend(each.map(|(pid, rid)| (pid, rid.clone())));
            left.into_values().flatten().collect()
        };
        let rid = |pid: u32| of.borrow().get(&pid).cloned().unwrap_or_default();
        let tell = |process: &Process| {
            let pid = process.pid;
            tell(&format!("kill {pid}, started for {}", rid(pid)));
        };
        let manner = Manner { grace: Duration::ZERO, first: &|_| vec![] };
        ending::end(all, manner, tell).map_err(|left| {
            let mut named = Left::new();
            for process in left {
                named.entry(rid(process.pid)).or_default().push(process);
            }
            ending::told(&crate::leftovers::named(&named))
        })
    }
}

/// What sections that are gone started, and runs on, with its processes. It is `warn`: nobody starts the object beside it,
/// and a stop has something to stop.
pub(crate) fn of_removed(
    host: &Host,
    instance: &Instance,
) -> Vec<(String, ResourceStatus, BTreeSet<u32>)> {
    let is_removed = |rid: &str| instance.resource(rid).is_none();
    if !launched_for(&instance.var_dir).iter().any(|rid| is_removed(rid)) {
        return vec![];
    }
    let search = Search {
        paths: &host.paths,
        path: &instance.path,
        id: Some(instance.id.as_str()).filter(|id| !id.is_empty()),
        cgroups: &host.cgroups,
        scan: None,
        is_meant: &is_removed,
        users: &|_| BTreeSet::new(),
    };
    let status = |rid: &str, found: &[Process]| {
        let line = format!(
            "error: its section is gone, and what it started runs on: {}: `om {} stop` ends it, too",
            pids(found),
            instance.path
        );
        let driver = rid.split('#').next().unwrap_or(rid).to_owned();
        let settings = ResourceSettings { driver, ..ResourceSettings::default() };
        let report = ResourceReport {
            status: Status::Warn,
            label: "removed section".to_owned(),
            log: vec![line],
            ..ResourceReport::default()
        };
        monitor::resource_status(Timestamp::NEVER, &settings, report)
    };
    let found = search.find().into_iter();
    found
        .map(|(rid, all)| (rid.clone(), status(&rid, &all), all.iter().map(|it| it.pid).collect()))
        .collect()
}

/// `app#1: 12 34`.
pub(crate) fn named(left: &Left) -> String {
    let each = left.iter().map(|(rid, processes)| format!("{rid}: {}", pids(processes)));
    each.collect::<Vec<_>>().join(", ")
}

/// What an operator is told, by object.
pub type Told = BTreeMap<ObjectPath, String>;

/// Looks for what is left of these objects, and with `is_all` of all that have a folder and no configuration. Blocks.
pub fn look(
    paths: &Paths,
    objects: &SharedMap<LoadedObject>,
    changed: BTreeSet<ObjectPath>,
    is_all: bool,
) -> Told {
    let gone = is_all.then(|| folders(paths)).into_iter().flatten();
    let gone = gone.filter(|path| !objects.contains_key(path));
    let all: BTreeSet<ObjectPath> = changed.into_iter().chain(gone).collect();
    let is_meant = |path: &ObjectPath| {
        // What never had a resource here left nothing.
        path.kind().has_instances() && resource_folders(&paths.var_dir(path)).next().is_some()
    };
    let mut instances = all.into_iter().filter(is_meant).peekable();
    if instances.peek().is_none() {
        return Told::new();
    }
    // One look at all processes does for all objects.
    let (cgroups, scan) = (Cgroups::detect(), Scan::new());
    let told = instances.filter_map(|path| {
        let object = objects.get(&path).map(|object| &**object);
        let search = Search {
            paths,
            path: &path,
            id: None,
            cgroups: &cgroups,
            scan: Some(&scan),
            is_meant: &|_| true,
            users: &|_| BTreeSet::new(),
        };
        let text = told(search, object)?;
        Some((path, text))
    });
    told.collect()
}

fn told(search: Search<'_>, object: Option<&LoadedObject>) -> Option<String> {
    let path = search.path;
    let folder = search.paths.var_dir(path);
    let conf = object.map(LoadedObject::conf);
    let ini = conf.as_ref().map(|conf| conf.ini());
    let id = ini.and_then(|ini| ini.get("DEFAULT", "id")).map(str::to_owned);
    let configured: BTreeSet<&str> = ini.iter().flat_map(|ini| ini.sections()).collect();
    let is_meant = |rid: &str| !configured.contains(rid);
    let left = Search { id: id.as_deref(), is_meant: &is_meant, ..search }.find();
    let mut lines: Vec<String> = vec![];
    if !left.is_empty() {
        lines.push(named(&left));
    }
    if may_have_containers(&folder, is_meant) {
        let journal = Journal::new(path);
        let found = left::of_object(path, None, &journal, &is_meant);
        lines.extend(found.iter().map(ToString::to_string));
    }
    let lines = Some(lines.join(", ")).filter(|lines| !lines.is_empty())?;
    Some(match object {
        None => format!(
            "{path} has no configuration here, and what it started runs on: {lines}: end these processes, or put its \
             configuration back and stop it"
        ),
        Some(_) => format!(
            "{path}: what removed sections started runs on: {lines}: `om {path} stop` ends it, too"
        ),
    })
}

/// Whether a resource that is meant may have a container, by the folders of those that were evaluated.
pub(crate) fn may_have_containers(folder: &Path, is_meant: impl Fn(&str) -> bool) -> bool {
    container_rids(folder).any(|rid| is_meant(&rid))
}

/// The objects that have a folder.
fn folders(paths: &Paths) -> impl Iterator<Item = ObjectPath> + use<> {
    let names = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    };
    let spaces = paths.var.join("namespaces");
    let mut found: Vec<String> = vec![];
    for kind in ["svc", "vol"] {
        found.extend(names(paths.var.join(kind)).map(|name| format!("{kind}/{name}")));
        for space in names(spaces.clone()) {
            let in_space = names(spaces.join(&space).join(kind));
            found.extend(in_space.map(|name| format!("{space}/{kind}/{name}")));
        }
    }
    found.into_iter().filter_map(|path| ObjectPath::parse(&path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_launched_is_left_until_it_is_configured_or_ends() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let path = ObjectPath::parse("web").unwrap();
        let mut sleep = std::process::Command::new("/usr/bin/setsid");
        sleep
            .args(["/bin/sleep", "1000.75"])
            .env("OPENSVC_SVC_ID", "3")
            .env("OPENSVC_RID", "app#1");
        let mut child = sleep.spawn().unwrap();
        let line = format!("/proc/{}/cmdline", child.id());
        while !std::fs::read_to_string(&line).is_ok_and(|line| line.starts_with("/bin/sleep")) {
            std::thread::yield_now();
        }
        let launched = Launched::of(&paths.var_dir(&path).join("app#1"));
        launched.add(child.id(), &Owner::default()).unwrap();
        let (cgroups, users) = (Cgroups::none(), |_: &str| BTreeSet::new());
        let search = |id, is_meant| Search {
            paths: &paths,
            path: &path,
            id,
            cgroups: &cgroups,
            scan: None,
            is_meant,
            users: &users,
        };
        let left = search(None, &|_: &str| true).find();
        assert_eq!(named(&left), format!("app#1: {}", child.id()));
        assert!(search(None, &|rid: &str| rid != "app#1").find().is_empty());
        let told = look(&paths, &SharedMap::default(), BTreeSet::new(), true);
        let line = told.get(&path).unwrap();
        assert!(
            line.contains("has no configuration here") && line.contains(&named(&left)),
            "{line}"
        );
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        search(Some("3"), &|_: &str| true).end(|_| {}).unwrap();
        reaper.join().unwrap();
        assert!(look(&paths, &SharedMap::default(), BTreeSet::new(), true).is_empty());
    }

    #[test]
    fn what_bears_the_path_of_an_object_is_left_of_it_whatever_was_noted() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let path = ObjectPath::parse("left1/svc/web").unwrap();
        // Its launcher ended, and it is the leader of a session of its own.
        let mut sleep = std::process::Command::new("/usr/bin/setsid");
        sleep
            .args(["/bin/sleep", "1000.76"])
            .env("OPENSVC_SVC_ID", "an id of before")
            .env("OPENSVC_SVCPATH", path.as_str())
            .env("OPENSVC_RID", "app#1");
        let mut child = sleep.spawn().unwrap();
        let line = format!("/proc/{}/cmdline", child.id());
        while !std::fs::read_to_string(&line).is_ok_and(|line| line.starts_with("/bin/sleep")) {
            std::thread::yield_now();
        }
        // Its resource was evaluated once.
        std::fs::create_dir_all(paths.var_dir(&path).join("app#1")).unwrap();
        let told = look(&paths, &SharedMap::default(), BTreeSet::new(), true);
        let line = told.get(&path).unwrap();
        assert!(line.contains(&format!("app#1: {}", child.id())), "{line}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(look(&paths, &SharedMap::default(), BTreeSet::new(), true).is_empty());
    }
}
