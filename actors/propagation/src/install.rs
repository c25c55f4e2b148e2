//! Putting a configuration in its place, byte for byte and with its time.

use std::io;
use std::path::{Path, PathBuf};

use conf::Ini;
use model::{ConfigEntry, Deletion, ObjectPath, Timestamp};
use monitor::Fate;

use dataset::config;
use files::edit::{Locked, MODE, Target, Writer};
use files::fetched::Fetched;
use files::last_good;
use files::rejected::EXTENSION;
use machine::paths::Paths;
use machine::{clock, durable, regular};

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Installed {
    /// It is in its place.
    Done {
        /// An instance that was not here before, and that is frozen until somebody thaws it.
        is_frozen: bool,
        /// Where the local file is kept that nobody else had.
        loser: Option<PathBuf>,
    },
    /// It was there already.
    Same,
    /// The local file is not the one that was voted on.
    Changed,
}

/// Whether a text is another one than the id that a first start gave it: two fresh nodes with one cluster.conf each make one.
fn is_another(bytes: &[u8], winner: &str) -> bool {
    let without_id = |text: &str| {
        let mut ini = Ini::parse(text).ok()?;
        for section in ["DEFAULT", "cluster"] {
            ini.unset(section, "id");
        }
        Some(ini.text().trim_end().to_owned())
    };
    let own = std::str::from_utf8(bytes).ok().and_then(without_id);
    own.is_none() || own != without_id(winner)
}

/// Whether the instance that a configuration makes is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    /// It is as the node has it.
    No,
    /// It is frozen, if there was none: it is frozen where it comes from.
    IfNew,
}

fn lock(paths: &Paths, path: &ObjectPath) -> io::Result<Locked> {
    Locked::take(paths, &Target::Object(path.clone()), Writer::Daemon)
}

/// Dates a local file after the copy of the cluster, of which it is an edit: an edit counts whatever the clock said when it
/// was made, and peers go by the dates. False when it is not the file that was voted on any more. Blocks.
pub(super) fn date_after(
    paths: &Paths,
    path: &ObjectPath,
    own: &ConfigEntry,
    copy: &ConfigEntry,
) -> io::Result<bool> {
    let locked = lock(paths, path)?;
    let bytes = machine::regular::read(locked.file(), regular::MAX_FILE_BYTES)?;
    if config::csum(&bytes) != own.csum {
        return Ok(false);
    }
    let time = clock::moment().newer_than([Some(own.updated), Some(copy.updated)]);
    set_time(locked.file(), time)?;
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
    let locked = lock(paths, path)?;
    let Some(bytes) = locked.bytes()? else { return Ok(Fate::Gone) };
    let updated = regular::modified(&std::fs::metadata(locked.file())?);
    let ini = Ini::parse(&String::from_utf8_lossy(&bytes)).ok();
    let id = ini.as_ref().and_then(|ini| ini.get("DEFAULT", "id"));
    let fate = monitor::fate(deletion, is_followed, Some((id, updated)));
    if fate == Fate::Anew {
        set_time(locked.file(), clock::moment().newer_than([Some(deletion.at), Some(updated)]))?;
    }
    Ok(fate)
}

/// Gives a file a time, durably.
fn set_time(file: &Path, time: Timestamp) -> io::Result<()> {
    let opened = std::fs::File::options().write(true).open(file)?;
    opened.set_modified(regular::file_time(time).ok_or(io::ErrorKind::InvalidData)?)?;
    opened.sync_all()
}

/// Installs a configuration over the one that lost the election (`own`). Blocks.
pub(super) fn install(
    paths: &Paths,
    path: &ObjectPath,
    own: Option<&ConfigEntry>,
    fetched: &Fetched,
    is_written_here: bool,
    freeze: Freeze,
) -> io::Result<Installed> {
    let locked = lock(paths, path)?;
    let current = match locked.bytes()? {
        Some(bytes) => Some((bytes, regular::modified(&std::fs::metadata(locked.file())?))),
        None => None,
    };
    match (&current, own) {
        (None, None) => {}
        (Some((bytes, _)), _) if bytes == fetched.text.as_bytes() => return Ok(Installed::Same),
        (Some((bytes, modified)), Some(own))
            if *modified == own.updated && config::csum(bytes) == own.csum => {}
        // Not what is in force here, and voted on: something is wrong with it, and the newer one mends that.
        (_, Some(_)) if last_good::is_kept(paths, path) => {}
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
    let may_be_missed = is_written_here || last_good::is_kept(paths, path);
    if let Some((bytes, _)) = &current
        && may_be_missed
        && is_another(bytes, &fetched.text)
    {
        let mut name = locked.file().as_os_str().to_owned();
        name.push(EXTENSION);
        let kept = PathBuf::from(name);
        durable::write(&kept, bytes, MODE)?;
        loser = Some(kept);
    }
    let is_frozen = current.is_none() && freeze == Freeze::IfNew;
    let flag = paths.instance_frozen(path);
    if is_frozen && !flag.exists() {
        // Before the file is there: nothing starts it in between.
        durable::touch(&flag)?;
    }
    locked.write_at(&fetched.text, modified)?;
    Ok(Installed::Done { is_frozen, loser })
}
