//! When the kernel watches nothing for us: what is looked at instead, and how an operator ends that.

use std::io;
use std::path::Path;
use std::time::Duration;

use model::Alert;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

/// Pause between two looks at what is not watched.
pub const SWEEP: Duration = Duration::from_secs(2);

/// Why something is not watched, and what an operator can do.
pub fn reason(error: &io::Error) -> String {
    let limit = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE) => "fs.inotify.max_user_instances",
        Some(Errno::NOSPC) => "fs.inotify.max_user_watches",
        _ => return error.to_string(),
    };
    format!("{error}: raise the limit by sysctl {limit}")
}

/// The alert of a thread that looks at things itself.
pub fn alert(what: &str, reason: &str) -> Alert {
    let pause = SWEEP.as_secs();
    Alert::warning(format!(
        "{what} are not watched, and looked at every {pause} s instead: {reason}"
    ))
}

/// Why the kernel would not watch a folder for this user; none where it would.
#[must_use]
pub fn refusal(folder: &Path) -> Option<String> {
    let watch = inotify::init(CreateFlags::CLOEXEC)
        .and_then(|fd| inotify::add_watch(&fd, folder, WatchFlags::CREATE));
    watch.err().map(|error| reason(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_watched_is_and_one_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(refusal(folder.path()), None);
        assert!(refusal(&folder.path().join("none")).is_some());
    }

    #[test]
    fn an_exhausted_limit_is_named() {
        let told = |errno: Errno| reason(&errno.into());
        assert!(told(Errno::MFILE).contains("max_user_instances"), "{}", told(Errno::MFILE));
        assert!(told(Errno::NOSPC).contains("max_user_watches"), "{}", told(Errno::NOSPC));
        assert!(!told(Errno::ACCESS).contains("sysctl"));
    }
}
