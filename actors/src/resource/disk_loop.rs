//! `disk.loop`: a file shown as a block device.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::Status;

use super::driver::{Driver, Failure, Report, Scene};
use super::instance::Setup;
use super::mounts::loop_devices;
use crate::durable::FileLock;
use crate::rooted::Place;

/// Size of a new image when keyword `size` is unset.
const DEFAULT_SIZE: u64 = 100 << 20;

struct Loop {
    file: PathBuf,
    size: u64,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    _: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let file = section.text("file")?.unwrap_or_default().into();
    Ok(Box::new(Loop { file, size: section.size("size")?.unwrap_or(DEFAULT_SIZE) }))
}

impl Loop {
    /// Only one at a time looks for a free device.
    fn lock(scene: &Scene<'_>) -> Result<FileLock, Failure> {
        let file = scene.host.paths.locks().join("disk.loop");
        FileLock::take(&file, Duration::from_secs(30)).map_err(Failure::io("lock"))
    }
}

impl Driver for Loop {
    fn label(&self) -> String {
        format!("loop {}", self.file.display())
    }

    fn evaluate(&self, _: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        report.files.insert(self.file.clone());
        let devices = loop_devices(&self.file);
        if let Some(device) = devices.first() {
            report.info.insert("dev".to_owned(), device.display().to_string().into());
        }
        Ok(if devices.is_empty() { Status::Down } else { Status::Up })
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if !loop_devices(&self.file).is_empty() {
            scene.journal.info(format_args!("{} is already up", self.label()));
            return Ok(());
        }
        if !self.file.is_file() {
            return Err(Failure::refused(format!("{} does not exist", self.file.display())));
        }
        let lock = Self::lock(scene)?;
        let done = scene.tool(["losetup", "-f", &self.file.display().to_string()]);
        drop(lock);
        done.map(drop)
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let lock = Self::lock(scene)?;
        for device in loop_devices(&self.file) {
            scene.tool(["losetup", "-d", &device.display().to_string()])?;
        }
        drop(lock);
        // The kernel frees a device that is still open later, and says nothing.
        let left = loop_devices(&self.file);
        match left.first() {
            None => Ok(()),
            Some(device) => Err(Failure::refused(format!("{} is in use", device.display()))),
        }
    }

    fn may_hang(&self) -> bool {
        true
    }

    fn has_provisioner(&self) -> bool {
        true
    }

    fn is_provisioned(&self, _: &Scene<'_>) -> Option<bool> {
        Some(self.file.is_file())
    }

    fn provision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        if self.file.exists() {
            scene.journal.info(format_args!("{} exists", self.file.display()));
            return Ok(());
        }
        let name = self.file.display().to_string();
        scene.journal.info(format_args!("create {name}, {} bytes", self.size));
        let create = || {
            let file = Place::make(&self.file)?.create(0o600)?;
            file.set_len(self.size)?;
            file.sync_all()
        };
        create().map_err(Failure::io(name))
    }

    fn unprovision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        scene.journal.info(format_args!("unlink {}", self.file.display()));
        match Place::find(&self.file).and_then(|place| place.remove()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::io(self.file.display().to_string())(error))
            }
            _ => Ok(()),
        }
    }
}
