//! Changes of configuration files on behalf of requests: under the lock of the file, whole or not at all.

use std::sync::Arc;

use conf::Ini;

use files::edit::{Target, edit_now};
use machine::paths::Paths;
use mail::config_watcher::Reload;
use mail::requests::Refused;

use crate::context::{Context, blocking};

/// What has to be there for something to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Only {
    /// Whatever it is.
    Any,
    /// Nothing.
    New,
    /// Something.
    Existing,
}

impl Only {
    /// Reads the option `only`.
    pub(super) fn read(text: Option<&str>) -> Result<Self, Refused> {
        match text {
            None | Some("") => Ok(Self::Any),
            Some("new") => Ok(Self::New),
            Some("existing") => Ok(Self::Existing),
            Some(_) => Err(Refused::new(400, "option only: expected new or existing")),
        }
    }

    /// Whether it may be written; else why not.
    pub(super) fn check(self, is_there: bool) -> Result<(), &'static str> {
        match (self, is_there) {
            (Self::New, true) => Err("exists already"),
            (Self::Existing, false) => Err("does not exist"),
            _ => Ok(()),
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
    let paths: Arc<Paths> = context.mail.paths.clone();
    let edited = blocking(move || edit_now(&paths, &target, change)).await;
    let (is_changed, told) = edited.map_err(|_| "the file could not be edited".to_owned())??;
    if is_changed {
        // The watcher sees the file anyway: this only keeps the answer from running ahead of it.
        _ = context.ask(&context.mail.config_watcher, Reload).await;
    }
    Ok(told)
}
