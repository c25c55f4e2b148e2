//! What every driver provides, and what it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use conf::EvalError;
use model::Status;
use serde_json::Value;

use super::exec::{Ended, Output, Program};
use super::host::Host;
use super::instance::{Instance, Resource};
use super::journal::Journal;

/// Why a driver could not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration does not say what is needed.
    Keyword(EvalError),
    /// The system refused.
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended badly.
    Exit {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        code: i32,
        /// Its last words.
        line: String,
    },
    /// A program took too long.
    Late {
        /// The program and its arguments.
        command: String,
        /// How long it was given.
        timeout: Duration,
    },
    /// The action was asked to end.
    Interrupted {
        /// What ran, or was about to.
        command: String,
    },
    /// Anything else, told in words.
    Refused(String),
}

impl Failure {
    /// A failure told in words.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// Names what the system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(error) => error.fmt(f),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Exit { command, code, line } if line.is_empty() => {
                write!(f, "{command}: exit code {code}")
            }
            Self::Exit { command, code, line } => write!(f, "{command}: exit code {code}: {line}"),
            Self::Interrupted { command } => write!(f, "{command}: ended, as asked"),
            Self::Late { command, timeout } => write!(f, "{command}: timeout after {timeout:?}"),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        Self::Keyword(error)
    }
}

/// What an evaluation says besides the state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    /// Lines `level: text`.
    pub log: Vec<String>,
    /// Facts.
    pub info: BTreeMap<String, Value>,
    /// Processes whose end matters.
    pub pids: BTreeSet<u32>,
    /// Files whose appearance, change or end matters.
    pub files: BTreeSet<PathBuf>,
    /// A task runs.
    pub is_running: bool,
    /// Replaces the label, when the evaluation knows better.
    pub label: Option<String>,
}

impl Report {
    /// Tells a fact that degrades nothing.
    pub(crate) fn info(&mut self, text: impl fmt::Display) {
        self.log.push(format!("info: {text}"));
    }

    /// Tells what degrades the overall state.
    pub(crate) fn warn(&mut self, text: impl fmt::Display) {
        self.log.push(format!("warn: {text}"));
    }

    /// Tells what an operator has to repair.
    pub(crate) fn error(&mut self, text: impl fmt::Display) {
        self.log.push(format!("error: {text}"));
    }
}

/// What a driver may look at and use.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// The node.
    pub host: &'a Host,
    /// The instance.
    pub instance: &'a Instance,
    /// The resource.
    pub resource: &'a Resource,
    /// Where to log, in the name of the resource.
    pub journal: &'a Journal,
    /// States of resources evaluated before.
    pub states: &'a BTreeMap<String, Status>,
    /// The state of this one, where an action has just found it and done nothing since.
    pub state: Option<&'a Status>,
    /// Processes that the last evaluation found.
    pub known_pids: Option<&'a BTreeSet<u32>>,
    /// The command line says `--force`.
    pub is_forced: bool,
    /// This node does what is done once per object.
    pub is_leader: bool,
    /// The action is run by the scheduler.
    pub is_scheduled: bool,
    /// The operator confirmed.
    pub is_confirmed: bool,
}

impl Scene<'_> {
    /// Runs a tool of the system and fails when it fails. What it says is logged.
    ///
    /// # Errors
    ///
    /// [`Failure::Io`] when it cannot be run, [`Failure::Exit`] when it fails.
    pub(crate) fn tool<const N: usize>(&self, words: [&str; N]) -> Result<Ended, Failure> {
        self.execute(&Program::new(words).output(Output::Logged))
    }

    /// Runs a program, tells so, and fails when it fails.
    ///
    /// # Errors
    ///
    /// As [`Scene::tool`], and [`Failure::Late`] when it is late.
    pub(crate) fn execute(&self, program: &Program) -> Result<Ended, Failure> {
        self.journal.info(format_args!("{program}"));
        self.query(program).and_then(|ended| check(program, ended))
    }

    /// Runs a program that changes nothing, whatever it says.
    ///
    /// # Errors
    ///
    /// [`Failure::Io`] when it cannot be run.
    pub(crate) fn query(&self, program: &Program) -> Result<Ended, Failure> {
        program
            .run(&self.host.agent, &self.host.interrupt, self.journal)
            .map_err(|source| Failure::Io { what: "run".to_owned(), source })
    }

    /// Whether the resource is up, or down, where that has just been found: it is not asked again then.
    pub(crate) fn is_known_up(&self) -> Option<bool> {
        match self.state? {
            Status::Up | Status::StdbyUp => Some(true),
            Status::Down | Status::StdbyDown => Some(false),
            _ => None,
        }
    }

    /// The private folder of the resource.
    pub(crate) fn folder(&self) -> PathBuf {
        self.instance.var_dir.join(self.resource.rid.as_str())
    }
}

