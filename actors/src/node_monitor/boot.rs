//! How this start of the daemon is to be taken: after a boot, an upgrade, an orderly end.

use std::path::Path;

use model::{ObjectPath, Timestamp};

use crate::durable;
use crate::paths::Paths;

/// What the machine says of this start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Signs {
    /// When the daemon ended in order last.
    pub(super) last_shutdown: Timestamp,
    /// It starts after an upgrade.
    pub(super) is_upgrade: bool,
    /// The node was booted with the word that freezes it.
    pub(super) is_frozen_by_kernel: bool,
}

/// Reads the signs.
pub(super) fn signs(paths: &Paths) -> Signs {
    let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    Signs {
        last_shutdown: modified(&paths.last_shutdown()),
        is_upgrade: std::env::var_os("OPENSVC_AGENT_UPGRADE")
            .is_some_and(|value| !value.is_empty()),
        is_frozen_by_kernel: command_line.split_whitespace().any(|word| word == "osvc.freeze")
            && is_booted(paths),
    }
}

/// The modification time of a file; never without it.
pub(super) fn modified(file: &Path) -> Timestamp {
    crate::resource::status_file::modified(file).unwrap_or(Timestamp::NEVER)
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Whether the node was booted since the daemon noted its last boot. A node that never did was not.
fn is_booted(paths: &Paths) -> bool {
    let noted = crate::regular::words(&paths.node_var().join("last_boot_id"));
    noted.is_some_and(|noted| !noted.trim().is_empty() && noted.trim() != boot_id())
}

/// Forgets what an earlier life found, and notes the boot. Blocks. True after a boot.
pub(super) fn begin(paths: &Paths, objects: &[ObjectPath]) -> bool {
    for path in objects {
        // Most are not there; what cannot be removed is older than its configuration or replaced in a moment.
        _ = std::fs::remove_file(paths.var_dir(path).join("status.json"));
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
        let file = paths.var_dir(&path).join("status.json");
        durable::write(&file, b"{}", 0o600).unwrap();
        begin(&paths, &[path]);
        assert!(!file.exists());
    }
}
