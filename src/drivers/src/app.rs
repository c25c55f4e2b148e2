//! What `app.simple` and `app.forking` share: commands by action, the check, the way they are run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conf::{EvalError, SectionReader};
use model::Status;

use machine::durable::FileLock;

use crate::driver::{Driver, Phase, Scene, check_cut};
use crate::exec::{Ended, Output, Program};
use crate::failure::Failure;
use crate::launch;
use crate::launch::{Command, Launch};
use crate::launched::Launched;
use crate::owner::Owner;
use crate::report::Report;
use crate::setup::Setup;

/// Groups whose state an app depends on.
const BASE_GROUPS: [&str; 6] = ["ip", "fs", "disk", "share", "container", "volume"];

/// What an app is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Come up.
    Start,
    /// Go down.
    Stop,
    /// Tell whether it is up, by exit code.
    Check,
    /// Tell facts, as `key: value` lines.
    Info,
}

impl Verb {
    fn keyword(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Check => "check",
            Self::Info => "info",
        }
    }

    /// What a launcher script is given.
    fn argument(self) -> &'static str {
        match self {
            Self::Check => "status",
            other => other.keyword(),
        }
    }
}

/// What to run for a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Nothing,
    /// The launcher script with the verb's argument.
    Script,
    Own(Command),
    /// The keyword cannot be read as words.
    Bad(String),
}

/// An app.
pub(crate) struct App {
    script: Option<String>,
    lines: BTreeMap<&'static str, Line>,
    timeouts: BTreeMap<&'static str, Duration>,
    /// How long a start may take to come up, when that is set.
    start_patience: Option<Duration>,
    retcodes: BTreeMap<i32, Status>,
    is_status_logged: bool,
    /// How commands are run.
    pub launch: Launch,
}

impl App {
    /// Reads the keywords of an app.
    pub(crate) fn read(section: &SectionReader<'_>, setup: &Setup<'_>) -> Result<Self, EvalError> {
        let mut lines = BTreeMap::new();
        let mut timeouts = BTreeMap::new();
        for verb in [Verb::Start, Verb::Stop, Verb::Check, Verb::Info] {
            let keyword = verb.keyword();
            lines.insert(keyword, line(section.text(keyword)?.as_deref()));
            let own = match verb {
                Verb::Start | Verb::Stop => launch::timeout(section, keyword)?,
                Verb::Check | Verb::Info => section
                    .duration(&format!("{keyword}_timeout"))?
                    .filter(|timeout| !timeout.is_zero()),
            };
            timeouts.extend(own.map(|timeout| (keyword, timeout)));
        }
        Ok(Self {
            script: section.text("script")?,
            lines,
            timeouts,
            start_patience: launch::said_timeout(section, "start")?,
            retcodes: retcodes(&section.text("retcodes")?.unwrap_or_default()),
            is_status_logged: section.bool("status_log")?,
            launch: Launch::read(section, setup)?,
        })
    }

    /// What names the app for a reader: its script, else its start or check command.
    pub(crate) fn name(&self) -> &str {
        if let Some(script) = &self.script {
            return script.rsplit('/').next().unwrap_or(script);
        }
        let own = |keyword| match self.lines.get(keyword) {
            Some(Line::Own(command)) => Some(command.name()),
            _ => None,
        };
        own("start").or_else(|| own("check")).or_else(|| own("stop")).unwrap_or("none")
    }

