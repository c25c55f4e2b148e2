//! `fs`: a file system mounted from a device, an image, another folder, memory or the network.

mod format;
mod unmount;

use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use conf::{EvalError, SectionReader};
use model::Status;
use rustix::fs::OFlags;

use machine::rooted::{Folder, Place};

use crate::driver::{Driver, Scene, check_cut};
use crate::exec::{LIMIT, LONG_LIMIT, Output, Program};
use crate::failure::Failure;
use crate::fs_directory::{Ownership, check_absolute};
use crate::mounts;
use crate::mounts::Mount;
use crate::report::Report;
use crate::setup::Setup;

/// Kinds of file systems that have no local device, and whose write test would go over the network or prove nothing.
const NETWORK: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smbfs", "9p", "gpfs", "ceph", "afs", "ncpfs", "shm"];

/// Kinds of file systems that `mount` has a program of its own for.
const HELPED: [&str; 6] = ["nfs", "nfs4", "cifs", "smbfs", "ceph", "glusterfs"];

/// The device of what has none, or none yet.
const NO_DEVICE: &str = "none";

struct FileSystem {
    kind: String,
    dev: String,
    /// `dev` refers to a device of another resource, which has it while it is up: it is evaluated when it is needed.
    is_dev_of_resource: bool,
    mnt: PathBuf,
    options: Option<String>,
    stat_timeout: Duration,
    is_read_checked: bool,
    ownership: Ownership,
    mkfs_options: Vec<String>,
    size: Option<u64>,
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    setup: &Setup<'_>,
    kind: &str,
) -> Result<Box<dyn Driver>, EvalError> {
    let is_tmpfs = kind == "tmpfs";
    let dev = section.text("dev");
    let is_dev_of_resource = setup.conf.ini().keywords(section.name()).any(|(keyword, value)| {
        keyword.split('@').next() == Some("dev")
            && ["_devs", ".mnt}", ".mount_point}"].iter().any(|name| value.contains(name))
    });
    let dev = if is_tmpfs || is_dev_of_resource { dev.ok().flatten() } else { dev? };
    Ok(Box::new(FileSystem {
        kind: kind.to_owned(),
        dev: dev.unwrap_or_else(|| NO_DEVICE.to_owned()),
        is_dev_of_resource,
        mnt: section.text("mnt")?.unwrap_or_default().into(),
        options: section.text("mnt_opt")?,
        stat_timeout: section.duration("stat_timeout")?.unwrap_or(Duration::from_secs(5)),
        is_read_checked: section.bool("check_read").unwrap_or(false),
        ownership: Ownership::read(section)?,
        mkfs_options: section.words("mkfs_opt").unwrap_or_default(),
        size: section.size("size").ok().flatten(),
    }))
}

impl FileSystem {
    fn is_bind(&self) -> bool {
        let has = |word: &str| {
            self.options.as_deref().is_some_and(|options| options.split(',').any(|is| is == word))
        };
        matches!(self.kind.as_str(), "bind" | "none") || has("bind") || has("rbind")
    }

    fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str()) || self.kind.starts_with("fuse")
    }

    fn is_read_only(&self) -> bool {
        self.options.as_deref().is_some_and(|options| options.split(',').any(|is| is == "ro"))
    }

    /// Keyword `dev` now.
    fn dev(&self, scene: &Scene<'_>) -> String {
        if !self.is_dev_of_resource {
            return self.dev.clone();
        }
        let section = scene.instance.section(scene.resource.rid.as_str());
        section.text("dev").ok().flatten().unwrap_or_else(|| NO_DEVICE.to_owned())
    }

    /// The device, image or folder to mount.
    fn source(&self, scene: &Scene<'_>) -> Option<PathBuf> {
        let dev = self.dev(scene);
        if let Some(device) = mounts::by_tag(&dev) {
            return Some(device);
        }
        if dev.starts_with('/') {
            return Some(PathBuf::from(dev));
        }
        crate::volume::resolve(&dev, scene)
    }

    /// All that is mounted at its place, the topmost last.
    fn layers<'t>(&self, table: &'t [Mount], scene: &Scene<'_>) -> Vec<Layer<'t>> {
        let target = std::fs::canonicalize(&self.mnt).unwrap_or_else(|_| self.mnt.clone());
        let here: Vec<&Mount> = table.iter().filter(|mount| mount.target == target).collect();
        let top = here.last().map(|mount| mount.id);
        let layer = |mount: &'t Mount| Layer {
            mount,
            is_ours: self.is_same(mount, Some(mount.id) == top, table, scene),
        };
        here.into_iter().map(layer).collect()
    }

    fn is_same(&self, mount: &Mount, is_top: bool, table: &[Mount], scene: &Scene<'_>) -> bool {
        if self.kind == "tmpfs" {
            return mount.kind == "tmpfs";
        }
        if self.is_network() {
            return mount.source.trim_end_matches('/') == self.dev.trim_end_matches('/');
        }
        let Some(source) = self.source(scene) else { return false };
        if self.is_bind() {
            return (is_top && is_one_folder(&source, &mount.target))
                || is_bound_from(&source, mount, table);
        }
        let real = std::fs::canonicalize(&source).unwrap_or(source);
        let mounted =
            std::fs::canonicalize(&mount.source).unwrap_or_else(|_| mount.source.clone().into());
        if real == mounted {
            return true;
        }
        // The same device under another name (device mapper), or the image behind a loop device.
        let device = |path: &Path| {
            let is = std::fs::metadata(path).ok()?;
            is.file_type().is_block_device().then(|| is.rdev())
        };
        if device(&real).is_some() && device(&real) == device(&mounted) {
            return true;
        }
        real.is_file() && mounts::loop_devices(&real).contains(&mounted)
    }

    /// Writes a small file, or asks for the state of the file system.
    fn try_access(&self, report: &mut Report) -> Status {
        if self.kind == "tmpfs" || self.is_network() || self.is_read_only() {
            if self.is_read_checked
                && let Err(error) = rustix::fs::statvfs(&self.mnt)
            {
                report.warn(format_args!("read test of {} failed: {error}", self.mnt.display()));
                return Status::Warn;
            }
            return Status::Up;
        }
        // An attribute of the mount point costs no space; where there are none, a file.
        let attribute =
            rustix::fs::setxattr(&self.mnt, "user.opensvc", b"1", rustix::fs::XattrFlags::empty());
        if attribute.is_ok() {
            return Status::Up;
        }
        let file = self.mnt.join(".opensvc");
        // The file system belongs to the service, which may have put a link there.
        let written = || {
            let place = Place::find(&file)?;
            let mut opened = match place.create(0o600) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    place.open(OFlags::WRONLY)?
                }
                created => created?,
            };
            opened.write_all(b"1")
        };
        match written() {
            Ok(()) => Status::Up,
            Err(error) => {
                report.warn(format_args!("write test {} failed: {error}", file.display()));
                Status::Warn
            }
        }
    }

    fn label_text(&self) -> String {
        format!("{} {}@{}", self.kind, self.dev, self.mnt.display())
    }
}

/// A mount at the place of the resource.
struct Layer<'t> {
    mount: &'t Mount,
    is_ours: bool,
}

fn is_one_folder(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (std::fs::metadata(one), std::fs::metadata(other)) else {
        return false;
    };
    one.dev() == other.dev() && one.ino() == other.ino()
}

/// Whether a mount shows this folder: the same file system, and the same place in it.
fn is_bound_from(source: &Path, mount: &Mount, table: &[Mount]) -> bool {
    let Ok(source) = std::fs::canonicalize(source) else { return false };
    let is_on = |on: &&Mount| source.starts_with(&on.target) && on.id != mount.id;
    // The longest name, and of those the last mounted.
    let on = table.iter().filter(is_on).max_by_key(|on| on.target.as_os_str().len());
    on.is_some_and(|on| {
        let inside = source.strip_prefix(&on.target).unwrap_or(Path::new(""));
        let root =
            if inside.as_os_str().is_empty() { on.root.clone() } else { on.root.join(inside) };
        on.device == mount.device && root == mount.root
    })
}

impl Driver for FileSystem {
    fn label(&self) -> String {
        self.label_text()
    }

