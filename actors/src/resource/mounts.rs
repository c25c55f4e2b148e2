//! The mount table and the loop devices.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
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
    Ok(parse(&std::fs::read_to_string("/proc/self/mountinfo")?))
}

fn parse(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, target) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, source) = (right.next()?, right.next()?);
        Some(Mount {
            source: unescape(source),
            target: unescape(target).into(),
            root: unescape(root).into(),
            kind: kind.to_owned(),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| text.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Loop devices that show this file, from `/sys`.
pub(crate) fn loop_devices(file: &Path) -> Vec<PathBuf> {
    let Ok(wanted) = std::fs::metadata(file) else { return vec![] };
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let shows = |name: &str| {
        let backing =
            std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()?;
        let is = std::fs::metadata(backing.trim_end_matches('\n')).ok()?;
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
    use super::*;

    #[test]
    fn the_mount_table_is_read() {
        let text =
            "36 35 98:0 /sub /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\nbad line\n";
        let expected = Mount {
            source: "/dev/root".into(),
            target: "/mnt/a b".into(),
            root: "/sub".into(),
            kind: "ext3".into(),
        };
        assert_eq!(parse(text), [expected]);
        assert!(table().unwrap().iter().any(|mount| mount.target == Path::new("/")));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape("a\\9zz\\134\\"), "a\\9zz\\\\");
    }
}
