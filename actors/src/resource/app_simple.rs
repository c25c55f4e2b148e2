//! `app.simple`: a program that stays in the foreground, watched by its process.

use std::time::{Duration, Instant};

use conf::SectionReader;
use model::Status;
use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};

use super::app::{self, App, Made, Verb};
use super::driver::{Driver, Failure, Phase, Report, Scene};
use super::exec::Output;
use super::instance::Setup;
use super::processes::{Process, ProcessTable, without_children};

/// How long an early end counts as a failed start (orchestration.md §13).
const START_PATIENCE: Duration = Duration::from_millis(200);

/// How long processes may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

struct Simple {
    app: App,
    id: String,
    is_tree_killed: bool,
    sort_key: Option<String>,
}

/// Reads the section.
pub(crate) fn read(section: &SectionReader<'_>, setup: &Setup<'_>) -> Made {
    let app = App::read(section, setup)?;
    Ok(Box::new(Simple {
        app,
        id: setup.id.to_owned(),
        is_tree_killed: section.text("kill")?.as_deref() == Some("tree"),
        sort_key: App::start_order(section),
    }))
}

impl Simple {
    /// What the command line of the process looks like: the start command, read as a regular expression.
    fn pattern(&self, scene: &Scene<'_>) -> Result<Option<Regex>, Failure> {
        let Some(command) = self.app.command(Verb::Start, scene)? else { return Ok(None) };
        let line = command.line();
        let pattern = Regex::new(&line).or_else(|_| Regex::new(&regex::escape(&line)));
        pattern.map(Some).map_err(|error| Failure::refused(error.to_string()))
    }

    fn matches(&self, scene: &Scene<'_>) -> Result<Vec<Process>, Failure> {
        let Some(pattern) = self.pattern(scene)? else { return Ok(vec![]) };
        let rid = scene.resource.rid.as_str();
        Ok(scene.host.processes.find(&self.id, rid, &pattern, scene.known_pids))
    }

    fn to_kill(&self, scene: &Scene<'_>) -> Result<Vec<Process>, Failure> {
        let rid = scene.resource.rid.as_str();
        if self.is_tree_killed {
            return Ok(ProcessTable::all(&self.id, rid));
        }
        let Some(pattern) = self.pattern(scene)? else { return Ok(vec![]) };
        let all = ProcessTable::all(&self.id, rid);
        let matching: Vec<Process> =
            all.into_iter().filter(|process| pattern.is_match(&process.command)).collect();
        Ok(without_children(&matching).into_iter().cloned().collect())
    }
}

impl Simple {
    /// The state when the main process is gone, and its children go on. With `kill = tree` they are a part of the app: it
    /// is not down before they are, else a stop that failed would look done, and a start would run them twice.
    fn rest_of_tree(&self, scene: &Scene<'_>, report: &mut Report) -> Option<Status> {
        if !self.is_tree_killed || self.app.has_check() {
            return None;
        }
        let rest = scene.host.processes.tree(&self.id, scene.resource.rid.as_str());
        if rest.is_empty() {
            return None;
        }
        report.warn(format_args!("its main process is gone, still running: {}", pids(&rest)));
        report.pids.extend(rest.iter().map(|process| process.pid));
        Some(Status::Warn)
    }

    /// Ends processes, and waits until none is left.
    fn kill(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(5);
        let mut signalled = std::collections::BTreeSet::new();
        loop {
            // What was started meanwhile is ended too: a tree may grow while it falls.
            let left = self.to_kill(scene)?;
            if left.is_empty() {
                return Ok(());
            }
            for process in &left {
                if signalled.insert(process.pid)
                    && let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw)
                {
                    scene.journal.info(format_args!("kill {}", process.pid));
                    _ = kill_process(pid, Signal::TERM);
                }
            }
            if start.elapsed() >= STOP_PATIENCE {
                let pids = pids(&left);
                let text = format!("still running {STOP_PATIENCE:?} after SIGTERM: {pids}");
                return Err(Failure::refused(text));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

/// Process ids, for a reader.
fn pids<'p>(processes: impl IntoIterator<Item = &'p Process>) -> String {
    let pids: Vec<String> = processes.into_iter().map(|process| process.pid.to_string()).collect();
    pids.join(" ")
}

impl Driver for Simple {
    fn label(&self) -> String {
        format!("simple: {}", self.app.name())
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        if self.app.is_not_to_be_asked(scene, report) {
            return Ok(Status::NotApplicable);
        }
        let is_base_up = app::is_base_up(scene);
        let found = self.matches(scene)?;
        let parents = without_children(&found);
        report.pids.extend(parents.iter().map(|process| process.pid));
        if !is_base_up && parents.is_empty() {
            return Ok(self.rest_of_tree(scene, report).unwrap_or_else(|| {
                report.info("not evaluated (instance not up)");
                Status::NotApplicable
            }));
        }
        if !is_base_up {
            // Deployed agents do not look: n/a counts as stopped, and what nobody stops here is started elsewhere.
            report.warn("runs, although what it stands on is not up");
            return Ok(Status::Up);
        }
        if self.app.has_check() {
            return self.app.check(scene, report);
        }
        match parents.len() {
            0 => Ok(self.rest_of_tree(scene, report).unwrap_or(Status::Down)),
            1 => Ok(Status::Up),
            count => {
                let pids = pids(parents.iter().copied());
                report.warn(format_args!("{count} processes match: {pids}"));
                Ok(Status::Up)
            }
        }
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !self.app.has_start() {
            return Ok(());
        }
        let state = if let Some(is_up) = scene.is_known_up() {
            if is_up { Status::Up } else { Status::Down }
        } else if self.app.has_check() {
            self.app.check(scene, &mut Report::default())?
        } else if self.matches(scene)?.is_empty() {
            Status::Down
        } else {
            Status::Up
        };
        if state == Status::Up {
            scene.journal.info(format_args!("{} is already started", self.label()));
            return Ok(());
        }
        let lock = App::lock(scene)?;
        if self.is_tree_killed {
            // What a main process that died left behind would run twice.
            self.kill(scene)?;
        }
        let Some(program) = self.app.program(Verb::Start, scene)? else { return Ok(()) };
        // It stays as long as it likes: no timeout.
        let program = program.output(Output::Null).timeout(None);
        scene.journal.info(format_args!("exec '{program}' as user {}", self.app.launch.user()));
        let ended =
            program.start(&scene.host.agent, START_PATIENCE).map_err(Failure::io("start"))?;
        drop(lock);
        match ended {
            None | Some(0) => Ok(()),
            Some(code) => {
                Err(Failure::Exit { command: program.to_string(), code, line: String::new() })
            }
        }
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let found = self.to_kill(scene)?;
        self.app.run_stop(scene)?;
        if found.is_empty() {
            scene.journal.info(format_args!("{} is already stopped", self.label()));
            return Ok(());
        }
        self.kill(scene)
    }

    fn may_hang(&self) -> bool {
        self.app.has_check()
    }

    fn phase(&self) -> Phase {
        app::PHASE
    }

    fn sort_key(&self) -> Option<String> {
        self.sort_key.clone()
    }
}
