//! One daemon per root folder: the pid file, locked as long as its process lives.

use std::fs::File;
use std::io::Read as _;

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
#[must_use]
pub fn running_pid(paths: &Paths) -> Option<u32> {
    let file = File::open(paths.pid_file()).ok()?;
    // A shared lock is refused while the daemon holds its own, and hinders no other look.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => read_pid(paths),
        Ok(()) | Err(_) => None,
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
        assert_eq!(running_pid(&paths), None);
        let held = Instance::take(&paths).unwrap();
        let second = Instance::take(&paths).unwrap_err();
        let text = format!("the daemon is already running, pid {}", std::process::id());
        assert_eq!(second.to_string(), text);
        assert_eq!(running_pid(&paths), Some(std::process::id()));
        drop(held);
        assert_eq!(running_pid(&paths), None);
        drop(Instance::take(&paths).unwrap());
    }
}
