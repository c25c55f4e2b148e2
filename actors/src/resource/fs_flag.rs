//! `fs.flag`: up if a file in memory exists. For tests, and to know of a reboot.

use std::path::PathBuf;

use conf::{EvalError, SectionReader};
use model::Status;

use super::driver::{Driver, Failure, Report, Scene};
use super::instance::Setup;

/// Where flags are, gone with a reboot.
const FOLDER: &str = "/dev/shm/opensvc";

struct Flag {
    file: PathBuf,
}

/// Reads the section.
pub(crate) fn read(_: &SectionReader<'_>, setup: &Setup<'_>) -> Result<Box<dyn Driver>, EvalError> {
    // A node under a private root has its own flags: two test nodes share /dev/shm.
    let mut file = if *setup.host.paths == crate::paths::Paths::packaged() {
        PathBuf::from(FOLDER)
    } else {
        setup.host.paths.tmp.join("flags")
    };
    file.extend(setup.path.namespace());
    file.push(setup.path.kind().as_str());
    file.push(setup.path.name());
    file.push(format!("{}.flag", setup.rid));
    Ok(Box::new(Flag { file }))
}

impl Driver for Flag {
    fn label(&self) -> String {
        "fs.flag".to_owned()
    }

    fn evaluate(&self, _: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        report.files.insert(self.file.clone());
        Ok(if self.file.exists() { Status::Up } else { Status::Down })
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.file.exists() {
            return Ok(());
        }
        scene.journal.info(format_args!("create flag {}", self.file.display()));
        let create = || {
            std::fs::create_dir_all(self.file.parent().unwrap_or(&self.file))?;
            std::fs::File::create(&self.file)
        };
        create().map(drop).map_err(Failure::io(self.file.display().to_string()))
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !self.file.exists() {
            return Ok(());
        }
        scene.journal.info(format_args!("unlink flag {}", self.file.display()));
        std::fs::remove_file(&self.file).map_err(Failure::io(self.file.display().to_string()))
    }

    fn may_hang(&self) -> bool {
        false
    }

    fn has_provisioner(&self) -> bool {
        true
    }
}
