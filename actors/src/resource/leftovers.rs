//! What runs on although nothing is configured any more that it was started for: a section was removed, or the object.
//!
//! Known by what was noted when it was launched, and by the marks that it bears, whatever the configuration says now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::ObjectPath;
use rustix::process::Signal;

use super::launched::{self, Launched};
use super::processes::{Owner, Process, ProcessTable};
use crate::cluster_data::SharedMap;
use crate::config::LoadedObject;
use crate::paths::Paths;

/// How long processes may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Processes that are left of an object, by the id of the resource that they were started for.
pub(crate) type Left = BTreeMap<String, Vec<Process>>;

/// The resources that something was launched for, by the folders below that of an object.
fn launched_for(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    named
        .filter(|(rid, folder)| rid.contains('#') && folder.join(launched::FILE).exists())
        .collect()
}

/// What is left of an object, of whose resources these are configured. Without `id`, what was
/// launched tells it.
pub(crate) fn of_object(
    paths: &Paths,
    path: &ObjectPath,
    id: Option<&str>,
    configured: &BTreeSet<&str>,
) -> Left {
    let gone = launched_for(&paths.var_dir(path)).into_iter();
    let gone = gone.filter(|(rid, _)| !configured.contains(rid.as_str()));
    let found = gone.filter_map(|(rid, folder)| {
        let launched = Launched::of(&folder);
        let leaders = launched.read();
        let id = id.map(str::to_owned).or_else(|| ProcessTable::id_of(&rid, &leaders));
        let owner = Owner {
            id: id.unwrap_or_default(),
            rid: rid.clone(),
            launched: leaders,
            ..Owner::default()
        };
        let found = ProcessTable::all(&owner);
        if found.is_empty() {
            launched.forget(&owner.launched);
        }
        (!found.is_empty()).then_some((rid, found))
    });
    found.collect()
}

/// Ends what is left of an object. What does not end is named.
pub(crate) fn end(
    paths: &Paths,
    path: &ObjectPath,
    id: &str,
    configured: &BTreeSet<&str>,
    tell: impl Fn(&str),
) -> Result<(), String> {
    let since = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut signalled = BTreeSet::new();
    loop {
        let left = of_object(paths, path, Some(id), configured);
        if left.is_empty() {
            return Ok(());
        }
        for (rid, process) in left.iter().flat_map(|(rid, all)| all.iter().map(move |it| (rid, it)))
        {
            if signalled.insert((process.pid, process.start)) {
                tell(&format!(
                    "kill {}, started for {rid}, which is not configured any more",
                    process.pid
                ));
                // Gone meanwhile: it is not found again.
                _ = process.signal(Signal::TERM);
            }
        }
        if since.elapsed() >= PATIENCE {
            return Err(format!("still running {PATIENCE:?} after SIGTERM: {}", named(&left)));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// `app#1: 12 34`.
pub(crate) fn named(left: &Left) -> String {
    let each = left.iter().map(|(rid, processes)| {
        let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
        format!("{rid}: {}", pids.join(" "))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What an operator is told, by object.
pub(crate) type Told = BTreeMap<ObjectPath, String>;

/// Looks for what is left of these objects, and with `is_all` of all that have a folder and no configuration. Blocks.
pub(crate) fn look(
    paths: &Paths,
    objects: &SharedMap<LoadedObject>,
    changed: impl IntoIterator<Item = ObjectPath>,
    is_all: bool,
) -> Told {
    let gone = is_all.then(|| folders(paths)).into_iter().flatten();
    let gone = gone.filter(|path| !objects.contains_key(path));
    let all: BTreeSet<ObjectPath> = changed.into_iter().chain(gone).collect();
    let instances = all.into_iter().filter(|path| path.kind().has_instances());
    let told = instances.filter_map(|path| {
        let text = told(paths, &path, objects.get(&path).map(|object| &**object))?;
        Some((path, text))
    });
    told.collect()
}

fn told(paths: &Paths, path: &ObjectPath, object: Option<&LoadedObject>) -> Option<String> {
    if launched_for(&paths.var_dir(path)).is_empty() {
        return None;
    }
    let Some(object) = object else {
        let left = of_object(paths, path, None, &BTreeSet::new());
        return (!left.is_empty()).then(|| {
            format!(
                "{path} has no configuration here, and what it started runs on: {}: end these processes, or put its \
                 configuration back and stop it",
                named(&left)
            )
        });
    };
    let conf = object.conf();
    let id = conf.ini().get("DEFAULT", "id").map(str::to_owned);
    let configured: BTreeSet<&str> = conf.ini().sections().collect();
    let left = of_object(paths, path, id.as_deref(), &configured);
    (!left.is_empty()).then(|| {
        format!(
            "{path}: what removed sections started runs on: {}: `om {path} stop` ends it, too",
            named(&left)
        )
    })
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
        Launched::of(&paths.var_dir(&path).join("app#1")).add(child.id()).unwrap();
        let left = of_object(&paths, &path, None, &BTreeSet::new());
        assert_eq!(named(&left), format!("app#1: {}", child.id()));
        assert!(of_object(&paths, &path, None, &BTreeSet::from(["app#1"])).is_empty());
        let told = look(&paths, &SharedMap::default(), [], true);
        let line = told.get(&path).unwrap();
        assert!(
            line.contains("has no configuration here") && line.contains(&named(&left)),
            "{line}"
        );
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        end(&paths, &path, "3", &BTreeSet::new(), |_| {}).unwrap();
        reaper.join().unwrap();
        assert!(look(&paths, &SharedMap::default(), [], true).is_empty());
    }
}
