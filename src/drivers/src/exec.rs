//! Running programs: environment, output to the log line by line, time limits.
//!
//! No shell unless the caller names one. One thread serves a child: it sleeps until the child writes, ends or is late, or
//! the action is asked to end. What the child leaves running keeps outputs that somebody reads.

pub mod drain;
mod stream;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::exec::stream::Stream;
use crate::exec_context::ExecContext;
use crate::interrupt::Interrupt;
use crate::journal::Journal;

/// How long a program may take where nobody said so: nothing that a start or a stop waits for takes longer, unless it
/// hangs. Not for what works on as many data as there are.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// As [`LIMIT`], for what makes or checks a whole file system.
pub(crate) const LONG_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Longest time between SIGTERM and SIGKILL.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// The same when the action was asked to end: somebody waits.
const LAST_WORDS_ASKED: Duration = Duration::from_secs(5);

/// How long a killed program may take to be gone. One that waits in the kernel for a device that does not answer is left.
const BURIAL: Duration = Duration::from_secs(5);

/// Variables of ours that are none of a child's business, or mean something else to it: whose action it is, the secret of
/// a cluster, and how the service manager and the journal hear the daemon.
const PRIVATE: [&str; 12] = [
    machine::limits::VARIABLE,
    machine::limits::CORE_VARIABLE,
    machine::environment::SECRET_VARIABLE,
    crate::origin::ORIGIN_VARIABLE,
    files::in_force::CSUM_VARIABLE,
    // What it prints is told by this process.
    logs::journal::VARIABLE,
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
    last_words: Duration,
    output: Output,
    is_part: bool,
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
    /// It was ended, or not begun, because the action was asked to end.
    pub is_interrupted: bool,
}

/// Why a program is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Late,
    Interrupted,
}

impl Ended {
    /// Whether it ended by itself with code 0.
    pub(crate) fn is_success(&self) -> bool {
        self.code == 0 && !self.is_late && !self.is_interrupted
    }

