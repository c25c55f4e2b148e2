//! What a killed process left: temporary files, which may hold the secret of the cluster or keys.
//!
//! Each names its process (`durable::temporary_name`), so that those of processes that live are left alone. Copies of edits
//! are for their editor to go on with (`edit config --recover`): they are kept for a day after the last touch; those of
//! cluster.conf, which hold the secret, until the daemon starts.

use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::durable::FileLock;
use crate::paths::Paths;
use crate::{clock, durable};

/// How often is looked: a command may be killed while the daemon runs.
pub const PERIOD: Duration = Duration::from_secs(3_600);

/// How long the copy of an edit is kept that nobody works on.
const EDIT_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How deep folders are looked into: an instance's are four below.
const DEPTH: u32 = 8;

/// In the name of a copy that `edit config` made, and of what editors put beside it.
const EDIT_MARK: &str = ".conf.tmp";

/// Removes what was left, and tells how many files that were. When the daemon starts, also the copies of cluster.conf that
/// nobody edits, however young: they hold the secret of the cluster.
pub fn sweep(paths: &Paths, is_start: bool) -> usize {
    let mut count = 0;
    for folder in [&paths.etc, &paths.var, &paths.tmp] {
        folder_swept(folder, DEPTH, &mut |entry| is_left_over(entry), &mut count);
    }
    folder_swept(&paths.tmp, 1, &mut |entry| is_old_edit(entry, is_start), &mut count);
    if count > 0 {
        log::info!(count; "temporary files of processes that were killed are removed");
    }
    count
}

fn folder_swept(
    folder: &Path,
    depth: u32,
    is_to_go: &mut dyn FnMut(&DirEntry) -> bool,
    count: &mut usize,
) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // Links are not followed.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 1 {
            folder_swept(&entry.path(), depth - 1, is_to_go, count);
        } else if kind.is_file() && is_to_go(&entry) {
            match std::fs::remove_file(entry.path()) {
                Ok(()) => *count += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let file = entry.path();
                    log::warn!(file:% = file.display(), error:% = error; "left over, and not removed");
                }
            }
        }
    }
}

/// Whether it is ours.
fn is_own(entry: &DirEntry) -> bool {
    let own = rustix::process::geteuid().as_raw();
    entry.metadata().is_ok_and(|metadata| metadata.uid() == own)
}

fn is_left_over(entry: &DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(durable::is_left_over) && is_own(entry)
}

fn is_old_edit(entry: &DirEntry, is_start: bool) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    if !name.contains(EDIT_MARK) || !is_own(entry) {
        return false;
    }
    let stem = name.trim_start_matches('.').split(EDIT_MARK).next().unwrap_or_default().to_owned();
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    // A time ahead was given by a clock that was wrong: how old it is nobody knows.
    let is_young = modified.is_ok_and(|modified| {
        clock::system().duration_since(modified).is_ok_and(|age| age < EDIT_KEPT)
    });
    if is_young && !(is_start && stem == "cluster") {
        return false;
    }
    // That of an edit under way is held by it.
    let base = entry.path().with_file_name(format!("{stem}{EDIT_MARK}.base"));
    !base.exists() || FileLock::try_take(&base).is_ok_and(|lock| lock.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_write_stays() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        std::fs::create_dir_all(paths.var.join("svc/svc1/app#1")).unwrap();
        let write = |file: &Path| std::fs::write(file, "secret = x").unwrap();
        let (pid, dead) = (std::process::id(), u32::MAX - 7);
        let left = [
            paths.etc.join(format!(".cluster.conf.{dead}-12.0")),
            // Of an earlier version, and of a process whose id another one has.
            paths.etc.join(format!(".cluster.conf.{dead}.3")),
            paths.etc.join(format!(".node.conf.{pid}-1.3")),
            paths.var.join(format!("svc/svc1/app#1/.status.{dead}-12.7")),
            paths.tmp.join(format!(".create.conf.{dead}-12.1")),
            paths.tmp.join("cluster.conf.tmp"),
            paths.tmp.join("cluster.conf.tmp.base"),
            paths.tmp.join(".cluster.conf.tmp.swp"),
        ];
        let kept = [
            paths.etc.join(durable::temporary_name("cluster.conf")),
            paths.etc.join(".hidden.conf"),
            paths.etc.join(".x.1.conf"),
            paths.etc.join("cluster.conf.4294967288-12.0"),
            paths.tmp.join("svc1.conf.tmp"),
            paths.tmp.join("svc2.conf.tmp"),
            paths.tmp.join("svc2.conf.tmp.base"),
        ];
        left.iter().chain(&kept).for_each(|file| write(file));
        let old = clock::system() - EDIT_KEPT - Duration::from_secs(1);
        let edits = ["cluster.conf.tmp", "cluster.conf.tmp.base", ".cluster.conf.tmp.swp"];
        for name in edits.iter().chain(&["svc2.conf.tmp", "svc2.conf.tmp.base"]) {
            let file = std::fs::File::options().write(true).open(paths.tmp.join(name)).unwrap();
            file.set_modified(old).unwrap();
        }
        let _edited = FileLock::try_take(&paths.tmp.join("svc2.conf.tmp.base")).unwrap().unwrap();
        let target = folder.path().join("target");
        write(&target);
        let link = paths.etc.join(format!(".link.{dead}-1.0"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(sweep(&paths, false), left.len());
        assert!(left.iter().all(|file| !file.exists()));
        assert!(kept.iter().all(|file| file.exists()) && target.exists() && link.is_symlink());
        assert_eq!(sweep(&paths, false), 0);
    }

    #[test]
    fn a_copy_that_is_dated_ahead_goes_and_one_of_the_cluster_when_the_daemon_starts() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let write = |name: &str, ahead_s: u64| {
            let file = std::fs::File::create(paths.tmp.join(name)).unwrap();
            file.set_modified(clock::system() + Duration::from_secs(ahead_s)).unwrap();
        };
        const YEAR: u64 = 365 * 86_400;
        for name in ["svc1.conf.tmp", "svc1.conf.tmp.base", "svc2.conf.tmp", "svc2.conf.tmp.base"] {
            write(name, YEAR);
        }
        let edited = |name: &str| FileLock::try_take(&paths.tmp.join(name)).unwrap().unwrap();
        let held = edited("svc2.conf.tmp.base");
        assert_eq!(sweep(&paths, false), 2, "of one that nobody works on");
        drop(held);
        assert_eq!(sweep(&paths, false), 2);
        for name in ["cluster.conf.tmp", "cluster.conf.tmp.base", "svc1.conf.tmp"] {
            write(name, 0);
        }
        assert_eq!(sweep(&paths, false), 0);
        let held = edited("cluster.conf.tmp.base");
        assert_eq!(sweep(&paths, true), 0);
        drop(held);
        assert_eq!(sweep(&paths, true), 2);
        assert!(paths.tmp.join("svc1.conf.tmp").exists());
    }
}
