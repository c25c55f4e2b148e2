//! `fs.directory`: a folder, with its owner and mode.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use conf::{EvalError, SectionReader};
use model::Status;
use rustix::fs::{Gid, Mode, Uid};

use machine::rooted::{Folder, Owner};

use crate::driver::{Driver, Scene};
use crate::exec_context::{find_group, find_user};
use crate::failure::Failure;
use crate::report::Report;
use crate::setup::Setup;

/// Ids of user and group, and mode, as far as they are wanted.
type Wanted = (Option<u32>, Option<u32>, Option<u32>);

/// Owner, group and mode that a folder should have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ownership {
    user: Option<String>,
    group: Option<String>,
    perm: Option<String>,
}

impl Ownership {
    /// Reads keywords `user`, `group` and `perm`.
    ///
    /// # Errors
    ///
    /// A keyword that does not evaluate.
    pub(crate) fn read(section: &SectionReader<'_>) -> Result<Self, EvalError> {
        Ok(Self {
            user: section.text("user")?,
            group: section.text("group")?,
            perm: section.text("perm")?,
        })
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let user = self.user.as_deref().map(find_user).transpose();
        let uid = user.map_err(Failure::io("user"))?.map(|user| user.uid.as_raw());
        let gid =
            self.group.as_deref().map(find_group).transpose().map_err(Failure::io("group"))?;
        let mode = self.perm.as_deref().map(|text| {
            u32::from_str_radix(text.trim_start_matches("0o"), 8)
                .map_err(|_| Failure::refused(format!("perm {text} is not an octal mode")))
        });
        Ok((uid, gid, mode.transpose()?))
    }

    /// Tells each difference.
    pub(crate) fn check(&self, folder: &Path, report: &mut Report) -> Result<(), Failure> {
        let (uid, gid, mode) = self.wanted()?;
        if uid.is_none() && gid.is_none() && mode.is_none() {
            return Ok(());
        }
        let is = std::fs::metadata(folder).map_err(Failure::io(folder.display().to_string()))?;
        let name = folder.display();
        if let Some(uid) = uid.filter(|uid| *uid != is.uid()) {
            report.warn(format_args!("{name} is owned by user {}, expected {uid}", is.uid()));
        }
        if let Some(gid) = gid.filter(|gid| *gid != is.gid()) {
            report.warn(format_args!("{name} is owned by group {}, expected {gid}", is.gid()));
        }
        if let Some(mode) = mode.filter(|mode| *mode != is.mode() & 0o7777) {
            report
                .warn(format_args!("{name} has mode {:o}, expected {mode:o}", is.mode() & 0o7777));
        }
        Ok(())
    }

    /// Makes the folder as wanted: the one that is open, whatever its path leads to by now.
    pub(crate) fn enforce(
        &self,
        folder: &Folder,
        path: &Path,
        scene: &Scene<'_>,
    ) -> Result<(), Failure> {
        let (uid, gid, mode) = self.wanted()?;
        let name = path.display().to_string();
        let is = folder.stat().map_err(Failure::io(name.clone()))?;
        let uid = uid.filter(|uid| *uid != is.st_uid);
        let gid = gid.filter(|gid| *gid != is.st_gid);
        if uid.is_some() || gid.is_some() {
            scene.journal.info(format_args!("chown {name}"));
        }
        let mode = mode.filter(|mode| *mode != is.st_mode & 0o7777);
        if let Some(mode) = mode {
            scene.journal.info(format_args!("chmod {mode:o} {name}"));
        }
        let owner = Owner {
            uid: uid.map(Uid::from_raw),
            gid: gid.map(Gid::from_raw),
            mode: mode.map(Mode::from_raw_mode),
        };
        owner.give_to(folder).map_err(Failure::io(name))
    }
}

struct Directory {
    path: PathBuf,
    ownership: Ownership,
}

/// Refuses a folder that is another one for each process: relative to wherever that runs.
///
/// # Errors
///
/// It is relative.
pub(crate) fn check_absolute(keyword: &str, folder: &Path) -> Result<(), Failure> {
    if folder.is_absolute() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{keyword} {:?} is no absolute path",
        folder.display().to_string()
    )))
}

/// Reads the section.
pub(crate) fn read(
    section: &SectionReader<'_>,
    _: &Setup<'_>,
) -> Result<Box<dyn Driver>, EvalError> {
    let path = section.text("path")?.unwrap_or_default().into();
    Ok(Box::new(Directory { path, ownership: Ownership::read(section)? }))
}

impl Driver for Directory {
    fn label(&self) -> String {
        format!("dir {}", self.path.display())
    }

    fn evaluate(&self, _: &Scene<'_>, report: &mut Report) -> Result<Status, Failure> {
        check_absolute("path", &self.path)?;
        report.files.insert(self.path.clone());
        match Folder::open(&self.path) {
            Ok(_) => {
                self.ownership.check(&self.path, report)?;
                // It stays when the instance stops: being there is no sign of activity.
                Ok(if report.log.is_empty() { Status::NotApplicable } else { Status::Warn })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Status::Down),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                report.warn(format_args!("{} is not a folder", self.path.display()));
                Ok(Status::Warn)
            }
            Err(error) => Err(Failure::io(self.path.display().to_string())(error)),
        }
    }

    fn start(&self, scene: &Scene<'_>) -> Result<(), Failure> {
        check_absolute("path", &self.path)?;
        let failed = || Failure::io(self.path.display().to_string());
        let folder = Folder::make(&self.path).map_err(failed())?;
        if folder.is_new() {
            scene.journal.info(format_args!("create directory {}", self.path.display()));
        }
        self.ownership.enforce(&folder, &self.path, scene)
    }

    /// The folder and what is in it stay.
    fn stop(&self, _: &Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn sort_key(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn has_provisioner(&self) -> bool {
        true
    }

    fn is_provisioned(&self, _: &Scene<'_>) -> Option<bool> {
        Some(self.path.is_dir())
    }
}
