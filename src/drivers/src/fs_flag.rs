//! `fs.flag`: up if a file in memory exists. For tests, and to know of a reboot.

use std::io;
use std::path::PathBuf;

use conf::{EvalError, SectionReader};
use model::Status;
use rustix::fs::OFlags;

use machine::rooted::Place;

use crate::driver::{Driver, Scene};
use crate::failure::Failure;
use crate::report::Report;
use crate::setup::Setup;

/// Where flags are, gone with a reboot.
const FOLDER: &str = "/dev/shm/opensvc";

struct Flag {
    file: PathBuf,
}

/// Reads the section.
pub(crate) fn read(_: &SectionReader<'_>, setup: &Setup<'_>) -> Result<Box<dyn Driver>, EvalError> {
    // A node under a private root has its own flags: two test nodes share /dev/shm.
    let mut file = if *setup.host.paths == machine::paths::Paths::packaged() {
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

impl Flag {
    fn failed(&self) -> impl FnOnce(io::Error) -> Failure {
        Failure::io(self.file.display().to_string())
    }

    /// Whether the flag is there, and ours: where all may write, anybody could raise it.
    fn is_raised(&self) -> Result<bool, Failure> {
        let is = || Place::find(&self.file).and_then(ours)?.open(OFlags::RDONLY);
        match is() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed()(error)),
        }
    }
}

/// A place in a folder that nobody else can write.
fn ours(place: Place) -> io::Result<Place> {
    if place.folder().is_ours() {
        return Ok(place);
    }
    Err(io::Error::other("its folder was made by another user than root: remove it"))
}

impl Driver for Flag {
    fn label(&self) -> String {
        "fs.flag".to_owned()
    }

    fn evaluate(&self, _: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        report.files.insert(self.file.clone());
        Ok(if self.is_raised()? { Status::Up } else { Status::Down })
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.is_raised()? {
            return Ok(());
        }
        scene.journal.info(format_args!("create flag {}", self.file.display()));
        let place = Place::make(&self.file).and_then(ours);
        place.and_then(|place| place.create(0o644)).map(drop).map_err(self.failed())
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !self.is_raised()? {
            return Ok(());
        }
        scene.journal.info(format_args!("unlink flag {}", self.file.display()));
        let place = Place::find(&self.file).and_then(ours);
        place.and_then(|place| place.remove()).map_err(self.failed())
    }

    fn may_hang(&self) -> bool {
        false
    }

    fn has_provisioner(&self) -> bool {
        true
    }
}
