//! The two facts that everything asks of the machine: the time, and the name of this node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{NameError, NodeName, Timestamp};

/// Environment variable that overrides the host name.
pub const NODENAME_VARIABLE: &str = "OSVC_NODENAME";

/// The time, as the cluster data spells it.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_secs_f64())
}

/// Time since the machine booted, its sleep included: no change of the clock touches it.
#[must_use]
pub fn steady() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// The time in milliseconds since 1970-01-01T00:00:00Z, as sealed messages carry it.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The name of this node: `OSVC_NODENAME`, else the host name, lower case.
///
/// # Errors
///
/// [`NameError`] when neither is a node name.
pub fn local_nodename() -> Result<NodeName, NameError> {
    match std::env::var(NODENAME_VARIABLE) {
        Ok(name) if !name.is_empty() => NodeName::new(&name),
        _ => NodeName::new(&rustix::system::uname().nodename().to_string_lossy()),
    }
}
