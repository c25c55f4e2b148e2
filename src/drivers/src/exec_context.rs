//! The execution context of a program: session, folder, umask, limits, user and groups.
//!
//! The standard library cannot set them in a child without `unsafe`, so the child is first our own binary, which sets
//! them on itself and then becomes the program: `om exec-context -- <program> <argument>..`, the context in its
//! environment, so that the process list shows nothing but the program.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use machine::limits;

/// The hidden word that makes our binary set a context and become another program.
pub const WORD: &str = "exec-context";

/// Carries the context; removed before the program runs.
const VARIABLE: &str = "OSVC_EXEC_CONTEXT";

/// Exit code of a program that was found but could not be run, as shells have it.
const NOT_EXECUTABLE: u8 = 126;

/// Exit code of a program that was not found, as shells have it.
const NOT_FOUND: u8 = 127;

/// What a program is given besides its arguments and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecContext {
    /// Leads a session of its own: no terminal, and one group to signal.
    pub is_session: bool,
    /// Working folder.
    pub cwd: Option<PathBuf>,
    /// File mode bits that it does not give.
    pub umask: Option<u32>,
    /// Soft and hard limit by name (`nofile`), none for infinity.
    pub limits: BTreeMap<String, Option<u64>>,
    /// Soft limit of descriptors, unless `limits` has another.
    #[serde(default)]
    pub soft_nofile: Option<u64>,
    /// Soft limit of core files, unless `limits` has another: the daemon has none.
    #[serde(default)]
    pub soft_core: Option<String>,
    /// Name and id of the user.
    pub user: Option<(String, u32)>,
    /// Id of the group.
    pub group: Option<u32>,
    /// Files of control groups to which a process writes itself to enter them.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

impl ExecContext {
    /// A session of its own, and nothing else.
    pub(crate) fn session() -> Self {
        Self {
            is_session: true,
            soft_nofile: limits::inherited_descriptors(),
            soft_core: limits::inherited_core(),
            ..Self::default()
        }
    }

    /// Names the user by name or number, with their main group.
    ///
    /// # Errors
    ///
    /// The user database has no such user, or could not be read.
    pub(crate) fn set_user(&mut self, text: &str) -> io::Result<()> {
        let user = find_user(text)?;
        self.user = Some((user.name, user.uid.as_raw()));
        self.group.get_or_insert(user.gid.as_raw());
        Ok(())
    }

    /// Names the group by name or number.
    ///
    /// # Errors
    ///
    /// The group database has no such group, or could not be read.
    pub(crate) fn set_group(&mut self, text: &str) -> io::Result<()> {
        self.group = Some(find_group(text)?);
        Ok(())
    }

    /// A command that runs `words` in this context. `agent` is our own binary.
    pub(crate) fn command(&self, agent: &std::path::Path, words: &[OsString]) -> Command {
        let mut command = Command::new(agent);
        command.arg0("om").arg(WORD).arg("--").args(words);
        let text = serde_json::to_string(self).expect("a context of texts and numbers serializes");
        command.env(VARIABLE, text);
        command
    }

