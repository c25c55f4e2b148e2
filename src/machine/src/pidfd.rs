//! Signals to processes that were identified, and to no others: an id is that of another process once its bearer is gone.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

/// A process, whatever becomes of its id.
#[derive(Debug)]
pub struct Process {
    process: OwnedFd,
    pid: Pid,
}

impl Process {
    /// Opens a process; none if there is none with this id. Who knows it by more than the id asks for that once it is open.
    ///
    /// # Errors
    ///
    /// Whatever the system answers.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Ok(Some(Self { process, pid })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Signals it.
    ///
    /// # Errors
    ///
    /// Whatever the system answers: [`Errno::SRCH`] once it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.process, signal)?)
    }

    /// Signals it and the group that it leads, if it does. As long as it is a child that nobody has waited for, its id is
    /// that of its group; once it is gone, nobody is signalled.
    ///
    /// # Errors
    ///
    /// As [`Process::signal`].
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        self.signal(signal)?;
        match kill_process_group(self.pid, signal) {
            // It has not left our group yet, and is signalled already.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_signal_reaches_the_process_that_was_opened_or_nobody() {
        let mut child = std::process::Command::new("/bin/sleep").arg("1000.5").spawn().unwrap();
        let process = Process::open(child.id()).unwrap().unwrap();
        process.signal(Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        let gone = process.signal_group(Signal::TERM).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(Errno::SRCH.raw_os_error()));
        assert!(Process::open(child.id()).unwrap().is_none());
        assert!(Process::open(u32::MAX).unwrap().is_none());
    }
}
