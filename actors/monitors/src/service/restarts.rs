//! The restarts of the resources of an instance, kept over restarts of the daemon: a daemon that is started again must not
//! give a resource that does not stay up as many restarts again. A boot of the machine forgets them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{ObjectPath, Restart};
use serde::{Deserialize, Serialize};

use machine::paths::Paths;
use machine::{clock, durable, regular};

type Restarts = BTreeMap<String, Restart>;

/// What the file says.
#[derive(Serialize, Deserialize)]
struct Noted {
    /// The boot of the machine.
    boot: String,
    restart: Restarts,
}

/// The file, and what it says as far as this daemon wrote or read it.
#[derive(Debug)]
pub(super) struct Kept {
    file: PathBuf,
    boot: String,
    written: Restarts,
}

impl Kept {
    /// Reads what an earlier daemon noted since the machine booted.
    pub(super) fn read(paths: &Paths, path: &ObjectPath) -> Self {
        let boot = clock::boot_id().0.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::of(paths.var_dir(path).join("restarts.json"), boot)
    }

    fn of(file: PathBuf, boot: String) -> Self {
        let noted = regular::words(&file).and_then(|text| serde_json::from_str(&text).ok());
        let noted = noted.filter(|noted: &Noted| noted.boot == boot);
        Self { file, boot, written: noted.map(|noted| noted.restart).unwrap_or_default() }
    }

    /// What is noted.
    pub(super) fn restarts(&self) -> Restarts {
        self.written.clone()
    }

    /// Notes what changed. A disk that is full costs the count of one daemon, and is told.
    pub(super) fn note(&mut self, restarts: &Restarts) {
        if self.written == *restarts {
            return;
        }
        self.written.clone_from(restarts);
        if let Err(error) = self.write(restarts) {
            let file = self.file.display();
            log::warn!(file:% = file, error:% = error; "the restarts of this daemon are not kept");
        }
    }

    fn write(&self, restarts: &Restarts) -> std::io::Result<()> {
        if restarts.is_empty() {
            return match std::fs::remove_file(&self.file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        std::fs::create_dir_all(self.file.parent().unwrap_or(Path::new("")))?;
        let noted = Noted { boot: self.boot.clone(), restart: restarts.clone() };
        let text = serde_json::to_string(&noted)?;
        durable::write_cache(&self.file, text.as_bytes(), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn restarts_outlive_the_daemon_and_not_the_boot() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |boot: &str| Kept::of(folder.path().join("svc1/restarts.json"), boot.into());
        let restarts =
            BTreeMap::from([("app#1".to_owned(), Restart { retries: 2, updated: Timestamp(9.5) })]);
        assert_eq!(kept("a").restarts(), BTreeMap::new());
        kept("a").note(&restarts);
        assert_eq!(kept("a").restarts(), restarts);
        assert_eq!(kept("b").restarts(), BTreeMap::new());
        kept("a").note(&BTreeMap::new());
        assert_eq!(kept("a").restarts(), BTreeMap::new());
        assert!(!folder.path().join("svc1/restarts.json").exists());
    }
}
