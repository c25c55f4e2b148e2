//! The mount table and the loop devices.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its number, which no other mount has while it is there.
    pub id: u64,
    /// The mount that it stands on.
    pub parent: u64,
    /// Numbers of the device, `8:17`: those of the file system, wherever else it is mounted.
    pub device: String,
    /// Mounts of one group repeat what is mounted and unmounted below each other.
    pub group: Option<String>,
    /// Device or server.
    pub source: String,
    /// Where it is mounted.
    pub target: PathBuf,
    /// Folder of the file system that is shown there.
    pub root: PathBuf,
    /// Kind of file system.
    pub kind: String,
}

/// All mounts, the last one mounted last.
///
/// # Errors
///
/// The table cannot be read.
pub(crate) fn table() -> std::io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// A path is whatever bytes its maker chose: none hides another line.
fn parse(text: &[u8]) -> Vec<Mount> {
    let shown = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
    let path = |word: &[u8]| PathBuf::from(OsString::from_vec(unescape(word)));
    let mount = |line: &[u8]| {
        let mut words = line.split(|byte| *byte == b' ');
        let (id, parent) = (number(words.next()?)?, number(words.next()?)?);
        let (device, root, target) = (words.next()?, words.next()?, words.next()?);
        let optional = words.by_ref().skip(1).take_while(|word| *word != b"-");
        let group = optional.filter_map(|word| word.strip_prefix(b"shared:")).last().map(shown);
        let (kind, source) = (words.next()?, words.next()?);
        Some(Mount {
            id,
            parent,
            device: shown(device),
            group,
            source: shown(&unescape(source)),
            target: path(target),
            root: path(root),
            kind: shown(kind),
        })
    };
    text.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// What is mounted below a mount, the deepest first.
pub(crate) fn below<'t>(table: &'t [Mount], top: &Mount) -> Vec<&'t Mount> {
    let parent = |mount: &Mount| table.iter().find(|other| other.id == mount.parent);
    let depth = |mount: &'t Mount| {
        let (mut depth, mut at) = (1, mount);
        // A table read while it changes may have no end.
        while at.parent != top.id && depth <= table.len() {
            at = parent(at)?;
            depth += 1;
        }
        (depth <= table.len()).then_some(depth)
    };
    let others = table.iter().filter(|mount| mount.id != top.id);
    let mut found: Vec<(usize, &Mount)> =
        others.filter_map(|mount| Some((depth(mount)?, mount))).collect();
    found.reverse();
    found.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
    found.into_iter().map(|(_, mount)| mount).collect()
}

/// Blanks and the like are written as three octal digits.
pub(crate) fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| std::str::from_utf8(bytes.get(at + 1..at + 4)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    out
}

/// Loop devices that show this file, from `/sys`.
pub(crate) fn loop_devices(file: &Path) -> Vec<PathBuf> {
    let Ok(wanted) = std::fs::metadata(file) else { return vec![] };
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let shows = |name: &str| {
        let mut backing = std::fs::read(format!("/sys/block/{name}/loop/backing_file")).ok()?;
        // One line break is the kernel's.
        backing.pop_if(|last| *last == b'\n');
        let is = std::fs::metadata(OsString::from_vec(backing)).ok()?;
        Some(is.dev() == wanted.dev() && is.ino() == wanted.ino())
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("loop") && shows(name) == Some(true))
        .map(|name| Path::new("/dev").join(name))
        .collect();
    found.sort();
    found
}

/// The block device that a `LABEL=` or `UUID=` names.
pub(crate) fn by_tag(device: &str) -> Option<PathBuf> {
    let (folder, name) = match device.split_once('=')? {
        ("LABEL", name) => ("by-label", name),
        ("UUID", name) => ("by-uuid", name),
        ("PARTLABEL", name) => ("by-partlabel", name),
        ("PARTUUID", name) => ("by-partuuid", name),
        _ => return None,
    };
    std::fs::canonicalize(Path::new("/dev/disk").join(folder).join(name.trim_matches('"'))).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_mount_table_is_read() {
        let text: &[u8] =
            b"36 35 98:0 /sub /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\nbad line\n";
        let expected = Mount {
            id: 36,
            parent: 35,
            device: "98:0".into(),
            group: None,
            source: "/dev/root".into(),
            target: "/mnt/a b".into(),
            root: "/sub".into(),
            kind: "ext3".into(),
        };
        assert_eq!(parse(text), [expected]);
        assert!(table().unwrap().iter().any(|mount| mount.target == Path::new("/")));
    }

    #[test]
    fn a_path_that_is_not_utf_8_is_itself_and_hides_no_other_mount() {
        let table = parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 8:2 /\xe4 /mnt/\xff\\040x rw shared:7 propagate_from:2 - fuse \xfe rw\n\
              3 1 8:3 / /b rw - ext4 /dev/sda3 rw\n",
        );
        let targets: Vec<&[u8]> = table.iter().map(|it| it.target.as_os_str().as_bytes()).collect();
        assert_eq!(targets, [&b"/"[..], b"/mnt/\xff x", b"/b"]);
        let odd = &table[1];
        assert_eq!(odd.root.as_os_str().as_bytes(), b"/\xe4");
        assert_eq!((odd.group.as_deref(), odd.kind.as_str()), (Some("7"), "fuse"));
        assert_eq!(odd.source, "\u{fffd}");
    }

    #[test]
    fn what_is_below_a_mount_is_told_the_deepest_first() {
        let table = parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
             2 1 8:2 / /a rw shared:7 - ext4 /dev/sda2 rw\n\
             3 2 0:5 / /a/p rw shared:8 master:1 - proc proc rw\n\
             4 3 0:6 / /a/p/x rw - tmpfs t rw\n\
             5 2 0:7 / /a rw - tmpfs over rw\n\
             6 1 0:8 / /ab rw - tmpfs t rw\n",
        );
        let ids = |top: usize| -> Vec<u64> {
            below(&table, &table[top]).iter().map(|mount| mount.id).collect()
        };
        assert_eq!(ids(1), [4, 5, 3]);
        assert_eq!(ids(0), [4, 5, 3, 6, 2]);
        assert_eq!(ids(5), [] as [u64; 0]);
        assert_eq!(table[1].group.as_deref(), Some("7"));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(b"a\\9zz\\134\\"), b"a\\9zz\\\\");
    }
}
