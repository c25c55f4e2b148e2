//! What is on a device, and who uses it: asked of the system before anything destroys.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;

use crate::driver::Scene;
use crate::exec::Program;
use crate::failure::Failure;
use crate::mounts;

/// How long a device may take to tell what is on it.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);

/// How much of each end holds signatures: file systems, members of larger things, partition tables.
const END_BYTES: u64 = 1 << 20;

/// How blkid ends when it knows nothing on the device, and when it knows too much.
const NOTHING: i32 = 2;
const AMBIVALENT: i32 = 8;

/// Who uses a device, when nothing that is seen here does.
pub(crate) const UNSEEN: &str =
    "in use, and not in the mount table: unmounted lazily, or mounted in another namespace";

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing that anybody knows: it may be formatted.
    Blank,
    /// One file system, or one member of something larger, by its type: `ext4`, `LVM2_member`.
    Of(String),
}

/// Looks at a device or an image.
///
/// # Errors
///
/// It cannot be read, or it is not known what is on it: no tool, several signatures, a partition table.
pub(crate) fn content(device: &Path, scene: &Scene<'_>) -> Result<Content, Failure> {
    let name = device.display();
    let is = std::fs::metadata(device).map_err(Failure::io(name.to_string()))?;
    if !is.file_type().is_block_device() && !is.is_file() {
        return Err(Failure::refused(format!("{name} is neither a device nor an image")));
    }
    read_ends(device).map_err(|error| {
        Failure::refused(format!("what is on {name} is not known: it cannot be read: {error}"))
    })?;
    let words = ["blkid", "-p", "-o", "export"].map(OsStr::new);
    let program = Program::new(words.into_iter().chain([device.as_os_str()]))
        .environment([("LC_ALL".to_owned(), "C".to_owned())])
        .timeout(Some(PROBE_PATIENCE));
    let ended = scene
        .query(&program)
        .map_err(|error| Failure::refused(format!("what is on {name} is not known: {error}")))?;
    let unknown =
        |reason: String| Failure::refused(format!("what is on {name} is not known: {reason}"));
    if ended.is_late {
        return Err(unknown(format!("{program} takes longer than {PROBE_PATIENCE:?}")));
    }
    let value = |key: &str| {
        let lines = ended.out.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim());
        values.next().filter(|value| !value.is_empty()).map(str::to_owned)
    };
    match (ended.code, value("TYPE"), value("PTTYPE")) {
        (0, Some(kind), None) => Ok(Content::Of(kind)),
        (0, Some(kind), Some(table)) => {
            Err(Failure::refused(format!("{name} holds {kind} and a partition table ({table})")))
        }
        (0, None, Some(table)) => {
            Err(Failure::refused(format!("{name} has a partition table ({table})")))
        }
        // What is told of a partition is where it is, which says nothing of what is in it.
        (0, None, None) if is_place_only(&ended.out) && is_partition(&is) => Ok(Content::Blank),
        (NOTHING, None, None) => Ok(Content::Blank),
        (AMBIVALENT, ..) => {
            let found = signatures(device, scene);
            let found = if found.is_empty() { "of unknown types".to_owned() } else { found };
            Err(Failure::refused(format!("{name} has more than one signature: {found}")))
        }
        (code, ..) => Err(unknown(format!("{program}: exit code {code}: {}", ended.last_line()))),
    }
}

/// The refusal to format what holds something: how an operator who means it does it.
pub(crate) fn how_to_wipe(device: &Path) -> String {
    format!("not formatted: `wipefs -a {}` destroys what is there", device.display())
}

/// Reads both ends of a device, where signatures are: what cannot be read there is not known, though a tool that passes over
/// it finds nothing.
fn read_ends(device: &Path) -> std::io::Result<()> {
    let mut file = File::open(device)?;
    // The end of a device is where a seek leads, whatever its metadata say.
    let size = file.seek(SeekFrom::End(0))?;
    read_ends_of(size, |bytes, at| file.read_exact_at(bytes, at))
}

fn read_ends_of(
    size: u64,
    read: impl Fn(&mut [u8], u64) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if size == 0 {
        return Err(std::io::Error::other("it has no room"));
    }
    let mut bytes = vec![0; usize::try_from(size.min(END_BYTES)).unwrap_or(0)];
    read(&mut bytes, 0)?;
    read(&mut bytes, size.saturating_sub(END_BYTES))
}

/// Whether blkid told of the device's place in a partition table, and nothing else.
fn is_place_only(out: &str) -> bool {
    let keys: Vec<&str> =
        out.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key).collect();
    keys.iter().any(|key| key.starts_with("PART_ENTRY_"))
        && keys.iter().all(|key| {
            key.starts_with("PART_ENTRY_") || matches!(*key, "DEVNAME" | "PARTUUID" | "PARTLABEL")
        })
}

fn is_partition(device: &Metadata) -> bool {
    device.file_type().is_block_device() && sysfs(device.rdev()).join("partition").exists()
}

