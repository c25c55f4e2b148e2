//! Files that are whole at any moment: a `kill -9` or a full disk leaves the old content or the new one.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;

use crate::process::Stat;
use crate::{clock, crash, regular};

/// Replaces the content of `file`, durably: a temporary file beside it, synced, renamed over, the folder synced.
/// Keeps mode and owner of an existing file; a new one gets `mode`. Creates missing folders. A link is followed.
///
/// # Errors
///
/// Whatever the file system answers, with the name of the file; the old content is untouched then.
pub fn write(file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace(file, content, mode, true).map_err(|error| named(file, &error))
}

/// As [`write()`], for what may be lost with the power (caches, statuses): whole at any moment, but not synced.
///
/// # Errors
///
/// As [`write()`].
pub fn write_cache(file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace(file, content, mode, false).map_err(|error| named(file, &error))
}

/// As [`write()`], with a modification time: readers never see the content with another one.
///
/// # Errors
///
/// As [`write()`].
pub fn write_at(file: &Path, content: &[u8], mode: u32, modified: SystemTime) -> io::Result<()> {
    stage(file, content, mode, Some(modified))?.commit()
}

/// As [`write()`], with a modification time after that of the file it replaces, whatever the clock says: the clocks of
/// nodes differ, and a changed configuration with an older time would lose against what it changes.
///
/// # Errors
///
/// As [`write()`].
pub fn write_newer(file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let now = clock::system();
    let modified = match std::fs::metadata(file).and_then(|metadata| metadata.modified()) {
        Ok(before) => now.max(before + Duration::from_millis(1)),
        Err(_) => now,
    };
    write_at(file, content, mode, modified)
}

/// A content that lies beside its file, whole and synced, and waits for [`Staged::commit`]: so several files are
/// written together, or none for want of space or rights. Dropped, it leaves the file as it was.
#[derive(Debug)]
pub struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    folder: PathBuf,
}

/// Writes a content beside `file`, with a modification time if one is wanted. Mode and owner as for [`write()`].
///
/// # Errors
///
/// As [`write()`].
pub fn stage(
    file: &Path,
    content: &[u8],
    mode: u32,
    modified: Option<SystemTime>,
) -> io::Result<Staged> {
    prepare(file, content, mode, true, modified).map_err(|error| named(file, &error))
}

