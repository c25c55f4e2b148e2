//! Outputs of a launcher that what it left behind still writes to: read to their end by a process of its own, and dropped.
//! Without a reader, what writes dies of SIGPIPE; with one that does not read, it stands still.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::event::{PollFd, PollFlags, poll};

/// The hidden word that makes our binary read its input, and its output, to their ends.
const WORD: &str = "drain-output";

/// Hands outputs over to a process that reads them. It bears no mark: it is no part of what was launched.
///
/// # Errors
///
/// The process could not be started.
pub(super) fn hand_over(
    agent: &Path,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
) -> io::Result<()> {
    let stdio = |source: Option<OwnedFd>| source.map_or_else(Stdio::null, Stdio::from);
    let mut child = Command::new(agent)
        .arg(WORD)
        .env_clear()
        .current_dir("/")
        .stdin(stdio(out))
        .stdout(stdio(err))
        .stderr(Stdio::null())
        .spawn()?;
    // Nobody else waits for it.
    std::thread::Builder::new().name("drain".into()).spawn(move || child.wait()).map(drop)
}

/// Runs the hidden command if the arguments ask for it.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    if std::env::args_os().nth(1).is_none_or(|word| word != WORD) {
        return None;
    }
    // Fails only for who leads a group already.
    _ = rustix::process::setsid();
    let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut sources = vec![input.as_fd(), output.as_fd()];
    let mut chunk = vec![0_u8; 64 << 10];
    while !sources.is_empty() {
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().map(|source| PollFd::new(source, PollFlags::IN)).collect();
        if poll(&mut fds, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
            break;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        sources.retain(|source| {
            if !ready.next().unwrap_or(false) {
                return true;
            }
            match rustix::io::read(source, &mut chunk) {
                Ok(count) => count > 0,
                Err(error) => matches!(error, rustix::io::Errno::INTR | rustix::io::Errno::AGAIN),
            }
        });
    }
    Some(ExitCode::SUCCESS)
}
