//! Who rolls from a machine: told to every node that asks, and gone with the command, however that ends.
//!
//! The claim stands in a file beside a lock that the roll holds. The kernel frees the lock of a command that dies, so no claim
//! outlives its roll.

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::durable::{self, FileLock};
use machine::paths::Paths;
use model::{NodeName, Roll, RollJob, Timestamp};
use serde::{Deserialize, Serialize};

use crate::om::Failure;

/// Who looks at a claim of before holds its lock for a moment.
const MOMENT: Duration = Duration::from_secs(1);

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// It asks the others.
    Wanted,
    /// No other one was there: it rolls.
    Granted,
}

/// A roll that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// From where.
    node: NodeName,
    /// Who typed it.
    user: String,
    pid: u32,
    since: Timestamp,
    /// What is done on each node.
    job: String,
    pub(super) stage: Stage,
}

impl Claim {
    /// The claim of this command.
    pub(super) fn new(node: &NodeName, roll: &Roll) -> Self {
        let job = match &roll.job {
            RollJob::Reboot => "reboot".to_owned(),
            // The command may be anything: who rolls is asked what it is.
            RollJob::Run(_) => "run a command".to_owned(),
        };
        Self {
            node: node.clone(),
            user: machine::process::operator(),
            pid: std::process::id(),
            since: machine::clock::now(),
            job,
            stage: Stage::Wanted,
        }
    }

    /// The roll that is under way on this machine.
    pub(super) fn here(paths: &Paths) -> Option<Self> {
        let file = file_of(paths);
        let claim = read(&file)?;
        // Nobody holds it: its command died.
        let is_held = matches!(FileLock::try_take(&lock_of(&file)), Ok(None));
        is_held.then_some(claim)
    }

    /// Why nobody else rolls meanwhile.
    pub(super) fn refusal(&self) -> Failure {
        let seconds = (machine::clock::now().0 - self.since.0).max(0.0).round();
        let Self { node, user, pid, job, .. } = self;
        Failure::new(format!(
            "a roll is under way: {user} rolls from {node}, to {job} on each node (pid {pid} there, for {seconds} s): wait for its end"
        ))
    }

    /// Whether this one gives way to the other, where both ask: one of two goes on.
    pub(super) fn gives_way_to(&self, other: &Self) -> bool {
        other.stage == Stage::Granted || other.node < self.node
    }
}

fn file_of(paths: &Paths) -> PathBuf {
    paths.node_var().join("roll.claim")
}

fn lock_of(file: &Path) -> PathBuf {
    file.with_extension("lock")
}

fn read(file: &Path) -> Option<Claim> {
    serde_json::from_str(&machine::regular::words(file)?).ok()
}

/// The right to roll from this machine, until it is dropped.
pub(super) struct Held {
    file: PathBuf,
    _lock: FileLock,
}

impl Held {
    /// Takes it. Nothing is claimed yet.
    pub(super) fn take(paths: &Paths) -> Result<Self, Failure> {
        let file = file_of(paths);
        match FileLock::take(&lock_of(&file), MOMENT) {
            Ok(lock) => {
                // That of a command that died.
                durable::remove(&file)?;
                Ok(Self { file, _lock: lock })
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(match read(&file) {
                Some(claim) => claim.refusal(),
                None => Failure::new("another `om cluster roll` is at work here"),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Shows a claim to whoever asks.
    pub(super) fn show(&self, claim: &Claim) -> Result<(), Failure> {
        let text = serde_json::to_vec(claim).map_err(|error| Failure::new(error.to_string()))?;
        Ok(durable::write(&self.file, &text, 0o600)?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What stays is of a command that died.
        _ = durable::remove(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(node: &str, stage: Stage) -> Claim {
        let since = machine::clock::now();
        let (node, job) = (NodeName::new(node).unwrap(), "reboot".to_owned());
        Claim { node, user: "ann".to_owned(), pid: 7, since, job, stage }
    }

    #[test]
    fn of_two_that_ask_one_goes_on() {
        let (n1, n2) = (claim("n1", Stage::Wanted), claim("n2", Stage::Wanted));
        assert_eq!((n1.gives_way_to(&n2), n2.gives_way_to(&n1)), (false, true));
        assert!(n1.gives_way_to(&claim("n2", Stage::Granted)));
        let said = n1.refusal().lines.join("\n");
        assert!(said.contains("ann rolls from n1, to reboot on each node"), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }

    #[test]
    fn a_claim_is_seen_while_its_roll_lives() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        assert_eq!(Claim::here(&paths), None);
        let held = Held::take(&paths).unwrap();
        assert_eq!(Claim::here(&paths), None);
        let shown = claim("n1", Stage::Granted);
        held.show(&shown).unwrap();
        assert_eq!(Claim::here(&paths), Some(shown.clone()));
        let refused = Held::take(&paths).err().map(|failure| failure.lines.join(" "));
        assert!(refused.is_some_and(|text| text.contains("ann rolls from n1")));
        drop(held);
        assert_eq!(Claim::here(&paths), None);
        // Of one that died the file stays, and says nothing.
        std::fs::write(file_of(&paths), serde_json::to_vec(&shown).unwrap()).unwrap();
        assert_eq!(Claim::here(&paths), None);
        let held = Held::take(&paths).unwrap();
        assert_eq!((Claim::here(&paths), held.file.exists()), (None, false));
    }
}
