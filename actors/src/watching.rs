//! When the kernel watches nothing for us: what is looked at instead, and how an operator ends that.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use serde_json::{Value, json};

/// Pause between two looks at what is not watched.
pub(crate) const SWEEP: Duration = Duration::from_secs(2);

/// Why something is not watched, and what an operator can do.
pub(crate) fn reason(error: &io::Error) -> String {
    let limit = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE) => "fs.inotify.max_user_instances",
        Some(Errno::NOSPC) => "fs.inotify.max_user_watches",
        _ => return error.to_string(),
    };
    format!("{error}: raise the limit by sysctl {limit}")
}

/// The alert of a thread that looks at things itself.
pub(crate) fn alert(what: &str, reason: &str) -> Value {
    let pause = SWEEP.as_secs();
    let message =
        format!("{what} are not watched, and looked at every {pause} s instead: {reason}");
    json!({"severity": "warning", "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_limit_is_named() {
        let told = |errno: Errno| reason(&errno.into());
        assert!(told(Errno::MFILE).contains("max_user_instances"), "{}", told(Errno::MFILE));
        assert!(told(Errno::NOSPC).contains("max_user_watches"), "{}", told(Errno::NOSPC));
        assert!(!told(Errno::ACCESS).contains("sysctl"));
    }
}
