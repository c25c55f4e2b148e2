//! What a service puts in its volume: folders, keys of cfg and sec objects, their owner.
//!
//! The volume belongs to the service, whose processes may put links where we are about to write as root: every step into it
//! is taken from the folder before, and follows no link.

use std::io::{self, Write as _};
use std::path::{Component, Path};

use conf::{EvalError, SectionReader};
use model::Kind;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};

use machine::durable;
use machine::rooted::{Folder, Owner, Place};

use crate::driver::Scene;
use crate::exec_context::{find_group, find_user};
use crate::failure::Failure;
use crate::keys;
use crate::report::Report;

/// A reference `<name>/<key>:<path>[:<options>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    kind: Kind,
    name: String,
    key: String,
    path: String,
}

/// What the keywords ask for.
pub(super) struct Content {
    references: Vec<Reference>,
    directories: Vec<String>,
    user: Option<String>,
    group: Option<String>,
    perm: Option<String>,
    dirperm: Option<String>,
}

/// Owner and modes of what is installed, looked up.
#[derive(Debug, Clone, Copy, Default)]
struct Owners {
    file: Owner,
    folder: Owner,
}

impl Content {
    /// Reads the keywords.
    pub(super) fn read(section: &SectionReader<'_>) -> Result<Self, EvalError> {
        let mut references = vec![];
        for (kind, keyword) in [(Kind::Sec, "secrets"), (Kind::Cfg, "configs")] {
            references
                .extend(section.words(keyword)?.iter().filter_map(|word| reference(kind, word)));
        }
        Ok(Self {
            references,
            directories: section.words("directories")?,
            user: section.text("user")?,
            group: section.text("group")?,
            perm: section.text("perm")?,
            dirperm: section.text("dirperm")?,
        })
    }

    fn owners(&self) -> Result<Owners, Failure> {
        let mode = |text: &Option<String>| {
            let octal = |text: &String| {
                let bits = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
                bits.map(|bits| Mode::from_raw_mode(bits & 0o7777))
                    .ok_or_else(|| Failure::refused(format!("{text} is not an octal mode")))
            };
            text.as_ref().map(octal).transpose()
        };
        let user = self.user.as_deref().map(find_user).transpose().map_err(Failure::io("user"))?;
        let group =
            self.group.as_deref().map(find_group).transpose().map_err(Failure::io("group"))?;
        let uid = user.map(|user| Uid::from_raw(user.uid.as_raw()));
        let gid = group.map(Gid::from_raw);
        Ok(Owners {
            file: Owner { uid, gid, mode: mode(&self.perm)? },
            folder: Owner { uid, gid, mode: mode(&self.dirperm)? },
        })
    }

    /// Gives the root of the volume its owner and mode.
    pub(super) fn own(&self, root: &Path, _: &Scene<'_>) -> Result<(), Failure> {
        let owners = self.owners()?;
        let own = || owners.folder.give_to(Folder::open(root)?);
        own().map_err(Failure::io(root.display().to_string()))
    }

    /// Tells what cannot be installed.
    pub(super) fn check(&self, scene: &Scene<'_>, report: &mut Report) {
        for Reference { kind, name, key, .. } in &self.references {
            match keys::names(scene, *kind, name, key) {
                Ok(found) if found.is_empty() && !keys::is_pattern(key) => {
                    report.warn(format_args!(
                        "{} {name} has no key {key}: it is not installed in the volume",
                        kind.as_str()
                    ))
                }
                Ok(_) => {}
                Err(_) => report.warn(format_args!(
                    "{} {name} does not exist: its key {key} is not installed in the volume",
                    kind.as_str()
                )),
            }
        }
    }

