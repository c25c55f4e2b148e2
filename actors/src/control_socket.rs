//! The control socket: the node's administrator, and the commands of this node, ask here without a key.
//!
//! Its own actor, so that stopping the listener never locks the operator out. Hears: clients. Tells: the listener (who
//! is connected). Restart: the socket is made anew; established connections live on.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::stream::{self, Stream, StreamExt as _};
use inotify::{Inotify, WatchMask};
use rustix::fs::{Mode, OFlags};
use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::connection::{Session, SessionEvent, SessionGuard, Shared, serve_unix};
use crate::descriptor;
use crate::listener::accept::accept;
use crate::listener::next_session_id;
use crate::supervision;
use crate::workers::Workers;

/// Pause after the process or the system ran out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Descriptors held for connections to this socket.
const RESERVE: usize = 8;

/// Pause between two looks at the socket where inotify cannot be had.
const SWEEP: Duration = Duration::from_secs(2);

/// Its folder changed: the socket may be gone.
#[derive(Debug)]
struct Look;

/// The socket in force.
struct Open {
    /// Device and inode of its file.
    file: (u64, u64),
    accepting: SpawnHandle,
    watching: SpawnHandle,
}

/// The actor.
pub struct ControlSocket {
    shared: Arc<Shared>,
    workers: Workers,
    seed: Option<[u8; 16]>,
    number: u64,
    has_failed: bool,
    open: Option<Open>,
    /// Nobody else holds it, and an actor without address ends.
    own: Addr<Self>,
}

impl std::fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlSocket").field("number", &self.number).finish_non_exhaustive()
    }
}

impl ControlSocket {
    /// A control socket whose connections run on `workers`; `own` is its own address.
    #[must_use]
    pub fn new(shared: Arc<Shared>, workers: Workers, own: Addr<Self>) -> Self {
        Self { shared, workers, seed: None, number: 0, has_failed: false, open: None, own }
    }

    /// Makes the socket, and follows what becomes of it.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        if let Some(old) = self.open.take() {
            ctx.cancel_future(old.accepting);
            ctx.cancel_future(old.watching);
        }
        let path = self.shared.routes.paths.lsnr_socket();
        // Before the socket is there: nothing that happens to it is missed.
        let removals = removals(&path);
        let opened = listen(&path).and_then(|listener| {
            let file = identity(&path)?;
            Ok((file, descriptor::follow(listener, Interest::READABLE)?))
        });
        match opened {
            Ok((file, listener)) => {
                let connections = stream::unfold(Accepting::new(listener), accept_next);
                let accepting = ctx.add_stream(Box::pin(connections));
                self.open = Some(Open { file, accepting, watching: ctx.add_stream(removals) });
                log::info!(socket:? = path; "control socket started");
            }
            Err(error) => {
                supervision::fail(ctx, format!("cannot listen on {}: {error}", path.display()));
            }
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        let own = rustix::process::geteuid();
        let is_allowed = rustix::net::sockopt::socket_peercred(&stream)
            .is_ok_and(|peer| peer.uid.is_root() || peer.uid == own);
        if !is_allowed {
            log::warn!("a stranger was refused at the control socket");
            return;
        }
        let session = Session::new(next_session_id(&mut self.seed, &mut self.number), None);
        let shared = self.shared.clone();
        shared.note(SessionEvent::Opened(session.clone()));
        let guard = SessionGuard::new(session, shared.clone());
        self.workers.run(Box::new(move || {
            actix_rt::spawn(serve_unix(stream, shared, guard));
        }));
    }
}

impl Actor for ControlSocket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        _ = std::fs::remove_file(self.shared.routes.paths.lsnr_socket());
        log::info!("control socket stopped");
    }
}

impl Supervised for ControlSocket {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.shared.clone(), self.workers.clone(), self.own.clone());
    }
}

impl StreamHandler<io::Result<UnixStream>> for ControlSocket {
    fn handle(&mut self, accepted: io::Result<UnixStream>, _: &mut Context<Self>) {
        match accepted {
            Ok(stream) => {
                self.has_failed = false;
                self.admit(stream);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    log::error!(error:% = error; "the control socket cannot accept connections");
                }
            }
        }
    }
}

impl StreamHandler<Look> for ControlSocket {
    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        let found = identity(&self.shared.routes.paths.lsnr_socket()).ok();
        if self.open.as_ref().is_some_and(|open| found != Some(open.file)) {
            log::warn!("the file of the control socket is gone: it is made again");
            self.listen(ctx);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// A mark whenever a file of this folder, or the folder, was removed or replaced.
fn removals(path: &Path) -> Pin<Box<dyn Stream<Item = Look>>> {
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
            log::warn!(error:% = error; "no inotify: the control socket is looked at every 2 s");
            Box::pin(stream::unfold((), async |()| {
                tokio::time::sleep(SWEEP).await;
                Some((Look, ()))
            }))
        }
    }
}

/// A socket that accepts, with descriptors that nobody else gets: whatever is exhausted, the administrator is let in.
struct Accepting {
    listener: AsyncFd<UnixListener>,
    reserve: Vec<File>,
    is_exhausted: bool,
}

impl Accepting {
    fn new(listener: AsyncFd<UnixListener>) -> Self {
        let mut accepting = Self { listener, reserve: vec![], is_exhausted: false };
        accepting.refill();
        accepting
    }

    fn refill(&mut self) {
        while self.reserve.len() < RESERVE
            && let Ok(file) = File::open("/dev/null")
        {
            self.reserve.push(file);
        }
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

async fn accept_next(mut accepting: Accepting) -> Option<(io::Result<UnixStream>, Accepting)> {
    Some((accepting.next().await, accepting))
}

/// Makes the socket, readable and writable by its owner only. One that a killed daemon left is removed: whoever gets
/// here holds the lock of the pid file.
fn listen(path: &Path) -> io::Result<UnixListener> {
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

/// Connects to a control socket, also where its path is longer than the 107 bytes that a socket address has room for.
///
/// # Errors
///
/// Whatever the system answers: not found or refused when no daemon runs.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |path| UnixStream::connect(path))
}

/// Calls `open` with a name of the socket that fits into an address: its own, or one through its open folder.
fn with_short_path<T>(path: &Path, open: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd as _;
    if path.as_os_str().len() < 100 {
        return open(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return open(path) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let number = folder.as_fd().as_raw_fd();
    open(&Path::new("/proc/self/fd").join(number.to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

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
