//! How this start of the daemon is to be taken: after a boot, an upgrade, an orderly end.

use std::io;
use std::path::Path;

use model::{ObjectPath, Timestamp};
use monitor::Freezes;

use dataset::snapshot::Snapshot;
use machine::paths::Paths;
use machine::{durable, regular};

/// Most bytes that are read of what was noted at the end.
const MOST_NOTED: u64 = 64 << 20;

/// What the machine says of this start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signs {
    /// What the peers had frozen when the daemon ended in order last.
    pub(super) known_freezes: Freezes,
    /// It starts after an upgrade.
    pub(super) is_upgrade: bool,
    /// The node was booted with the word that freezes it.
    pub(super) is_frozen_by_kernel: bool,
}

/// Reads the signs.
pub(super) fn signs(paths: &Paths) -> Signs {
    let command_line = machine::kernel::text("/proc/cmdline").unwrap_or_default();
    Signs {
        known_freezes: known_freezes(paths),
        is_upgrade: std::env::var_os("OPENSVC_AGENT_UPGRADE")
            .is_some_and(|value| !value.is_empty()),
        is_frozen_by_kernel: command_line.split_whitespace().any(|word| word == "osvc.freeze")
            && is_booted(paths),
    }
}

/// What [`note_shutdown`] wrote. Nothing is known where a deployed agent ended, which leaves an empty file.
fn known_freezes(paths: &Paths) -> Freezes {
    let file = paths.last_shutdown();
    let noted = match regular::read(&file, MOST_NOTED) {
        Ok(noted) => noted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Freezes::default(),
        Err(error) => {
            log::warn!("{}: {error}: whatever a peer froze is followed", file.display());
            return Freezes::default();
        }
    };
    serde_json::from_slice(&noted).unwrap_or_default()
}

/// Notes that the daemon ends in order, and what the peers have frozen by now. What is known of a silent one stays.
///
/// # Errors
///
/// Whatever the file system answers.
pub fn note_shutdown(paths: &Paths, snapshot: &Snapshot) -> io::Result<()> {
    let mut freezes = known_freezes(paths);
    let members = &snapshot.cluster().nodes;
    freezes.retain(|peer| members.contains(peer));
    for (peer, entry) in snapshot.nodes() {
        if peer == snapshot.nodename() || entry.data.monitor.is_none() {
            continue;
        }
        freezes.note_node(peer, entry.data.frozen);
        if entry.has_services() {
            freezes.forget_instances(peer);
            for (path, instance) in entry.status.iter() {
                freezes.note_instance(peer, path, instance.frozen);
            }
        }
    }
    let file = paths.last_shutdown();
    durable::write(&file, &serde_json::to_vec(&freezes)?, 0o600)?;
    durable::touch(&file)
}

/// The modification time of a file; never without it.
pub(super) fn modified(file: &Path) -> Timestamp {
    machine::regular::last_written(file).unwrap_or(Timestamp::NEVER)
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Whether the node was booted since the daemon noted its last boot. A node that never did was not.
fn is_booted(paths: &Paths) -> bool {
    let noted = machine::regular::words(&paths.node_var().join("last_boot_id"));
    noted.is_some_and(|noted| !noted.trim().is_empty() && noted.trim() != boot_id())
}

/// Forgets what an earlier life found, and notes the boot. Blocks. True after a boot.
pub(super) fn begin(paths: &Paths, objects: &[ObjectPath]) -> bool {
    for path in objects {
        // Most are not there; what cannot be removed is older than its configuration or replaced in a moment.
        _ = std::fs::remove_file(paths.instance_status(path));
    }
    let is_booted = is_booted(paths);
    let note = paths.node_var().join("last_boot_id");
    if let Err(error) = durable::write(&note, boot_id().as_bytes(), 0o644) {
        log::warn!(error:% = error; "boot not noted");
    }
    is_booted
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_data::ClusterData;
    use dataset::changes::NodePublic;
    use dataset::snapshot::ClusterInfo;
    use files::load::Load as _;

    #[test]
    fn a_boot_is_a_change_of_the_boot_id_and_the_first_start_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        assert!(!begin(&paths, &[]));
        assert!(!begin(&paths, &[]));
        std::fs::write(paths.node_var().join("last_boot_id"), "another\n").unwrap();
        assert!(begin(&paths, &[]));
        assert!(!begin(&paths, &[]));
    }

    #[test]
    fn what_an_earlier_life_evaluated_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let path = ObjectPath::parse("svc1").unwrap();
        let file = paths.instance_status(&path);
        durable::write(&file, b"{}", 0o600).unwrap();
        begin(&paths, &[path]);
        assert!(!file.exists());
    }

    #[test]
    fn what_the_peers_had_frozen_is_known_after_an_end_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        assert_eq!(signs(&paths).known_freezes, Freezes::default());
        // As a deployed agent ends.
        durable::touch(&paths.last_shutdown()).unwrap();
        assert_eq!(signs(&paths).known_freezes, Freezes::default());
        let node = |name| model::NodeName::new(name).unwrap();
        let mut noted = Freezes::default();
        for peer in ["n2", "n9"] {
            noted.note_node(&node(peer), Some(Timestamp(1795362986.6978464)));
        }
        let text = serde_json::to_vec(&noted).unwrap();
        durable::write(&paths.last_shutdown(), &text, 0o600).unwrap();
        assert_eq!(signs(&paths).known_freezes, noted);
        let config = dataset::config::LoadedConfig::empty(&paths, node("n1"));
        let cluster = ClusterInfo { nodes: vec![node("n1"), node("n2")], ..ClusterInfo::default() };
        let public = NodePublic { cluster, ..NodePublic::default() };
        let snapshot = ClusterData::first(node("n1"), public, &config);
        note_shutdown(&paths, &snapshot).unwrap();
        // Nothing was heard of it: what was known of it is. The other one is no member any more.
        noted.retain(|peer| *peer == node("n2"));
        assert_eq!(signs(&paths).known_freezes, noted);
    }
}
