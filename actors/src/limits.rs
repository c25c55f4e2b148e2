//! Limits of the process that the daemon raises for itself, and gives back to what it runs.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Environment variable that the daemon sets for its commands: lead a session of your own, and have this soft limit of
/// descriptors (nothing when it was not raised). Not for what they start.
pub(crate) const VARIABLE: &str = "OSVC_DAEMON_CHILD";

// A fact of the process, as its limits are: written once, before the first child.
static INHERITED: OnceLock<Option<u64>> = OnceLock::new();

/// As many descriptors as the system allows: 10,000 clients must fit.
///
/// # Errors
///
/// What the system says.
pub(crate) fn raise_descriptors() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    _ = INHERITED.set(current);
    Ok(())
}

/// The soft limit of descriptors before it was raised; none when it was not. Programs that use `select`, or that close all
/// they may have open, do not work with a high one.
pub(crate) fn inherited_descriptors() -> Option<u64> {
    INHERITED.get().copied().flatten()
}

/// Gives the process this soft limit of descriptors.
///
/// # Errors
///
/// What the system says.
pub(crate) fn set_descriptors(soft: u64) -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(soft, |maximum| soft.min(maximum)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// What a command of the daemon is to be told, for [`leave_daemon`].
pub(crate) fn variable() -> (&'static str, String) {
    (VARIABLE, inherited_descriptors().map(|soft| soft.to_string()).unwrap_or_default())
}

/// In a command that the daemon started: leaves its session and its limits.
pub(crate) fn leave_daemon() {
    let Ok(soft) = std::env::var(VARIABLE) else { return };
    // Refused to whoever leads a group: it is out of reach of the daemon's terminal already.
    _ = rustix::process::setsid();
    if let Ok(soft) = soft.parse() {
        _ = set_descriptors(soft);
    }
}
