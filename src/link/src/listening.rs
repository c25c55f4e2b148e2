//! Sockets of this node: made anew at start, watched, and accepting whatever is exhausted.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt as _};
use inotify::{Inotify, WatchMask};
use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use machine::descriptor;
use machine::watching::SWEEP;

use crate::accept::{EXHAUSTED_PAUSE, accept};
use crate::socket::with_short_path;

/// Descriptors held for connections to one socket.
const RESERVE: usize = 8;

/// Its folder changed: the socket may be gone.
#[derive(Debug)]
pub struct Look;

/// Device and inode of a file.
///
/// # Errors
///
/// Those of the system.
pub fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// A mark whenever a file of this folder, or the folder, was removed or replaced.
pub fn removals(path: &Path) -> Pin<Box<dyn Stream<Item = Look>>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let watched = std::fs::create_dir_all(folder).and_then(|()| {
        let inotify = Inotify::init()?;
        let mask = WatchMask::DELETE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        inotify.watches().add(folder, mask)?;
        inotify.into_event_stream([0; 1_024])
    });
    match watched {
        Ok(events) => Box::pin(events.map(|_| Look)),
        Err(error) => {
            log::warn!(error:% = error; "no inotify: the sockets are looked at every 2 s");
            Box::pin(stream::unfold((), async |()| {
                tokio::time::sleep(SWEEP).await;
                Some((Look, ()))
            }))
        }
    }
}

/// A socket that accepts, with descriptors that nobody else gets: whatever is exhausted, the administrator is let in.
#[derive(Debug)]
pub struct Accepting {
    listener: AsyncFd<UnixListener>,
    reserve: Vec<File>,
    is_exhausted: bool,
}

impl Accepting {
    /// Accepts on a non-blocking socket.
    ///
    /// # Errors
    ///
    /// Those of the event loop.
    pub fn new(listener: UnixListener) -> io::Result<Self> {
        let listener = descriptor::follow(listener, Interest::READABLE)?;
        let mut accepting = Self { listener, reserve: vec![], is_exhausted: false };
        accepting.refill();
        Ok(accepting)
    }

    fn refill(&mut self) {
        while self.reserve.len() < RESERVE
            && let Ok(file) = File::open("/dev/null")
        {
            self.reserve.push(file);
        }
    }

    /// Every connection, and every error that is ours. Never ends.
    pub fn all(self) -> Pin<Box<dyn Stream<Item = io::Result<UnixStream>>>> {
        Box::pin(stream::unfold(self, async |mut accepting| {
            Some((accepting.next().await, accepting))
        }))
    }

    async fn next(&mut self) -> io::Result<UnixStream> {
        if std::mem::take(&mut self.is_exhausted) {
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
        self.refill();
        loop {
            let accepted = accept(&self.listener, |listener| {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                Ok(rustix::net::accept_with(listener, flags)?.into())
            });
            match accepted.await {
                Err(error) if is_out_of_descriptors(&error) && self.reserve.pop().is_some() => {}
                accepted => {
                    self.is_exhausted = accepted.is_err();
                    return accepted;
                }
            }
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

/// Whether a client is this node's administrator, or the user that the daemon runs as.
#[must_use]
pub fn is_administrator(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid.is_root() || peer.uid == own)
}

/// Makes the socket, readable and writable by its owner only. One that a killed daemon left is removed: whoever gets
/// here holds the lock of the pid file.
///
/// # Errors
///
/// Those of the system.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = with_short_path(path, |path| UnixListener::bind(path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&listener, 1_024)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::connect;

    #[test]
    fn a_socket_with_a_long_path_can_be_used_and_a_leftover_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(120)).join("lsnr/lsnr.sock");
        drop(listen(&path).unwrap());
        assert!(connect(&path).is_err());
        let _listener = listen(&path).unwrap();
        connect(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