    /// The command of a verb, none when there is nothing to run.
    pub(crate) fn command(
        &self,
        verb: Verb,
        scene: &Scene<'_>,
    ) -> Result<Option<Command>, Failure> {
        let own = match self.lines.get(verb.keyword()) {
            None | Some(Line::Nothing) => return Ok(None),
            Some(Line::Bad(reason)) => return Err(Failure::refused(reason.clone())),
            Some(Line::Script) => {
                let script = self.script.as_deref().ok_or_else(|| {
                    Failure::refused(format!(
                        "{} asks for a script, and script is unset",
                        verb.keyword()
                    ))
                })?;
                let file = launch::locate(script, scene)?;
                Command::Words(vec![file.display().to_string(), verb.argument().to_owned()])
            }
            Some(Line::Own(Command::Words(words))) => {
                let (program, rest) = words.split_first().expect("a command has a word");
                let file = launch::locate(program, scene)?;
                let mut words = vec![file.display().to_string()];
                words.extend(rest.iter().cloned());
                Command::Words(words)
            }
            Some(Line::Own(shell)) => shell.clone(),
        };
        Ok(Some(own))
    }

    /// The start command; none where it cannot be told, as with one in a volume that is not here. What runs bears its marks
    /// all the same.
    pub(crate) fn start_command(&self, scene: &Scene<'_>) -> Option<Command> {
        self.command(Verb::Start, scene).ok().flatten()
    }

    /// Whose processes are its own.
    pub(crate) fn owner(&self, id: &str, scene: &Scene<'_>) -> Owner {
        let command = self.start_command(scene);
        let launched = Launched::of(&scene.folder());
        // What runs was perhaps started when the section named another user.
        let mut users = launched.users();
        users.extend(command.map(|command| self.launch.users(&command)).unwrap_or_default());
        Owner {
            id: id.to_owned(),
            object: Some((scene.instance.path.clone(), (*scene.host.paths).clone())),
            rid: scene.resource.rid.as_str().to_owned(),
            users,
            older_ids: launched.ids(),
            launched: launched.read(),
            groups: scene.host.cgroups.folders(scene),
            ..Owner::default()
        }
    }

