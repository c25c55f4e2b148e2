//! The file that keeps why the last action on an instance failed: it outlives the daemon and the machine.

use std::io;

use model::{LastFailure, ObjectPath};

use crate::paths::Paths;
use crate::{clock, durable, regular};

/// Whoever may see the status of the instance may see why.
const OPEN: u32 = 0o644;

/// The last failure of an instance; none when there is none.
#[must_use]
pub fn read(paths: &Paths, path: &ObjectPath) -> Option<LastFailure> {
    serde_json::from_str(&regular::words(&paths.last_failure(path))?).ok()
}

/// Keeps a failure that happened now, and counts it to those of the same action before it. What is kept.
///
/// # Errors
///
/// Whatever the file system answers.
pub fn note(paths: &Paths, path: &ObjectPath, failure: LastFailure) -> io::Result<LastFailure> {
    let before = read(paths, path).filter(|before| before.action == failure.action);
    let tries = before.map_or(0, |before| before.tries).saturating_add(1);
    let utc_offset = clock::zoned().offset().seconds();
    let failure = LastFailure { at: clock::now(), utc_offset, tries, ..failure };
    let text = serde_json::to_vec(&failure)?;
    durable::write(&paths.last_failure(path), &text, OPEN)?;
    Ok(failure)
}

/// Forgets the failure of an instance. False: there was none.
///
/// # Errors
///
/// Whatever the file system answers.
pub fn forget(paths: &Paths, path: &ObjectPath) -> io::Result<bool> {
    let file = paths.last_failure(path);
    // Most actions succeed after others that did: nothing to make durable.
    if !file.try_exists()? {
        return Ok(false);
    }
    durable::remove(&file)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_action_are_counted_until_they_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let path = ObjectPath::parse("web").unwrap();
        assert_eq!((read(&paths, &path), forget(&paths, &path).unwrap()), (None, false));
        let fail = |action| note(&paths, &path, LastFailure::new(action, "no")).unwrap().tries;
        assert_eq!([fail("start"), fail("start"), fail("stop")], [1, 2, 1]);
        let kept = read(&paths, &path).unwrap();
        assert_eq!((kept.action.as_str(), kept.reason.as_str(), kept.tries), ("stop", "no", 1));
        assert!(kept.at.0 > 0.0);
        assert!(forget(&paths, &path).unwrap());
        assert_eq!((read(&paths, &path), fail("stop")), (None, 1));
    }
}
