//! The control groups of a resource: made with their caps, looked at, and removed.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use conf::{Ini, ObjectConf};
use model::ObjectPath;

use machine::cgroup::{Hierarchy, namespace_folder, object_folder};
use machine::paths::Paths;

use crate::cgroup::caps::{Caps, Now, Version};
use crate::cgroup::{Cgroups, folders, put};
use crate::driver::{Instance, Scene};
use crate::journal::Journal;

/// Controllers given to the groups with cgroup v2.
const DELEGATED: [&str; 5] = ["cpuset", "cpu", "io", "memory", "pids"];

impl Cgroups {
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
            processors: u64::try_from(machine::process::processors()).unwrap_or(1),
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
    let text = machine::regular::read_text(&scene.host.paths.config_file(&path)).ok()?;
    Some(ObjectConf::new(path, Ini::parse(&text).ok()?))
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
    fn a_value_that_is_there_already_is_not_written() {
        assert!(is_same("67108864\n", "67108864"));
        assert!(is_same("oom_kill_disable 1\nunder_oom 0\n", "1"));
        assert!(!is_same("0\n", "1"));
        assert!(is_same("default 100\n8:0 50\n", "default 100"));
    }
}
