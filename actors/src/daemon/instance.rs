//! One daemon per root folder: the pid file, locked as long as its process lives.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::fs::FlockOperation;

use super::DaemonError;
use crate::durable::FileLock;
use crate::paths::Paths;

/// The right to be the daemon of a root folder. A pid file without a lock on it is a leftover, whatever it says.
#[derive(Debug)]
pub(super) struct Instance {
    _lock: FileLock,
}

impl Instance {
    /// Takes the lock and writes the pid.
    pub(super) fn take(paths: &Paths) -> Result<Self, DaemonError> {
        let file = paths.pid_file();
        match FileLock::try_take(&file)? {
            Some(lock) => {
                lock.note(&format!("{}\n", std::process::id()))?;
                Ok(Self { _lock: lock })
            }
            None => Err(DaemonError::Running { pid: read_pid(paths) }),
        }
    }
}

fn read_pid(paths: &Paths) -> Option<u32> {
    let mut text = String::new();
    File::open(paths.pid_file()).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The process id of the running daemon, if there is one.
///
/// # Errors
///
/// Why that cannot be told: a user who may not look does not see that nothing runs.
pub fn running_pid(paths: &Paths) -> io::Result<Option<u32>> {
    let path = paths.pid_file();
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(told(error)),
    };
    // A shared lock is refused while the daemon holds its own, and hinders no other look.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(read_pid(paths)),
        Ok(()) => Ok(None),
        Err(error) => Err(told(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_daemon_names_the_first_and_a_leftover_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        std::fs::write(paths.pid_file(), "1\n").unwrap();
        assert_eq!(running_pid(&paths).unwrap(), None);
        let held = Instance::take(&paths).unwrap();
        let second = Instance::take(&paths).unwrap_err();
        let text = format!("the daemon is already running, pid {}", std::process::id());
        assert_eq!(second.to_string(), text);
        assert_eq!(running_pid(&paths).unwrap(), Some(std::process::id()));
        drop(held);
        assert_eq!(running_pid(&paths).unwrap(), None);
        drop(Instance::take(&paths).unwrap());
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_said_to_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        assert_eq!(running_pid(&paths).unwrap(), None);
        paths.create().unwrap();
        // Not even root opens that.
        std::os::unix::fs::symlink("pid-loop", paths.pid_file()).unwrap();
        let looped = paths.pid_file().with_file_name("pid-loop");
        std::os::unix::fs::symlink(paths.pid_file(), looped).unwrap();
        let error = running_pid(&paths).unwrap_err().to_string();
        assert!(error.contains(&paths.pid_file().display().to_string()), "{error}");
    }
}
