//! Which programs of the system the resources of an object call, and which of them are not here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dataset::config::LoadedObject;
use monitor::doctor::Tool;

use crate::host::Host;
use crate::registry;

/// Where helpers of `mount` are looked for, whatever PATH says.
const SYSTEM_FOLDERS: [&str; 2] = ["/sbin", "/usr/sbin"];

/// The programs that the instance of this node needs and does not find.
#[must_use]
pub fn missing(host: &Host, object: &LoadedObject) -> Vec<Tool> {
    let instance = registry::read(host, object);
    let here = &host.nodename;
    let settings = &object.settings;
    if !settings.nodes.contains(here) && !settings.drpnodes.contains(here) {
        return vec![];
    }
    let mut missing = vec![];
    for resource in instance.resources.iter().filter(|resource| !resource.is_untouchable()) {
        let tools = resource.driver.tools().into_iter();
        missing.extend(tools.filter(|(tool, _)| !is_installed(tool)).map(|(tool, is_required)| {
            Tool { tool, is_required, resource: format!("{} {}", instance.path, resource.rid) }
        }));
    }
    missing
}

/// Whether a program is found as a resource finds it.
fn is_installed(tool: &str) -> bool {
    let is_program = |file: PathBuf| {
        file.metadata().is_ok_and(|is| is.is_file() && is.permissions().mode() & 0o111 != 0)
    };
    if tool.contains('/') {
        return is_program(tool.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if tool.starts_with("mount.") {
        folders.extend(SYSTEM_FOLDERS.iter().map(|folder| Path::new(folder).to_owned()));
    }
    folders.into_iter().any(|folder| is_program(folder.join(tool)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use machine::paths::Paths;
    use model::{NodeName, ObjectPath};

    use super::*;

    #[test]
    fn a_program_is_found_by_its_path_and_by_its_name() {
        assert!(is_installed("sh") && is_installed("/bin/sh"));
        assert!(!is_installed("no-such-program") && !is_installed("/etc/passwd"));
        assert!(!is_installed("mount.no-such-kind"));
    }

    /// The tools that the drivers of a configuration name.
    fn named(text: &str) -> BTreeSet<(String, bool)> {
        let folder = tempfile::tempdir().unwrap();
        let paths = Arc::new(Paths::under(folder.path()));
        paths.create().unwrap();
        std::fs::write(paths.etc.join("web.conf"), text).unwrap();
        let node = files::load::load_node(&paths, NodeName::new("n1").unwrap()).unwrap();
        let object =
            files::load::load_object(&paths, &node, &ObjectPath::parse("web").unwrap()).unwrap();
        let host = crate::command_host(paths, Arc::new(node));
        let instance = registry::read(&host, &object);
        instance.resources.iter().flat_map(|resource| resource.driver.tools()).collect()
    }

    #[test]
    fn a_driver_names_what_it_calls() {
        let tools = |pairs: &[(&str, bool)]| -> BTreeSet<(String, bool)> {
            pairs.iter().map(|(tool, required)| ((*tool).to_owned(), *required)).collect()
        };
        for (section, expected) in [
            ("[fs#1]\ntype = flag\n", tools(&[])),
            (
                "[fs#1]\ntype = nfs4\ndev = nas:/a\nmnt = /a\n",
                tools(&[("mount", true), ("umount", true), ("mount.nfs4", true)]),
            ),
            (
                "[fs#1]\ntype = ext4\ndev = /dev/a\nmnt = /a\n",
                tools(&[("mount", true), ("umount", true), ("fsck", true)]),
            ),
            ("[disk#1]\ntype = loop\nfile = /a\n", tools(&[("losetup", true)])),
            (
                "[ip#1]\nipname = 192.0.2.1\nipdev = eth0\n",
                tools(&[("ip", true), ("arping", false)]),
            ),
            ("[container#1]\ntype = podman\nimage = a\n", tools(&[("podman", true)])),
            (
                "[DEFAULT]\nnodes = n1 n2\n[sync#1]\ntype = rsync\nsrc = /a\ndst = /a\ntarget = nodes\n",
                tools(&[
                    ("rsync", true),
                    ("ssh", true),
                    // Of the sync that nobody wrote.
                    ("rsync", false),
                    ("ssh", false),
                ]),
            ),
        ] {
            assert_eq!(named(section), expected, "{section}");
        }
    }
}
