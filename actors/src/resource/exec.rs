//! Running programs: environment, output to the log line by line, timeouts.
//!
//! No shell unless the caller names one. One thread serves a child: it sleeps until the child writes, ends or is late.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use super::exec_context::ExecContext;
use super::journal::Journal;

/// Longest output kept of one stream, in bytes. What comes after is logged, and forgotten.
const LONGEST_CAPTURE: usize = 1 << 20;

/// Longest log line, in bytes. A longer one is cut into several.
const LONGEST_LINE: usize = 16 << 10;

/// Variables of ours that are none of a child's business, or mean something else to it: whose action it is, the secret of
/// a cluster, and how the service manager hears the daemon.
const PRIVATE: [&str; 11] = [
    crate::limits::VARIABLE,
    crate::limits::CORE_VARIABLE,
    crate::client::SECRET_VARIABLE,
    super::ORIGIN_VARIABLE,
    crate::config::CSUM_VARIABLE,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// How the output of a program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Output {
    /// Not at all: the caller reads what was captured.
    #[default]
    Captured,
    /// Standard output as info, standard error as error lines, as they come; captured as well.
    Logged,
    /// As `Logged`, both as info lines: errors of this program are expected.
    LoggedAsInfo,
    /// Dropped, never read: for programs that stay.
    Null,
}

/// A program about to be run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    words: Vec<OsString>,
    environment: Vec<(String, String)>,
    context: Option<ExecContext>,
    timeout: Option<Duration>,
    output: Output,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Exit code, 128 and the signal's number when one ended it.
    pub code: i32,
    /// Standard output, unless it was not read.
    pub out: String,
    /// Standard error, unless it was not read.
    pub err: String,
    /// It was ended for being late.
    pub is_late: bool,
}

impl Ended {
    /// Whether it ended by itself with code 0.
    pub(crate) fn is_success(&self) -> bool {
        self.code == 0 && !self.is_late
    }

    /// The last words of its errors, else of its output: what a reader of an error message wants.
    pub(crate) fn last_line(&self) -> &str {
        let line = |text: &'_ str| text.trim_end().lines().next_back().map(str::len);
        let tail = |text: &'_ str| line(text).map(|len| text.trim_end().len() - len);
        match (tail(&self.err), tail(&self.out)) {
            (Some(start), _) => self.err.trim_end()[start..].trim(),
            (None, Some(start)) => self.out.trim_end()[start..].trim(),
            (None, None) => "",
        }
    }
}

