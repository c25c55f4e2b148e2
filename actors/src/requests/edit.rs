//! Changes of configuration files on behalf of requests: under the lock of the file, whole or not at all.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conf::Ini;
use model::ObjectPath;

use super::{Context, blocking};
use crate::config_watcher::Reload;
use crate::durable::{self, FileLock};
use crate::paths::Paths;

/// How long another writer may hold the lock (src/conf/README.md, Files).
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// Mode of a new configuration file: it may hold secrets.
const MODE: u32 = 0o600;

/// Which file.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// node.conf.
    Node,
    /// The configuration of an object, `cluster` included.
    Object(ObjectPath),
}

impl Target {
    fn file(&self, paths: &Paths) -> PathBuf {
        match self {
            Self::Node => paths.node_conf(),
            Self::Object(path) => paths.config_file(path),
        }
    }

    fn lock(&self, paths: &Paths) -> PathBuf {
        match self {
            Self::Node => paths.locks().join("edit_node"),
            Self::Object(path) => crate::config::edit_lock(paths, path),
        }
    }
}

/// Applies `change` to a file; false from it leaves the file as it is. An error is a text for the requester.
/// When it returns, the daemon's configuration is the new one.
pub(super) async fn edit<T: Send + 'static>(
    context: &Context,
    target: Target,
    change: impl FnOnce(&mut Ini) -> Result<(bool, T), String> + Send + 'static,
) -> Result<T, String> {
    let paths: Arc<Paths> = context.routes.paths.clone();
    let edited = blocking(move || edit_now(&paths, &target, change)).await;
    let (is_changed, told) = edited.map_err(|_| "the file could not be edited".to_owned())??;
    if is_changed {
        // The watcher sees the file anyway: this only keeps the answer from running ahead of it.
        _ = context.ask(&context.routes.config_watcher, Reload).await;
    }
    Ok(told)
}

/// The same on this thread, without telling the daemon: whether the file changed, and what `change` returned.
pub(crate) fn edit_now<T>(
    paths: &Paths,
    target: &Target,
    change: impl FnOnce(&mut Ini) -> Result<(bool, T), String>,
) -> Result<(bool, T), String> {
    let file = target.file(paths);
    let _lock =
        FileLock::take(&target.lock(paths), LOCK_PATIENCE).map_err(|error| error.to_string())?;
    if let Target::Object(path) = target
        && crate::config::is_kept(paths, path)
    {
        // Not in force whatever is added: whoever asks would be told that it is.
        return Err(format!(
            "{}: has mistakes, and the last good content is in force: mend it first",
            file.display()
        ));
    }
    let text = match super::config::read_file(&file) {
        Ok(read) => read.text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let mut ini = Ini::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let (is_changed, told) = change(&mut ini)?;
    if is_changed {
        durable::write_newer(&file, ini.text().as_bytes(), MODE)
            .map_err(|error| error.to_string())?;
    }
    Ok((is_changed, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

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
        let copy = crate::config::copy_of(&paths, "cluster.conf");
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
