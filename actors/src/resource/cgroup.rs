//! Process groups: the control groups in which the processes of an instance run, keywords `create_pg` and `pg_*`.
//!
//! A group per object, resource set and resource, one in the other, so that each can have caps and each can be looked at:
//! `opensvc.slice[/<namespace>.slice]/<name>.slice/<set>.slice/<rid>.slice`, with dots for `#` and `:`, as deployed agents
//! have them. With cgroup v1, in the hierarchy of each controller. A deployed agent puts the caps of a named subset in a
//! folder `app:g.slice` beside the `app.g.slice` in which the processes are: here they are in the same.
//!
//! Nothing is refused for want of control groups: who asked for caps is told once that there are none.

mod caps;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use conf::{Ini, ObjectConf};
use model::{ObjectPath, ResourceId};

use super::driver::Scene;
use super::instance::Instance;
use super::journal::Journal;
use crate::paths::Paths;
use caps::{Caps, Now, Version};

/// Controllers whose hierarchies a process enters with cgroup v1, as deployed agents have them.
const CONTROLLERS: [&str; 13] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "perf_event",
    "pids",
    "rdma",
    "systemd",
];

/// Controllers given to the groups with cgroup v2.
const DELEGATED: [&str; 5] = ["cpuset", "cpu", "io", "memory", "pids"];

/// Files whose presence says that we are in a container, where deployed agents leave control groups alone.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Where the kernel shows control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hierarchy {
    /// Nowhere, or not for us.
    None,
    /// A hierarchy per controller, mounted there.
    Split(BTreeMap<&'static str, PathBuf>),
    /// One hierarchy, mounted there.
    Unified(PathBuf),
}

/// The control groups of the node.
#[derive(Debug)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    /// Somebody was told that they cannot be used.
    is_told: AtomicBool,
}

