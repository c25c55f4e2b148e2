//! Putting a configuration in its place, byte for byte and with its time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conf::Ini;
use model::{ConfigEntry, Deletion, Kind, ObjectPath, Timestamp};
use monitor::Fate;
use serde_json::Value;
use wire::reply::status_of;

use crate::clock;
use crate::config::{self, edit_lock};
use crate::config_watcher::rejected::EXTENSION;
use crate::durable::{self, FileLock};
use crate::paths::Paths;

/// How long another writer of the same file may take (src/conf/README.md, Files).
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// Mode of a new file: it may hold secrets.
const MODE: u32 = 0o600;

/// A file of another node.
#[derive(Clone, PartialEq)]
pub(crate) struct Fetched {
    /// Its bytes.
    pub(crate) text: String,
    /// Its modification time, in seconds as nodes publish it.
    pub(crate) mtime: f64,
}

impl Fetched {
    /// Reads a reply to `object_config`.
    pub(crate) fn from_reply(reply: &Value) -> Result<Self, String> {
        debug_assert_eq!(status_of(reply), 0);
        let text = reply.get("data").and_then(Value::as_str).ok_or("the reply has no text")?;
        let mtime = reply.get("mtime").and_then(Value::as_f64).ok_or("the reply has no time")?;
        if text.len() as u64 > config::MAX_FILE_BYTES {
            return Err("too large for a configuration".to_owned());
        }
        if text.contains('\0') {
            return Err("not a text: it has a NUL byte".to_owned());
        }
        let it = Self { text: text.to_owned(), mtime };
        it.modified().map(|_| it).ok_or_else(|| "the time in the reply is none".to_owned())
    }

    /// The time as the file system has it. To the nanosecond, so that it reads back as the same number.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(self.mtime).ok()?)
    }
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Installed {
    /// It is in its place.
    Done {
        /// An instance that was not here before, which is frozen until somebody thaws it.
        is_new: bool,
        /// Where the local file is kept that nobody else had.
        loser: Option<PathBuf>,
    },
    /// It was there already.
    Same,
    /// The local file is not the one that was voted on.
    Changed,
}

/// Dates a local file after the copy of the cluster, of which it is an edit: an edit counts whatever the clock said when it
/// was made, and peers go by the dates. False when it is not the file that was voted on any more. Blocks.
pub(super) fn date_after(
    paths: &Paths,
    path: &ObjectPath,
    own: &ConfigEntry,
    copy: &ConfigEntry,
) -> io::Result<bool> {
    let file = paths.config_file(path);
    let _lock = FileLock::take(&edit_lock(paths, path), LOCK_PATIENCE)?;
    let bytes = crate::regular::read(&file, config::MAX_FILE_BYTES)?;
    if config::csum(&bytes) != own.csum {
        return Ok(false);
    }
    let time = clock::moment().newer_than([Some(own.updated), Some(copy.updated)]);
    set_time(&file, time)?;
    Ok(true)
}

/// What becomes of the local file of an object that was deleted. One that is another object, or was put back, is dated after
/// the deletion here. Blocks.
pub(super) fn judge(
    paths: &Paths,
    path: &ObjectPath,
    deletion: &Deletion,
    is_followed: bool,
) -> io::Result<Fate> {
    let file = paths.config_file(path);
    let _lock = FileLock::take(&edit_lock(paths, path), LOCK_PATIENCE)?;
    let bytes = match crate::regular::read(&file, config::MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fate::Gone),
        Err(error) => return Err(error),
    };
    let updated = config::modified(&std::fs::metadata(&file)?);
    let ini = Ini::parse(&String::from_utf8_lossy(&bytes)).ok();
    let id = ini.as_ref().and_then(|ini| ini.get("DEFAULT", "id"));
    let fate = monitor::fate(deletion, is_followed, Some((id, updated)));
    if fate == Fate::Anew {
        set_time(&file, clock::moment().newer_than([Some(deletion.at), Some(updated)]))?;
    }
    Ok(fate)
}

/// Gives a file a time, durably.
fn set_time(file: &Path, time: Timestamp) -> io::Result<()> {
    let modified = Duration::try_from_secs_f64(time.0).ok();
    let modified = modified.and_then(|since| UNIX_EPOCH.checked_add(since));
    let opened = std::fs::File::options().write(true).open(file)?;
    opened.set_modified(modified.ok_or(io::ErrorKind::InvalidData)?)?;
    opened.sync_all()
}

/// Installs a configuration over the one that lost the election (`own`). Blocks.
pub(super) fn install(
    paths: &Paths,
    path: &ObjectPath,
    own: Option<&ConfigEntry>,
    fetched: &Fetched,
    is_written_here: bool,
) -> io::Result<Installed> {
    let file = paths.config_file(path);
    let _lock = FileLock::take(&edit_lock(paths, path), LOCK_PATIENCE)?;
    let current = match crate::regular::read(&file, config::MAX_FILE_BYTES) {
        Ok(bytes) => Some((bytes, config::modified(&std::fs::metadata(&file)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match (&current, own) {
        (None, None) => {}
        (Some((bytes, _)), _) if bytes == fetched.text.as_bytes() => return Ok(Installed::Same),
        (Some((bytes, modified)), Some(own))
            if *modified == own.updated && config::csum(bytes) == own.csum => {}
        // Not what is in force here, and voted on: something is wrong with it, and the newer one mends that.
        (_, Some(_)) if config::is_kept(paths, path) => {}
        // Written, deleted or created since.
        (Some(_) | None, _) => return Ok(Installed::Changed),
    }
    let is_older = own.is_some_and(|own| fetched.mtime < own.updated.0);
    if is_older {
        // Replaced there by an older one since it was voted on.
        return Ok(Installed::Changed);
    }
    let modified = fetched.modified().ok_or(io::ErrorKind::InvalidData)?;
    let mut loser = None;
    if let (Some((bytes, _)), true) = (&current, is_written_here || config::is_kept(paths, path)) {
        let mut name = file.clone().into_os_string();
        name.push(EXTENSION);
        let kept = PathBuf::from(name);
        durable::write(&kept, bytes, MODE)?;
        loser = Some(kept);
    }
    let is_new = current.is_none() && path.kind() == Kind::Svc;
    let flag = paths.instance_frozen(path);
    if is_new && !flag.exists() {
        // Before the file is there: nothing starts it in between.
        durable::touch(&flag)?;
    }
    durable::write_at(&file, fetched.text.as_bytes(), MODE, modified)?;
    Ok(Installed::Done { is_new, loser })
}
