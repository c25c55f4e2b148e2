//! The copies of what stays in force while its file is not good: where they lie.
//!
//! Only of files that are not good a copy lies below `<var>/last_good`, readable by its owner only: children of the daemon
//! act on it, and so does the next daemon.

use std::io;
use std::path::PathBuf;

use model::{ObjectPath, Timestamp};

use dataset::config::csum;
use machine::durable;
use machine::paths::Paths;

/// Mode of a copy: it may hold secrets.
pub(crate) const MODE: u32 = 0o600;

/// The copy of the last good content of a file, named as below `<etc>`.
pub fn copy_of(paths: &Paths, file: &str) -> PathBuf {
    paths.var.join("last_good").join(file)
}

/// Whether the file of an object is not what is in force, because something is wrong with it.
#[must_use]
pub fn is_kept(paths: &Paths, path: &ObjectPath) -> bool {
    copy_of(paths, &path.config_file()).exists()
}

/// The file with what is in force of an object: its own, or the copy of its last good content, with the time of that.
#[must_use]
pub fn file_in_force(paths: &Paths, path: &ObjectPath) -> PathBuf {
    let copy = copy_of(paths, &path.config_file());
    if copy.exists() { copy } else { paths.config_file(path) }
}

pub(crate) fn read_copy(paths: &Paths, file: &str) -> Option<(String, Timestamp)> {
    let copy = copy_of(paths, file);
    let (_, metadata) = machine::regular::open(&copy).ok()?;
    let text = machine::regular::read_text(&copy).ok()?;
    Some((text, machine::regular::modified(&metadata)))
}

/// Notes the files with which the node is about to join or to leave a cluster: those that are replaced.
///
/// # Errors
///
/// The note cannot be written.
pub fn note_other_cluster<'a>(
    paths: &Paths,
    texts: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let csums: Vec<String> = texts.map(|text| csum(text.as_bytes())).collect();
    durable::write(&paths.other_cluster(), csums.join("\n").as_bytes(), 0o600)
}
