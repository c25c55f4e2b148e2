//! `task.host`: a command that runs on a schedule, or when asked.

use std::path::PathBuf;
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::Status;

use machine::durable;
use machine::durable::FileLock;
use machine::process::Stat;

use crate::driver::{Driver, Phase, Scene};
use crate::exec::Output;
use crate::failure::Failure;
use crate::launch;
use crate::launch::{Command, Launch};
use crate::report::Report;
use crate::setup::Setup;

struct Task {
    command: Result<Option<Command>, String>,
    on_error: Result<Option<Command>, String>,
    launch: Launch,
    timeout: Option<Duration>,
    max_parallel: usize,
    is_last_run_checked: bool,
    is_logged: bool,
    is_confirmation_needed: bool,
    snooze: Duration,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let command = |keyword| -> Result<_, EvalError> {
        Ok(Command::parse(&section.text(keyword)?.unwrap_or_default()))
    };
    Ok(Box::new(Task {
        command: command("command")?,
        on_error: command("on_error")?,
        launch: Launch::read(section, setup)?,
        timeout: section.duration("timeout")?.filter(|timeout| !timeout.is_zero()),
        max_parallel: section
            .integer("max_parallel")?
            .map_or(1, |count| usize::try_from(count.max(0)).unwrap_or(usize::MAX)),
        is_last_run_checked: section.text("check")?.as_deref() == Some("last_run"),
        is_logged: section.tristate("log")?.unwrap_or(true),
        is_confirmation_needed: section.bool("confirmation")?,
        snooze: section.duration("snooze")?.unwrap_or_default(),
    }))
}

/// A run in progress: its file goes with it.
struct Running {
    file: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.file);
    }
}

fn last_run(scene: &Scene<'_>) -> PathBuf {
    scene.folder().join("last_run_retcode")
}

/// Runs in progress. A file of a process that is gone is removed.
fn running(scene: &Scene<'_>) -> usize {
    let entries = std::fs::read_dir(scene.folder().join("run")).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            else {
                return false;
            };
            // The id alone may be that of another process by now.
            let start = machine::regular::words(&entry.path()).unwrap_or_default();
            let is_alive = Stat::read(pid)
                .is_some_and(|stat| start.is_empty() || start.trim() == stat.start.to_string());
            if !is_alive {
                _ = std::fs::remove_file(entry.path());
            }
            is_alive
        })
        .count()
}

impl Task {
    fn enter(&self, scene: &Scene<'_>) -> Result<Running, Failure> {
        let folder = scene.folder();
        let lock = FileLock::take(&folder.join("run.lock"), Duration::from_secs(10))
            .map_err(Failure::io("lock"))?;
        let count = running(scene);
        if self.max_parallel > 0 && count >= self.max_parallel {
            return Err(Failure::refused(format!(
                "{count} runs in progress, max_parallel is {}",
                self.max_parallel
            )));
        }
        let pid = std::process::id();
        let file = folder.join("run").join(pid.to_string());
        let start = Stat::read(pid).map(|stat| stat.start.to_string()).unwrap_or_default();
        durable::write_cache(&file, start.as_bytes(), 0o600).map_err(Failure::io("run"))?;
        drop(lock);
        Ok(Running { file })
    }

    fn execute(&self, scene: &Scene<'_>, command: &Command) -> Result<(), Failure> {
        let command = match command {
            Command::Words(words) if words[0].contains('/') => {
                let mut words = words.clone();
                words[0] = launch::locate(&words[0], scene)?.display().to_string();
                Command::Words(words)
            }
            other => other.clone(),
        };
        let output = if self.is_logged { Output::Logged } else { Output::Null };
        let program =
            self.launch.grouped_program(&command, scene)?.timeout(self.timeout).output(output);
        scene.execute(&program).map(drop)
    }
}

impl Driver for Task {
    fn label(&self) -> String {
        "task.host".to_owned()
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        report.is_running = running(scene) > 0;
        if !self.is_last_run_checked {
            return Ok(Status::NotApplicable);
        }
        let file = last_run(scene);
        report.files.insert(file.clone());
        if crate::requires::check(scene.instance, scene.resource, "run", scene.states).is_err() {
            report.info("requirements not met");
            return Ok(Status::NotApplicable);
        }
        Ok(match machine::regular::words(&file).as_deref().map(str::trim) {
            None | Some("") => Status::NotApplicable,
            Some("0") => Status::Up,
            Some(code) => {
                report.error(format_args!("last run failed ({code})"));
                Status::Down
            }
        })
    }

    fn start(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        self.boot(scene)
    }

    fn boot(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        durable::remove(&last_run(scene)).map_err(Failure::io("last run"))
    }

    fn may_hang(&self) -> bool {
        false
    }

    fn phase(&self) -> Phase {
        Phase::Last
    }

    fn run(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let command = match &self.command {
            Ok(Some(command)) => command,
            Ok(None) => return Err(Failure::refused("command is required, and not set")),
            Err(reason) => return Err(Failure::refused(reason.clone())),
        };
        if self.is_confirmation_needed && !scene.is_confirmed {
            return Err(Failure::refused(
                "this task asks for a confirmation: run it with --confirm",
            ));
        }
        if scene.is_scheduled && !self.snooze.is_zero() {
            std::thread::sleep(self.snooze);
        }
        let run = self.enter(scene)?;
        scene.runs.map_or(Ok(()), |runs| runs.on_run(scene.resource.rid.as_str()))?;
        let done = self.execute(scene, command);
        let code = i32::from(done.is_err());
        let noted = durable::write_cache(&last_run(scene), code.to_string().as_bytes(), 0o644);
        if let Err(failure) = done {
            scene.journal.error(format_args!("{failure}"));
            match &self.on_error {
                Ok(Some(command)) => {
                    if let Err(error) = self.execute(scene, command) {
                        scene.journal.error(format_args!("on_error: {error}"));
                    }
                }
                Ok(None) => {}
                Err(reason) => scene.journal.error(format_args!("on_error: {reason}")),
            }
            drop(run);
            return Err(failure);
        }
        drop(run);
        noted.map_err(Failure::io("last run"))
    }
}
