//! Paths below folders that others than root may change: nothing is made, given away or removed through a link of theirs.
//!
//! Each folder on the way is opened from the one before. A link is followed only where nobody but root (or the user that we
//! run as) can have put it: `/var/run` is, a link in a folder of an application is not. What is changed is changed by
//! descriptor, so that it is the thing that was looked at.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// Links followed on one path, as the kernel has it.
const MAX_LINKS: u32 = 40;

/// How folders on the way are opened: to be passed, whatever they allow.
const PASS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Owner and mode to give, as far as they are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owner {
    /// User.
    pub uid: Option<Uid>,
    /// Group.
    pub gid: Option<Gid>,
    /// Mode.
    pub mode: Option<Mode>,
}

impl Owner {
    /// Gives them to an open file or folder. The mode comes last: a change of owner takes bits of it away.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn give_to(self, file: impl AsFd) -> io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            rustix::fs::fchown(&file, self.uid, self.gid)?;
        }
        if let Some(mode) = self.mode {
            rustix::fs::fchmod(&file, mode)?;
        }
        Ok(())
    }
}

/// A folder on the way.
#[derive(Debug)]
struct Step {
    folder: OwnedFd,
    /// Nobody but us can put another one in its place.
    is_fixed: bool,
    /// Nobody but us can put anything into it.
    is_ours: bool,
    is_sticky: bool,
}

impl Step {
    fn new(folder: OwnedFd, is_fixed: bool) -> io::Result<Self> {
        let is = rustix::fs::fstat(&folder)?;
        let is_shared = is.st_mode & 0o002 != 0
            || is.st_mode & 0o020 != 0 && is.st_gid != rustix::process::getegid().as_raw();
        let is_ours = is_fixed && is_owned(&is) && !is_shared;
        let is_sticky = is_fixed && is_owned(&is) && is.st_mode & 0o1000 != 0;
        Ok(Self { folder, is_fixed, is_ours, is_sticky })
    }

    /// The folder in this one. In a folder that all may write, nobody takes away what is ours.
    fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let folder = rustix::fs::openat(&self.folder, name, PASS, Mode::empty())?;
        let is_fixed = self.is_ours || self.is_sticky && is_owned(&rustix::fs::fstat(&folder)?);
        Self::new(folder, is_fixed)
    }
}

/// Walks a path: where it is, and what is left of it.
struct Walk {
    at: Step,
    left: VecDeque<OsString>,
    links: u32,
}

impl Walk {
    fn new(path: &Path) -> io::Result<Self> {
        let at = match path.is_absolute() {
            true => root()?,
            false => Step::new(rustix::fs::open(".", PASS, Mode::empty())?, false)?,
        };
        let mut walk = Self { at, left: VecDeque::new(), links: 0 };
        walk.prepend(path);
        Ok(walk)
    }

    fn prepend(&mut self, path: &Path) {
        for part in path.components().rev() {
            if matches!(part, Component::Normal(_) | Component::ParentDir) {
                self.left.push_front(part.as_os_str().to_owned());
            }
        }
    }

