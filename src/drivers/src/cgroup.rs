//! Process groups: the control groups in which the processes of an instance run, keywords `create_pg` and `pg_*`.
//!
//! A group per object, resource set and resource, one in the other, so that each can have caps and each can be looked at:
//! `opensvc.slice[/<namespace>.slice]/<name>.slice/<set>.slice/<rid>.slice`, with dots for `#` and `:`, as deployed agents
//! have them. With cgroup v1, in the hierarchy of each controller. A deployed agent puts the caps of a named subset in a
//! folder `app:g.slice` beside the `app.g.slice` in which the processes are: here they are in the same.
//!
//! Nothing is refused for want of control groups: who asked for caps is told once that there are none.

pub(crate) mod caps;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use model::{ObjectPath, ResourceId};

use crate::cgroup::caps::Version;
use machine::cgroup::{Hierarchy, TOP, object_folder};
use machine::paths::Paths;

/// Files whose presence says that we are in a container, where deployed agents leave control groups alone.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// The control groups of the node.
#[derive(Debug)]
pub struct Cgroups {
    pub(crate) hierarchy: Hierarchy,
    /// Somebody was told that they cannot be used.
    pub(crate) is_told: AtomicBool,
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
        Self::with(Hierarchy::mounted())
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
        self.hierarchy.root(controller)
    }

    /// All roots, each once.
    pub(crate) fn roots(&self) -> BTreeSet<&Path> {
        self.hierarchy.roots()
    }

    pub(crate) fn version(&self) -> Version {
        match self.hierarchy {
            Hierarchy::Split(_) | Hierarchy::None => Version::One,
            Hierarchy::Unified(_) => Version::Two,
        }
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

    /// Leaves the groups of the service in whose shell this process was started.
    pub fn leave(&self) {
        let groups = machine::kernel::text("/proc/self/cgroup").unwrap_or_default();
        let left: BTreeSet<&Path> = groups.lines().filter_map(above_services).collect();
        for (root, above) in
            self.roots().into_iter().flat_map(|root| left.iter().map(move |it| (root, it)))
        {
            // With several hierarchies, a folder of one may not be in another.
            _ = put(&root.join(above).join("cgroup.procs"), "0");
        }
    }
}

/// What holds the groups of all services, where a line of `/proc/<pid>/cgroup` names one of them.
fn above_services(line: &str) -> Option<&Path> {
    let group = Path::new(line.splitn(3, ':').nth(2)?.trim_start_matches('/'));
    group.ancestors().filter(|folder| folder.ends_with(TOP)).last()?.parent()
}

/// The folders of the object, of the set and of the resource.
pub(crate) fn folders(path: &ObjectPath, set: &str, rid: &ResourceId) -> [PathBuf; 3] {
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

/// Writes to a file of the kernel, in one piece. It is there or not: never made.
pub(crate) fn put(file: &Path, value: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
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
    fn what_holds_the_groups_of_services_is_above_them() {
        let above = |line| above_services(line).map(|folder| folder.display().to_string());
        let own = "9:pids:/opensvc.slice/t.slice/web.slice/app.slice/app.1.slice";
        assert_eq!(above(own).as_deref(), Some(""));
        assert_eq!(above("0::/machine/m1/opensvc.slice/web.slice").as_deref(), Some("machine/m1"));
        assert_eq!(above("0::/system.slice/opensvc-agent.service"), None);
    }
}
