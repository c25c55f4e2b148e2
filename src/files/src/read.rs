//! Configuration files, as they lie there.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use conf::Complaint;
use model::{NodeName, ObjectPath, Timestamp};

use dataset::config::{FileStamp, complaint};
use machine::paths::Paths;
use machine::regular;
use machine::regular::MAX_FILE_BYTES;

/// Labels of the nodes as they were published last; none without the file.
pub fn published_labels(paths: &Paths) -> conf::Labels {
    let read = machine::regular::read(&paths.nodes_info(), MAX_FILE_BYTES);
    let nodes = read.ok().and_then(|bytes| wire::parse_json::<serde_json::Value>(&bytes).ok());
    let nodes = nodes.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten();
    nodes
        .filter_map(|(name, info)| {
            let labels = info.get("labels")?.as_object()?.iter();
            let labels = labels
                .filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())));
            Some((NodeName::new(name).ok()?, labels.collect()))
        })
        .collect()
}

/// A whole file and its metadata from before it was read; none if it does not exist.
pub fn read_text(paths: &Paths, file: &Path) -> Result<Option<(String, Metadata)>, Box<Complaint>> {
    let name = || file.strip_prefix(&paths.etc).unwrap_or(file).display().to_string();
    let failed = |error: std::io::Error| complaint(name(), error.to_string());
    let (opened, metadata) = match machine::regular::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(1 << 20)).unwrap_or(0));
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("has more than {MAX_FILE_BYTES} bytes");
        return Err(complaint(name(), reason));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Some((text, metadata))),
        Ok(text) => {
            let line = text[..text.find('\0').unwrap_or(0)].matches('\n').count() + 1;
            Err(Box::new(Complaint { line, ..*complaint(name(), "has a NUL byte".to_owned()) }))
        }
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Box::new(Complaint { line, ..*complaint(name(), "is not UTF-8".to_owned()) }))
        }
    }
}

/// Folders below `<etc>` that hold or may hold object files, with the name that their files have before them.
#[must_use]
pub fn object_folders(paths: &Paths) -> Vec<PathBuf> {
    let mut folders = vec![paths.etc.clone()];
    folders.extend(["vol", "cfg", "sec", "usr"].map(|kind| paths.etc.join(kind)));
    let namespaces = paths.etc.join("namespaces");
    for namespace in subfolders(&namespaces) {
        folders.extend(subfolders(&namespace).filter(|folder| {
            folder
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| model::Kind::from_word(name).is_some())
        }));
        folders.push(namespace);
    }
    folders.push(namespaces);
    folders.retain(|folder| folder.is_dir());
    folders
}

fn subfolders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// The object that a file configures; none for other files.
#[must_use]
pub fn object_of(paths: &Paths, file: &Path) -> Option<ObjectPath> {
    ObjectPath::from_config_file(file.strip_prefix(&paths.etc).ok()?.to_str()?)
}

/// All object files, with what tells when they change.
#[must_use]
pub fn list_objects(paths: &Paths) -> BTreeMap<ObjectPath, FileStamp> {
    let mut objects = BTreeMap::new();
    for folder in object_folders(paths) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path();
            if let Some(path) = object_of(paths, &file)
                && let Some(stamp) = stamp(&file)
            {
                objects.insert(path, stamp);
            }
        }
    }
    objects
}

/// Largest configuration that is served: many times what any operator wrote.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A configuration file as it lies there.
pub struct ConfigFile {
    /// What it says.
    pub text: String,
    /// Modification time.
    pub mtime: Timestamp,
}

/// Reads a configuration file. Blocks.
pub fn read_file(file: &Path) -> io::Result<ConfigFile> {
    use io::Read;
    let (mut open, meta) = machine::regular::open(file)?;
    if meta.len() > MAX_CONFIG_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a configuration"));
    }
    let mut bytes = vec![];
    open.by_ref().take(MAX_CONFIG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))?;
    Ok(ConfigFile { text, mtime: regular::modified(&meta) })
}

/// What tells a changed file without reading it; none if it does not exist.
#[must_use]
pub fn stamp(file: &Path) -> Option<FileStamp> {
    std::fs::metadata(file).ok().map(|metadata| stamp_of(&metadata))
}

pub(crate) fn stamp_of(metadata: &Metadata) -> FileStamp {
    FileStamp {
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}
