//! Log files that several processes append to and rotate safely.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::durable::FileLock;

/// Size from which a file is rotated, as the deployed agents do.
pub const LONGEST: u64 = 5 << 20;

/// Files kept open: an idle node with thousands of objects does not hold them all.
const MOST_OPEN: usize = 32;

struct Open {
    file: File,
    inode: (u64, u64),
    used: u64,
    /// The last entry was not written whole: the next one begins on a line of its own.
    is_torn: bool,
}

/// The log files of a process. Each entry is one `write` to a file opened for appending, so entries of several
/// processes never mix.
pub struct LogFiles {
    open: BTreeMap<PathBuf, Open>,
    lock: PathBuf,
    longest: u64,
    clock: u64,
    /// Folders are made where there are none.
    makes_folders: bool,
}

impl LogFiles {
    /// No file yet. `lock` is taken to rotate one.
    pub fn new(lock: PathBuf) -> Self {
        let open = BTreeMap::new();
        Self { open, lock, longest: LONGEST, clock: 0, makes_folders: true }
    }

    /// The same, of files that are rotated from that size on, in folders that are there.
    pub(crate) fn bounded(lock: PathBuf, longest: u64) -> Self {
        Self { longest, makes_folders: false, ..Self::new(lock) }
    }

    /// Appends one entry.
    pub fn append(&mut self, path: &Path, entry: &str) -> io::Result<()> {
        self.clock += 1;
        // Somebody rotated, or removed it: what is open is not what the name means any more.
        let size = match std::fs::metadata(path) {
            Ok(meta) => {
                if self.open.get(path).is_some_and(|open| open.inode != (meta.dev(), meta.ino())) {
                    self.open.remove(path);
                }
                meta.len()
            }
            Err(_) => {
                self.open.remove(path);
                0
            }
        };
        if size >= self.longest {
            self.rotate(path);
        }
        let clock = self.clock;
        if !self.open.contains_key(path) {
            self.make_room();
            self.open.insert(path.to_owned(), open(path, self.makes_folders)?);
        }
        let open = self.open.get_mut(path).expect("inserted just before");
        open.used = clock;
        let written = match open.is_torn {
            true => open.file.write_all(format!("\n{entry}").as_bytes()),
            false => open.file.write_all(entry.as_bytes()),
        };
        open.is_torn = written.is_err();
        written
    }

    /// Closes everything: files are opened again by name (SIGHUP).
    pub fn reopen(&mut self) {
        self.open.clear();
    }

    fn make_room(&mut self) {
        while self.open.len() >= MOST_OPEN {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else { return };
            self.open.remove(&path);
        }
    }

    /// Renames the file to `<file>.1`, unless another process just did. On failure the file goes on growing.
    fn rotate(&mut self, path: &Path) {
        let Ok(_lock) = FileLock::take(&self.lock, Duration::from_millis(200)) else { return };
        if std::fs::metadata(path).is_ok_and(|meta| meta.len() >= self.longest) {
            let mut backup = path.as_os_str().to_owned();
            backup.push(".1");
            _ = std::fs::rename(path, backup);
        }
        self.open.remove(path);
    }
}

fn open(path: &Path, makes_folders: bool) -> io::Result<Open> {
    if let Some(folder) = path.parent().filter(|_| makes_folders) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o640);
    let (file, meta) = machine::regular::open_as(&mut options, path)?;
    // What a crash cut stays a line of its own.
    let is_torn = !ends_a_line(path, meta.len());
    Ok(Open { file, inode: (meta.dev(), meta.ino()), used: 0, is_torn })
}

/// Whether the last byte of a file of that length ends a line.
fn ends_a_line(path: &Path, len: u64) -> bool {
    let Some(last) = len.checked_sub(1) else { return true };
    let mut byte = [b'\n'];
    let read =
        machine::regular::open(path).and_then(|(file, _)| file.read_exact_at(&mut byte, last));
    read.is_err() || byte == [b'\n']
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> LogFiles {
        LogFiles { longest: 100, ..LogFiles::new(folder.join("lock")) }
    }

    #[test]
    fn a_full_file_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut files) = (folder.path().join("a/node.log"), files(folder.path()));
        for number in 0..25 {
            files.append(&path, &format!("entry {number:>4}\n")).unwrap();
        }
        let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
        assert_eq!((size("a/node.log.1"), size("a/node.log")), (110, 55));
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 2);
    }

    #[test]
    fn writers_that_rotate_at_the_same_time_lose_no_recent_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("svc1.log");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (path, mut files) = (path.clone(), files(folder.path()));
                files.longest = 1_000_000;
                scope.spawn(move || {
                    for number in 0..500 {
                        files.append(&path, &format!("writer {writer} entry {number}\n")).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2_000);
        assert!(
            text.lines()
                .all(|line| line.starts_with("writer ") && line.matches("writer").count() == 1)
        );
    }

    #[test]
    fn a_file_rotated_by_another_process_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("svc1.log");
        let (mut mine, mut theirs) = (files(folder.path()), files(folder.path()));
        mine.append(&path, &"x".repeat(120)).unwrap();
        theirs.append(&path, "theirs\n").unwrap();
        mine.append(&path, "mine\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\nmine\n");
    }
}
