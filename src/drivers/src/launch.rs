//! How apps and tasks are launched: their command words, execution context and environment.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::{Kind, ObjectPath, ResourceId};
use rustix::fs::OFlags;

use machine::rooted::Place;

use crate::driver::Scene;
use crate::exec::{LIMIT, Program};
use crate::exec_context::ExecContext;
use crate::failure::Failure;
use crate::setup::Setup;

/// Words that ask for a shell, each on its own; so does a word that ends with `;`.
const SHELL_WORDS: [&str; 3] = ["|", "||", "&&"];

/// Limits that keywords `limit_<name>` set, in bytes or counts. `cpu` is a duration.
const LIMITS: [&str; 10] =
    ["as", "core", "data", "fsize", "memlock", "nofile", "nproc", "rss", "stack", "vmem"];

/// What an operator wrote to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Words, the first one being the program.
    Words(Vec<String>),
    /// For a shell, which the value asks for.
    Shell(String),
}

impl Command {
    /// Reads a command line. None when it has no word.
    ///
    /// # Errors
    ///
    /// The text, when its quotes do not match.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let is_shell =
            text.split_whitespace().any(|word| SHELL_WORDS.contains(&word) || word.ends_with(';'));
        if is_shell {
            return Ok(Some(Self::Shell(text.to_owned())));
        }
        let words = shlex::split(text).ok_or_else(|| format!("unmatched quotes in: {text}"))?;
        Ok((!words.is_empty()).then_some(Self::Words(words)))
    }

    /// As [`Command::parse`], for triggers: a shell is asked for by `|`, `&&` or `;` anywhere.
    ///
    /// # Errors
    ///
    /// The text, when its quotes do not match.
    pub(crate) fn parse_trigger(text: &str) -> Result<Option<Self>, String> {
        if text.contains('|') || text.contains("&&") || text.contains(';') {
            return Ok(Some(Self::Shell(text.to_owned())));
        }
        Self::parse(text)
    }

    /// The program that runs it.
    pub(crate) fn program(&self) -> Program {
        match self {
            Self::Words(words) => Program::new(words),
            Self::Shell(text) => Program::new(["/bin/sh", "-c", text]),
        }
    }

    /// Name of the program, for a label.
    pub(crate) fn name(&self) -> &str {
        let first = match self {
            Self::Words(words) => words.first().map_or("", String::as_str),
            Self::Shell(text) => text.split_whitespace().next().unwrap_or_default(),
        };
        first.rsplit('/').next().unwrap_or(first)
    }

    /// The line, as written.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Words(words) => words.join(" "),
            Self::Shell(text) => text.clone(),
        }
    }
}

/// The words of a command that an operator wrote: a shell is among them only if the text asks for one.
///
/// # Errors
///
/// The text, when its quotes do not match.
pub fn command_words(text: &str) -> Result<Vec<String>, String> {
    Ok(match Command::parse(text)? {
        None => vec![],
        Some(Command::Words(words)) => words,
        Some(Command::Shell(text)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text],
    })
}

/// Who runs a command, where, within which limits, knowing what.
pub(crate) struct Launch {
    user: Option<String>,
    group: Option<String>,
    cwd: Option<PathBuf>,
    umask: Option<u32>,
    limits: BTreeMap<String, Option<u64>>,
    environment: Vec<(String, String)>,
    configs: Vec<String>,
    secrets: Vec<String>,
    identity: Vec<(String, String)>,
}

impl Launch {
    /// Reads the keywords that apps and tasks share.
    ///
    /// # Errors
    ///
    /// The first keyword that does not evaluate.
    pub(crate) fn read(section: &SectionReader<'_>, setup: &Setup<'_>) -> Result<Self, EvalError> {
        let mut limits = BTreeMap::new();
        for name in LIMITS {
            if let Some(bytes) = section.size(&format!("limit_{name}"))? {
                limits.insert(name.to_owned(), Some(bytes));
            }
        }
        if let Some(time) = section.duration("limit_cpu")? {
            limits.insert("cpu".to_owned(), Some(time.as_secs()));
        }
        let umask = section.text("umask")?.and_then(|text| u32::from_str_radix(&text, 8).ok());
        Ok(Self {
            user: section.text("user")?,
            group: section.text("group")?,
            cwd: section.text("cwd")?.map(PathBuf::from),
            umask,
            limits,
            environment: section
                .words("environment")?
                .iter()
                .filter_map(|word| word.split_once('='))
                .map(|(name, value)| (name.to_uppercase(), value.to_owned()))
                .collect(),
            configs: section.words("configs_environment")?,
            secrets: section.words("secrets_environment")?,
            identity: identity(setup.path, &setup.rid, setup.id),
        })
    }

