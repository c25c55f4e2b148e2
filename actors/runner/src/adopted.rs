//! Actions that run without us being their parent: those of an earlier life of the daemon, and those of operators.

use std::io;
use std::os::fd::OwnedFd;

use model::ObjectPath;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use machine::descriptor;
use machine::durable::FileLock;
use machine::paths::Paths;

/// What the holder of an action lock writes in it (src/machine/README.md, Files).
#[derive(Debug, Deserialize)]
struct Holder {
    pid: i32,
    intent: String,
}

/// An action that runs.
#[derive(Debug)]
pub(super) struct Adopted {
    /// The action: `start`.
    pub(super) intent: String,
    /// The process that runs it.
    pub(super) pid: u32,
    process: AsyncFd<OwnedFd>,
}

impl Adopted {
    /// The action on an object that holds its lock now; none if there is none. [`io::ErrorKind::WouldBlock`]: there is one,
    /// which has not named itself yet.
    pub(super) fn find(paths: &Paths, path: &ObjectPath) -> io::Result<Option<Self>> {
        let file = paths.action_lock(path);
        if !file.exists() || FileLock::try_take(&file)?.is_some() {
            return Ok(None);
        }
        let text = machine::regular::read(&file, 64 << 10)?;
        // The holder is about to write, or has just ended.
        let Ok(holder) = serde_json::from_slice::<Holder>(&text) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let Some(process) = watch_process(holder.pid)? else { return Ok(None) };
        let pid = holder.pid.unsigned_abs();
        Ok(Some(Self { intent: holder.intent, pid, process }))
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        ended(&self.process).await;
    }
}

/// Opens a process, to be told of its end; none if it ended already.
pub(super) fn watch_process(pid: i32) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(process) => descriptor::follow(process, Interest::READABLE).map(Some),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the end of a process.
pub(super) async fn ended(process: &AsyncFd<OwnedFd>) {
    if let Err(error) = process.readable().await {
        log::warn!(error:% = error; "a process can no longer be followed");
    }
}
