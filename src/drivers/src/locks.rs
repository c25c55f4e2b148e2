//! Locks of an instance: of its actions, and of its evaluation (src/drivers/README.md, Actions).

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use machine::durable::FileLock;

use crate::driver::Instance;
use crate::failure::Failure;

/// Keyword `lock_timeout` when it says nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a holder writes is at least this long, blanks after it: written in one piece over what it replaces, it is read
/// whole by whoever looks at that moment, however many resources act at once.
const NOTE_BYTES: usize = 512;

/// What the holder of a lock writes in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    pid: u32,
    /// The action: `start`.
    intent: String,
    #[serde(default)]
    progress: Progress,
}

/// Where an action is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// The resource acted upon last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
}

/// A lock of an instance, held until dropped.
#[derive(Debug)]
pub(crate) struct InstanceLock {
    lock: FileLock,
    intent: String,
}

impl InstanceLock {
    /// Takes the lock, waiting for at most `patience`.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] names who still holds it then, and what that is at; [`Failure::Io`] when there is no way to
    /// lock.
    pub(crate) fn take(file: &Path, intent: &str, patience: Duration) -> Result<Self, Failure> {
        let lock = FileLock::take(file, patience).map_err(|error| {
            if error.kind() != io::ErrorKind::TimedOut {
                return Failure::io("lock")(error);
            }
            let holder = holder(file).map(|holder| format!(": {holder}")).unwrap_or_default();
            Failure::refused(format!("timed out waiting for lock {}{holder}", file.display()))
        })?;
        let lock = Self { lock, intent: intent.to_owned() };
        lock.note(Progress::default());
        Ok(lock)
    }

    /// Tells which resource is acted upon.
    pub(crate) fn progress(&self, rid: &str) {
        self.note(Progress { rid: Some(rid.to_owned()) });
    }

    /// A lock that nobody can read still locks.
    fn note(&self, progress: Progress) {
        use std::os::unix::fs::FileExt;
        let note = Note { pid: std::process::id(), intent: self.intent.clone(), progress };
        if let Ok(text) = serde_json::to_string(&note) {
            _ = self.lock.file().write_all_at(format!("{text:NOTE_BYTES$}").as_bytes(), 0);
        }
    }
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        _ = self.lock.note("");
    }
}

/// Who holds a lock, as far as that was written.
fn holder(file: &Path) -> Option<String> {
    let text = machine::regular::words(file)?;
    let Note { pid, intent, progress } = serde_json::from_str(&text).ok()?;
    let at = progress.rid.map(|rid| format!(", at {rid}")).unwrap_or_default();
    Some(format!("held by pid {pid}, intent {intent}{at}"))
}

/// How long an action or an evaluation waits for the one before it: `waitlock`, else keyword `lock_timeout`.
pub(crate) fn patience(instance: &Instance, waitlock: Option<f64>) -> Duration {
    match waitlock {
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        None => {
            instance.section("DEFAULT").duration("lock_timeout").ok().flatten().unwrap_or(PATIENCE)
        }
    }
}

/// Takes the lock of evaluations: two at once would ask every resource twice. After [`patience`] goes on without: to be
/// asked twice harms nobody.
pub(crate) fn of_evaluation(instance: &Instance) -> Option<InstanceLock> {
    let file = instance.var_dir.join("lock.status");
    match InstanceLock::take(&file, "status", patience(instance, None)) {
        Ok(lock) => Some(lock),
        Err(failure) => {
            instance.journal.warn(format_args!("evaluated without lock: {failure}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_its_holder_and_what_that_is_at() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lock.generic");
        let refusal = || InstanceLock::take(&file, "stop", Duration::ZERO).unwrap_err().to_string();
        let expected = |rest: &str| {
            let (name, pid) = (file.display(), std::process::id());
            format!("timed out waiting for lock {name}: held by pid {pid}, intent start{rest}")
        };
        let lock = InstanceLock::take(&file, "start", Duration::ZERO).unwrap();
        assert_eq!(refusal(), expected(""));
        lock.progress("app#a-long-name");
        assert_eq!(refusal(), expected(", at app#a-long-name"));
        // A shorter one leaves nothing of it.
        lock.progress("fs#1");
        assert_eq!(refusal(), expected(", at fs#1"));
        drop(lock);
        assert_eq!(std::fs::read(&file).unwrap(), b"");
    }

    #[test]
    fn a_deployed_agent_writes_no_progress_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lock.generic");
        std::fs::write(&file, r#"{"pid": 12, "intent": "start"}"#).unwrap();
        assert_eq!(holder(&file).unwrap(), "held by pid 12, intent start");
        std::fs::write(&file, "").unwrap();
        assert_eq!(holder(&file), None);
    }
}
