//! `app.simple`: a program that stays in the foreground, watched by its process.
//!
//! What bears its marks belongs to it; the start command, as text, only tells which of these is the main process.

use std::time::Duration;

use conf::SectionReader;
use model::Status;

use crate::app::{App, Made, Verb};
use crate::driver::{Driver, Phase, Scene};
use crate::ending::Manner;
use crate::exec::Output;
use crate::failure::Failure;
use crate::launch::Command;
use crate::launched::Launched;
use crate::owner::Owner;
use crate::processes::{Process, ProcessTable, main, pids};
use crate::report::Report;
use crate::setup::Setup;
use crate::{app, ending};

/// How long an early end counts as the end of the start, as in deployed agents.
const START_PATIENCE: Duration = Duration::from_millis(200);

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
    /// Whose processes are its own.
    fn owner(&self, scene: &Scene<'_>) -> Owner {
        self.app.owner(&self.id, scene)
    }

    /// The start command; none where it cannot be told, as with one in a volume that is not here. What runs bears its marks
    /// all the same.
    fn command(&self, scene: &Scene<'_>) -> Option<Command> {
        self.app.start_command(scene)
    }

    /// The start command, which is a part of the command line of the main process, unless that calls itself otherwise.
    fn line(&self, scene: &Scene<'_>) -> Option<String> {
        self.command(scene).map(|command| command.line())
    }

    /// All processes, now.
    fn all(&self, scene: &Scene<'_>) -> Vec<Process> {
        ProcessTable::all(&self.owner(scene))
    }

    /// The state when the main process is gone, and what it started goes on. That is a part of the app: it is not down
    /// before all are, else a stop that failed would look done, and a start would run them twice.
    fn rest(&self, rest: &[Process], report: &mut Report) -> Option<Status> {
        if self.app.has_check() || rest.is_empty() {
            return None;
        }
        report.warn(format_args!("its main process is gone, still running: {}", pids(rest)));
        report.pids.extend(rest.iter().map(|process| process.pid));
        Some(Status::Warn)
    }

    /// Ends all processes, and waits until none is left. The main ones first, unless all are asked at once (`kill = tree`):
    /// most programs end what they started.
    fn kill(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let line = self.line(scene);
        let first = |left: &[Process]| match self.is_tree_killed {
            true => vec![],
            false => main(left, line.as_deref()),
        };
        // What was started meanwhile is ended too: a tree may grow while it falls.
        let all = || self.all(scene);
        let tell = |process: &Process| scene.journal.info(format_args!("kill {}", process.pid));
        ending::end(all, Manner { grace: Duration::ZERO, first: &first }, tell)
            .map_err(|left| Failure::refused(ending::told(&pids(&left))))?;
        Launched::of(&scene.folder()).forget_all();
        Ok(())
    }
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
        let owner = self.owner(scene);
        let line = self.line(scene);
        let found = scene.host.processes.find(&owner, line.as_deref(), scene.known_pids);
        let parents = main(&found, line.as_deref());
        report.pids.extend(parents.iter().map(|process| process.pid));
        if found.is_empty() {
            Launched::of(&scene.folder()).forget(&owner.launched);
        }
        if !is_base_up && parents.is_empty() {
            return Ok(self.rest(&found, report).unwrap_or_else(|| {
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
        if found.is_empty() {
            // What cannot be started is a mistake, not a state.
            self.app.command(Verb::Start, scene)?;
        }
        match parents.len() {
            0 => Ok(self.rest(&found, report).unwrap_or(Status::Down)),
            1 => Ok(Status::Up),
            count => {
                let pids = pids(&parents);
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
        } else if main(&self.all(scene), self.line(scene).as_deref()).is_empty() {
            Status::Down
        } else {
            Status::Up
        };
        if state == Status::Up {
            scene.journal.info(format_args!("{} is already started", self.label()));
            return Ok(());
        }
        let lock = App::lock(scene)?;
        // What a main process that died left behind would run twice.
        self.kill(scene)?;
        let Some(program) = self.app.program(Verb::Start, scene)? else { return Ok(()) };
        // It stays as long as it likes: no timeout.
        let program = program.output(Output::Null).timeout(None);
        scene.journal.info(format_args!("exec '{program}' as user {}", self.app.launch.user()));
        let owner = self.owner(scene);
        let remember = |pid| {
            if let Err(error) = Launched::of(&scene.folder()).add(pid, &owner) {
                scene
                    .journal
                    .warn(format_args!("process {pid} is known by its marks only: {error}"));
            }
        };
        let ended = program
            .start(&scene.host.agent, START_PATIENCE, remember)
            .map_err(Failure::io("start"))?;
        drop(lock);
        match ended {
            None | Some(0) => Ok(()),
            Some(code) => {
                Err(Failure::Exit { command: program.to_string(), code, line: String::new() })
            }
        }
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let found = self.all(scene);
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