/// The types of all signatures, as far as wipefs can tell.
fn signatures(device: &Path, scene: &Scene<'_>) -> String {
    let words = ["wipefs", "--no-act", "--json"].map(OsStr::new);
    let program =
        Program::new(words.into_iter().chain([device.as_os_str()])).timeout(Some(PROBE_PATIENCE));
    let Ok(ended) = scene.query(&program) else { return String::new() };
    let told: Value = serde_json::from_str(&ended.out).unwrap_or_default();
    let found = told["signatures"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<&str> = found.iter().filter_map(|one| one["type"].as_str()).collect();
    kinds.join(", ")
}

fn sysfs(numbers: u64) -> PathBuf {
    Path::new("/sys/dev/block").join(show(numbers))
}

/// `8:17`, as the mount table has it.
pub(crate) fn show(numbers: u64) -> String {
    format!("{}:{}", rustix::fs::major(numbers), rustix::fs::minor(numbers))
}

/// Who uses a device or an image: what is to be made, removed or detached is used by nobody. None when nobody does.
///
/// # Errors
///
/// It cannot be told.
pub(crate) fn user(device: &Path) -> Result<Option<String>, Failure> {
    let name = device.display().to_string();
    let is = std::fs::metadata(device).map_err(Failure::io(name.clone()))?;
    if is.file_type().is_block_device() {
        return user_of_device(device, is.rdev());
    }
    if is_swap(device) {
        return Ok(Some("swap".to_owned()));
    }
    for shown in mounts::loop_devices(device) {
        if let Some(user) = user(&shown)? {
            return Ok(Some(format!("{}, {user}", shown.display())));
        }
    }
    Ok(None)
}

fn user_of_device(device: &Path, numbers: u64) -> Result<Option<String>, Failure> {
    // The kernel gives it to one at a time: to a mount, a swap, a device on top of it. Asked and given back at once.
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(device, flags, Mode::empty()) {
        Ok(_) => return Ok(None),
        Err(Errno::BUSY) => {}
        Err(error) => return Err(Failure::io(device.display().to_string())(error.into())),
    }
    let table = mounts::table().map_err(Failure::io("mount table"))?;
    let real = std::fs::canonicalize(device).unwrap_or_else(|_| device.to_owned());
    // Some kinds have numbers of their own in the table, and the device only as their source.
    let is_mounted = |mount: &&mounts::Mount| {
        mount.device == show(numbers)
            || Path::new(&mount.source).is_absolute()
                && std::fs::canonicalize(&mount.source).is_ok_and(|source| source == real)
    };
    if let Some(mount) = table.iter().find(is_mounted) {
        return Ok(Some(format!("mounted at {}", mount.target.display())));
    }
    if is_swap(device) {
        return Ok(Some("swap".to_owned()));
    }
    let holders = std::fs::read_dir(sysfs(numbers).join("holders")).into_iter().flatten();
    let holders: Vec<String> =
        holders.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if !holders.is_empty() {
        return Ok(Some(format!("held by {}", holders.join(", "))));
    }
    Ok(Some(UNSEEN.to_owned()))
}

fn is_swap(file: &Path) -> bool {
    let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let text = std::fs::read("/proc/swaps").unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next()).any(|used| {
        let used = PathBuf::from(OsString::from_vec(mounts::unescape(used)));
        std::fs::canonicalize(&used).unwrap_or(used) == real
    })
}

/// Processes that have a file open, by the names under which the kernel knows their files: nothing is asked of the file
/// systems that those are on.
pub(crate) fn openers(file: &Path) -> Vec<u32> {
    let Ok(real) = std::fs::canonicalize(file) else { return vec![] };
    let has_it = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|open| open == real)
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id()).filter(has_it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::tests::wait_until;

    #[test]
    fn the_place_of_a_partition_says_nothing_of_its_content() {
        assert!(is_place_only("DEVNAME=/dev/sda1\nPART_ENTRY_SCHEME=dos\nPART_ENTRY_NUMBER=1\n"));
        assert!(!is_place_only("DEVNAME=/dev/sda1\n"));
        assert!(!is_place_only("DEVNAME=/dev/sda1\nPART_ENTRY_SCHEME=dos\nLABEL=x\n"));
        assert!(!is_place_only(""));
    }

    #[test]
    fn a_device_is_read_at_both_ends_and_what_cannot_be_read_is_not_empty() {
        let bad = |sector: u64| {
            move |bytes: &mut [u8], at: u64| {
                let has_it = (at..at + bytes.len() as u64).contains(&(sector * 512));
                if has_it { Err(std::io::Error::other("unreadable")) } else { Ok(()) }
            }
        };
        let size = 8 << 20;
        assert!(read_ends_of(size, bad(8 * 2048)).is_ok());
        assert!(read_ends_of(size, bad(4 * 2048)).is_ok());
        for sector in [0, 1, 127, 2047, 8 * 2048 - 1] {
            assert!(read_ends_of(size, bad(sector)).is_err(), "{sector}");
        }
        assert!(read_ends_of(0, bad(1)).is_err());
        assert!(read_ends_of(4096, bad(7)).is_err() && read_ends_of(4096, bad(8)).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        std::fs::write(&file, "x").unwrap();
        assert!(read_ends(&file).is_ok() && read_ends(folder.path()).is_err());
    }

    #[test]
    fn who_has_a_file_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(openers(&file), [] as [u32; 0]);
        let input = File::open(&file).unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("100.75").stdin(input).spawn().unwrap();
        // What another test starts has all that is open here, until its own program runs.
        wait_until(|| openers(&file) == [child.id()]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
