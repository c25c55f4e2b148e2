//! Where an action comes from: the daemon, an operator, or an action on another object.

/// Set by the runner for what the monitor asked for.
pub const ORIGIN_VARIABLE: &str = "OSVC_ACTION_ORIGIN";

/// Whether the daemon runs this process, and not an operator.
#[must_use]
pub fn is_from_daemon() -> bool {
    std::env::var(ORIGIN_VARIABLE).is_ok_and(|origin| origin == "daemon")
}

/// Set for a command that an action of ours runs on another object: the process id of that action. What it needs was judged
/// where it began. Of use to its own child only: one that is exported or copied names another process.
pub(crate) const PART_VARIABLE: &str = "OSVC_PART_OF";

/// Whether this process is a part of an action on another object, such as the start of a volume for its service.
pub(crate) fn is_part() -> bool {
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string());
    parent.is_some() && std::env::var(PART_VARIABLE).ok() == parent
}