/// Fails when a program was made to end, or ended badly.
///
/// # Errors
///
/// As [`Scene::execute`].
pub(crate) fn check(program: &Program, ended: Ended) -> Result<Ended, Failure> {
    check_cut(program, &ended)?;
    if ended.code != 0 {
        let line = ended.last_line().to_owned();
        return Err(Failure::Exit { command: program.to_string(), code: ended.code, line });
    }
    Ok(ended)
}

/// Fails when a program was made to end.
///
/// # Errors
///
/// [`Failure::Interrupted`], [`Failure::Late`].
pub(crate) fn check_cut(program: &Program, ended: &Ended) -> Result<(), Failure> {
    if ended.is_interrupted {
        return Err(Failure::Interrupted { command: program.to_string() });
    }
    if ended.is_late {
        let timeout = program.time_limit().unwrap_or_default();
        return Err(Failure::Late { command: program.to_string(), timeout });
    }
    Ok(())
}

/// When a resource is evaluated: later ones look at the states of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// What everything stands on.
    Base,
    /// Applications.
    App,
    /// Tasks and syncs.
    Last,
}

/// A kind of resource.
pub(crate) trait Driver: Send + Sync {
    /// What it is, for a reader.
    fn label(&self) -> String;

    /// The state, before the standby flag is applied. An error makes it undef.
    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure>;

    /// Makes it up. Up already is success.
    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure>;

    /// Makes it down. Down already is success.
    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure>;

    /// Whether an evaluation may take long: it gets a thread of its own then.
    fn may_hang(&self) -> bool {
        true
    }

    /// How long an evaluation may take, when that is set.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// When it is evaluated.
    fn phase(&self) -> Phase {
        Phase::Base
    }

    /// Whether there is something to provision.
    fn has_provisioner(&self) -> bool {
        false
    }

    /// Whether it looks provisioned, when that can be told.
    fn is_provisioned(&self, _: &Scene<'_>) -> Option<bool> {
        None
    }

    /// Makes what a start needs.
    fn provision(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Removes what [`Driver::provision`] made. It is down.
    fn unprovision(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Why an instance must not start here now.
    fn abort_reason(&self, _: &Scene<'_>) -> Option<String> {
        None
    }

    /// Orders resources of one set; the id when there is nothing better.
    fn sort_key(&self) -> Option<String> {
        None
    }

    /// Where it is mounted, if it is a file system that comes and goes.
    fn mount_point(&self) -> Option<PathBuf> {
        None
    }

    /// Runs a task.
    fn run(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Err(Failure::refused("not a task"))
    }

    /// Cleans up after a start of the node.
    fn boot(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Copies to these nodes.
    fn sync(&self, _: &Scene<'_>, _: super::SyncTo) -> Result<(), Failure> {
        Ok(())
    }

    /// Variables for triggers.
    fn trigger_environment(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// A resource that cannot work: its configuration is wrong, or nothing here knows its type.
pub(crate) struct Broken {
    /// What it is, for a reader.
    pub label: String,
    /// What is wrong.
    pub reason: String,
    /// This agent has no driver for it, so it cannot have started it either.
    pub is_foreign: bool,
}

impl Driver for Broken {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn evaluate(&self, _: &Scene<'_>, _: &mut Report) -> Result<Status, Failure> {
        Err(Failure::refused(self.reason.clone()))
    }

    fn start(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Err(Failure::refused(self.reason.clone()))
    }

    /// What nothing here ever started holds up neither the stop of what is below it, nor a deletion. What was started
    /// before its configuration got a mistake may still run: that is an error.
    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.is_foreign {
            scene.journal.warn(format_args!("left alone: {}", self.reason));
            return Ok(());
        }
        Err(Failure::refused(self.reason.clone()))
    }

    fn may_hang(&self) -> bool {
        false
    }
}
