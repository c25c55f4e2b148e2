//! `disk.loop`: a file shown as a block device.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, UNIX_EPOCH};

use conf::{EvalError, SectionReader};
use model::Status;
use serde::{Deserialize, Serialize};

use machine::durable;
use machine::durable::FileLock;
use machine::rooted::Place;

use crate::device;
use crate::driver::{Driver, Scene};
use crate::failure::Failure;
use crate::mounts::loop_devices;
use crate::report::Report;
use crate::setup::Setup;

/// Size of a new image when keyword `size` is unset.
const DEFAULT_SIZE: u64 = 100 << 20;

/// For how long udev, blkid or a monitor may hold a device open that is detached: they look at each that changes.
const PROBE: Duration = Duration::from_secs(3);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// The image that a provision made, so that no other file is ever removed in its place.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MadeImage {
    file: PathBuf,
    inode: u64,
    /// When the file came into being, in nanoseconds since 1970, where the file system tells: numbers are used again.
    born: Option<u64>,
}

impl MadeImage {
    /// The image that is there now.
    fn of(file: &std::path::Path) -> std::io::Result<Self> {
        let is = std::fs::symlink_metadata(file)?;
        let born = is.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            file: file.to_owned(),
            inode: is.ino(),
            born: born.and_then(|since| u64::try_from(since.as_nanos()).ok()),
        })
    }
}

/// Where a provision notes what it made.
fn note(scene: &Scene<'_>) -> PathBuf {
    scene.folder().join("made")
}

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

    fn tools(&self) -> Vec<(String, bool)> {
        vec![("losetup".to_owned(), true)]
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
        let lock = Self::lock(scene)?;
        // A file on two devices is broken by the two of them.
        if !loop_devices(&self.file).is_empty() {
            scene.journal.info(format_args!("{} is already up", self.label()));
            return Ok(());
        }
        if !self.file.is_file() {
            return Err(Failure::refused(format!("{} does not exist", self.file.display())));
        }
        let done = scene.tool(["losetup", "-f", &self.file.display().to_string()]);
        drop(lock);
        done.map(drop)
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let lock = Self::lock(scene)?;
        for device in loop_devices(&self.file) {
            // Detached while it is used, it would stay until its user goes.
            if let Some(user) = device::user(&device)? {
                return Err(Failure::refused(format!("{} is {user}", device.display())));
            }
            scene.tool(["losetup", "-d", &device.display().to_string()])?;
        }
        drop(lock);
        // The kernel frees a device that is still open later, and says nothing.
        let deadline = Instant::now() + PROBE;
        loop {
            match loop_devices(&self.file).first() {
                None => return Ok(()),
                Some(_) if Instant::now() < deadline => std::thread::sleep(LOOK),
                Some(device) => {
                    return Err(Failure::refused(format!("{} is in use", device.display())));
                }
            }
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
        let name = self.file.display().to_string();
        if self.file.exists() {
            if !self.file.is_file() {
                return Err(Failure::refused(format!("{name} is no image")));
            }
            scene.journal.info(format_args!("{name} exists"));
            return Ok(());
        }
        scene.journal.info(format_args!("create {name}, {} bytes", self.size));
        let place = Place::make(&self.file).map_err(Failure::io(name.clone()))?;
        let file = place.create(0o600).map_err(Failure::io(name.clone()))?;
        let fill = || {
            file.set_len(self.size)?;
            file.sync_all()?;
            let made = serde_json::to_vec(&MadeImage::of(&self.file)?)?;
            durable::write(&note(scene), &made, 0o600)
        };
        fill().map_err(|error| {
            // What it leaves half made would be taken for what was there before.
            _ = place.remove();
            Failure::io(name)(error)
        })
    }

    /// Removes the image that was made here, and no other: not one that was there before, not one that somebody uses.
    fn unprovision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        let name = self.file.display().to_string();
        let is = match MadeImage::of(&self.file) {
            Ok(is) => is,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                scene.journal.info(format_args!("{name} does not exist"));
                return durable::remove(&note(scene)).map_err(Failure::io("unlink"));
            }
            Err(error) => return Err(Failure::io(name)(error)),
        };
        let made = machine::regular::words(&note(scene));
        let made = made.and_then(|text| serde_json::from_str::<MadeImage>(&text).ok());
        if made.as_ref() != Some(&is) {
            scene.journal.warn(format_args!(
                "{name} stays: no provision of this resource made it, so it may hold anything"
            ));
            return Ok(());
        }
        if let Some(user) = device::user(&self.file)? {
            return Err(Failure::refused(format!("{name} is in use: {user}")));
        }
        if let Some(device) = loop_devices(&self.file).first() {
            return Err(Failure::refused(format!("{name} is shown by {}", device.display())));
        }
        let openers = device::openers(&self.file);
        if !openers.is_empty() {
            let pids: Vec<String> = openers.iter().map(ToString::to_string).collect();
            return Err(Failure::refused(format!("{name} is open in process {}", pids.join(", "))));
        }
        scene.journal.info(format_args!("unlink {name}"));
        let removed = Place::find(&self.file).and_then(|place| place.remove());
        removed.map_err(Failure::io(name))?;
        durable::remove(&note(scene)).map_err(Failure::io("unlink"))
    }
}
