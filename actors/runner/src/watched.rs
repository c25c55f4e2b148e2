//! What changes an instance without telling anybody: processes that end, files that come, change or go, addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use model::ObjectPath;
use tokio::task::AbortHandle;

use drivers::Watch;
use machine::watching;

use crate::unwatched::{Place, Unwatched};

/// Folders watched for files of instances.
pub(super) struct Folders {
    /// None: the system lets us watch nothing.
    watches: Option<inotify::Watches>,
    by_watch: HashMap<WatchDescriptor, Arc<Path>>,
    folders: HashMap<Arc<Path>, Folder>,
    /// What is looked at instead.
    pub(super) unwatched: Unwatched,
}

struct Folder {
    watch: WatchDescriptor,
    /// Whom the names in it concern, sorted. Most folders have one name: a map of sets takes ten times as much.
    names: Vec<(Box<OsStr>, Place)>,
}

impl Folder {
    fn add(&mut self, name: &OsStr, place: &Place) {
        if let Err(at) = self.position(name, place) {
            self.names.insert(at, (name.into(), place.clone()));
        }
    }

    fn remove(&mut self, name: &OsStr, place: &Place) {
        if let Ok(at) = self.position(name, place) {
            self.names.remove(at);
        }
    }

    fn position(&self, name: &OsStr, place: &Place) -> Result<usize, usize> {
        self.names.binary_search_by(|(known, concerned)| (&**known, concerned).cmp(&(name, place)))
    }

    fn concerned(&self, name: &OsStr) -> BTreeSet<Place> {
        let first = self.names.partition_point(|(known, _)| &**known < name);
        let named = self.names[first..].iter().take_while(|(known, _)| &**known == name);
        named.map(|(_, place)| place.clone()).collect()
    }
}

impl std::fmt::Debug for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folders").field("count", &self.folders.len()).finish()
    }
}

impl Folders {
    /// No folder, and nothing to watch any with.
    pub(super) fn new() -> Self {
        Self {
            watches: None,
            by_watch: HashMap::new(),
            folders: HashMap::new(),
            unwatched: Unwatched::default(),
        }
    }

    /// Watches with this; what was not watched is, as far as the system lets us.
    pub(super) fn watch_with(&mut self, inotify: &Inotify) {
        self.watches = Some(inotify.watches());
        self.try_again();
    }

    /// Whether anything can be watched.
    pub(super) fn is_able(&self) -> bool {
        self.watches.is_some()
    }

    /// The system does not watch for us any more.
    pub(super) fn lose(&mut self, reason: String) {
        self.watches = None;
        self.by_watch.clear();
        self.unwatched.reason = Some(reason);
    }

    /// Watches what is not watched, as far as the system lets us now.
    pub(super) fn try_again(&mut self) {
        for (file, place) in self.unwatched.take() {
            _ = self.add(&file, &place);
        }
    }

