//! When a node was copied to last, as deployed agents note it: `last_sync_<node>` in the folder of the resource, with the
//! local time in words.

use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{NodeName, Timestamp};

use machine::durable;
use machine::regular::last_written;

const FORM: &str = "%Y-%m-%d %H:%M:%S%.6f";

fn file(folder: &Path, node: &NodeName) -> PathBuf {
    folder.join(format!("last_sync_{node}"))
}

/// Notes a copy to a node, made here: both nodes have what was copied since then. The stamps of all nodes are returned.
pub(super) fn note(
    folder: &Path,
    node: &NodeName,
    here: &NodeName,
    began: Timestamp,
) -> io::Result<Vec<PathBuf>> {
    let time =
        jiff::Timestamp::from_microsecond((began.0 * 1e6) as i64).map_err(io::Error::other)?;
    let text = format!("{}\n", time.to_zoned_datetime(TimeZone::system()).strftime(FORM));
    for node in [node, here] {
        durable::write_cache(&file(folder, node), text.as_bytes(), 0o644)?;
    }
    let mut stamps = vec![];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_stamp = name.to_str().is_some_and(|name| {
            name.strip_prefix("last_sync_").is_some_and(|node| NodeName::new(node).is_ok())
        });
        if is_stamp {
            stamps.push(entry.path());
        }
    }
    stamps.sort();
    Ok(stamps)
}

/// When a node was copied to; none when it never was.
pub(super) fn read(folder: &Path, node: &NodeName) -> Option<Timestamp> {
    let file = file(folder, node);
    let text = machine::regular::words(&file)?;
    let said = DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text.trim()).ok();
    let said = said.and_then(|time| time.to_zoned_datetime(TimeZone::system()).ok());
    let said = said.map(|time| Timestamp(time.timestamp().as_microsecond() as f64 / 1e6));
    said.or_else(|| last_written(&file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_so_does_that_of_a_deployed_agent() {
        let folder = tempfile::tempdir().unwrap();
        let [n1, n2] = ["n1", "n2"].map(|name| NodeName::new(name).unwrap());
        assert_eq!(read(folder.path(), &n2), None);
        let began = Timestamp(1_790_000_000.25);
        let stamps = note(folder.path(), &n2, &n1, began).unwrap();
        assert_eq!(stamps, [&n1, &n2].map(|node| file(folder.path(), node)));
        let noted = read(folder.path(), &n2).unwrap().0;
        assert!((noted - began.0).abs() < 0.001);
        std::fs::write(file(folder.path(), &n2), "2026-11-28 19:05:06.123456\n").unwrap();
        let time = DateTime::constant(2026, 11, 28, 19, 5, 6, 123_456_000);
        let time = time.to_zoned_datetime(TimeZone::system()).unwrap().timestamp();
        let read_back = read(folder.path(), &n2).unwrap().0;
        assert!((read_back - time.as_microsecond() as f64 / 1e6).abs() < 0.001);
        // One without words: an older one of this agent.
        std::fs::write(file(folder.path(), &n2), "").unwrap();
        assert!(read(folder.path(), &n2).is_some());
    }
}
