//! Limits of the process that the daemon sets for itself, and gives back to what it runs; dumps and traces of its memory.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Environment variable that the daemon sets for its commands: lead a session of your own, and have this soft limit of
/// descriptors (nothing when it was not raised). Not for what they start.
pub const VARIABLE: &str = "OSVC_DAEMON_CHILD";

// A fact of the process, as its limits are: written once, before the first child.
static INHERITED: OnceLock<Option<u64>> = OnceLock::new();

/// The same for the soft limit of core files, `unlimited` for none.
pub const CORE_VARIABLE: &str = "OSVC_DAEMON_CHILD_CORE";

/// How much the kernel wants to end a process when memory is short.
const OOM_FILE: &str = "/proc/self/oom_score_adj";

static INHERITED_CORE: OnceLock<Option<u64>> = OnceLock::new();

/// Keeps the memory of this process, which may hold the secret of the cluster, from those who run as the same user, and
/// out of core files: no trace, no dump. What it becomes or starts is not concerned: a program that is run is dumpable.
pub fn hide_memory() {
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    // Refused by no system that has it.
    _ = rustix::process::set_dumpable_behavior(hidden);
}

/// No core file of this process, whatever follows it in a pipe.
///
/// # Errors
///
/// What the system says.
pub fn forbid_core() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?;
    _ = INHERITED_CORE.set(current);
    Ok(())
}

/// The soft limit of core files before it was set; none when it was not.
pub fn inherited_core() -> Option<String> {
    let text = |soft: &Option<u64>| soft.map_or("unlimited".to_owned(), |soft| soft.to_string());
    INHERITED_CORE.get().map(text)
}

/// Gives the process this soft limit of core files, as [`inherited_core`] has it.
///
/// # Errors
///
/// What the system says.
pub fn set_core(soft: &str) -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let current = match soft.parse().ok() {
        Some(soft) => Some(maximum.map_or(soft, |maximum: u64| maximum.min(soft))),
        None => maximum,
    };
    Ok(setrlimit(Resource::Core, Rlimit { current, maximum })?)
}

/// The daemon may be what is ended last when memory is short; what it launches is ended as any other process.
pub fn leave_oom_score() {
    let is_usual = std::fs::read_to_string(OOM_FILE).is_ok_and(|score| score.trim() == "0");
    if !is_usual {
        // Not ours to set where we are not root, or the system has none.
        _ = std::fs::write(OOM_FILE, "0");
    }
}

/// As many descriptors as the system allows: 10,000 clients must fit.
///
/// # Errors
///
/// What the system says.
pub fn raise_descriptors() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    _ = INHERITED.set(current);
    Ok(())
}

/// Descriptors kept for all but connections from the network: files, children, heartbeats, the control socket.
const KEPT_DESCRIPTORS: u64 = 256;

/// What is kept of very few: the daemon at rest has some 60 open.
const LEAST_KEPT: u64 = 96;

/// How many connections from the network may be open at once: what the limit of open files leaves.
pub fn most_connections() -> usize {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return usize::MAX };
    usize::try_from(connections_within(limit)).unwrap_or(usize::MAX)
}

/// Of few descriptors half are for connections, of very few those that the daemon at rest leaves.
fn connections_within(limit: u64) -> u64 {
    let most = limit.saturating_sub(KEPT_DESCRIPTORS).max(limit / 2);
    most.min(limit.saturating_sub(LEAST_KEPT)).max(1)
}

/// The soft limit of descriptors before it was raised; none when it was not. Programs that use `select`, or that close all
/// they may have open, do not work with a high one.
pub fn inherited_descriptors() -> Option<u64> {
    INHERITED.get().copied().flatten()
}

/// Gives the process this soft limit of descriptors.
///
/// # Errors
///
/// What the system says.
pub fn set_descriptors(soft: u64) -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(soft, |maximum| soft.min(maximum)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// What a command of the daemon is to be told, for [`leave_daemon`].
pub fn variables() -> [(&'static str, String); 2] {
    let descriptors = inherited_descriptors().map(|soft| soft.to_string()).unwrap_or_default();
    [(VARIABLE, descriptors), (CORE_VARIABLE, inherited_core().unwrap_or_default())]
}

/// In a command that the daemon started: leaves its session and its limits.
pub fn leave_daemon() {
    let Ok(soft) = std::env::var(VARIABLE) else { return };
    // Refused to whoever leads a group: it is out of reach of the daemon's terminal already.
    _ = rustix::process::setsid();
    // Here, and not where programs are run: what an action starts through a tool has it too, containers and helpers of mounts.
    leave_oom_score();
    if let Ok(soft) = soft.parse() {
        _ = set_descriptors(soft);
    }
    if let Ok(soft) = std::env::var(CORE_VARIABLE)
        && !soft.is_empty()
    {
        _ = set_core(&soft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_descriptors_that_all_else_needs() {
        let limits = [1_048_576, 1_024, 512, 300, 128, 100, 64];
        assert_eq!(limits.map(connections_within), [1_048_320, 768, 256, 150, 32, 4, 1]);
    }
}
