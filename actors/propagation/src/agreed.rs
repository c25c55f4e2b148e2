//! Which bytes of each configuration another node had too, kept for the next life of the daemon: an edit that is made while
//! it is stopped is told from a file that others replaced meanwhile, whatever the clock says.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use model::ObjectPath;

use machine::durable;
use machine::paths::Paths;

/// Longest file that is read.
const MOST_BYTES: u64 = 16 << 20;

fn file(paths: &Paths) -> PathBuf {
    paths.node_var().join("agreed.json")
}

/// What an earlier life noted; nothing when there is nothing that can be read.
pub(super) fn read(paths: &Paths) -> BTreeMap<ObjectPath, String> {
    let text = machine::regular::read(&file(paths), MOST_BYTES).unwrap_or_default();
    let read: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap_or_default();
    read.into_iter()
        .filter_map(|(path, csum)| Some((ObjectPath::parse(&path).ok()?, csum)))
        .collect()
}

/// Notes it. Blocks.
pub(super) fn write(paths: &Paths, agreed: &BTreeMap<ObjectPath, String>) -> io::Result<()> {
    let text = serde_json::to_vec(agreed).map_err(io::Error::from)?;
    durable::write_cache(&file(paths), &text, 0o600)
}