impl Staged {
    /// Puts the content in its place, durably.
    ///
    /// # Errors
    ///
    /// As [`write()`].
    pub fn commit(self) -> io::Result<()> {
        crash::on_write();
        let done = std::fs::rename(&self.temporary, &self.target);
        crash::on_write();
        done.and_then(|()| sync_folder(&self.folder)).map_err(|error| named(&self.target, &error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone when it was committed.
        _ = std::fs::remove_file(&self.temporary);
    }
}

/// A name for what this process writes beside a file, or for its own use, and removes: whoever finds it knows whose it is
/// (`sweep`). It starts with a dot and does not end in `.conf`: no reader of the folder takes it for an object.
pub fn temporary_name(name: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<u64> = OnceLock::new();
    let pid = std::process::id();
    let start = START.get_or_init(|| Stat::read(pid).map_or(0, |stat| stat.start));
    format!(".{name}.{pid}-{start}.{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Whether a name is one of [`temporary_name`], or one that earlier versions gave, whose process is gone.
pub fn is_left_over(name: &str) -> bool {
    let parts = || {
        let (rest, number) = name.strip_prefix('.')?.rsplit_once('.')?;
        let (file, writer) = rest.rsplit_once('.')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (pid, start) = match writer.split_once('-') {
            Some((pid, start)) => (pid, Some(start)),
            None => (writer, None),
        };
        let is_ours =
            !file.is_empty() && is_number(number) && is_number(pid) && start.is_none_or(is_number);
        is_ours
            .then(|| (pid.parse::<u32>().ok(), start.and_then(|start| start.parse::<u64>().ok())))
    };
    let Some((pid, start)) = parts() else { return false };
    let alive = pid.and_then(Stat::read);
    match (alive, start) {
        (None, _) => true,
        (Some(stat), Some(start)) => stat.start != start,
        // An id alone may be that of anybody by now: next time.
        (Some(_), None) => false,
    }
}

fn named(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

fn replace(file: &Path, content: &[u8], mode: u32, is_synced: bool) -> io::Result<()> {
    let staged = prepare(file, content, mode, is_synced, None)?;
    crash::on_write();
    std::fs::rename(&staged.temporary, &staged.target)?;
    crash::on_write();
    if is_synced { sync_folder(&staged.folder) } else { Ok(()) }
}

fn prepare(
    file: &Path,
    content: &[u8],
    mode: u32,
    is_synced: bool,
    modified: Option<SystemTime>,
) -> io::Result<Staged> {
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    // A link may lead to a device or a pipe of the machine, which a file in its place would take away from everybody.
    if target != file && std::fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other(format!("{} is no regular file", target.display())));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    std::fs::create_dir_all(&folder)?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = folder.join(temporary_name(&name));
    let staged = Staged { temporary, target, folder };
    fill(&staged, content, mode, is_synced, modified)?;
    Ok(staged)
}

fn fill(
    Staged { temporary, target, .. }: &Staged,
    content: &[u8],
    mode: u32,
    is_synced: bool,
    modified: Option<SystemTime>,
) -> io::Result<()> {
    crash::on_write();
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(mode & 0o7777).open(temporary)?;
    if let Ok(old) = std::fs::metadata(target) {
        // Only root may give a file away; an ordinary user who may replace it becomes its owner.
        _ = std::os::unix::fs::fchown(&out, Some(old.uid()), Some(old.gid()));
        out.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    } else {
        out.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    crash::on_write();
    out.write_all(content)?;
    if let Some(modified) = modified.or_else(clock::file_time) {
        out.set_modified(modified)?;
    }
    if is_synced { out.sync_all() } else { Ok(()) }
}

/// Removes a file durably. Absent already is as good.
///
/// # Errors
///
/// Whatever the file system answers, with the name of the file.
pub fn remove(file: &Path) -> io::Result<()> {
    crash::on_write();
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(named(file, &error)),
        Ok(()) => sync_folder(file.parent().unwrap_or(Path::new("."))),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Appends to a file, durably: a crash leaves what was there, and a part of the new at most. A new one gets `mode`. Returns
/// how long it is then.
///
/// # Errors
///
/// Whatever the file system answers, with the name of the file.
pub fn append(file: &Path, content: &[u8], mode: u32) -> io::Result<u64> {
    let appended = || -> io::Result<u64> {
        crash::on_write();
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut out =
            OpenOptions::new().create(true).append(true).mode(mode & 0o7777).open(file)?;
        out.write_all(content)?;
        out.sync_data()?;
        Ok(out.metadata()?.len())
    };
    appended().map_err(|error| named(file, &error))
}

/// Creates an empty file, or renews the time of an existing one: `frozen`, `last_shutdown`.
///
/// # Errors
///
/// Whatever the file system answers, with the name of the file.
pub fn touch(file: &Path) -> io::Result<()> {
    let touched = || -> io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (out, _) = regular::open_as(OpenOptions::new().create(true).append(true), file)?;
        out.set_modified(clock::system())?;
        out.sync_all()
    };
    touched().map_err(|error| named(file, &error))
}

/// An advisory lock on a file (`flock`), held until dropped, and gone with its process whatever kills it.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Takes the lock if it is free. `None`: another process holds it.
    ///
    /// # Errors
    ///
    /// The file cannot be created or locked.
    pub fn try_take(file: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let (opened, _) =
            regular::open_as(&mut options, file).map_err(|error| named(file, &error))?;
        match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file: opened })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(named(file, &error.into())),
        }
    }

    /// Takes the lock, waiting for at most `patience`. Blocks its thread: for commands and blocking workers.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] when another process still holds it then; else as [`FileLock::try_take`].
    pub fn take(file: &Path, patience: Duration) -> io::Result<Self> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(lock) = Self::try_take(file)? {
                return Ok(lock);
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                let text = format!("{}: locked by another process", file.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// The locked file, to read or write what it says about its holder.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Replaces the content of the locked file: the pid of the holder, what it does.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn note(&self, content: &str) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.set_len(0)?;
        self.file.write_all_at(content.as_bytes(), 0)
    }
}

impl Drop for FileLock {
    /// Unlocks, rather than only closes: a child of another thread, forked and not yet its program, holds the same file.
    fn drop(&mut self) {
        _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_content_and_keeps_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/svc1.conf");
        write(&file, b"one", 0o640).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        std::fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
        write(&file, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o604);
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_to_what_is_no_file_never_makes_one_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (pipe, link) = (folder.join("pipe"), folder.join("link"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let error = write_cache(&link, b"new", 0o600).unwrap_err();
        assert!(error.to_string().contains("is no regular file"), "{error}");
        assert!(!std::fs::metadata(&pipe).unwrap().is_file());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        std::fs::create_dir_all(file.join("x")).unwrap();
        let error = write(&file, b"new", 0o600).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn staged_files_change_together_or_stay_and_keep_the_time_they_were_given() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        write(&one, b"old", 0o600).unwrap();
        std::fs::create_dir_all(two.join("x")).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_795_364_641.747_718_3);
        let staged = stage(&one, b"new", 0o600, Some(time)).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), b"old");
        drop(staged);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        stage(&one, b"new", 0o600, Some(time)).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&one).unwrap().modified().unwrap(), time);
        assert!(stage(&two, b"new", 0o600, None).unwrap().commit().is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        write(&real, b"one", 0o600).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"two");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lock");
        let held = FileLock::try_take(&file).unwrap().expect("free");
        held.note("12345").unwrap();
        held.note("42").unwrap();
        assert!(FileLock::try_take(&file).unwrap().is_none());
        let late = FileLock::take(&file, Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "42");
        drop(held);
        FileLock::take(&file, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_touch_creates_the_file_and_renews_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node/frozen");
        touch(&file).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        touch(&file).unwrap();
        assert!(std::fs::metadata(&file).unwrap().modified().unwrap() > old);
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert!(!file.exists());
    }
}