impl Program {
    /// A program and its arguments.
    pub(crate) fn new<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            environment: vec![],
            context: None,
            timeout: None,
            output: Output::Captured,
        }
    }

    /// Adds variables to the inherited environment.
    pub(crate) fn environment(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Runs it in a context of its own.
    pub(crate) fn context(mut self, context: ExecContext) -> Self {
        self.context = Some(context);
        self
    }

    /// Ends it when it takes longer: SIGTERM then, SIGKILL after as long again. A program that leads a session is ended
    /// with all it started.
    pub(crate) fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long it may take.
    pub(crate) fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// Tells its output.
    pub(crate) fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    fn leads_group(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.is_session)
    }

    fn spawn(&self, agent: &Path) -> io::Result<Child> {
        let (program, rest) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = match &self.context {
            Some(context) => context.command(agent, &self.words),
            None => {
                let mut command = Command::new(program);
                command.args(rest);
                command
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in PRIVATE {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        if self.output == Output::Null {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", program.to_string_lossy()))
        })
    }

    /// Starts it and leaves it to itself, after `patience`: an end within it is told with its code. `on_start` is told its
    /// process id at once.
    ///
    /// # Errors
    ///
    /// The program could not be started.
    pub(crate) fn start(
        &self,
        agent: &Path,
        patience: Duration,
        on_start: impl FnOnce(u32),
    ) -> io::Result<Option<i32>> {
        let mut child = self.spawn(agent)?;
        on_start(child.id());
        let pidfd = pidfd_open(pid_of(&child), PidfdFlags::empty())?;
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        wait_for(&mut fds, Some(Instant::now() + patience))?;
        Ok(child.try_wait()?.map(code_of))
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// The program could not be started, or not be waited for.
    pub(crate) fn run(&self, agent: &Path, journal: &Journal) -> io::Result<Ended> {
        let mut child = self.spawn(agent)?;
        let pid = pid_of(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let mut out = Stream::new(child.stdout.take())?;
        let mut err = Stream::new(child.stderr.take())?;
        let is_logged = matches!(self.output, Output::Logged | Output::LoggedAsInfo);
        let tell = |line: &str, is_error: bool| {
            if is_logged && is_error && self.output == Output::Logged {
                journal.error(format_args!("| {line}"));
            } else if is_logged {
                journal.info(format_args!("| {line}"));
            }
        };
        let started = Instant::now();
        let mut signals_sent = 0_u32;
        loop {
            let deadline = self
                .timeout
                .filter(|_| signals_sent < 2)
                .map(|timeout| started + timeout.saturating_mul(signals_sent + 1));
            let (has_ended, out_ready, err_ready) = {
                let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
                fds.extend(out.source.as_ref().map(|source| PollFd::new(source, PollFlags::IN)));
                fds.extend(err.source.as_ref().map(|source| PollFd::new(source, PollFlags::IN)));
                wait_for(&mut fds, deadline)?;
                let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
                let out_ready = out.source.is_some() && ready.get(1).copied().unwrap_or(false);
                let err_ready = err.source.is_some() && ready.last().copied().unwrap_or(false);
                (ready[0], out_ready, err_ready)
            };
            // What it leaves running may hold the pipes for ever: its own end is what counts.
            if out_ready || has_ended {
                out.read(&|line| tell(line, false));
            }
            if err_ready || has_ended {
                err.read(&|line| tell(line, true));
            }
            if has_ended {
                break;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let (signal, name) = match signals_sent {
                    0 => (Signal::TERM, "SIGTERM"),
                    _ => (Signal::KILL, "SIGKILL"),
                };
                signals_sent += 1;
                let sent = if self.leads_group() {
                    kill_process_group(pid, signal)
                } else {
                    pidfd_send_signal(&pidfd, signal)
                };
                journal.warn(format_args!(
                    "{self} takes longer than {:?}: {name} sent{}",
                    self.timeout.unwrap_or_default(),
                    sent.err().map(|error| format!(", {error}")).unwrap_or_default(),
                ));
            }
        }
        if signals_sent > 0 && self.leads_group() {
            // Its leader has ended; whoever ignored SIGTERM beside it must not stay. Before it is waited for: the id is not
            // that of another group as long as it is not.
            _ = kill_process_group(pid, Signal::KILL);
        }
        let code = code_of(child.wait()?);
        out.finish(&|line| tell(line, false));
        err.finish(&|line| tell(line, true));
        Ok(Ended { code, out: out.text(), err: err.text(), is_late: signals_sent > 0 })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, word) in self.words.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{}", word.to_string_lossy())?;
        }
        Ok(())
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Waits until one of `fds` is ready or `deadline` is reached.
fn wait_for(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(fds, timeout.as_ref()) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// One output stream of a child: read without waiting, cut into lines.
struct Stream<S> {
    source: Option<S>,
    captured: Vec<u8>,
    line: Vec<u8>,
}

impl<S: Read + AsFd> Stream<S> {
    fn new(source: Option<S>) -> io::Result<Self> {
        if let Some(source) = &source {
            rustix::io::ioctl_fionbio(source, true)?;
        }
        Ok(Self { source, captured: vec![], line: vec![] })
    }

    /// Takes all that is there. The source is dropped at its end.
    fn read(&mut self, tell: &dyn Fn(&str)) {
        let mut chunk = [0_u8; 8192];
        while let Some(source) = &mut self.source {
            match source.read(&mut chunk) {
                Ok(0) => self.source = None,
                Ok(count) => self.take(&chunk[..count], tell),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.source = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], tell: &dyn Fn(&str)) {
        let room = LONGEST_CAPTURE - self.captured.len();
        self.captured.extend_from_slice(&bytes[..bytes.len().min(room)]);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                self.flush(tell);
            }
        }
    }

    fn flush(&mut self, tell: &dyn Fn(&str)) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end();
        if !line.is_empty() {
            tell(line);
        }
        self.line.clear();
    }

    fn finish(&mut self, tell: &dyn Fn(&str)) {
        self.flush(tell);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.captured).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "/proc/self/exe";

    fn run(program: &Program) -> Ended {
        program.run(AGENT.as_ref(), &Journal::for_test()).unwrap()
    }

    fn shell(script: &str) -> Program {
        Program::new(["/bin/sh", "-c", script])
    }

    #[test]
    fn output_and_code_are_told() {
        let ended = run(&shell("echo one; echo two >&2; exit 3"));
        let expected = Ended { code: 3, out: "one\n".into(), err: "two\n".into(), is_late: false };
        assert_eq!(ended, expected);
        assert_eq!(ended.last_line(), "two");
    }

    #[test]
    fn a_program_that_leaves_a_child_behind_is_not_waited_for() {
        let started = Instant::now();
        let ended = run(&shell("sleep 30 & echo $!"));
        assert!(started.elapsed() < Duration::from_secs(10));
        let pid = Pid::from_raw(ended.out.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn a_late_program_is_asked_to_end_then_made_to() {
        let polite = run(&shell("sleep 30").timeout(Some(Duration::from_millis(50))));
        assert!(polite.is_late && !polite.is_success());
        assert_eq!(polite.code, 128 + 15);
        let deaf = shell("trap '' TERM; while :; do sleep 0.01; done");
        let started = Instant::now();
        let ended = run(&deaf.timeout(Some(Duration::from_millis(100))));
        assert_eq!(ended.code, 128 + 9);
        assert!(started.elapsed() >= Duration::from_millis(200));
    }

    #[test]
    fn a_huge_output_is_bounded_and_does_not_block() {
        let ended = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x"));
        assert_eq!(ended.code, 0);
        assert_eq!(ended.out.len(), LONGEST_CAPTURE);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Program::new(["/no/such/program"])
            .run(AGENT.as_ref(), &Journal::for_test())
            .unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    #[test]
    fn a_started_program_is_left_to_itself_and_an_early_end_is_told() {
        let early = shell("exit 4").output(Output::Null);
        assert_eq!(early.start(AGENT.as_ref(), Duration::from_secs(10), |_| ()).unwrap(), Some(4));
        let late = shell("sleep 2").output(Output::Null);
        assert_eq!(late.start(AGENT.as_ref(), Duration::from_millis(20), |_| ()).unwrap(), None);
    }

    #[test]
    fn words_are_never_read_by_a_shell() {
        let ended = run(&Program::new(["/bin/echo", "a;b", "$(c)", "`d`"]));
        assert_eq!(ended.out, "a;b $(c) `d`\n");
    }
}