    fn tools(&self) -> Vec<(String, bool)> {
        let mut tools = vec!["mount".to_owned(), "umount".to_owned()];
        if self.kind.starts_with("ext") {
            tools.push("fsck".to_owned());
        }
        if HELPED.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.") {
            tools.push(format!("mount.{}", self.kind.split('.').next().unwrap_or_default()));
        }
        tools.into_iter().map(|tool| (tool, true)).collect()
    }

    fn evaluate(&self, scene: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        if self.mnt.as_os_str().is_empty() {
            return Err(Failure::refused("mnt is required, and not set"));
        }
        check_absolute("mnt", &self.mnt)?;
        let table = mounts::table().map_err(Failure::io("mount table"))?;
        let layers = self.layers(&table, scene);
        if !layers.iter().any(|layer| layer.is_ours) {
            return Ok(Status::Down);
        }
        if let Some(top) = layers.last().filter(|top| !top.is_ours) {
            let (kind, source) = (&top.mount.kind, &top.mount.source);
            report.warn(format_args!("{kind} {source} is mounted over it"));
            return Ok(Status::Warn);
        }
        self.ownership.check(&self.mnt, report)?;
        // A device that answers late is as good as gone: the deadline of the evaluation is stat_timeout.
        if let Err(error) = std::fs::metadata(&self.mnt) {
            report.warn(format_args!("stat of {} failed: {error}", self.mnt.display()));
            return Ok(Status::Warn);
        }
        Ok(self.try_access(report))
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.stat_timeout)
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        check_absolute("mnt", &self.mnt)?;
        let failed = || Failure::io(self.mnt.display().to_string());
        let table = mounts::table().map_err(Failure::io("mount table"))?;
        let layers = self.layers(&table, scene);
        if layers.iter().any(|layer| layer.is_ours) {
            if let Some(top) = layers.last().filter(|top| !top.is_ours) {
                let (kind, source) = (&top.mount.kind, &top.mount.source);
                return Err(Failure::refused(format!(
                    "{kind} {source} is mounted over {}",
                    self.label_text()
                )));
            }
            scene.journal.info(format_args!("{} is already mounted", self.label()));
            let folder = Folder::open(&self.mnt).map_err(failed())?;
            return self.ownership.enforce(&folder, &self.mnt, scene);
        }
        let needs_source = self.kind != "tmpfs" && !self.is_network();
        let source = if needs_source {
            let source = self
                .source(scene)
                .filter(|source| source.exists())
                .ok_or_else(|| Failure::refused(format!("{} does not exist", self.dev)))?;
            source.display().to_string()
        } else {
            self.dev.clone()
        };
        if Folder::make(&self.mnt).map_err(failed())?.is_new() {
            scene.journal.info(format_args!("create mount point {}", self.mnt.display()));
        }
        if self.kind.starts_with("ext") && needs_source {
            // 0: clean, 1: repaired; 2 wants a reboot, 4 and more were left broken.
            let program = Program::new(["fsck", "-p", &source]).output(Output::LoggedAsInfo);
            let program = program.timeout(Some(LONG_LIMIT));
            scene.journal.info(format_args!("{program}"));
            let ended = scene.query(&program)?;
            check_cut(&program, &ended)?;
            if ended.code > 1 {
                return Err(Failure::Exit {
                    command: program.to_string(),
                    code: ended.code,
                    line: ended.last_line().to_owned(),
                });
            }
        }
        let mut words: Vec<String> = vec!["mount".into()];
        let mut options: Vec<String> = self.options.iter().cloned().collect();
        if self.is_bind() {
            if !options.iter().any(|option| option.contains("bind")) {
                options.insert(0, "bind".into());
            }
        } else {
            words.extend(["-t".into(), self.kind.clone()]);
        }
        if self.kind == "tmpfs"
            && let Some(size) = self.size
        {
            options.push(format!("size={size}"));
        }
        if needs_source && !self.is_bind() && Path::new(&source).is_file() {
            options.push("loop".into());
        }
        if !options.is_empty() {
            words.extend(["-o".into(), options.join(",")]);
        }
        words.extend([source, self.mnt.display().to_string()]);
        let program = Program::new(words).output(Output::Logged);
        // A journal that is replayed is as long as it is.
        let limit = if self.has_device() { LONG_LIMIT } else { LIMIT };
        scene.execute(&program.timeout(Some(limit)))?;
        // Opened anew: the root of what was mounted, not what it covers.
        let folder = Folder::open(&self.mnt).map_err(failed())?;
        self.ownership.enforce(&folder, &self.mnt, scene)
    }

    fn stop(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        self.unmount_all(scene)
    }

    fn mount_point(&self) -> Option<PathBuf> {
        self.mnt.is_absolute().then(|| self.mnt.clone())
    }

    fn sort_key(&self) -> Option<String> {
        let parent = self.mnt.parent().unwrap_or(&self.mnt);
        Some(parent.display().to_string())
    }

    fn has_provisioner(&self) -> bool {
        self.has_device()
    }

    fn is_provisioned(&self, scene: &Scene<'_>) -> Option<bool> {
        let source = self.source(scene)?;
        if !source.exists() {
            return Some(false);
        }
        self.is_formatted(&source, scene)
    }

    fn provision(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        // What has no device has nothing to be made.
        if self.has_device() { self.format(scene) } else { Ok(()) }
    }
}
