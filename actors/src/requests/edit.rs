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

/// How long another writer may hold the lock (config.md §2).
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// Mode of a configuration file (config.md §2).
const MODE: u32 = 0o600;

/// Which file.
#[derive(Debug, Clone)]
pub(super) enum Target {
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

fn edit_now<T>(
    paths: &Paths,
    target: &Target,
    change: impl FnOnce(&mut Ini) -> Result<(bool, T), String>,
) -> Result<(bool, T), String> {
    let file = target.file(paths);
    let _lock =
        FileLock::take(&target.lock(paths), LOCK_PATIENCE).map_err(|error| error.to_string())?;
    let text = match super::config::read_file(&file) {
        Ok(read) => read.text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let mut ini = Ini::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let (is_changed, told) = change(&mut ini)?;
    if is_changed {
        durable::write(&file, ini.text().as_bytes(), MODE).map_err(|error| error.to_string())?;
    }
    Ok((is_changed, told))
}
