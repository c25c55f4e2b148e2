//! The control socket, as who connects to it sees it.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Connects to a control socket, also where its path is longer than the 107 bytes that a socket address has room for.
///
/// # Errors
///
/// Whatever the system answers: not found or refused when no daemon runs.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |path| UnixStream::connect(path))
}

/// Calls `open` with a name of the socket that fits into an address: its own, or one through its open folder.
pub fn with_short_path<T>(path: &Path, open: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
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