    /// Follows `name` if it is a link, and may be followed. Whether it was one.
    fn follow(&mut self, name: &OsStr) -> io::Result<bool> {
        let target = match rustix::fs::readlinkat(&self.at.folder, name, vec![]) {
            Ok(target) => OsString::from_vec(target.into_bytes()),
            // No link, or nothing there.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if !self.at.is_ours {
            return Err(strange(name));
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = Path::new(&target);
        if target.is_absolute() {
            self.at = root()?;
        }
        self.prepend(target);
        Ok(true)
    }

    /// Goes on until at most `rest` names are left. `make` tells of each folder that was not there and was made.
    fn run(&mut self, rest: usize, make: Option<Mode>) -> io::Result<bool> {
        let mut is_new = false;
        while self.left.len() > rest {
            let Some(name) = self.left.pop_front() else { break };
            if name == ".." {
                if !self.at.is_ours && !self.at.is_fixed {
                    return Err(strange(&name));
                }
                let folder = rustix::fs::openat(&self.at.folder, "..", PASS, Mode::empty())?;
                // Whatever is above what cannot be replaced cannot be either.
                self.at = Step::new(folder, true)?;
                continue;
            }
            if self.follow(&name)? {
                is_new = false;
                continue;
            }
            is_new = false;
            if let Some(mode) = make {
                match rustix::fs::mkdirat(&self.at.folder, &*name, mode) {
                    Ok(()) => is_new = true,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // A link that came meanwhile is no folder.
            self.at = self.at.enter(&name)?;
        }
        Ok(is_new)
    }
}

/// Whether it belongs to root, or to the user that we run as.
fn is_owned(is: &Stat) -> bool {
    is.st_uid == 0 || is.st_uid == rustix::process::geteuid().as_raw()
}

fn root() -> io::Result<Step> {
    Step::new(rustix::fs::open("/", PASS, Mode::empty())?, true)
}

fn strange(name: &OsStr) -> io::Error {
    let name = name.to_string_lossy();
    io::Error::other(format!(
        "{name} is a link in a folder that others than root may write: it is not followed"
    ))
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
    /// Nobody but us can put anything into it, nor another one in its place.
    is_ours: bool,
    /// It was not there before.
    is_new: bool,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers, and a link on the way that is not to be followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::walk(path, None)
    }

    /// Opens a folder, and makes it and those on the way that are not there, with mode 0755.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`].
    pub fn make(path: &Path) -> io::Result<Self> {
        Self::walk(path, Some(Mode::from_raw_mode(0o755)))
    }

    fn walk(path: &Path, make: Option<Mode>) -> io::Result<Self> {
        let mut walk = Walk::new(path)?;
        let is_new = walk.run(0, make)?;
        Self::of(&walk.at, is_new)
    }

    /// A descriptor that changes what it is of: those that only pass do not.
    fn of(step: &Step, is_new: bool) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&step.folder, ".", flags, Mode::empty())?;
        Ok(Self { folder, is_ours: step.is_ours, is_new })
    }

    /// A folder in this one, made if it is not there; never through a link.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers; it refuses what is no folder.
    pub fn make_in(&self, name: &str) -> io::Result<Self> {
        let made = rustix::fs::mkdirat(&self.folder, name, Mode::from_raw_mode(0o755));
        if let Err(error) = made
            && error != Errno::EXIST
        {
            return Err(error.into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, name, flags, Mode::empty())?;
        Ok(Self { folder, is_ours: false, is_new: made.is_ok() })
    }

    /// Whether it was made just now.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether nobody but root, or the user that we run as, can put anything into it.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// What it is.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.folder)?)
    }
}

/// A name in a folder: of a file that is there, or is to be.
#[derive(Debug)]
pub struct Place {
    folder: Rc<Folder>,
    name: OsString,
}

impl Place {
    /// The place that a path names.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`].
    pub fn find(path: &Path) -> io::Result<Self> {
        Self::walk(path, None)
    }

    /// As [`Place::find`]; folders on the way that are not there are made, with mode 0755.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`].
    pub fn make(path: &Path) -> io::Result<Self> {
        Self::walk(path, Some(Mode::from_raw_mode(0o755)))
    }

    fn walk(path: &Path, make: Option<Mode>) -> io::Result<Self> {
        let mut walk = Walk::new(path)?;
        loop {
            walk.run(1, make)?;
            let name = walk.left.pop_front();
            let Some(name) = name.filter(|name| name != "..") else {
                return Err(io::ErrorKind::IsADirectory.into());
            };
            // A link of root leads somewhere else; one of others is found by who opens it, and not followed.
            if walk.at.is_ours && walk.follow(&name)? {
                continue;
            }
            return Ok(Self::in_folder(Folder::of(&walk.at, false)?, name));
        }
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Opens the regular file that is there, never through a link, never waiting.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers; what is no regular file is refused.
    pub fn open(&self, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&*self.folder, &*self.name, flags, Mode::empty());
        let file = opened.map_err(|error| match error {
            Errno::LOOP => strange(&self.name),
            error => error.into(),
        })?;
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Makes a file that is not there.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers: also when there is one, or a link.
    pub fn create(&self, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        Ok(rustix::fs::openat(&*self.folder, &*self.name, flags, mode)?.into())
    }

    /// Removes the file, or the link, that is there. Absent already is as good.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn remove(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(&*self.folder, &*self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the file in the place of another name in its folder.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn rename_to(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&*self.folder, &*self.name, &*self.folder, name)?)
    }

