//! The first start on a node without configuration.

use std::io;
use std::time::Duration;

use conf::Ini;
use model::{NodeName, ObjectPath};

use crate::durable;
use crate::paths::Paths;

/// Makes sure that the cluster has an id, a secret and a name: writes a cluster.conf with random ones, readable by its owner
/// only and with this node as the only member, or adds what an existing one lacks. What node.conf sets is left there.
///
/// Where a deployed agent ran until now, its peers are of its kind, and would neither hear this node nor be heard if it
/// spoke sealed: `cluster.envelope` becomes `any` unless it is set, and goes to the peers with the rest of the file, which
/// ignore it until they are replaced.
///
/// # Errors
///
/// The file cannot be written. One that is no configuration is left alone: reading it tells.
pub fn ensure_cluster_conf(paths: &Paths, nodename: &NodeName) -> io::Result<()> {
    let lock = super::edit_lock(paths, &ObjectPath::cluster());
    let _lock = durable::FileLock::take(&lock, Duration::from_secs(3))?;
    let file = paths.cluster_conf();
    // The node is a member of a cluster, whatever became of the file since.
    if super::is_kept(paths, &ObjectPath::cluster()) {
        return Ok(());
    }
    let text = match crate::regular::read_text(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
        Err(error) => return Err(error),
    };
    let node = crate::regular::read_text(&paths.node_conf()).unwrap_or_default();
    let (Ok(mut cluster), Ok(node)) = (Ini::parse(&text), Ini::parse(&node)) else { return Ok(()) };
    let is_new = text.trim().is_empty();
    let secret = super::random_secret();
    let wanted = [
        ("DEFAULT", "id", super::random_uuid()),
        ("cluster", "id", super::random_uuid()),
        ("cluster", "name", "default".to_owned()),
        ("cluster", "nodes", nodename.to_string()),
        ("cluster", "secret", secret),
    ];
    let mut is_changed = false;
    for (section, keyword, value) in wanted {
        let is_set = |ini: &Ini| {
            ini.sections().any(|name| name == section)
                && (ini.get(section, keyword).is_some_and(|value| !value.is_empty())
                    || ini.get(section, &format!("{keyword}@{nodename}")).is_some())
        };
        let is_needed = is_new || matches!(keyword, "id" | "secret");
        if is_needed && !is_set(&cluster) && !(section == "cluster" && is_set(&node)) {
            is_changed |= cluster
                .set(section, keyword, &value)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        }
    }
    let replaces_deployed = paths.deployed_mark().exists();
    let speaks = |ini: &Ini| ini.get("cluster", "envelope").is_some();
    let has_peers = |ini: &Ini| {
        let nodes = ini.get("cluster", "nodes").unwrap_or_default();
        nodes.split_whitespace().any(|name| !name.eq_ignore_ascii_case(nodename.as_str()))
    };
    if replaces_deployed
        && (has_peers(&cluster) || has_peers(&node))
        && !speaks(&cluster)
        && !speaks(&node)
    {
        log::warn!(
            "in the place of a deployed agent: cluster.envelope is set to any, to be sealed once all nodes are replaced"
        );
        is_changed |= cluster
            .set("cluster", "envelope", "any")
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    }
    if is_changed {
        durable::write(&file, cluster.text().as_bytes(), 0o600)?;
    }
    if replaces_deployed {
        // Once: what an operator sets afterwards, or unsets, stays.
        durable::remove(&paths.deployed_mark())?;
    }
    Ok(())
}
