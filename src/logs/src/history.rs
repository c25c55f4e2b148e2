//! The journals of what happened to objects and to the node (README.md, History): one line of JSON each.
//!
//! Appended by the daemon and by commands, each line in one `write`; two files of bounded size, the older one `.1`. A line
//! that a crash cut is ended by the next one. A journal lives in the state folder of its object and goes with it: none is made
//! where there is no such folder. Lines reach the disk when the kernel writes them, within about 30 s: what a machine lost
//! with its power is the end of a story, which nobody decides by.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use machine::paths::Paths;
use machine::regular;
use model::{ObjectPath, Record, read_journal};

use crate::files::LogFiles;

/// Size from which the journal of an object is rotated: some 400 records, and as many in the older file.
const OBJECT_BYTES: u64 = 64 << 10;
/// The same of the node.
const NODE_BYTES: u64 = 256 << 10;
/// Most bytes read of one file: what is longer is not ours.
const MOST_BYTES: u64 = NODE_BYTES + (64 << 10);

/// Writes journals.
pub struct Histories {
    objects: LogFiles,
    node: LogFiles,
}

impl std::fmt::Debug for Histories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histories").finish_non_exhaustive()
    }
}

impl Histories {
    /// A writer of the journals of this node.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        let lock = paths.locks().join("history_rotation");
        Self {
            objects: LogFiles::bounded(lock.clone(), OBJECT_BYTES),
            node: LogFiles::bounded(lock, NODE_BYTES),
        }
    }

    /// Appends records, to the journal of the node without `path`. An object without state folder has none.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn append(
        &mut self,
        paths: &Paths,
        path: Option<&ObjectPath>,
        records: &[Record],
    ) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let lines: String = records.iter().map(Record::to_line).collect();
        let appended = match path {
            None => self.node.append(&paths.node_history(), &lines),
            Some(path) => self.objects.append(&paths.history(path), &lines),
        };
        match appended {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            appended => appended,
        }
    }
}

/// The records of a journal, oldest first; none where there is no journal. `path`: of an object, else of the node.
#[must_use]
pub fn read(paths: &Paths, path: Option<&ObjectPath>) -> Vec<Record> {
    let file = path.map_or_else(|| paths.node_history(), |path| paths.history(path));
    let mut records = read_journal(&text_of(&older(&file)));
    records.extend(read_journal(&text_of(&file)));
    // Commands and the daemon write each by itself.
    records.sort_by(|a, b| a.t.0.total_cmp(&b.t.0));
    records
}

/// The file that a rotation leaves.
fn older(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn text_of(file: &Path) -> String {
    let mut bytes = vec![];
    if let Ok((file, _)) = regular::open(file) {
        _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use model::{Happening, Timestamp};

    use super::*;

    fn scene() -> (tempfile::TempDir, Paths, ObjectPath) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let path = ObjectPath::parse("web").unwrap();
        std::fs::create_dir_all(paths.var_dir(&path)).unwrap();
        (folder, paths, path)
    }

    fn record(t: f64) -> Record {
        Record::new(Timestamp(t), Happening::Avail)
    }

    #[test]
    fn a_journal_is_bounded_and_keeps_the_newest() {
        let (_folder, paths, path) = scene();
        let mut writer = Histories::new(&paths);
        for number in 0..5_000 {
            let record = record(f64::from(number)).because(&"x".repeat(100));
            writer.append(&paths, Some(&path), &[record]).unwrap();
        }
        let size = |file: &Path| std::fs::metadata(file).unwrap().len();
        let file = paths.history(&path);
        assert!(size(&file) + size(&older(&file)) < 2 * OBJECT_BYTES + 1_000);
        let read = read(&paths, Some(&path));
        assert!(read.len() > 400, "{}", read.len());
        assert_eq!(read.last().map(|record| record.t.0), Some(4_999.0));
        assert!(read.is_sorted_by(|a, b| a.t.0 <= b.t.0));
    }

    #[test]
    fn a_line_that_a_crash_cut_is_ended_by_the_next_one() {
        let (_folder, paths, path) = scene();
        std::fs::write(paths.history(&path), format!("{}{{\"t\":2,", record(1.0).to_line()))
            .unwrap();
        Histories::new(&paths).append(&paths, Some(&path), &[record(3.0)]).unwrap();
        let times: Vec<f64> = read(&paths, Some(&path)).iter().map(|record| record.t.0).collect();
        assert_eq!(times, [1.0, 3.0]);
    }

    #[test]
    fn no_journal_is_made_for_a_deleted_object() {
        let (_folder, paths, path) = scene();
        std::fs::remove_dir(paths.var_dir(&path)).unwrap();
        Histories::new(&paths).append(&paths, Some(&path), &[record(1.0)]).unwrap();
        assert!(!paths.var_dir(&path).exists());
        assert_eq!(read(&paths, Some(&path)), []);
    }
}