    /// Makes the folders, and writes the keys. What is missing is told, and keeps nothing else from being installed.
    pub(super) fn install(&self, root: &Path, scene: &Scene<'_>) -> Result<(), Failure> {
        let owners = self.owners()?;
        let failed = |path: &str| Failure::io(format!("{}/{path}", root.display()));
        for path in &self.directories {
            let parts = parts(path).ok_or_else(|| escapes(path))?;
            walk(root, &parts, owners.folder).map_err(failed(path))?;
        }
        for Reference { kind, name, key, path } in &self.references {
            let found = keys::names(scene, *kind, name, key).unwrap_or_default();
            if found.is_empty() {
                let kind = kind.as_str();
                scene
                    .journal
                    .warn(format_args!("{kind} {name} has no key {key}: nothing to install"));
            }
            for found in found {
                let value = keys::value(scene, *kind, name, &found)?;
                let target = target(path, key, &found);
                let mut parts = parts(&target).ok_or_else(|| escapes(&target))?;
                let Some(file) = parts.pop() else { return Err(escapes(&target)) };
                let default = if *kind == Kind::Sec { 0o600 } else { 0o644 };
                let mode = owners.file.mode.unwrap_or(Mode::from_raw_mode(default));
                let owner = Owner { mode: Some(mode), ..owners.file };
                let folder = walk(root, &parts, owners.folder).map_err(failed(&target))?;
                let is_new = put(folder, file, &value, owner).map_err(failed(&target))?;
                if is_new {
                    scene.journal.info(format_args!(
                        "install {name}/{found} in {}/{target}",
                        root.display()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn escapes(path: &str) -> Failure {
    Failure::refused(format!("{path} is no path inside the volume"))
}

/// Reads a reference; the kind may be written before the name.
fn reference(kind: Kind, word: &str) -> Option<Reference> {
    let (data, rest) = word.split_once(':')?;
    let path = rest.split(':').next().unwrap_or_default();
    let data = data.trim_start_matches('/');
    let (kind, data) = [Kind::Usr, Kind::Sec, Kind::Cfg]
        .into_iter()
        .find_map(|kind| Some((kind, data.strip_prefix(&format!("{}/", kind.as_str()))?)))
        .unwrap_or((kind, data));
    let (name, key) = data.split_once('/')?;
    Some(Reference { kind, name: name.into(), key: key.into(), path: path.into() })
}

/// Where a key goes: a path that ends with a slash is a folder for it; keys of a folder of keys keep their path below that.
fn target(path: &str, wanted: &str, found: &str) -> String {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let below = found.strip_prefix(wanted).and_then(|rest| rest.strip_prefix('/'));
    match (path.ends_with('/') || path.is_empty(), below) {
        (true, Some(below)) => format!("{path}{}/{below}", base(wanted)),
        (false, Some(below)) => format!("{path}/{below}"),
        (true, None) => format!("{path}{}", base(found)),
        (false, None) => path.to_owned(),
    }
}

/// The names on the way, none when it leaves the volume.
fn parts(path: &str) -> Option<Vec<&str>> {
    let mut parts = vec![];
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

/// Opens a folder of the volume, making those on the way that are not there.
fn walk(root: &Path, parts: &[&str], owner: Owner) -> io::Result<Folder> {
    let mut folder = Folder::open(root)?;
    for part in parts {
        folder = folder.make_in(part)?;
        if folder.is_new() {
            owner.give_to(&folder)?;
        }
    }
    Ok(folder)
}

/// Removes what an installation left that was killed: it may hold a key.
fn remove_left_over(folder: &Folder) {
    let Ok(entries) = rustix::fs::Dir::read_from(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_str().unwrap_or_default();
        let is_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
        if is_file && durable::is_left_over(name) {
            _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
}

/// Writes a file, whole or not at all, unless it is so already. Whether it was written.
fn put(folder: Folder, name: &str, value: &[u8], owner: Owner) -> io::Result<bool> {
    remove_left_over(&folder);
    let place = Place::in_folder(folder, name);
    if let Ok(file) = place.open(OFlags::RDONLY) {
        let mut now = vec![];
        let mut reader = io::Read::take(file, value.len() as u64 + 1);
        if io::Read::read_to_end(&mut reader, &mut now).is_ok() && now == value {
            owner.give_to(reader.into_inner())?;
            return Ok(false);
        }
    }
    let temporary = place.with_name(durable::temporary_name(name));
    let mut file = temporary.create(0o600)?;
    let mut written = || -> io::Result<()> {
        owner.give_to(&file)?;
        file.write_all(value)?;
        temporary.rename_to(name.as_ref())
    };
    let done = written();
    if done.is_err() {
        _ = temporary.remove();
    }
    done.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_an_object_a_key_and_a_path() {
        let told = |word| reference(Kind::Cfg, word);
        let expected = |kind, key: &str, path: &str| {
            Some(Reference { kind, name: "c1".into(), key: key.into(), path: path.into() })
        };
        assert_eq!(told("c1/a:/etc/a:ro"), expected(Kind::Cfg, "a", "/etc/a"));
        assert_eq!(told("sec/c1/a/b:x/"), expected(Kind::Sec, "a/b", "x/"));
        assert_eq!(told("c1:/etc/a"), None);
        assert_eq!(told("c1/a"), None);
    }

    #[test]
    fn a_key_goes_where_the_path_says() {
        assert_eq!(target("/etc/my.cnf", "mycnf", "mycnf"), "/etc/my.cnf");
        assert_eq!(target("/etc/", "conf/mycnf", "conf/mycnf"), "/etc/mycnf");
        assert_eq!(target("/etc/", "conf", "conf/a/b"), "/etc/conf/a/b");
        assert_eq!(target("/etc", "conf", "conf/a/b"), "/etc/a/b");
        assert_eq!(target("/", "c*", "cb"), "/cb");
    }

    #[test]
    fn no_path_leaves_the_volume() {
        assert_eq!(parts("/a/./b/"), Some(vec!["a", "b"]));
        assert_eq!(parts("../a"), None);
        assert_eq!(parts("a/../../b"), None);
    }

    #[test]
    fn a_link_in_the_volume_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("vol"), folder.path().join("outside"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("file"), "kept").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.join("file"), root.join("file")).unwrap();
        assert!(walk(&root, &["folder"], Owner::default()).is_err());
        let top = || walk(&root, &[], Owner::default()).unwrap();
        let owner = Owner { mode: Some(Mode::from_raw_mode(0o640)), ..Owner::default() };
        assert!(put(top(), "file", b"new", owner).unwrap());
        assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "kept");
        assert_eq!(std::fs::read_to_string(root.join("file")).unwrap(), "new");
        // The same again is not written.
        assert!(!put(top(), "file", b"new", owner).unwrap());
        assert!(put(top(), "file", b"newer", owner).unwrap());
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2);
        // What a killed installation left goes with the next one, also when the key is there.
        let left = root.join(".file.4294967288-1.0");
        std::fs::write(&left, "key").unwrap();
        assert!(!put(top(), "file", b"newer", owner).unwrap());
        assert!(!left.exists());
    }
}
