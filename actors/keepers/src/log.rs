//! The keeper of the log files.
//!
//! Hears: whoever logs. Restart: it opens its files again; entries in its queue are kept.

use std::io::Write as _;
use std::sync::Arc;

use actix::prelude::*;

use logs::files::LogFiles;
use logs::{lost, rotation_lock};
use machine::paths::Paths;
pub use mail::log::{Entry, Reopen};

/// The actor that owns the log files of the daemon.
pub struct LogKeeper {
    paths: Arc<Paths>,
    files: LogFiles,
    /// Entries that could not be written since one was.
    unwritten: u64,
    lost: u64,
}

impl std::fmt::Debug for LogKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKeeper").field("unwritten", &self.unwritten).finish_non_exhaustive()
    }
}

impl LogKeeper {
    /// A keeper of the files under `paths`.
    #[must_use]
    pub fn new(paths: Arc<Paths>) -> Self {
        let files = LogFiles::new(rotation_lock(&paths));
        Self { paths, files, unwritten: 0, lost: lost() }
    }
}

impl Actor for LogKeeper {
    type Context = Context<Self>;
}

impl Supervised for LogKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self { unwritten: self.unwritten, ..Self::new(self.paths.clone()) };
    }
}

impl Handler<Entry> for LogKeeper {
    type Result = ();

    fn handle(&mut self, Entry { file, entry }: Entry, _: &mut Context<Self>) {
        match self.files.append(&file, &entry) {
            Err(error) => {
                if self.unwritten == 0 {
                    // Not through the log: that would come back here.
                    _ = writeln!(std::io::stderr(), "cannot write {}: {error}", file.display());
                }
                self.unwritten += 1;
            }
            Ok(()) if self.unwritten > 0 => {
                let count = std::mem::take(&mut self.unwritten);
                log::warn!(count; "log entries were lost: they could not be written");
            }
            Ok(()) => {}
        }
        let lost = lost();
        if lost > self.lost {
            let count = lost - std::mem::replace(&mut self.lost, lost);
            log::warn!(count; "log entries were lost: the disk could not follow");
        }
    }
}

impl Handler<Reopen> for LogKeeper {
    type Result = ();

    fn handle(&mut self, _: Reopen, _: &mut Context<Self>) {
        self.files.reopen();
    }
}
