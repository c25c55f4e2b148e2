//! How an action ended: what the logs of its object and of the node say, and what is kept of a failure that it did not live to
//! tell.

use model::{InstanceAction, LastFailure, ObjectPath};

use machine::last_failure;
use machine::paths::Paths;

/// An action that runs, or waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) path: ObjectPath,
    /// The word of the action: `start`.
    pub(super) name: String,
    /// The last failure of the instance, from before the action.
    before: Option<LastFailure>,
}

impl Begun {
    /// An action that is about to begin.
    pub(super) fn new(paths: &Paths, path: &ObjectPath, name: &str) -> Self {
        let before = last_failure::read(paths, path);
        Self { path: path.clone(), name: name.to_owned(), before }
    }

    /// The failure that it kept; none when it kept none.
    fn told(&self, paths: &Paths) -> Option<LastFailure> {
        last_failure::read(paths, &self.path).filter(|now| self.before.as_ref() != Some(now))
    }

    /// Tells how an action of ours ended. True: what it did not tell is kept only now.
    pub(super) fn ended(&self, paths: &Paths, exit_code: Option<i32>) -> bool {
        let (path, name) = (&self.path, self.name.as_str());
        if exit_code == Some(0) {
            log::info!(path:% = path, action = name, exit_code = 0; "action ended");
            return false;
        }
        let told = self.told(paths);
        let is_told = told.is_some();
        let failure = told.unwrap_or_else(|| untold(name, exit_code));
        match exit_code {
            Some(exit_code) => {
                log::warn!(path:% = path, action = name, exit_code, reason = failure.cause(); "action ended");
            }
            None => {
                log::warn!(path:% = path, action = name; "action killed, or not run");
            }
        }
        self.tell_node(&failure);
        !is_told && self.keep(paths, failure)
    }

    /// Tells how an action ended that is not our child: whether it failed, it tells itself.
    pub(super) fn adopted_ended(&self, paths: &Paths) {
        let (path, name) = (&self.path, self.name.as_str());
        match self.told(paths) {
            Some(failure) => {
                log::warn!(path:% = path, action = name, reason = failure.cause(); "adopted action ended");
                self.tell_node(&failure);
            }
            None => log::info!(path:% = path, action = name; "adopted action ended"),
        }
    }

    /// Whoever reads the log of the node finds what failed without knowing where to look.
    fn tell_node(&self, failure: &LastFailure) {
        let (object, name) = (&self.path, self.name.as_str());
        log::warn!(object:% = object, action = name, reason = failure.cause(); "action failed");
    }

    fn keep(&self, paths: &Paths, failure: LastFailure) -> bool {
        // What acts on the node, or is of no instance, has nowhere to keep it.
        let is_covered = |action: InstanceAction| {
            self.before.as_ref().is_none_or(|before| action.covers_failure_of(&before.action))
        };
        let is_kept = InstanceAction::from_words(&self.name)
            .is_some_and(|it| it.keeps_failure() && is_covered(it));
        if !is_kept || !paths.config_file(&self.path).exists() {
            return false;
        }
        match last_failure::note(paths, &self.path, failure) {
            Ok(_) => true,
            Err(error) => {
                log::warn!(path:% = self.path, error:% = error; "last failure not kept");
                false
            }
        }
    }
}

/// The failure of an action that ended without a word. A shell tells a signal as 128 and its number.
fn untold(action: &str, exit_code: Option<i32>) -> LastFailure {
    let signal = exit_code.filter(|code| *code > 128).map(|code| code - 128);
    let reason = match (signal, exit_code) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(exit_code)) => format!("exit code {exit_code}: the log tells why"),
        (None, None) => "killed, or not run".to_owned(),
    };
    let exit_code = exit_code.filter(|_| signal.is_none());
    LastFailure { signal, exit_code, ..LastFailure::new(action, &reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_action_did_not_live_to_tell_is_kept_and_what_it_told_stays() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let path = ObjectPath::parse("web").unwrap();
        std::fs::create_dir_all(&paths.etc).unwrap();
        std::fs::write(paths.config_file(&path), "").unwrap();
        let begun = Begun::new(&paths, &path, "start");
        assert!(!begun.ended(&paths, Some(0)));
        assert_eq!(last_failure::read(&paths, &path), None);
        assert!(begun.ended(&paths, Some(137)));
        let kept = last_failure::read(&paths, &path).unwrap();
        assert_eq!((kept.signal, kept.exit_code, kept.tries), (Some(9), None, 1));
        assert_eq!(kept.cause(), "start: killed by signal 9");
        let begun = Begun::new(&paths, &path, "start");
        last_failure::note(&paths, &path, LastFailure::new("start", "no interface")).unwrap();
        assert!(!begun.ended(&paths, Some(1)));
        let kept = last_failure::read(&paths, &path).unwrap();
        assert_eq!((kept.cause().as_str(), kept.tries), ("start: no interface", 2));
        // What it told before says nothing of how it ended now.
        let begun = Begun::new(&paths, &path, "start");
        assert!(begun.ended(&paths, Some(1)));
        assert_eq!(last_failure::read(&paths, &path).unwrap().tries, 3);
    }
}