    /// A name in an open folder.
    pub fn in_folder(folder: Folder, name: impl Into<OsString>) -> Self {
        Self { folder: Rc::new(folder), name: name.into() }
    }

    /// Another name in the same folder.
    pub fn with_name(&self, name: impl Into<OsString>) -> Self {
        Self { folder: self.folder.clone(), name: name.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    /// A folder of ours, with a folder `theirs` that others may write.
    fn scene() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        std::fs::create_dir_all(folder.path().join("target")).unwrap();
        std::fs::create_dir(&theirs).unwrap();
        std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o777)).unwrap();
        std::fs::write(folder.path().join("target/file"), "kept").unwrap();
        symlink("target", folder.path().join("link")).unwrap();
        symlink("../target", theirs.join("link")).unwrap();
        symlink(folder.path().join("target/file"), theirs.join("file")).unwrap();
        folder
    }

    #[test]
    fn a_link_is_followed_where_only_we_can_have_put_it() {
        let scene = scene();
        let at = |path: &str| scene.path().join(path);
        let made = Folder::make(&at("link/a/b")).unwrap();
        assert!(made.is_new() && made.is_ours());
        assert!(at("target/a/b").is_dir());
        assert!(!Folder::make(&at("link/a/b")).unwrap().is_new());
        assert!(Folder::open(&at("link/../target/a")).is_ok());
        for path in ["theirs/link", "theirs/link/a", "theirs/link/new"] {
            let error = Folder::make(&at(path)).unwrap_err();
            assert!(error.to_string().contains("link is a link in a folder"), "{error}");
        }
        assert!(!at("target/new").exists());
        // What may have been moved has no parent that could be trusted.
        std::fs::create_dir_all(at("theirs/x/y")).unwrap();
        assert!(Folder::open(&at("theirs/x/y/../y")).is_err());
        assert!(!Folder::open(&at("theirs/x")).unwrap().is_ours());
        assert_eq!(Folder::open(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_neither_written_nor_changed_through_a_link_of_others() {
        let scene = scene();
        let at = |path: &str| scene.path().join(path);
        let place = Place::find(&at("theirs/file")).unwrap();
        assert!(place.open(OFlags::WRONLY | OFlags::TRUNC).is_err());
        assert!(place.create(0o600).is_err());
        assert_eq!(std::fs::read_to_string(at("target/file")).unwrap(), "kept");
        place.remove().unwrap();
        place.remove().unwrap();
        assert!(at("target/file").exists() && !at("theirs/file").exists());
        let owner = Owner { mode: Some(Mode::from_raw_mode(0o640)), ..Owner::default() };
        owner.give_to(place.create(0o600).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(at("theirs/file")).unwrap().mode() & 0o7777, 0o640);
        // Through a link of ours, the file that it leads to.
        symlink("target/file", at("ours")).unwrap();
        assert!(Place::find(&at("ours")).unwrap().open(OFlags::RDONLY).is_ok());
        assert!(Place::find(&at("theirs")).unwrap().open(OFlags::RDONLY).is_err());
    }

    #[test]
    fn links_that_lead_to_each_other_end() {
        let scene = scene();
        symlink("b", scene.path().join("a")).unwrap();
        symlink("a", scene.path().join("b")).unwrap();
        assert!(Folder::open(&scene.path().join("a/c")).is_err());
        assert!(Place::find(&scene.path().join("a")).is_err());
    }
}
