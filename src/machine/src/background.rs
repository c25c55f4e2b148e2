//! Starting the daemon detached from the terminal, and telling whoever did when it answers.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::daemon_lock::{DaemonError, running_pid};
use crate::paths::Paths;

/// Set for the process in the background: it says on its standard output that it is ready, or why it is not.
const VARIABLE: &str = "OSVC_DAEMON_BACKGROUND";

/// What it says.
const READY: &[u8] = b"ready\n";

/// How long the new process may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest explanation that is read.
const LONGEST: u64 = 64 * 1024;

/// Starts the daemon in the background and returns its pid once it answers.
///
/// # Errors
///
/// [`DaemonError::Running`] when one runs already; whatever the new process said when it ended instead.
pub fn start_background(paths: &Paths) -> Result<u32, DaemonError> {
    if let Some(pid) = running_pid(paths)? {
        return Err(DaemonError::Running { pid: Some(pid) });
    }
    let (said, output) = std::io::pipe()?;
    let mut command = Command::new(crate::process::program());
    command.args(["daemon", "start", "--foreground"]).env(VARIABLE, "1").stdin(Stdio::null());
    command.env_remove(crate::environment::SECRET_VARIABLE);
    for name in crate::environment::inherited_marks() {
        command.env_remove(name);
    }
    // The log goes to files; nothing of ours may keep the caller's terminal or pipes open.
    command.stdout(output.try_clone()?).stderr(output);
    let child = command.spawn()?;
    // The command holds our ends of the pipe.
    drop(command);
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || _ = sender.send(listen(said)));
    let log = paths.node_log();
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(None)) => Ok(child.id()),
        Ok(Ok(Some(text))) if text.is_empty() => Err(DaemonError::Said(format!(
            "the daemon ended before it was ready: see {}",
            log.display()
        ))),
        Ok(Ok(Some(text))) => Err(DaemonError::Said(text)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(DaemonError::Said(format!(
            "the daemon, pid {}, is not ready after {} s: see {}",
            child.id(),
            PATIENCE.as_secs(),
            log.display()
        ))),
    }
}

/// Reads what the new process says: none when it is ready, else why it is not.
fn listen(mut said: impl Read) -> std::io::Result<Option<String>> {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !text.ends_with(READY) && text.len() as u64 <= LONGEST {
        match said.read(&mut buffer)? {
            0 => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                let text = text.strip_prefix("om daemon start: ").unwrap_or(&text);
                return Ok(Some(text.to_owned()));
            }
            length => text.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(None)
}

/// Whether this process was started by [`start_background`].
pub fn is_background() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Leaves the session of whoever started us: its terminal may go.
pub fn detach() {
    // Refused to the leader of a session, which is detached already.
    _ = rustix::process::setsid();
    _ = std::env::set_current_dir("/");
}

/// Tells whoever started us, and lets go of the pipe.
pub fn on_ready() {
    say(READY);
}

/// Tells whoever started us that they are not to wait any longer, and why.
pub fn on_late(reason: &str) {
    let pid = std::process::id();
    say(format!("the daemon runs, pid {pid}, and does not answer: {reason}\n").as_bytes());
}

fn say(text: &[u8]) {
    if !is_background() {
        return;
    }
    _ = std::io::stdout().write_all(text).and_then(|()| std::io::stdout().flush());
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        _ = rustix::stdio::dup2_stdout(&null);
        _ = rustix::stdio::dup2_stderr(&null);
    }
}