    /// The program that runs a command in this context, for what stays or works: in the process group of the resource.
    ///
    /// # Errors
    ///
    /// As [`Launch::program`].
    pub(crate) fn grouped_program(
        &self,
        command: &Command,
        scene: &Scene<'_>,
    ) -> Result<Program, Failure> {
        self.program_in(command, scene, scene.host.cgroups.prepare(scene))
    }

    /// The program that runs a command in this context and ends: it is no part of the resource.
    ///
    /// # Errors
    ///
    /// A user, group, configuration or secret that does not exist.
    pub(crate) fn program(&self, command: &Command, scene: &Scene<'_>) -> Result<Program, Failure> {
        let passing = (crate::processes::PASSING_VARIABLE.to_owned(), "1".to_owned());
        Ok(self.program_in(command, scene, vec![])?.environment([passing]))
    }

    /// Users that a command runs as, beside root and us.
    pub(crate) fn users(&self, command: &Command) -> BTreeSet<u32> {
        let owner = self.owner_of(command);
        let names = owner.iter().chain(self.user.as_ref());
        let find = |name: &String| crate::exec_context::find_user(name).ok();
        names.filter_map(find).map(|user| user.uid.as_raw()).collect()
    }

    /// The owner of the program that a command names, if it runs as such.
    fn owner_of(&self, command: &Command) -> Option<String> {
        match command {
            Command::Words(words) => words.first().and_then(|file| owner_not_root(file)),
            Command::Shell(_) => None,
        }
    }

    fn program_in(
        &self,
        command: &Command,
        scene: &Scene<'_>,
        cgroups: Vec<PathBuf>,
    ) -> Result<Program, Failure> {
        let mut context = ExecContext { cgroups, ..ExecContext::session() };
        context.umask = self.umask;
        context.limits.clone_from(&self.limits);
        if let Some(group) = &self.group {
            context.set_group(group).map_err(Failure::io("group"))?;
        }
        if let Some(user) = self.owner_of(command).or_else(|| self.user.clone()) {
            context.set_user(&user).map_err(Failure::io("user"))?;
        }
        // A folder that root cannot see may be there for the user.
        let seen = self.cwd.as_ref().map(|cwd| (cwd, std::fs::metadata(cwd)));
        match seen {
            Some((cwd, Ok(found))) if !found.is_dir() => {
                return Err(Failure::refused(format!("cwd {} is no folder", cwd.display())));
            }
            Some((cwd, Err(error))) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::refused(format!("cwd {} does not exist", cwd.display())));
            }
            _ => {}
        }
        let tmp = &scene.host.paths.tmp;
        context.cwd = self.cwd.clone().or_else(|| tmp.is_dir().then(|| tmp.clone()));
        let mut environment = self.session_environment(&context);
        environment.extend(self.identity.iter().cloned());
        environment.extend(crate::environment::environment(scene.instance, None, scene.is_leader));
        environment.extend(crate::keys::environment(scene, Kind::Cfg, &self.configs)?);
        environment.extend(crate::keys::environment(scene, Kind::Sec, &self.secrets)?);
        environment.extend(self.environment.iter().cloned());
        Ok(command.program().environment(environment).context(context))
    }

    /// Who runs it, for a log line.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("root")
    }

    fn session_environment(&self, context: &ExecContext) -> Vec<(String, String)> {
        let uid = context.user.as_ref().map_or_else(
            || rustix::process::geteuid().as_raw().to_string(),
            |(_, uid)| uid.to_string(),
        );
        let mut environment = vec![];
        if let Ok(user) = crate::exec_context::find_user(&uid) {
            environment.push(("HOME".to_owned(), user.dir.display().to_string()));
            environment.push(("LOGNAME".to_owned(), user.name.clone()));
            environment.push(("USER".to_owned(), user.name));
        }
        if let Some(cwd) = &context.cwd {
            environment.push(("PWD".to_owned(), cwd.display().to_string()));
        }
        environment
    }
}

