//! What changes an instance without telling anybody: processes that end, files that come, change or go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use model::ObjectPath;
use tokio::task::AbortHandle;

use crate::resource::Watch;

/// A resource of an object.
pub(super) type Place = (ObjectPath, String);

/// Folders watched for files of instances.
pub(super) struct Folders {
    watches: inotify::Watches,
    by_watch: HashMap<WatchDescriptor, PathBuf>,
    folders: HashMap<PathBuf, Folder>,
}

struct Folder {
    watch: WatchDescriptor,
    /// Whom the names in it concern.
    names: BTreeMap<OsString, BTreeSet<Place>>,
}

impl std::fmt::Debug for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folders").field("count", &self.folders.len()).finish()
    }
}

impl Folders {
    /// No folder.
    pub(super) fn new(inotify: &Inotify) -> Self {
        Self { watches: inotify.watches(), by_watch: HashMap::new(), folders: HashMap::new() }
    }

    /// Watches for a file: its folder, or the nearest one that exists.
    fn add(&mut self, file: &Path, place: &Place) {
        for file in file.ancestors() {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
            if let Some(known) = self.folders.get_mut(folder) {
                known.names.entry(name.to_owned()).or_default().insert(place.clone());
                return;
            }
            let mask = WatchMask::CLOSE_WRITE
                | WatchMask::CREATE
                | WatchMask::DELETE
                | WatchMask::MOVED_TO
                | WatchMask::MOVED_FROM
                | WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::ONLYDIR;
            match self.watches.add(folder, mask) {
                Ok(watch) => {
                    let names = [(name.to_owned(), [place.clone()].into())].into();
                    self.by_watch.insert(watch.clone(), folder.to_owned());
                    self.folders.insert(folder.to_owned(), Folder { watch, names });
                    return;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    log::debug!(folder:% = folder.display(), error:% = error; "not watched");
                    return;
                }
            }
        }
    }

    /// Forgets what concerned a resource, and folders that concern nobody.
    fn remove(&mut self, file: &Path, place: &Place) {
        for file in file.ancestors() {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
            let Some(known) = self.folders.get_mut(folder) else { continue };
            if let Some(places) = known.names.get_mut(name) {
                places.remove(place);
                if places.is_empty() {
                    known.names.remove(name);
                }
            }
            if known.names.is_empty()
                && let Some(gone) = self.folders.remove(folder)
            {
                self.by_watch.remove(&gone.watch);
                // Fails when the folder itself is gone.
                _ = self.watches.remove(gone.watch);
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
                gone.into_iter().flat_map(|gone| gone.names.into_values().flatten()).collect(),
            );
        }
        let places = event.name.as_ref().and_then(|name| known.names.get(name));
        Some(places.cloned().unwrap_or_default())
    }
}

/// What is watched of each instance.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Followed processes: by object, resource and process id, the task that follows it.
    processes: BTreeMap<ObjectPath, BTreeMap<(String, u32), AbortHandle>>,
    files: BTreeMap<ObjectPath, BTreeMap<String, BTreeSet<PathBuf>>>,
}

impl Watched {
    /// Replaces what is watched of an instance; with `rids`, of these resources only. `follow` starts to follow a process.
    pub(super) fn set(
        &mut self,
        path: &ObjectPath,
        watch: Watch,
        rids: Option<&BTreeSet<String>>,
        folders: Option<&mut Folders>,
        mut follow: impl FnMut(&str, u32) -> AbortHandle,
    ) {
        let is_asked = |rid: &String| rids.is_none_or(|rids| rids.contains(rid));
        let wanted: BTreeSet<(String, u32)> = watch
            .pids
            .into_iter()
            .flat_map(|(rid, pids)| pids.into_iter().map(move |pid| (rid.clone(), pid)))
            .collect();
        let known = self.processes.entry(path.clone()).or_default();
        known.retain(|key, task| {
            let stays = !is_asked(&key.0) || (wanted.contains(key) && !task.is_finished());
            if !stays {
                task.abort();
            }
            stays
        });
        for (rid, pid) in wanted {
            known.entry((rid, pid)).or_insert_with_key(|(rid, pid)| follow(rid, *pid));
        }
        if known.is_empty() {
            self.processes.remove(path);
        }
        if let Some(folders) = folders {
            self.set_files(path, watch.files, &is_asked, folders);
        }
    }

    fn set_files(
        &mut self,
        path: &ObjectPath,
        files: BTreeMap<String, BTreeSet<PathBuf>>,
        is_asked: &dyn Fn(&String) -> bool,
        folders: &mut Folders,
    ) {
        let known = self.files.entry(path.clone()).or_default();
        for (rid, old) in known.iter().filter(|(rid, _)| is_asked(rid)) {
            let new = files.get(rid);
            for file in old.iter().filter(|file| new.is_none_or(|new| !new.contains(*file))) {
                folders.remove(file, &(path.clone(), rid.clone()));
            }
        }
        known.retain(|rid, _| !is_asked(rid));
        for (rid, new) in files {
            // Again for those that were there: a folder nearer to the file may have come.
            for file in &new {
                folders.remove(file, &(path.clone(), rid.clone()));
                folders.add(file, &(path.clone(), rid.clone()));
            }
            known.insert(rid, new);
        }
        if known.is_empty() {
            self.files.remove(path);
        }
    }

    /// Watches nothing of an instance any more.
    pub(super) fn forget(&mut self, path: &ObjectPath, folders: Option<&mut Folders>) {
        self.set(path, Watch::default(), None, folders, |_, _| {
            unreachable!("nothing is to be followed")
        });
    }

    /// All objects with a watched file.
    pub(super) fn with_files(&self) -> impl Iterator<Item = &ObjectPath> {
        self.files.keys()
    }
}
