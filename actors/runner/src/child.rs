//! Child processes: they lead sessions of their own, so that nothing sent to the daemon reaches them.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use drivers::origin::ORIGIN_VARIABLE;
use files::in_force::CSUM_VARIABLE;
use machine::environment::SECRET_VARIABLE;
use machine::limits;
use machine::pidfd::Process;
use mail::runner::CommandOutcome;

/// Bytes kept of each output of a command: 1 MiB.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// What a command that was asked to end may still do before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long outputs are read after the end of the command.
const LINGER: Duration = Duration::from_millis(200);

/// Environment variable with the session id that the log lines of a command have.
pub(super) const SESSION: &str = "OSVC_SESSION_UUID";

/// Starts `program words`.
fn command(program: &Path, words: &[String], session: &str) -> Command {
    let mut command = Command::new(program);
    command.args(words).env(SESSION, session).envs(limits::variables()).stdin(Stdio::null());
    command.env_remove(SECRET_VARIABLE);
    // Its outputs are not ours. What it is told otherwise is from who started us.
    match logs::tells_journal() {
        true => command.env(logs::journal::VARIABLE, "1"),
        false => command.env_remove(logs::journal::VARIABLE),
    };
    command
}

/// Starts a command whose output nobody wants: it tells its log. It survives us.
///
/// `for_config` of what the daemon itself does: the checksum of the object's configuration, empty where it is about none.
/// It acts on what the daemon has in force, and logs why it could not.
pub(super) fn start(
    program: &Path,
    words: &[String],
    session: &str,
    for_config: Option<&str>,
) -> io::Result<Child> {
    let mut command = command(program, words, session);
    if let Some(csum) = for_config {
        command.env(ORIGIN_VARIABLE, "daemon").env(CSUM_VARIABLE, csum);
    }
    // Not our own outputs: a pipe that breaks with us would break the command.
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Runs a command to its end and keeps what it prints. One that outlives `time` is ended with all it started.
pub(super) async fn run(
    program: &Path,
    words: &[String],
    session: &str,
    time: Option<Duration>,
) -> io::Result<CommandOutcome> {
    let mut child =
        command(program, words, session).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let group = group(&child);
    let (out, err) = (Kept::default(), Kept::default());
    let outputs = (child.stdout.take(), child.stderr.take());
    let reading = async { tokio::join!(read(outputs.0, &out), read(outputs.1, &err)) }.fuse();
    tokio::pin!(reading);
    let waiting = async {
        let Some(time) = time else { return child.wait().await };
        for (patience, sign) in [(time, Signal::TERM), (LAST_WORDS, Signal::KILL)] {
            if let Ok(status) = tokio::time::timeout(patience, child.wait()).await {
                return status;
            }
            signal(group.as_ref(), sign);
        }
        child.wait().await
    };
    tokio::pin!(waiting);
    let status = tokio::select! {
        status = &mut waiting => status?,
        _ = &mut reading => waiting.await?,
    };
    // What it left running may keep the outputs open for ever.
    if !reading.is_terminated() {
        _ = tokio::time::timeout(LINGER, reading).await;
    }
    let text = |kept: &Kept| String::from_utf8_lossy(&kept.0.borrow()).into_owned();
    Ok(CommandOutcome::Ended { out: text(&out), err: text(&err), ret: exit_code(status) })
}

/// The leader of the process group of a command.
pub(super) fn group(child: &Child) -> Option<Process> {
    Process::open(child.id()?).ok()?
}

/// Signals a command and what it started.
pub(super) fn signal(group: Option<&Process>, signal: Signal) {
    let Some(group) = group else { return };
    if let Err(error) = group.signal_group(signal) {
        log::debug!(group = group.pid(), error:% = error; "not signalled");
    }
}

/// Exit code, as a shell tells it: 128 and the signal when one ended the process.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What an output said, as far as it is kept.
#[derive(Default)]
struct Kept(RefCell<Vec<u8>>);

/// Reads all that a stream says; what is beyond the limit is dropped.
async fn read<R: AsyncRead + Unpin>(stream: Option<R>, kept: &Kept) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let mut kept = kept.0.borrow_mut();
        let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;

    use super::*;

    async fn shell(script: &str, time: Option<Duration>) -> (String, String, i32) {
        // Our own program leads a session by itself.
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        match run(Path::new("setsid"), &words, "sid", time).await.unwrap() {
            CommandOutcome::Ended { out, err, ret } => (out, err, ret),
            started => panic!("{started:?}"),
        }
    }

    #[tokio::test]
    async fn output_and_exit_code_are_kept() {
        let ended = shell("echo out; echo err >&2; echo $OSVC_SESSION_UUID; exit 3", None).await;
        assert_eq!(ended, ("out\nsid\n".to_owned(), "err\n".to_owned(), 3));
        assert_eq!(shell("kill -9 $$", None).await.2, 137);
    }

    #[tokio::test]
    async fn a_command_that_prints_without_end_fills_no_memory() {
        let (out, _, ret) = shell("head -c 3000000 /dev/zero | tr '\\0' x", None).await;
        assert_eq!((out.len(), ret), (MAX_OUTPUT_BYTES, 0));
    }

    #[tokio::test]
    async fn what_a_command_left_running_does_not_hold_its_answer() {
        let start = std::time::Instant::now();
        let (out, _, ret) = shell("sleep 600 & echo $!", None).await;
        assert_eq!(ret, 0);
        assert!(start.elapsed() < Duration::from_secs(60));
        let sleeper = Pid::from_raw(out.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(sleeper, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_its_children() {
        let (out, _, ret) =
            shell("sleep 600 & echo $!; wait", Some(Duration::from_millis(200))).await;
        assert_eq!(ret, 143);
        let child = Pid::from_raw(out.trim().parse().unwrap()).unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        for _ in 0..500 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child still runs");
    }
}
