//! What inotify tells of the configuration folders.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use futures_util::{Stream, StreamExt as _};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

/// What inotify hands over; none when it fails.
pub(super) type Event = Option<inotify::Event<OsString>>;

/// Room for some hundred events: more stay in the kernel's queue.
const BUFFER_BYTES: usize = 16_384;

/// What an event means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing to us.
    Nothing,
    /// Events were lost, or a folder is gone: look at everything.
    Lost,
    /// A folder came or went: look at everything, new folders too.
    Folder,
    /// A file was written, replaced, renamed or removed.
    File(PathBuf),
}

/// Watched folders. Never files: editors and we ourselves rename over them.
pub(super) struct Watches {
    watches: inotify::Watches,
    folders: HashMap<WatchDescriptor, PathBuf>,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").field("folders", &self.folders.len()).finish()
    }
}

impl Watches {
    /// No folder, and the stream of their events.
    pub(super) fn new() -> io::Result<(Self, impl Stream<Item = Event> + 'static)> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let events = inotify.into_event_stream(vec![0; BUFFER_BYTES])?;
        Ok((Self { watches, folders: HashMap::new() }, events.map(Result::ok)))
    }

    /// Watches these folders too. One that is watched already stays so.
    ///
    /// # Errors
    ///
    /// What the system says of the first one that is not.
    pub(super) fn add(&mut self, folders: &[PathBuf]) -> io::Result<()> {
        let mut done = Ok(());
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for folder in folders {
            match self.watches.add(folder, mask) {
                Ok(watch) => _ = self.folders.insert(watch, folder.clone()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    log::debug!(folder:% = folder.display(), error:% = error; "folder is not watched");
                    done = done.and(Err(error));
                }
            }
        }
        done
    }

    /// What an event means.
    pub(super) fn seen(&self, event: Event) -> Seen {
        let Some(event) = event else { return Seen::Lost };
        let lost = EventMask::Q_OVERFLOW
            | EventMask::IGNORED
            | EventMask::UNMOUNT
            | EventMask::DELETE_SELF
            | EventMask::MOVE_SELF;
        if event.mask.intersects(lost) {
            return Seen::Lost;
        }
        let (Some(folder), Some(name)) = (self.folders.get(&event.wd), event.name) else {
            return Seen::Nothing;
        };
        if event.mask.contains(EventMask::ISDIR) {
            let is_move =
                EventMask::CREATE | EventMask::DELETE | EventMask::MOVED_FROM | EventMask::MOVED_TO;
            return if event.mask.intersects(is_move) { Seen::Folder } else { Seen::Nothing };
        }
        let file = folder.join(name);
        // A new file is told again when it is closed; a link, a pipe or a socket is not.
        let is_unfinished = event.mask.contains(EventMask::CREATE)
            && std::fs::symlink_metadata(&file)
                .is_ok_and(|metadata| metadata.is_file() && metadata.nlink() < 2);
        if is_unfinished { Seen::Nothing } else { Seen::File(file) }
    }
}
