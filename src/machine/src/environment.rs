//! Variables of the environment that commands and the daemon share.

/// Variable with the secret of the cluster to join.
pub const SECRET_VARIABLE: &str = "OSVC_CLUSTER_SECRET";

/// How the names of all variables begin that say whose a process is, and for what it runs.
pub const MARK_PREFIX: &str = "OPENSVC_";

/// Not a mark: what starts the daemon says so that its package was upgraded.
const UPGRADE_VARIABLE: &str = "OPENSVC_AGENT_UPGRADE";

/// The marks that this process was given, by name: of the service in whose shell it was typed. They are no matter of what
/// it runs, which would be taken for a part of that service, and ended with it.
#[must_use]
pub fn inherited_marks() -> Vec<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt as _;
    let is_mark = |name: &std::ffi::OsString| {
        name.as_bytes().starts_with(MARK_PREFIX.as_bytes()) && name != UPGRADE_VARIABLE
    };
    std::env::vars_os().map(|(name, _)| name).filter(is_mark).collect()
}