    /// One that was not begun.
    fn not_begun() -> Self {
        let code = 128 + Signal::TERM.as_raw();
        Self { code, out: String::new(), err: String::new(), is_late: false, is_interrupted: true }
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
            timeout: Some(LIMIT),
            last_words: LAST_WORDS_ASKED,
            output: Output::Captured,
            is_part: false,
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

    /// Ends it when it takes longer than this, none for no limit, [`LIMIT`] where nobody says: SIGTERM then, SIGKILL after
    /// as long again, or after [`LAST_WORDS`]. A program is ended with all that it started, unless that has a session of its own.
    pub(crate) fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long it may take to end when the action is asked to: one that puts things in order needs more than most.
    pub(crate) fn last_words(mut self, patience: Duration) -> Self {
        self.last_words = patience;
        self
    }

    /// How long it may take.
    pub(crate) fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// It is `om`, and does a part of this action on another object: what the action needs was judged here.
    pub(crate) fn part(mut self) -> Self {
        self.is_part = true;
        self
    }

    /// Tells its output.
    pub(crate) fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// A tool has a group of its own, so that its helpers end with it; what stays leads a session.
    fn leads_group(&self) -> bool {
        self.context.as_ref().is_none_or(|context| context.is_session)
    }

    fn spawn(&self, agent: &Path) -> io::Result<Child> {
        let (program, rest) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = match &self.context {
            Some(context) => context.command(agent, &self.words),
            None => {
                let mut command = Command::new(program);
                command.args(rest).process_group(0);
                command
            }
        };
        for name in machine::environment::inherited_marks() {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in PRIVATE {
            command.env_remove(name);
        }
        match self.is_part {
            true => command.env(crate::origin::PART_VARIABLE, std::process::id().to_string()),
            false => command.env_remove(crate::origin::PART_VARIABLE),
        };
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

    /// Runs it to its end. Not at all once the action is asked to end.
    ///
    /// # Errors
    ///
    /// The program could not be started, or not be waited for.
    pub(crate) fn run(
        &self,
        agent: &Path,
        interrupt: &Interrupt,
        journal: &Journal,
    ) -> io::Result<Ended> {
        if interrupt.is_raised() {
            return Ok(Ended::not_begun());
        }
        let mut child = self.spawn(agent)?;
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
        let mut end = Ending::new(self, &child)?;
        let has_ended = loop {
            let (has_ended, is_asked) = {
                let mut fds = vec![PollFd::new(&end.pidfd, PollFlags::IN)];
                let event = interrupt.event().filter(|_| end.cause.is_none());
                fds.extend(event.map(|event| PollFd::new(event, PollFlags::IN)));
                fds.extend(out.source.as_ref().map(|source| PollFd::new(source, PollFlags::IN)));
                fds.extend(err.source.as_ref().map(|source| PollFd::new(source, PollFlags::IN)));
                wait_for(&mut fds, end.deadline)?;
                let is_ready = |at: usize| !fds[at].revents().is_empty();
                (is_ready(0), event.is_some() && is_ready(1))
            };
            if has_ended {
                break true;
            }
            out.read(&|line| tell(line, false));
            err.read(&|line| tell(line, true));
            if is_asked {
                end.signal(Cause::Interrupted, journal);
            } else if end.is_due() && !end.signal(Cause::Late, journal) {
                break false;
            }
        };
        let code = if has_ended { end.bury(&mut child)? } else { end.leave(child, journal) };
        // What it leaves running may keep the outputs open for ever: its own end is what counts.
        let left = (out.finish(&|line| tell(line, false)), err.finish(&|line| tell(line, true)));
        if (left.0.is_some() || left.1.is_some())
            && let Err(error) = drain::hand_over(agent, left.0, left.1)
        {
            journal.warn(format_args!(
                "{self}: nobody reads what it left behind writes, which may end it: {error}"
            ));
        }
        Ok(Ended {
            code,
            out: out.text(),
            err: err.text(),
            is_late: end.cause == Some(Cause::Late),
            is_interrupted: end.cause == Some(Cause::Interrupted),
        })
    }
}

/// How a running program is made to end.
struct Ending<'a> {
    program: &'a Program,
    pid: Pid,
    pidfd: OwnedFd,
    /// Why it is, once it is.
    cause: Option<Cause>,
    signals_sent: u32,
    /// When the next step is due.
    deadline: Option<Instant>,
}

impl<'a> Ending<'a> {
    fn new(program: &'a Program, child: &Child) -> io::Result<Self> {
        let pid = pid_of(child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let deadline = program.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { program, pid, pidfd, cause: None, signals_sent: 0, deadline })
    }

    fn is_due(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Takes the next step towards its end. False when there is none left: it does not even end when killed.
    fn signal(&mut self, cause: Cause, journal: &Journal) -> bool {
        let cause = *self.cause.get_or_insert(cause);
        let timeout = self.program.timeout.unwrap_or_default();
        let (signal, name, patience) = match (self.signals_sent, cause) {
            (0, Cause::Late) => (Signal::TERM, "SIGTERM", timeout.min(LAST_WORDS)),
            (0, Cause::Interrupted) => (Signal::TERM, "SIGTERM", self.program.last_words),
            (1, _) => (Signal::KILL, "SIGKILL", BURIAL),
            (_, _) => return false,
        };
        self.signals_sent += 1;
        self.deadline = Instant::now().checked_add(patience);
        let sent = if self.program.leads_group() {
            kill_process_group(self.pid, signal)
        } else {
            pidfd_send_signal(&self.pidfd, signal)
        };
        let error = sent.err().map(|error| format!(", {error}")).unwrap_or_default();
        let (pid, program) = (self.pid.as_raw_nonzero(), self.program);
        match cause {
            Cause::Late => journal.warn(format_args!(
                "{program} (pid {pid}) takes longer than {timeout:?}: {name} sent{error}"
            )),
            Cause::Interrupted => journal.warn(format_args!(
                "{program} (pid {pid}) is ended, the action was asked to end: {name} sent{error}"
            )),
        }
        true
    }

    /// Waits for one that has ended.
    fn bury(&self, child: &mut Child) -> io::Result<i32> {
        if self.cause.is_some() && self.program.leads_group() {
            // Its leader has ended; whoever ignored SIGTERM beside it must not stay. Before it is waited for: the id is not
            // that of another group as long as it is not.
            _ = kill_process_group(self.pid, Signal::KILL);
        }
        Ok(code_of(child.wait()?))
    }

    /// Leaves one that was killed and is still there: nothing but the device it waits for ends it.
    fn leave(&self, mut child: Child, journal: &Journal) -> i32 {
        let (pid, program) = (self.pid.as_raw_nonzero(), self.program);
        journal.error(format_args!(
            "{program} (pid {pid}) was killed and does not end: it waits in the kernel, and is left"
        ));
        _ = std::thread::Builder::new().name("burial".into()).spawn(move || child.wait());
        128 + Signal::KILL.as_raw()
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

#[cfg(test)]
mod tests;
