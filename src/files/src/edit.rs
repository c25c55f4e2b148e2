//! Changes of configuration files: under the lock of the file, whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use conf::{Ini, ObjectConf};
use model::{ObjectPath, Timestamp};

use machine::durable;
use machine::durable::{FileLock, Staged};
use machine::paths::Paths;
use machine::{process, regular};

pub use crate::target::{MODE, Target};
use crate::versions;

/// Who writes: that tells how long another writer of the file is waited for (src/conf/README.md, Files).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The daemon, which others wait for.
    Daemon,
    /// A command of an operator, or an action.
    Command,
}

impl Writer {
    fn patience(self) -> Duration {
        match self {
            Self::Daemon => Duration::from_secs(3),
            Self::Command => Duration::from_secs(10),
        }
    }
}

/// A configuration file that nobody else writes: its lock is held until this is dropped.
#[derive(Debug)]
pub struct Locked {
    file: PathBuf,
    paths: Paths,
    target: Target,
    writer: Writer,
    _lock: FileLock,
}

impl Locked {
    /// Takes the lock. Blocks.
    ///
    /// # Errors
    ///
    /// As [`FileLock::take`].
    pub fn take(paths: &Paths, target: &Target, writer: Writer) -> io::Result<Self> {
        let lock = FileLock::take(&target.lock(paths), writer.patience())?;
        Ok(Self::holding(paths, target, writer, lock))
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`FileLock::try_take`].
    pub fn try_take(paths: &Paths, target: &Target, writer: Writer) -> io::Result<Option<Self>> {
        let taken = FileLock::try_take(&target.lock(paths))?;
        Ok(taken.map(|lock| Self::holding(paths, target, writer, lock)))
    }