    /// Watches for a file: its folder, or the nearest one that exists, which it tells.
    fn add<'f>(&mut self, wanted: &'f Path, place: &Place) -> Option<&'f Path> {
        let Some(watches) = &mut self.watches else {
            self.unwatched.add(wanted, place, None);
            return None;
        };
        for file in wanted.ancestors() {
            let (folder, name) = (file.parent()?, file.file_name()?);
            if let Some(known) = self.folders.get_mut(folder) {
                known.add(name, place);
                return Some(folder);
            }
            let mask = WatchMask::CLOSE_WRITE
                | WatchMask::CREATE
                | WatchMask::DELETE
                | WatchMask::MOVED_TO
                | WatchMask::MOVED_FROM
                | WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::ONLYDIR;
            match watches.add(folder, mask) {
                Ok(watch) => {
                    let known: Arc<Path> = folder.into();
                    let names = vec![(name.into(), place.clone())];
                    self.by_watch.insert(watch.clone(), known.clone());
                    self.folders.insert(known, Folder { watch, names });
                    return Some(folder);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    log::debug!(folder:% = folder.display(), error:% = error; "not watched");
                    self.unwatched.add(wanted, place, Some(watching::reason(&error)));
                    return None;
                }
            }
        }
        None
    }

    /// The same for a file that may be watched for already: a folder nearer to it may have come. Its watch stays where none
    /// has, or what it told while the file was evaluated would be lost with it.
    fn renew(&mut self, file: &Path, place: &Place) {
        self.unwatched.remove(file, place);
        let nearest = self.add(file, place);
        self.leave(file, place, nearest);
    }

    /// Forgets what concerned a resource, and folders that concern nobody.
    fn remove(&mut self, file: &Path, place: &Place) {
        self.unwatched.remove(file, place);
        self.leave(file, place, None);
    }

    /// Takes a file out of the folders that are watched for it, but one.
    fn leave(&mut self, file: &Path, place: &Place, kept: Option<&Path>) {
        for file in file.ancestors() {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
            if kept == Some(folder) {
                continue;
            }
            let Some(known) = self.folders.get_mut(folder) else { continue };
            known.remove(name, place);
            if known.names.is_empty()
                && let Some(gone) = self.folders.remove(folder)
            {
                self.by_watch.remove(&gone.watch);
                // Fails when the folder itself is gone.
                _ = self.watches.as_mut().map(|watches| watches.remove(gone.watch));
            }
        }
    }

    /// Whom an event concerns; none for everybody: events were lost.
    pub(super) fn concerned(
        &mut self,
        event: &inotify::Event<OsString>,
    ) -> Option<BTreeSet<Place>> {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return None;
        }
        let Some(folder) = self.by_watch.get(&event.wd) else { return Some(BTreeSet::new()) };
        let Some(known) = self.folders.get(folder) else { return Some(BTreeSet::new()) };
        if event.mask.intersects(EventMask::DELETE_SELF | EventMask::IGNORED | EventMask::UNMOUNT) {
            let folder = folder.clone();
            self.by_watch.remove(&event.wd);
            let gone = self.folders.remove(&folder);
            return Some(
                gone.into_iter().flat_map(|gone| gone.names).map(|(_, place)| place).collect(),
            );
        }
        Some(event.name.as_ref().map_or_else(BTreeSet::new, |name| known.concerned(name)))
    }
}

/// What is watched of each instance.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What the last evaluations asked for, where that is something.
    known: BTreeMap<ObjectPath, Known>,
    /// Followed processes: by object, resource and process id, the task that follows it.
    processes: BTreeMap<ObjectPath, BTreeMap<(String, u32), AbortHandle>>,
}

/// A [`Watch`] as it is kept: a map of sets has room for eleven times eleven, and most instances watch one file.
#[derive(Debug, Default)]
struct Known {
    pids: Box<[(Box<str>, u32)]>,
    files: Box<[(Box<str>, Box<Path>)]>,
}

impl Known {
    fn new(watch: &Watch) -> Self {
        let pids = watch
            .pids
            .iter()
            .flat_map(|(rid, pids)| pids.iter().map(|pid| (rid.as_str().into(), *pid)));
        let files = watch.files.iter().flat_map(|(rid, files)| {
            files.iter().map(|file| (rid.as_str().into(), file.as_path().into()))
        });
        Self { pids: pids.collect(), files: files.collect() }
    }

    fn to_watch(&self) -> Watch {
        let mut watch = Watch::default();
        for (rid, pid) in &self.pids {
            watch.pids.entry(rid.to_string()).or_default().insert(*pid);
        }
        for (rid, file) in &self.files {
            watch.files.entry(rid.to_string()).or_default().insert(file.to_path_buf());
        }
        watch
    }
}

impl Watched {
    /// What the last evaluation of an instance asked to watch.
    pub(super) fn get(&self, path: &ObjectPath) -> Option<Watch> {
        self.known.get(path).map(Known::to_watch)
    }

    /// Replaces what is watched of an instance; with `rids`, of these resources only. `follow` starts to follow a process.
    pub(super) fn set(
        &mut self,
        path: &ObjectPath,
        mut watch: Watch,
        rids: Option<&BTreeSet<String>>,
        folders: &mut Folders,
        mut follow: impl FnMut(&str, u32) -> AbortHandle,
    ) {
        let is_asked = |rid: &str| rids.is_none_or(|rids| rids.contains(rid));
        // What a resource asked for found may have had others asked too.
        let told: BTreeSet<String> = watch.pids.keys().chain(watch.files.keys()).cloned().collect();
        let is_told = |rid: &str| is_asked(rid) || told.contains(rid);
        let old = self.get(path).unwrap_or_default();
        for (rid, pids) in old.pids.iter().filter(|(rid, _)| !is_told(rid)) {
            watch.pids.insert(rid.clone(), pids.clone());
        }
        for (rid, files) in old.files.iter().filter(|(rid, _)| !is_told(rid)) {
            watch.files.insert(rid.clone(), files.clone());
        }
        let wanted: BTreeSet<(String, u32)> = watch
            .pids
            .iter()
            .flat_map(|(rid, pids)| pids.iter().map(move |pid| (rid.clone(), *pid)))
            .collect();
        let followed = self.processes.entry(path.clone()).or_default();
        followed.retain(|key, task| {
            let stays = wanted.contains(key) && (!is_asked(&key.0) || !task.is_finished());
            if !stays {
                task.abort();
            }
            stays
        });
        for (rid, pid) in wanted {
            followed.entry((rid, pid)).or_insert_with_key(|(rid, pid)| follow(rid, *pid));
        }
        if followed.is_empty() {
            self.processes.remove(path);
        }
        set_files(path, &old.files, &watch.files, &is_told, folders);
        if watch == Watch::default() {
            self.known.remove(path);
        } else {
            self.known.insert(path.clone(), Known::new(&watch));
        }
    }

