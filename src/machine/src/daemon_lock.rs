//! One daemon per root folder: the pid file, locked as long as its process lives, and the lock that deployed agents take.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde_json::json;

use crate::durable::{self, FileLock};
use crate::paths::Paths;
use crate::process::Stat;
use crate::{clock, regular};

/// The right to be the daemon of a root folder. A pid file without a lock on it is a leftover, whatever it says.
#[derive(Debug)]
pub struct DaemonLock {
    _lock: FileLock,
    _deployed: FileLock,
}

/// What our command line begins with behind the program.
const OURS: &str = " ";

/// How long a deployed agent that is just starting may hold its lock: it does so until its pid is written.
const DEPLOYED_PATIENCE: Duration = Duration::from_secs(2);

impl DaemonLock {
    /// Takes both locks and writes the pid.
    pub fn take(paths: &Paths) -> Result<Self, DaemonError> {
        let file = paths.pid_file();
        let Some(lock) = free_of_the_dead(paths, || FileLock::try_take(&file))? else {
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

    /// Leaves the command line by which deployed commands see that the daemon runs, and when it has ended: they look for that
    /// text in what `ps` shows of the process. It lacks the program, with which theirs begin.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn show(&self, paths: &Paths) -> io::Result<()> {
        let line = command_line(std::process::id()).unwrap_or_default();
        let arguments = line.find(OURS).map_or(OURS, |at| &line[at..]);
        durable::write_cache(&paths.deployed_mark(), arguments.as_bytes(), 0o644)
    }
}

/// How long a child of a daemon that was killed may hold its lock.
const DEAD_PATIENCE: Duration = Duration::from_secs(3);

/// Looks whether the lock is free. A daemon that is killed while it starts a program leaves a child that is not yet that
/// program, and has all that the daemon had open: a lock whose process is dead is waited for.
fn free_of_the_dead<T>(
    paths: &Paths,
    free: impl Fn() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let begin = Instant::now();
    loop {
        let found = free()?;
        let is_dead = || read_pid(paths).is_some_and(|pid| Stat::read(pid).is_none());
        if found.is_some() || begin.elapsed() >= DEAD_PATIENCE || !is_dead() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process of a deployed agent's daemon, if one runs: that of the pid file, with the command line that it left.
fn deployed_pid(paths: &Paths) -> Option<u32> {
    let left = left_by_deployed(paths)?;
    let pid = read_pid(paths)?;
    (!left.trim().is_empty() && command_line(pid)?.contains(left.trim())).then_some(pid)
}

/// The command line that a deployed agent left where it ran; none where this one has run since.
#[must_use]
pub fn left_by_deployed(paths: &Paths) -> Option<String> {
    regular::words(&paths.deployed_mark()).filter(|left| !left.starts_with(OURS))
}

/// The command line of a process, as `ps` shows it.
fn command_line(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
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
    let free = || match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Ok(()) => Ok(Some(())),
        Err(error) => Err(told(error.into())),
    };
    match free_of_the_dead(paths, free)? {
        Some(()) => Ok(None),
        None => Ok(read_pid(paths)),
    }
}

/// Why the daemon does not start.
#[derive(Debug)]
pub enum DaemonError {
    /// Another one runs on the same root folder.
    Running {
        /// Its process id, when it could be read.
        pid: Option<u32>,
    },
    /// A deployed agent runs in the same folders.
    Deployed {
        /// Its process id, when it could be read.
        pid: Option<u32>,
    },
    /// The host name is not a node name.
    Nodename(model::NameError),
    /// The system refused something.
    Io(io::Error),
    /// What the process in the background said before it ended.
    Said(String),
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { pid: Some(pid) } => {
                write!(f, "the daemon is already running, pid {pid}")
            }
            Self::Running { pid: None } => f.write_str("the daemon is already running"),
            Self::Deployed { pid } => {
                f.write_str("a deployed agent's daemon is running")?;
                if let Some(pid) = pid {
                    write!(f, ", pid {pid}")?;
                }
                f.write_str(": stop it first, with its own `om daemon stop`")
            }
            Self::Nodename(error) => {
                write!(f, "{error}: set {} to name this node", clock::NODENAME_VARIABLE)
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::Said(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DaemonError {}

impl From<io::Error> for DaemonError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
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
        let held = DaemonLock::take(&paths).unwrap();
        let second = DaemonLock::take(&paths).unwrap_err();
        let text = format!("the daemon is already running, pid {}", std::process::id());
        assert_eq!(second.to_string(), text);
        assert_eq!(running_pid(&paths).unwrap(), Some(std::process::id()));
        held.show(&paths).unwrap();
        let mark = std::fs::read_to_string(paths.deployed_mark()).unwrap();
        let line = command_line(std::process::id());
        assert!(mark.starts_with(' '), "a program is lacking: {mark:?}");
        assert!(line.is_some_and(|line| line.ends_with(&mark) || mark == " "));
        assert_eq!(left_by_deployed(&paths), None);
        drop(held);
        assert_eq!(running_pid(&paths).unwrap(), None);
        drop(DaemonLock::take(&paths).unwrap());
    }

    #[test]
    fn a_child_of_a_daemon_that_was_killed_is_no_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        // What has the lock is not the process that the file names.
        let held = || {
            std::fs::write(paths.pid_file(), dead.id().to_string()).unwrap();
            let file = std::fs::File::open(paths.pid_file()).unwrap();
            rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
            std::process::Command::new("sleep").arg("0.3").stdin(file).spawn().unwrap()
        };
        let mut child = held();
        assert_eq!(running_pid(&paths).unwrap(), None);
        child.wait().unwrap();
        let mut child = held();
        drop(DaemonLock::take(&paths).unwrap());
        child.wait().unwrap();
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
        std::fs::write(paths.deployed_mark(), "sleep 81002").unwrap();
        let text = format!(
            "a deployed agent's daemon is running, pid {}: stop it first, with its own `om daemon stop`",
            child.id()
        );
        assert_eq!(DaemonLock::take(&paths).unwrap_err().to_string(), text);
        assert_eq!(read_pid(&paths), Some(child.id()), "its file is left alone");
        std::fs::write(paths.deployed_mark(), "python3 osvcd.py").unwrap();
        drop(DaemonLock::take(&paths).unwrap());
        std::fs::write(paths.pid_file(), child.id().to_string()).unwrap();
        std::fs::write(paths.deployed_mark(), "sleep 81002").unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let held = DaemonLock::take(&paths).unwrap();
        assert!(FileLock::try_take(&paths.deployed_lock()).unwrap().is_none(), "it waits for us");
        drop(held);
        let theirs = FileLock::try_take(&paths.deployed_lock()).unwrap().unwrap();
        let error = DaemonLock::take(&paths).unwrap_err();
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