    fn holding(paths: &Paths, target: &Target, writer: Writer, lock: FileLock) -> Self {
        let file = target.file(paths);
        Self { file, paths: paths.clone(), target: target.clone(), writer, _lock: lock }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its bytes, none if it is not there.
    ///
    /// # Errors
    ///
    /// As [`regular::read`].
    pub fn bytes(&self) -> io::Result<Option<Vec<u8>>> {
        present(regular::read(&self.file, regular::MAX_FILE_BYTES))
    }

    /// Its text, none if it is not there.
    ///
    /// # Errors
    ///
    /// As [`regular::read_text`].
    pub fn text(&self) -> io::Result<Option<String>> {
        present(regular::read_text(&self.file))
    }

    /// Replaces its content by a newer one, whatever the clock says.
    ///
    /// # Errors
    ///
    /// As [`durable::write_newer`].
    pub fn write(&self, text: &str) -> io::Result<()> {
        let by = match self.writer {
            Writer::Daemon => "daemon".to_owned(),
            Writer::Command => process::operator(),
        };
        self.keep(text, &by);
        durable::write_newer(&self.file, text.as_bytes(), MODE)
    }

    /// Replaces its content by one of that time.
    ///
    /// # Errors
    ///
    /// As [`durable::write_at`].
    pub fn write_at(&self, text: &str, modified: SystemTime) -> io::Result<()> {
        // Who takes the time over takes the file over.
        self.keep(text, "peer");
        durable::write_at(&self.file, text.as_bytes(), MODE, modified)
    }

    /// Keeps what is replaced, and what replaces it, as versions. What is not kept is told, and written all the same.
    fn keep(&self, text: &str, by: &str) {
        let before = self.text().ok().flatten();
        let at =
            std::fs::metadata(&self.file).map_or(Timestamp::NEVER, |it| regular::modified(&it));
        let before = before.as_deref().map(|before| (before, at));
        if let Err(error) = versions::keep(&self.paths, &self.target, before, text, by) {
            let file = self.file.display();
            log::warn!(file:% = file, error:% = error; "the version of a configuration is not kept");
        }
    }

    /// Writes what is to replace it beside it.
    ///
    /// # Errors
    ///
    /// As [`durable::stage`].
    pub fn stage(&self, text: &str, modified: Option<SystemTime>) -> io::Result<Staged> {
        durable::stage(&self.file, text.as_bytes(), MODE, modified)
    }
}

fn present<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes this `DEFAULT.id` into the file of an object that has none. Not while somebody writes it: who truncates a file and
/// writes it anew would write into one that is replaced, and that nobody sees. One without a text is such a file.
pub fn give_id(paths: &Paths, path: &ObjectPath, id: &str) -> io::Result<()> {
    let locked = Locked::take(paths, &Target::Object(path.clone()), Writer::Daemon)?;
    // Whoever held the lock before may have written another text.
    let text = regular::read_text(locked.file())?;
    if text.trim().is_empty() {
        return Ok(());
    }
    let Ok(mut conf) = ObjectConf::parse(path.clone(), &text) else { return Ok(()) };
    if conf.ensure_id(id) {
        let staged = locked.stage(conf.text(), None)?;
        if regular::read_text(locked.file())? == text {
            staged.commit()?;
        }
    }
    Ok(())
}

/// Applies `change` to a file of the daemon; false from it leaves the file as it is. Whether the file changed, and what
/// `change` returned. Blocks.
pub fn edit_now<T>(
    paths: &Paths,
    target: &Target,
    change: impl FnOnce(&mut Ini) -> Result<(bool, T), String>,
) -> Result<(bool, T), String> {
    let said = |error: io::Error| error.to_string();
    let locked = Locked::take(paths, target, Writer::Daemon).map_err(said)?;
    let file = locked.file();
    if let Target::Object(path) = target
        && crate::last_good::is_kept(paths, path)
    {
        // Not in force whatever is added: whoever asks would be told that it is.
        return Err(format!(
            "{}: has mistakes, and the last good content is in force: mend it first",
            file.display()
        ));
    }
    let text = match crate::read::read_file(file) {
        Ok(read) => read.text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let mut ini = Ini::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let (is_changed, told) = change(&mut ini)?;
    if is_changed {
        locked.write(ini.text()).map_err(said)?;
    }
    Ok((is_changed, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::clock;

    fn set(keyword: &'static str) -> impl FnOnce(&mut Ini) -> Result<(bool, ()), String> {
        move |ini| Ok((ini.set("cluster", keyword, "x").map_err(|error| error.to_string())?, ()))
    }

    #[test]
    fn a_change_is_written_once_and_a_refusal_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let target = Target::Object(ObjectPath::cluster());
        let file = paths.cluster_conf();
        assert_eq!(edit_now(&paths, &target, set("name")), Ok((true, ())));
        let written = std::fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(edit_now(&paths, &target, set("name")), Ok((false, ())));
        assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written);
        let refused = edit_now(&paths, &target, |ini: &mut Ini| {
            ini.set("cluster", "id", "y").map_err(|error| error.to_string())?;
            Err::<(bool, ()), _>("no".to_owned())
        });
        assert_eq!(refused, Err("no".to_owned()));
        assert!(!std::fs::read_to_string(&file).unwrap().contains("id"));
    }

    #[test]
    fn a_change_is_newer_than_what_it_changes_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let target = Target::Object(ObjectPath::cluster());
        let ahead = clock::system() + Duration::from_secs(3600);
        durable::write_at(&paths.cluster_conf(), b"", 0o600, ahead).unwrap();
        edit_now(&paths, &target, set("name")).unwrap();
        let modified = std::fs::metadata(paths.cluster_conf()).unwrap().modified().unwrap();
        assert!(modified > ahead && modified < ahead + Duration::from_secs(1));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::fs::create_dir_all(&paths.etc).unwrap();
        for broken in [&b"no delimiter\n"[..], b"\xff\xfe"] {
            std::fs::write(paths.node_conf(), broken).unwrap();
            let error = edit_now(&paths, &Target::Node, set("name")).unwrap_err();
            assert!(error.contains("node.conf"), "{error}");
            assert_eq!(std::fs::read(paths.node_conf()).unwrap(), broken);
        }
    }

    #[test]
    fn what_is_not_in_force_is_not_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let target = Target::Object(ObjectPath::cluster());
        durable::write(&paths.cluster_conf(), b"[listener]\nport = abc\n", 0o600).unwrap();
        let copy = crate::last_good::copy_of(&paths, "cluster.conf");
        durable::write(&copy, b"[listener]\nport = 1\n", 0o600).unwrap();
        let error = edit_now(&paths, &target, set("name")).unwrap_err();
        assert!(error.contains("cluster.conf") && error.contains("mend"), "{error}");
        durable::remove(&copy).unwrap();
        assert_eq!(edit_now(&paths, &target, set("name")), Ok((true, ())));
    }

    #[test]
    fn writers_that_come_together_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let paths = &paths;
                scope.spawn(move || {
                    for round in 0..5 {
                        let change = |ini: &mut Ini| {
                            let keyword = format!("k{writer}-{round}");
                            ini.set("data", &keyword, "v").map_err(|error| error.to_string())?;
                            Ok((true, ()))
                        };
                        edit_now(paths, &Target::Node, change).unwrap();
                    }
                });
            }
        });
        let ini = Ini::parse(&std::fs::read_to_string(paths.node_conf()).unwrap()).unwrap();
        assert_eq!(ini.keywords("data").count(), 40);
    }
}