    /// The program of a verb, none when there is nothing to run.
    pub(crate) fn program(
        &self,
        verb: Verb,
        scene: &Scene<'_>,
    ) -> Result<Option<Program>, Failure> {
        let Some(command) = self.command(verb, scene)? else { return Ok(None) };
        if let Command::Words(words) = &command {
            let file = Path::new(&words[0]);
            match launch::make_executable(file, scene) {
                Ok(()) => {}
                // A check must tell, not repair; a stop has nothing to do.
                Err(_) if verb == Verb::Stop && !file.exists() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let timeout = self.timeouts.get(verb.keyword()).copied();
        // A check or info without limit of its own is ended when nobody waits for it any more.
        let timeout = match verb {
            Verb::Start | Verb::Stop => timeout,
            Verb::Check | Verb::Info => timeout.or(Some(scene.host.deadline)),
        };
        let program = match verb {
            Verb::Start => self.launch.grouped_program(&command, scene)?,
            Verb::Stop | Verb::Check | Verb::Info => self.launch.program(&command, scene)?,
        };
        Ok(Some(program.timeout(timeout)))
    }

    /// Runs the command of a verb to its end, telling what it says.
    pub(crate) fn run(&self, verb: Verb, scene: &Scene<'_>) -> Result<Option<Ended>, Failure> {
        let Some(program) = self.program(verb, scene)? else { return Ok(None) };
        let program = program.output(Output::Logged);
        scene.journal.info(format_args!("exec '{program}' as user {}", self.launch.user()));
        let ended = scene.query(&program)?;
        check_cut(&program, &ended)?;
        Ok(Some(ended))
    }

    /// Runs the stop command, if there is one, and tells whether it ran. What counts is whether the app is down afterwards:
    /// that it ends badly is told, and no more.
    pub(crate) fn run_stop(&self, scene: &Scene<'_>) -> Result<bool, Failure> {
        let _lock = Self::lock(scene)?;
        match self.run(Verb::Stop, scene) {
            Ok(Some(ended)) => {
                if ended.code != 0 {
                    scene.journal.warn(format_args!("stop: exit code {}", ended.code));
                }
                return Ok(true);
            }
            Ok(None) if self.has(Verb::Stop) => {
                scene.journal.warn(format_args!("stop: its program does not exist"));
            }
            Ok(None) => {}
            Err(error) => scene.journal.warn(format_args!("stop: {error}")),
        }
        Ok(false)
    }

    /// Whether there is a command for a verb.
    fn has(&self, verb: Verb) -> bool {
        !matches!(self.lines.get(verb.keyword()), None | Some(Line::Nothing))
    }

    /// Whether there is a check command.
    pub(crate) fn has_check(&self) -> bool {
        self.has(Verb::Check)
    }

    /// Runs the check command; its exit code is the state.
    pub(crate) fn check(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        let Some(program) = self.program(Verb::Check, scene)? else {
            return Ok(Status::NotApplicable);
        };
        let limit = program.time_limit().unwrap_or_default();
        let ended = match scene.query(&program) {
            Ok(ended) => ended,
            Err(error) => {
                report.warn(error);
                return Ok(Status::Warn);
            }
        };
        if self.is_status_logged {
            ended.out.lines().filter(|line| !line.is_empty()).for_each(|line| report.info(line));
            ended.err.lines().filter(|line| !line.is_empty()).for_each(|line| report.warn(line));
        }
        if ended.is_interrupted {
            report.warn("not checked: the action was asked to end");
            return Ok(Status::Warn);
        }
        if ended.is_late {
            report.warn(format_args!("check does not end within {limit:?}"));
            return Ok(Status::Warn);
        }
        match ended.code {
            // Our own context command, or a shell, could not run it.
            126 | 127 if !self.retcodes.contains_key(&ended.code) => {
                report.warn(format_args!("check is not executable: {}", ended.last_line()));
                Ok(Status::Warn)
            }
            code => Ok(self.retcodes.get(&code).cloned().unwrap_or(Status::Warn)),
        }
    }

    /// Whether the app is not evaluated, and then why, in the report.
    pub(crate) fn is_not_evaluated(&self, scene: &Scene<'_>, report: &mut Report) -> bool {
        if !is_base_up(scene) {
            report.info("not evaluated (instance not up)");
            return true;
        }
        self.is_not_to_be_asked(scene, report)
    }

    /// Whether the app is not to be asked now, whatever it stands on.
    pub(crate) fn is_not_to_be_asked(&self, scene: &Scene<'_>, report: &mut Report) -> bool {
        if let Some(group) = scene.host.cgroups.frozen(scene) {
            report.warn(format_args!("process group {group} is frozen"));
            return true;
        }
        let is_locked = is_locked(&lock_file(scene));
        if is_locked {
            report.info("not evaluated (start in progress)");
        }
        is_locked
    }

    /// Facts that the info command tells.
    pub(crate) fn facts(&self, scene: &Scene<'_>, report: &mut Report) {
        let Ok(Some(program)) = self.program(Verb::Info, scene) else { return };
        let Ok(ended) = scene.query(&program) else { return };
        for line in ended.out.lines().filter(|line| !line.trim().is_empty()) {
            if let Some((key, value)) = line.split_once(':') {
                report.info.insert(key.trim().to_owned(), value.trim().into());
            }
        }
    }

    /// Takes the lock that keeps checks away while the app is started or stopped.
    pub(crate) fn lock(scene: &Scene<'_>) -> Result<FileLock, Failure> {
        FileLock::take(&lock_file(scene), Duration::from_secs(60)).map_err(Failure::io("lock"))
    }

    /// Whether the app has a start command.
    pub(crate) fn has_start(&self) -> bool {
        self.has(Verb::Start)
    }

    /// How long a start may take to come up, when that is set.
    pub(crate) fn start_patience(&self) -> Option<Duration> {
        self.start_patience
    }

    /// An integer given to `start` orders apps in their set.
    pub(crate) fn start_order(section: &SectionReader<'_>) -> Option<String> {
        let number: i64 = section.text("start").ok()??.trim().parse().ok()?;
        Some(format!("app#{number}"))
    }
}

/// Evaluates until the state is reached or time is up.
pub(crate) fn poll_until_up(
    scene: &Scene<'_>,
    patience: Duration,
    mut state: impl FnMut() -> Result<Status, Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        if matches!(state()?, Status::Up | Status::NotApplicable) {
            return Ok(());
        }
        if scene.host.interrupt.is_raised() {
            let command = format!("wait for {}", scene.resource.rid);
            return Err(Failure::Interrupted { command });
        }
        if start.elapsed() >= patience {
            return Err(Failure::refused(format!(
                "{} started, and is not up after {patience:?}",
                scene.resource.rid
            )));
        }
        std::thread::sleep(Duration::from_secs(1).min(patience));
    }
}

fn lock_file(scene: &Scene<'_>) -> PathBuf {
    scene.folder().join("lock")
}

/// Whether an action holds the lock. Asked with a shared lock, so that two who ask do not take each other for an action.
fn is_locked(file: &Path) -> bool {
    let Ok((file, _)) = machine::regular::open(file) else { return false };
    let asked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    asked == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Whether what an app stands on is there. Standby resources that are up are: where there are no others, the fold is
/// `stdby up`, and deployed agents never evaluate the app. A fold of `stdby up` also stands for others that are down.
pub(crate) fn is_base_up(scene: &Scene<'_>) -> bool {
    let base: Vec<&Status> = scene
        .instance
        .resources
        .iter()
        .filter(|resource| BASE_GROUPS.contains(&resource.rid.group()))
        .filter_map(|resource| scene.states.get(resource.rid.as_str()))
        .collect();
    match monitor::fold(base.iter().copied()) {
        Status::Up | Status::NotApplicable => true,
        Status::StdbyUp => !base.contains(&&Status::Down),
        _ => false,
    }
}

fn line(text: Option<&str>) -> Line {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Line::Nothing;
    };
    if text.parse::<i64>().is_ok() {
        return Line::Script;
    }
    match text.to_ascii_lowercase().as_str() {
        "false" | "no" | "n" | "f" | "none" => Line::Nothing,
        "true" | "yes" | "y" | "t" => Line::Script,
        _ => match Command::parse(text) {
            Ok(Some(command)) => Line::Own(command),
            Ok(None) => Line::Nothing,
            Err(reason) => Line::Bad(reason),
        },
    }
}

/// Reads `<exit code>:<state>` words.
fn retcodes(text: &str) -> BTreeMap<i32, Status> {
    let mut codes = BTreeMap::new();
    for word in text.split_whitespace() {
        if let Some((code, state)) = word.split_once(':')
            && let Ok(code) = code.parse()
        {
            codes.insert(code, Status::from(state));
        }
    }
    if codes.is_empty() {
        codes.extend([(0, Status::Up), (1, Status::Down)]);
    }
    codes
}

/// The phase of both kinds of apps.
pub(crate) const PHASE: Phase = Phase::App;

/// Both kinds of apps are drivers.
pub(crate) type Made = Result<Box<dyn Driver>, EvalError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_nothing_a_script_call_or_a_command() {
        assert_eq!(line(None), Line::Nothing);
        assert_eq!(line(Some("false")), Line::Nothing);
        assert_eq!(line(Some("true")), Line::Script);
        assert_eq!(line(Some("10")), Line::Script);
        assert!(
            matches!(line(Some("/bin/true x")), Line::Own(Command::Words(words)) if words.len() == 2)
        );
        assert!(matches!(line(Some("/bin/echo 'x")), Line::Bad(_)));
    }

    #[test]
    fn exit_codes_map_to_states_and_the_default_knows_two() {
        assert_eq!(retcodes(""), BTreeMap::from([(0, Status::Up), (1, Status::Down)]));
        let codes = retcodes("0:up 3:n/a bad 4:down");
        assert_eq!(codes.get(&3), Some(&Status::NotApplicable));
        assert_eq!(codes.get(&1), None);
    }
}