impl Cgroups {
    /// Those of this node; none in a container.
    #[must_use]
    pub fn detect() -> Self {
        if CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()) {
            return Self::none();
        }
        Self::mounted()
    }

    /// Those mounted here, in a container or not.
    #[must_use]
    pub fn mounted() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        Self::with(hierarchy(&mounts))
    }

    /// No control groups at all.
    #[must_use]
    pub fn none() -> Self {
        Self::with(Hierarchy::None)
    }

    /// A cgroup v2 hierarchy mounted at `root`.
    #[must_use]
    pub fn unified(root: impl Into<PathBuf>) -> Self {
        Self::with(Hierarchy::Unified(root.into()))
    }

    fn with(hierarchy: Hierarchy) -> Self {
        Self { hierarchy, is_told: AtomicBool::new(false) }
    }

    /// Where the hierarchy of a controller is mounted, or the only hierarchy.
    #[must_use]
    pub fn root(&self, controller: &str) -> Option<&Path> {
        match &self.hierarchy {
            Hierarchy::None => None,
            Hierarchy::Split(mounts) => mounts.get(controller).map(PathBuf::as_path),
            Hierarchy::Unified(root) => Some(root),
        }
    }

    /// All roots, each once.
    fn roots(&self) -> BTreeSet<&Path> {
        match &self.hierarchy {
            Hierarchy::None => BTreeSet::new(),
            Hierarchy::Split(mounts) => mounts.values().map(PathBuf::as_path).collect(),
            Hierarchy::Unified(root) => [root.as_path()].into(),
        }
    }

    fn version(&self) -> Version {
        match self.hierarchy {
            Hierarchy::Split(_) | Hierarchy::None => Version::One,
            Hierarchy::Unified(_) => Version::Two,
        }
    }

    /// Makes the groups of a resource with their caps. Returns the files to which a process writes itself to enter: none
    /// when there are no groups to enter.
    pub(crate) fn prepare(&self, scene: &Scene<'_>) -> Vec<PathBuf> {
        if self.hierarchy == Hierarchy::None || !is_wanted(scene.instance) {
            return vec![];
        }
        let groups = groups(scene);
        let Some(own) = groups.last().map(|group| group.folder.clone()) else { return vec![] };
        let mut entries = vec![];
        let mut refusal = None;
        for root in self.roots() {
            match self.make(root, &own) {
                Ok(()) => entries.push(root.join(&own).join("cgroup.procs")),
                Err(error) => refusal = Some(format!("{}: {error}", root.join(&own).display())),
            }
        }
        if let Some(refusal) = refusal.filter(|_| entries.is_empty()) {
            let is_capped = groups.iter().any(|group| !group.caps.is_empty());
            // Who asked for nothing misses nothing: an agent without privileges has no control groups at all.
            if is_capped && !self.is_told.swap(true, Ordering::Relaxed) {
                scene.journal.warn(format_args!("process group: caps are not set: {refusal}"));
            } else {
                scene.journal.debug(format_args!("process group: {refusal}"));
            }
            return entries;
        }
        for group in &groups {
            let mut complaints = group.complaints.clone();
            self.apply(group, scene.journal, &mut complaints);
            for complaint in complaints {
                scene.journal.warn(format_args!("process group: {complaint}"));
            }
        }
        entries
    }

    /// Makes the folders, each able to have what its parent has.
    fn make(&self, root: &Path, folder: &Path) -> io::Result<()> {
        let mut group = root.to_owned();
        for name in folder.components() {
            if self.version() == Version::Two {
                delegate(&group);
            }
            let parent = group.clone();
            group.push(name);
            match std::fs::create_dir(&group) {
                // A new group of processors is empty, and takes no process.
                Ok(()) => ["cpuset.cpus", "cpuset.mems"].iter().for_each(|file| {
                    if self.version() == Version::One
                        && let Ok(value) = std::fs::read_to_string(parent.join(file))
                    {
                        _ = put(&group.join(file), value.trim());
                    }
                }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn apply(&self, group: &Group, journal: &Journal, complaints: &mut Vec<String>) {
        if group.caps.is_empty() {
            return;
        }
        let file = |controller: &str, file: &str| {
            self.root(controller).map(|root| root.join(&group.folder).join(file))
        };
        let number = |controller, name| -> Option<u64> {
            std::fs::read_to_string(file(controller, name)?).ok()?.trim().parse().ok()
        };
        let now = Now {
            period_us: number("cpu", "cpu.cfs_period_us").unwrap_or(100_000),
            processors: u64::try_from(crate::config::processors()).unwrap_or(1),
            vmem_limit: number("memory", "memory.memsw.limit_in_bytes"),
            mem_limit: number("memory", "memory.limit_in_bytes"),
        };
        let (writes, refused) = group.caps.writes(self.version(), &now);
        complaints.extend(refused);
        for write in writes {
            let Some(file) = file(write.controller, write.file) else {
                complaints.push(format!("{}: no such controller here", write.file));
                continue;
            };
            let is_so =
                std::fs::read_to_string(&file).is_ok_and(|text| is_same(&text, &write.value));
            if is_so {
                continue;
            }
            match put(&file, &write.value) {
                Ok(()) => journal.info(format_args!("{} > {}", write.value, file.display())),
                Err(error) => {
                    complaints.push(format!("{} > {}: {error}", write.value, file.display()));
                }
            }
        }
    }

    /// The group that keeps the processes of a resource from running, if one of its groups is frozen.
    pub(crate) fn frozen(&self, scene: &Scene<'_>) -> Option<String> {
        let root = self.root("freezer")?;
        let is_frozen = |folder: &Path| match self.version() {
            Version::One => std::fs::read_to_string(root.join(folder).join("freezer.state"))
                .is_ok_and(|state| matches!(state.trim(), "FROZEN" | "FREEZING")),
            Version::Two => std::fs::read_to_string(root.join(folder).join("cgroup.freeze"))
                .is_ok_and(|state| state.trim() == "1"),
        };
        if !is_wanted(scene.instance) {
            return None;
        }
        let rid = &scene.resource.rid;
        folders(&scene.instance.path, &scene.resource.set(), rid)
            .into_iter()
            .find(|folder| is_frozen(folder))
            .map(|folder| folder.display().to_string())
    }

    /// Removes the groups of an instance that no process is in.
    pub(crate) fn remove(&self, instance: &Instance) {
        let folder = object_folder(&instance.path);
        for root in self.roots() {
            remove_empty(&root.join(&folder));
        }
    }

    /// The folders of the groups of a resource, in each hierarchy, whether they are there or not. Only root makes them,
    /// and puts processes into them. Agents under private roots of their own would share them: they have none.
    pub(crate) fn folders(&self, scene: &Scene<'_>) -> Vec<PathBuf> {
        if !is_wanted(scene.instance) || *scene.host.paths != Paths::packaged() {
            return vec![];
        }
        let resource = scene.resource;
        let [.., own] = folders(&scene.instance.path, &resource.set(), &resource.rid);
        self.roots().into_iter().map(|root| root.join(&own)).collect()
    }

    /// The folders of the groups of an object that are there, by resource, whatever is configured. As with [`Self::folders`],
    /// private roots have none. A container's tool looks after what is in its groups.
    pub(crate) fn found(&self, paths: &Paths, path: &ObjectPath) -> BTreeMap<String, Vec<PathBuf>> {
        let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        if *paths != Paths::packaged() {
            return found;
        }
        let below = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        };
        for root in self.roots() {
            for set in below(&root.join(object_folder(path))) {
                for entry in below(&set.path()) {
                    let name = entry.file_name();
                    let rid = name.to_str().and_then(rid_of);
                    if let Some(rid) = rid.filter(|rid| !rid.starts_with("container#")) {
                        found.entry(rid).or_default().push(entry.path());
                    }
                }
            }
        }
        found
    }

    /// The parent of the groups of a container, for its tool: from the root of the hierarchy.
    pub(crate) fn parent(&self, scene: &Scene<'_>) -> Option<String> {
        if self.hierarchy == Hierarchy::None || !is_wanted(scene.instance) {
            return None;
        }
        let resource = scene.resource;
        let [.., own] = folders(&scene.instance.path, &resource.set(), &resource.rid);
        Some(format!("/{}", own.display()))
    }
}

/// Keyword `create_pg`.
fn is_wanted(instance: &Instance) -> bool {
    instance.section("DEFAULT").tristate("create_pg").ok().flatten().unwrap_or(true)
}

/// A group and what it is allowed.
struct Group {
    folder: PathBuf,
    caps: Caps,
    complaints: Vec<String>,
}

/// The groups of a resource, from the outermost.
fn groups(scene: &Scene<'_>) -> Vec<Group> {
    let instance = scene.instance;
    let set = scene.resource.set();
    let group = |folder, conf: &ObjectConf, section: &str| {
        let mut complaints = vec![];
        let caps = Caps::read(&conf.section(&instance.context, section), &mut complaints);
        Group { folder, caps, complaints }
    };
    let mut groups = vec![];
    if let Some(conf) = namespace(scene) {
        groups.push(group(namespace_folder(instance.path.namespace()), &conf, "DEFAULT"));
    }
    let rid = scene.resource.rid.as_str();
    let sections = ["DEFAULT".to_owned(), format!("subset#{set}"), rid.to_owned()];
    let folders = folders(&instance.path, &set, &scene.resource.rid);
    groups.extend(
        folders
            .into_iter()
            .zip(sections)
            .map(|(folder, section)| group(folder, &instance.conf, &section)),
    );
    groups
}

/// The configuration of the namespace, if it has one.
fn namespace(scene: &Scene<'_>) -> Option<ObjectConf> {
    let name = scene.instance.path.namespace().unwrap_or("root");
    let path = ObjectPath::parse(&format!("{name}/nscfg/namespace")).ok()?;
    let text = crate::regular::read_text(&scene.host.paths.config_file(&path)).ok()?;
    Some(ObjectConf::new(path, Ini::parse(&text).ok()?))
}

fn namespace_folder(namespace: Option<&str>) -> PathBuf {
    let mut folder = PathBuf::from("opensvc.slice");
    folder.extend(namespace.map(|namespace| format!("{namespace}.slice")));
    folder
}

fn object_folder(path: &ObjectPath) -> PathBuf {
    namespace_folder(path.namespace()).join(format!("{}.slice", path.name()))
}

/// The folders of the object, of the set and of the resource.
fn folders(path: &ObjectPath, set: &str, rid: &ResourceId) -> [PathBuf; 3] {
    let name = |text: &str| format!("{}.slice", text.replace([':', '#', '/'], "."));
    let object = object_folder(path);
    let of_set = object.join(name(set));
    let of_resource = of_set.join(name(rid.as_str()));
    [object, of_set, of_resource]
}

/// The resource whose group has this name.
fn rid_of(name: &str) -> Option<String> {
    let (group, index) = name.strip_suffix(".slice")?.split_once('.')?;
    (!group.is_empty() && !index.is_empty()).then(|| format!("{group}#{index}"))
}

/// Reads `/proc/self/mounts`.
fn hierarchy(mounts: &str) -> Hierarchy {
    let mut split = BTreeMap::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[_, root, kind, options, ..] = fields.as_slice() else { continue };
        if kind == "cgroup2" && root == "/sys/fs/cgroup" {
            return Hierarchy::Unified(root.into());
        }
        if kind != "cgroup" {
            continue;
        }
        let words: BTreeSet<&str> = options.split([',', '=']).collect();
        for controller in CONTROLLERS.into_iter().filter(|controller| words.contains(controller)) {
            split.entry(controller).or_insert_with(|| root.into());
        }
    }
    if split.is_empty() { Hierarchy::None } else { Hierarchy::Split(split) }
}

/// Lets the children of a group have its controllers, one by one: one that is busy elsewhere keeps no other back.
fn delegate(group: &Path) {
    let words = |file: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(group.join(file)).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let missing = &words("cgroup.controllers") - &words("cgroup.subtree_control");
    for controller in DELEGATED.into_iter().filter(|controller| missing.contains(*controller)) {
        _ = put(&group.join("cgroup.subtree_control"), &format!("+{controller}"));
    }
}

/// Writes to a file of the kernel, in one piece. It is there or not: never made.
fn put(file: &Path, value: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// Whether a file says so already. `memory.oom_control` shows more than what is written there.
fn is_same(text: &str, value: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let shown = first.strip_prefix("oom_kill_disable ").unwrap_or(first);
    shown.trim() == value
}

fn remove_empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // Refused while a process is in.
    _ = std::fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_resource_are_one_in_the_other() {
        let told = |path: &str, set: &str, rid: &str| {
            let (path, rid) = (ObjectPath::parse(path).unwrap(), ResourceId::new(rid).unwrap());
            folders(&path, set, &rid).map(|folder| folder.display().to_string())
        };
        assert_eq!(
            told("svc1", "app", "app#1"),
            [
                "opensvc.slice/svc1.slice",
                "opensvc.slice/svc1.slice/app.slice",
                "opensvc.slice/svc1.slice/app.slice/app.1.slice",
            ]
        );
        assert_eq!(
            told("ns1/svc/svc1", "app:g", "app#a")[2],
            "opensvc.slice/ns1.slice/svc1.slice/app.g.slice/app.a.slice"
        );
        // Whatever an operator calls a subset, it stays inside.
        assert_eq!(
            told("svc1", "app:../../x", "app#1")[1],
            "opensvc.slice/svc1.slice/app.......x.slice"
        );
    }

    #[test]
    fn a_group_names_its_resource() {
        assert_eq!(rid_of("app.1.slice").as_deref(), Some("app#1"));
        assert_eq!(rid_of("app.a.b.slice").as_deref(), Some("app#a.b"));
        assert_eq!((rid_of("app.slice"), rid_of("app.1")), (None, None));
    }

    #[test]
    fn hierarchies_are_read_from_the_mounts() {
        assert_eq!(hierarchy("proc /proc proc rw 0 0\n"), Hierarchy::None);
        let split = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                     cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let both = PathBuf::from("/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(
            hierarchy(split),
            Hierarchy::Split(
                [
                    ("cpu", both.clone()),
                    ("cpuacct", both),
                    ("systemd", "/sys/fs/cgroup/systemd".into())
                ]
                .into()
            )
        );
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(hierarchy(unified), Hierarchy::Unified("/sys/fs/cgroup".into()));
    }

    #[test]
    fn a_value_that_is_there_already_is_not_written() {
        assert!(is_same("67108864\n", "67108864"));
        assert!(is_same("oom_kill_disable 1\nunder_oom 0\n", "1"));
        assert!(!is_same("0\n", "1"));
        assert!(is_same("default 100\n8:0 50\n", "default 100"));
    }
}
