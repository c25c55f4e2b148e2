//! One daemon per root folder: the pid file, locked as long as its process lives, and the lock that deployed agents take.

use std::io;
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde_json::json;

use super::DaemonError;
use crate::durable::FileLock;
use crate::paths::Paths;
use crate::regular;

/// The right to be the daemon of a root folder. A pid file without a lock on it is a leftover, whatever it says.
#[derive(Debug)]
pub(super) struct Instance {
    _lock: FileLock,
    _deployed: FileLock,
}

/// How long a deployed agent that is just starting may hold its lock: it does so until its pid is written.
const DEPLOYED_PATIENCE: Duration = Duration::from_secs(2);

impl Instance {
    /// Takes both locks and writes the pid.
    pub(super) fn take(paths: &Paths) -> Result<Self, DaemonError> {
        let Some(lock) = FileLock::try_take(&paths.pid_file())? else {
            return Err(DaemonError::Running { pid: read_pid(paths) });
        };
        let deployed = match FileLock::take(&paths.deployed_lock(), DEPLOYED_PATIENCE) {
            Ok(deployed) => deployed,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(DaemonError::Deployed { pid: read_pid(paths) });
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(pid) = deployed_pid(paths) {
            return Err(DaemonError::Deployed { pid: Some(pid) });
        }
        // As deployed agents write it: who is refused there is told by whom.
        deployed.note(&json!({"pid": std::process::id(), "intent": "daemon"}).to_string())?;
        lock.note(&format!("{}\n", std::process::id()))?;
        Ok(Self { _lock: lock, _deployed: deployed })
    }
}

/// The process of a deployed agent's daemon, if one runs: that of the pid file, with the command line that it left.
fn deployed_pid(paths: &Paths) -> Option<u32> {
    let left = regular::words(&paths.deployed_mark())?;
    let pid = read_pid(paths)?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    let is_theirs = !left.trim().is_empty() && words.join(" ").contains(left.trim());
    is_theirs.then_some(pid)
}

fn read_pid(paths: &Paths) -> Option<u32> {
    regular::words(&paths.pid_file())?.trim().parse().ok()
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
    let file = match regular::open(&path) {
        Ok((file, _)) => file,
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
    fn a_deployed_agent_that_runs_is_an_obstacle_and_one_that_ran_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let mut child = std::process::Command::new("sleep").arg("81002").spawn().unwrap();
        // The parent goes on before the system shows the words.
        let line = format!("/proc/{}/cmdline", child.id());
        while !std::fs::read(&line).unwrap().starts_with(b"sleep") {
            std::thread::yield_now();
        }
        std::fs::write(paths.pid_file(), child.id().to_string()).unwrap();
        std::fs::write(paths.deployed_mark(), "sleep 81002\n").unwrap();
        let text = format!(
            "a deployed agent's daemon is running, pid {}: stop it first, with its own `om daemon stop`",
            child.id()
        );
        assert_eq!(Instance::take(&paths).unwrap_err().to_string(), text);
        assert_eq!(read_pid(&paths), Some(child.id()), "its file is left alone");
        std::fs::write(paths.deployed_mark(), "python3 osvcd.py\n").unwrap();
        drop(Instance::take(&paths).unwrap());
        std::fs::write(paths.pid_file(), child.id().to_string()).unwrap();
        std::fs::write(paths.deployed_mark(), "sleep 81002\n").unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let held = Instance::take(&paths).unwrap();
        assert!(FileLock::try_take(&paths.deployed_lock()).unwrap().is_none(), "it waits for us");
        drop(held);
        let theirs = FileLock::try_take(&paths.deployed_lock()).unwrap().unwrap();
        let error = Instance::take(&paths).unwrap_err();
        assert!(matches!(error, DaemonError::Deployed { .. }), "{error}");
        drop(theirs);
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
