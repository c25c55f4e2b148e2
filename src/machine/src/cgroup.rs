//! Control groups: where the kernel shows them, which ones are an object's, and what the processes in them use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::ObjectPath;

use crate::kernel;

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

/// Holds the groups of all services.
pub const TOP: &str = "opensvc.slice";

/// Where the kernel shows control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// Nowhere, or not for us.
    None,
    /// A hierarchy per controller, mounted there.
    Split(BTreeMap<&'static str, PathBuf>),
    /// One hierarchy, mounted there.
    Unified(PathBuf),
}

impl Hierarchy {
    /// What is mounted here.
    #[must_use]
    pub fn mounted() -> Self {
        hierarchy(&kernel::text("/proc/self/mounts").unwrap_or_default())
    }

    /// Where the hierarchy of a controller is mounted, or the only hierarchy.
    #[must_use]
    pub fn root(&self, controller: &str) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Split(mounts) => mounts.get(controller).map(PathBuf::as_path),
            Self::Unified(root) => Some(root),
        }
    }

    /// All roots, each once.
    #[must_use]
    pub fn roots(&self) -> BTreeSet<&Path> {
        match self {
            Self::None => BTreeSet::new(),
            Self::Split(mounts) => mounts.values().map(PathBuf::as_path).collect(),
            Self::Unified(root) => [root.as_path()].into(),
        }
    }

    /// What the processes of an object use; none if it has no group.
    #[must_use]
    pub fn usage(&self, path: &ObjectPath) -> Option<Usage> {
        let folder = object_folder(path);
        let text = |controller: &str, file: &str| {
            std::fs::read_to_string(self.root(controller)?.join(&folder).join(file)).ok()
        };
        let number = |controller: &str, file: &str| -> Option<u64> {
            text(controller, file)?.trim().parse().ok()
        };
        let (cpu_seconds, memory) = match self {
            Self::None => return None,
            Self::Split(_) => {
                let nanoseconds: f64 = text("cpuacct", "cpuacct.usage")?.trim().parse().ok()?;
                (nanoseconds / 1e9, number("memory", "memory.usage_in_bytes"))
            }
            Self::Unified(_) => {
                let cpu = text("cpu", "cpu.stat")?;
                let used = cpu.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                (used.parse::<f64>().ok()? / 1e6, number("memory", "memory.current"))
            }
        };
        let tasks = number("pids", "pids.current").unwrap_or(0);
        Some(Usage { cpu_seconds, memory: memory.unwrap_or(0), tasks })
    }
}

/// What the processes of an object use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Processor time.
    pub cpu_seconds: f64,
    /// Bytes of memory.
    pub memory: u64,
    /// Processes and threads.
    pub tasks: u64,
}

/// The folder of the groups of a namespace, in a hierarchy.
#[must_use]
pub fn namespace_folder(namespace: Option<&str>) -> PathBuf {
    let mut folder = PathBuf::from(TOP);
    folder.extend(namespace.map(|namespace| format!("{namespace}.slice")));
    folder
}

/// The folder of the groups of an object, in a hierarchy.
#[must_use]
pub fn object_folder(path: &ObjectPath) -> PathBuf {
    namespace_folder(path.namespace()).join(format!("{}.slice", path.name()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_usage_of_an_object_is_read_from_its_groups() {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let path = ObjectPath::parse("ns1/svc/svc1").unwrap();
        let unified = Hierarchy::Unified(folder.path().join("unified"));
        assert_eq!(unified.usage(&path), None);
        let own = "opensvc.slice/ns1.slice/svc1.slice";
        put(&format!("unified/{own}/cpu.stat"), "usage_usec 1500000\nuser_usec 1000000\n");
        put(&format!("unified/{own}/memory.current"), "4096\n");
        let used = Usage { cpu_seconds: 1.5, memory: 4096, tasks: 0 };
        assert_eq!(unified.usage(&path), Some(used));
        let mount = |controller: &'static str| (controller, folder.path().join(controller));
        let split = Hierarchy::Split(["cpuacct", "memory", "pids"].map(mount).into());
        put(&format!("cpuacct/{own}/cpuacct.usage"), "1500000000\n");
        put(&format!("memory/{own}/memory.usage_in_bytes"), "4096\n");
        put(&format!("pids/{own}/pids.current"), "3\n");
        assert_eq!(split.usage(&path), Some(Usage { tasks: 3, ..used }));
        assert_eq!(Hierarchy::None.usage(&path), None);
    }
}