    fn enter(&self) -> io::Result<()> {
        if self.is_session {
            // Fails only for who leads a group already, which a fresh child never does.
            rustix::process::setsid()?;
        }
        for file in &self.cgroups {
            // As root, before the change of user. A group that takes nobody refuses nothing: 0 is who writes.
            let entry = std::fs::OpenOptions::new().write(true).open(file);
            _ = entry.and_then(|mut entry| io::Write::write_all(&mut entry, b"0"));
        }
        if let Some(mask) = self.umask {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777));
        }
        if let Some(soft) = self.soft_nofile {
            limits::set_descriptors(soft)?;
        }
        if let Some(soft) = &self.soft_core {
            limits::set_core(soft)?;
        }
        limits::leave_oom_score();
        for (name, limit) in &self.limits {
            let resource = limit_resource(name)
                .ok_or_else(|| io::Error::other(format!("limit {name} is unknown")))?;
            let wanted = Rlimit { current: *limit, maximum: *limit };
            rustix::process::setrlimit(resource, wanted)
                .map_err(|error| io::Error::other(format!("limit {name}: {error}")))?;
        }
        if let Some((name, uid)) = &self.user {
            if Uid::effective().is_root() {
                let name = CString::new(name.as_str())?;
                let gid = Gid::from_raw(self.group.unwrap_or(*uid));
                nix::unistd::initgroups(&name, gid)?;
                nix::unistd::setgid(gid)?;
                nix::unistd::setuid(Uid::from_raw(*uid))?;
            } else if Uid::effective().as_raw() != *uid {
                return Err(io::Error::other(format!("only root may run as user {name}")));
            }
        } else if let Some(gid) = self.group {
            nix::unistd::setgid(Gid::from_raw(gid))?;
        }
        // After the change of user: a folder on a network may be closed to root.
        match &self.cwd {
            Some(folder) => std::env::set_current_dir(folder)
                .map_err(|error| io::Error::other(format!("{}: {error}", folder.display()))),
            None => Ok(()),
        }
    }
}

/// The user that a keyword names, by name or number.
///
/// # Errors
///
/// The user database has no such user, or could not be read.
pub(crate) fn find_user(text: &str) -> io::Result<User> {
    let found = match text.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid))?,
        Err(_) => User::from_name(text)?,
    };
    found.ok_or_else(|| io::Error::other(format!("user {text} does not exist")))
}

/// The id of the group that a keyword names, by name or number.
///
/// # Errors
///
/// The group database has no such group, or could not be read.
pub(crate) fn find_group(text: &str) -> io::Result<u32> {
    if let Ok(gid) = text.parse() {
        return Ok(gid);
    }
    let found = Group::from_name(text)?;
    let group = found.ok_or_else(|| io::Error::other(format!("group {text} does not exist")))?;
    Ok(group.gid.as_raw())
}

/// The limit that a `limit_<name>` keyword sets. `vmem` is the older name of `as`.
fn limit_resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" | "vmem" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "memlock" => Resource::Memlock,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Runs the hidden command if the arguments ask for it: sets the context and becomes the program. Returns only when it is
/// not asked for (`None`), or could not be done.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|word| word != WORD) {
        return None;
    }
    let words: Vec<OsString> = arguments.skip_while(|word| word == "--").collect();
    let Some((program, rest)) = words.split_first() else { return Some(ExitCode::from(2)) };
    let context = match std::env::var(VARIABLE) {
        Ok(text) => serde_json::from_str::<ExecContext>(&text).map_err(io::Error::from),
        Err(_) => Ok(ExecContext::default()),
    };
    if let Err(error) = context.and_then(|context| context.enter()) {
        eprintln!("om {WORD}: {error}");
        return Some(ExitCode::from(NOT_EXECUTABLE));
    }
    let error = Command::new(program).args(rest).env_remove(VARIABLE).exec();
    eprintln!("{}: {error}", program.to_string_lossy());
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    Some(ExitCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_keyword_names_a_limit() {
        for name in [
            "as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "rss", "stack",
            "vmem",
        ] {
            assert!(limit_resource(name).is_some(), "{name}");
        }
        assert!(limit_resource("files").is_none());
    }

    #[test]
    fn the_context_travels_in_the_environment_and_not_in_the_arguments() {
        let context = ExecContext { umask: Some(0o27), ..ExecContext::session() };
        let command = context.command("/proc/self/exe".as_ref(), &["/bin/true".into()]);
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["exec-context", "--", "/bin/true"]);
        let (_, text) = command.get_envs().find(|(name, _)| *name == VARIABLE).unwrap();
        let read: ExecContext = serde_json::from_str(text.unwrap().to_str().unwrap()).unwrap();
        assert_eq!(read, context);
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let root = find_user("root").unwrap();
        assert_eq!(find_user("0").unwrap(), root);
        assert_eq!(find_group("0").unwrap(), 0);
        assert!(find_user("no-such-user").unwrap_err().to_string().contains("no-such-user"));
    }
}
