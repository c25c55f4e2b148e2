//! Files of instances that the system does not watch for us: they are looked at every 2 s.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::ObjectPath;

/// A resource of an object.
pub(crate) type Place = (ObjectPath, Box<str>);

/// What a file looks like; none when it is not there.
pub(super) type Look = Option<[i64; 6]>;

/// The files, whom they concern, and what they looked like.
#[derive(Debug, Default)]
pub(super) struct Unwatched {
    files: BTreeMap<PathBuf, BTreeSet<Place>>,
    looks: BTreeMap<PathBuf, Look>,
    /// Why they are not watched.
    pub(super) reason: Option<String>,
}

impl Unwatched {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn add(&mut self, file: &Path, place: &Place, reason: Option<String>) {
        self.files.entry(file.to_owned()).or_default().insert(place.clone());
        self.reason = reason.or(self.reason.take());
    }

    pub(super) fn remove(&mut self, file: &Path, place: &Place) {
        if let Some(places) = self.files.get_mut(file) {
            places.remove(place);
            if places.is_empty() {
                self.files.remove(file);
            }
        }
    }

    /// All of them, which are none of ours any more.
    pub(super) fn take(&mut self) -> Vec<(PathBuf, Place)> {
        let files = std::mem::take(&mut self.files).into_iter();
        files
            .flat_map(|(file, places)| places.into_iter().map(move |it| (file.clone(), it)))
            .collect()
    }

    /// Whom they concern.
    pub(super) fn places(&self) -> BTreeSet<Place> {
        self.files.values().flatten().cloned().collect()
    }

    /// The files to look at.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.keys().cloned().collect()
    }

    /// Whom it concerns what they look like now. One that was not looked at before may have changed since it was evaluated.
    pub(super) fn seen(&mut self, looks: BTreeMap<PathBuf, Look>) -> BTreeSet<Place> {
        let mut concerned = BTreeSet::new();
        for (file, look) in &looks {
            if self.looks.get(file) != Some(look)
                && let Some(places) = self.files.get(file)
            {
                concerned.extend(places.iter().cloned());
            }
        }
        self.looks = looks;
        concerned
    }
}

/// Looks at files; blocks.
pub(super) fn look(files: Vec<PathBuf>) -> BTreeMap<PathBuf, Look> {
    let look = |file: &Path| {
        let is = std::fs::metadata(file).ok()?;
        let numbers = [is.ino(), is.size(), u64::from(is.mode())].map(u64::cast_signed);
        let [inode, size, mode] = numbers;
        Some([inode, size, mode, is.mtime_nsec() ^ is.mtime(), is.ctime(), is.ctime_nsec()])
    };
    files.into_iter().map(|file| (file.clone(), look(&file))).collect()
}

#[cfg(test)]
mod tests {
    use model::ObjectPath;

    use super::*;

    #[test]
    fn each_change_of_a_file_concerns_those_who_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("flag"), folder.path().join("other"));
        let place = |name: &str| -> Place { (ObjectPath::parse(name).unwrap(), "fs#1".into()) };
        let mut unwatched = Unwatched::default();
        unwatched.add(&file, &place("svc1"), Some("full".into()));
        unwatched.add(&file, &place("svc2"), None);
        unwatched.add(&other, &place("svc3"), None);
        assert_eq!(unwatched.reason.as_deref(), Some("full"));
        let seen = |unwatched: &mut Unwatched| {
            let looks = look(unwatched.files());
            unwatched.seen(looks).into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(seen(&mut unwatched), ["svc1", "svc2", "svc3"]);
        assert_eq!(seen(&mut unwatched), [] as [&str; 0]);
        std::fs::write(&file, "").unwrap();
        assert_eq!(seen(&mut unwatched), ["svc1", "svc2"]);
        // Asked for again, as after each evaluation: what it looked like is still known.
        unwatched.remove(&file, &place("svc1"));
        unwatched.add(&file, &place("svc1"), None);
        assert_eq!(seen(&mut unwatched), [] as [&str; 0]);
        std::fs::remove_file(&file).unwrap();
        unwatched.remove(&file, &place("svc2"));
        assert_eq!(seen(&mut unwatched), ["svc1"]);
        assert_eq!(unwatched.take().len(), 2);
        assert!(unwatched.is_empty());
    }
}