/// Who a process belongs to: what a check looks for.
fn identity(path: &ObjectPath, rid: &ResourceId, id: &str) -> Vec<(String, String)> {
    let mut variables = vec![
        ("OPENSVC_RID", rid.as_str()),
        ("OPENSVC_NAME", path.name()),
        ("OPENSVC_KIND", path.kind().as_str()),
        // The name, as deployed agents have it.
        ("OPENSVC_ID", path.name()),
        ("OPENSVC_SVCNAME", path.name()),
        ("OPENSVC_SVC_ID", id),
    ];
    variables.extend(path.namespace().map(|namespace| ("OPENSVC_NAMESPACE", namespace)));
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The owner of an executable, unless it is root or us.
fn owner_not_root(file: &str) -> Option<String> {
    let uid = std::fs::metadata(file).ok()?.uid();
    let is_other = uid != 0 && uid != rustix::process::geteuid().as_raw();
    (is_other && crate::exec_context::find_user(&uid.to_string()).is_ok()).then(|| uid.to_string())
}

/// The file that the first word of a command names: in the launchers folder when it is a bare name, below a volume when it
/// is relative. Nothing is looked for in `PATH`, which differs from node to node.
///
/// # Errors
///
/// A relative path whose first part is no mounted volume.
pub(crate) fn locate(word: &str, scene: &Scene<'_>) -> Result<PathBuf, Failure> {
    if word.starts_with('/') {
        return Ok(word.into());
    }
    if !word.contains('/') {
        return Ok(scene.host.paths.launchers(&scene.instance.path).join(word));
    }
    crate::volume::resolve(word, scene).ok_or_else(|| {
        let volume = word.split('/').next().unwrap_or_default();
        Failure::refused(format!("{word}: volume {volume} is not available"))
    })
}

/// Makes a launcher executable if it is not.
///
/// # Errors
///
/// The file does not exist, or may not be changed.
pub(crate) fn make_executable(file: &Path, scene: &Scene<'_>) -> Result<(), Failure> {
    let name = file.display().to_string();
    let is = std::fs::metadata(file).map_err(Failure::io(name.clone()))?;
    if is.is_dir() {
        return Err(Failure::refused(format!("{name} is a folder, and no program")));
    }
    if is.mode() & 0o111 == 0 && is.is_file() {
        scene.journal.info(format_args!("{name} is not executable, set its mode"));
        // Where others may write, a link would make a file of root readable for all.
        let change = || {
            let opened = Place::find(file)?.open(OFlags::RDONLY)?;
            let mode = opened.metadata()?.mode() & 0o7777 | 0o755;
            opened.set_permissions(std::fs::Permissions::from_mode(mode))
        };
        change().map_err(Failure::io(name))?;
    }
    Ok(())
}

/// The time limit of an action: its own keyword, else the common one, else [`LIMIT`]. None when they say 0.
///
/// # Errors
///
/// A keyword that does not evaluate.
pub(crate) fn timeout(
    section: &SectionReader<'_>,
    action: &str,
) -> Result<Option<Duration>, EvalError> {
    let said = section.duration(&format!("{action}_timeout"))?.or(section.duration("timeout")?);
    Ok(Some(said.unwrap_or(LIMIT)).filter(|timeout| !timeout.is_zero()))
}

/// As [`timeout`], none also where nothing is said.
///
/// # Errors
///
/// A keyword that does not evaluate.
pub(crate) fn said_timeout(
    section: &SectionReader<'_>,
    action: &str,
) -> Result<Option<Duration>, EvalError> {
    let said = section.duration(&format!("{action}_timeout"))?.or(section.duration("timeout")?);
    Ok(said.filter(|timeout| !timeout.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_runs_only_what_asks_for_one() {
        let words = |text: &str| Command::parse(text).unwrap().unwrap();
        let list = |words: &[&str]| Command::Words(words.iter().map(|&word| word.into()).collect());
        assert_eq!(words("/bin/echo 'a b' $HOME"), list(&["/bin/echo", "a b", "$HOME"]));
        assert_eq!(words("/bin/a|/bin/b"), list(&["/bin/a|/bin/b"]));
        assert_eq!(words("/bin/a | /bin/b"), Command::Shell("/bin/a | /bin/b".into()));
        assert_eq!(words("/bin/a; /bin/b"), Command::Shell("/bin/a; /bin/b".into()));
        assert_eq!(words("/bin/a && /bin/b"), Command::Shell("/bin/a && /bin/b".into()));
        assert_eq!(Command::parse("  ").unwrap(), None);
        assert!(Command::parse("/bin/echo 'a").is_err());
        let trigger = Command::parse_trigger("/bin/a|/bin/b").unwrap().unwrap();
        assert_eq!(trigger, Command::Shell("/bin/a|/bin/b".into()));
    }

    #[test]
    fn a_label_names_the_program() {
        assert_eq!(Command::parse("/usr/bin/web --port 80").unwrap().unwrap().name(), "web");
    }
}