    /// Watches nothing of an instance any more.
    pub(super) fn forget(&mut self, path: &ObjectPath, folders: &mut Folders) {
        self.set(path, Watch::default(), None, folders, |_, _| {
            unreachable!("nothing is to be followed")
        });
    }

    /// All objects with a watched file.
    pub(super) fn with_files(&self) -> impl Iterator<Item = &ObjectPath> {
        self.known.iter().filter(|(_, known)| !known.files.is_empty()).map(|(path, _)| path)
    }
}

/// What is known of changes of addresses and links.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Why they are not followed, once that was said.
    pub(super) refused: Option<String>,
    pub(super) last_look: Option<Instant>,
    pub(super) is_due: bool,
}

impl Addresses {
    /// A new actor has no alarms. What was said was said.
    pub(super) fn restart(&mut self) {
        self.last_look = None;
        self.is_due = false;
    }
}

/// Watches the new files of resources instead of their old ones; `is_told` for those that said anything new.
fn set_files(
    path: &ObjectPath,
    old: &BTreeMap<String, BTreeSet<PathBuf>>,
    new: &BTreeMap<String, BTreeSet<PathBuf>>,
    is_told: &dyn Fn(&str) -> bool,
    folders: &mut Folders,
) {
    for (rid, old) in old.iter().filter(|(rid, _)| is_told(rid)) {
        let new = new.get(rid);
        for file in old.iter().filter(|file| new.is_none_or(|new| !new.contains(*file))) {
            folders.remove(file, &(path.clone(), rid.as_str().into()));
        }
    }
    for (rid, new) in new.iter().filter(|(rid, _)| is_told(rid)) {
        for file in new {
            folders.renew(file, &(path.clone(), rid.as_str().into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_watch_told_before_a_file_was_asked_for_again_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flag");
        std::fs::write(&file, "").unwrap();
        let mut inotify = Inotify::init().unwrap();
        let mut folders = Folders::new();
        folders.watch_with(&inotify);
        let path = ObjectPath::parse("svc1").unwrap();
        let files = BTreeMap::from([("fs#1".to_owned(), BTreeSet::from([file.clone()]))]);
        let ask = |folders: &mut Folders, old: &BTreeMap<_, _>| {
            set_files(&path, old, &files, &|_| true, folders);
        };
        ask(&mut folders, &BTreeMap::new());
        // It goes after the evaluation looked, and before what that found is heard.
        std::fs::remove_file(&file).unwrap();
        ask(&mut folders, &files);
        let mut buffer = [0; 4096];
        let events: Vec<_> = inotify.read_events_blocking(&mut buffer).unwrap().collect();
        let concerned = events.iter().filter_map(|event| folders.concerned(&event.to_owned()));
        let place: Place = (path.clone(), "fs#1".into());
        assert!(concerned.flatten().any(|it| it == place), "{events:?}");
        // Where it does not exist, its folder is looked for above, and nearer once it has come.
        let deep = folder.path().join("one/two/flag");
        let files = BTreeMap::from([("fs#1".to_owned(), BTreeSet::from([deep.clone()]))]);
        set_files(&path, &BTreeMap::new(), &files, &|_| true, &mut folders);
        std::fs::create_dir_all(folder.path().join("one/two")).unwrap();
        set_files(&path, &files, &files, &|_| true, &mut folders);
        let watched = folders.folders.get(folder.path().join("one/two").as_path());
        assert!(watched.is_some_and(|it| it.concerned(OsStr::new("flag")).contains(&place)));
    }
}
