//! Regular files, and nothing else: opening a pipe waits for its other end, opening a device may do what it does.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use rustix::fs::OFlags;

/// Opens a regular file for reading, never waiting for anybody; links are followed.
///
/// # Errors
///
/// Whatever the file system answers; `not a regular file` for a folder, a pipe, a socket or a device.
pub fn open(file: &Path) -> io::Result<(File, Metadata)> {
    open_as(OpenOptions::new().read(true), file)
}

/// The same with these options, which may create it.
///
/// # Errors
///
/// As [`open`].
pub fn open_as(options: &mut OpenOptions, file: &Path) -> io::Result<(File, Metadata)> {
    let check = |metadata: Metadata| match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    };
    match std::fs::metadata(file) {
        Ok(metadata) => _ = check(metadata)?,
        // It may be created.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // It may be another one by now: the flag keeps a pipe from waiting.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let opened = options.custom_flags(flags).open(file)?;
    let metadata = check(opened.metadata()?)?;
    Ok((opened, metadata))
}

/// Most bytes of a file of a few words: a stamp, a flag, a pid, who holds a lock.
const WORDS: u64 = 64 << 10;

/// Most bytes of a file of states: of an instance, the history of a resource.
const STATES: u64 = 8 << 20;

/// Files that were told to be unusable.
static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Most files that are told.
const MOST_TOLD: usize = 1_000;

/// A file of a few words that this agent, or a deployed one, left; none without one. What is there and cannot be used
/// is as good as not there, and told once.
pub fn words(file: &Path) -> Option<String> {
    String::from_utf8(left_by_an_agent(file, WORDS)?).ok()
}

/// A file of states that this agent left; none without one, as [`words`].
pub fn states(file: &Path) -> Option<Vec<u8>> {
    left_by_an_agent(file, STATES)
}

fn left_by_an_agent(file: &Path, limit: u64) -> Option<Vec<u8>> {
    let told = || TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    match read(file, limit) {
        Ok(bytes) => Some(bytes),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            None
        }
        Err(error) => {
            let mut told = told();
            if told.len() < MOST_TOLD && told.insert(file.to_owned()) {
                log::error!(file:? = file, error:% = error; "a state file cannot be used: remove it");
            }
            None
        }
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
///
/// As [`open`], and when there is more.
pub fn read(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (opened, metadata) = open(file)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(1 << 20)).unwrap_or(0));
    opened.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let text = format!("has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// The text of a configuration file.
///
/// # Errors
///
/// As [`read()`], and for what is not UTF-8.
pub fn read_text(file: &Path) -> io::Result<String> {
    String::from_utf8(read(file, crate::regular::MAX_FILE_BYTES)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

/// Largest configuration file that is read: 16 MiB.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Modification time of a file, as nodes publish it.
#[must_use]
pub fn modified(metadata: &Metadata) -> Timestamp {
    Timestamp(metadata.mtime() as f64 + metadata.mtime_nsec() as f64 / 1e9)
}

/// The time that a file has of what nodes publish, to the nanosecond, so that [`modified`] reads it back. None for what is no
/// time.
#[must_use]
pub fn file_time(time: Timestamp) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(time.0).ok()?)
}

/// When a file was written last, none if it is not there.
#[must_use]
pub fn last_written(file: &Path) -> Option<Timestamp> {
    let time = std::fs::metadata(file).ok()?.modified().ok()?;
    // Never 0, which says that it is not there, also where the clock said so.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp(since.as_secs_f64().max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        for name in ["folder", "pipe", "socket", "link"] {
            let error = read_text(&at(name)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{name}");
        }
        for name in ["folder", "pipe", "socket", "link"] {
            assert_eq!((words(&at(name)), states(&at(name))), (None, None), "{name}");
            assert!(crate::durable::FileLock::try_take(&at(name)).is_err(), "{name}");
            assert!(crate::durable::touch(&at(name)).is_err(), "{name}");
        }
        std::fs::File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!((words(&at("huge")), states(&at("huge"))), (None, None));
        assert_eq!(read_text(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(at("file"), "text").unwrap();
        assert_eq!(read_text(&at("file")).unwrap(), "text");
        assert!(read(&at("file"), 3).is_err());
        assert_eq!(read(&at("file"), 4).unwrap(), b"text");
    }
}
