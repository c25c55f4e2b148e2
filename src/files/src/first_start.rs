//! The first start on a node without configuration.

use std::io;

use conf::{Ini, first_heartbeat, has_heartbeats};
use model::{NodeName, ObjectPath};

use crate::edit::{Locked, MODE, Target, Writer};
use machine::paths::Paths;
use machine::{daemon_lock, durable};

/// Makes sure that the cluster has an id, a secret and a name: writes a cluster.conf with random ones, readable by its owner
/// only, with this node as the only member and a heartbeat for those to come, or adds what an existing one lacks. What node.conf
/// sets is left there. The heartbeat is for a new file only: whose cluster has none is told, and adds one where he wants it.
///
/// Where a deployed agent ran until now, its peers are of its kind, and would neither hear this node nor be heard if it
/// spoke sealed: `cluster.envelope` becomes `any` unless it is set, and goes to the peers with the rest of the file, which
/// ignore it until they are replaced.
///
/// Whether there was nothing before, neither of this agent nor of a deployed one.
///
/// # Errors
///
/// The file cannot be written. One that is no configuration is left alone: reading it tells.
pub fn ensure_cluster_conf(paths: &Paths, nodename: &NodeName) -> io::Result<bool> {
    let locked = Locked::take(paths, &Target::cluster(), Writer::Daemon)?;
    // The node is a member of a cluster, whatever became of the file since.
    if crate::last_good::is_kept(paths, &ObjectPath::cluster()) {
        return Ok(false);
    }
    let text = match locked.text() {
        Ok(text) => text.unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
        Err(error) => return Err(error),
    };
    let node = machine::regular::read_text(&paths.node_conf()).unwrap_or_default();
    let (Ok(mut cluster), Ok(node)) = (Ini::parse(&text), Ini::parse(&node)) else {
        return Ok(false);
    };
    let is_new = text.trim().is_empty();
    let secret = machine::random::random_secret();
    let wanted = [
        ("DEFAULT", "id", machine::random::random_uuid()),
        ("cluster", "id", machine::random::random_uuid()),
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
    if is_new && !has_heartbeats(&node) {
        is_changed |= first_heartbeat(&mut cluster)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    }
    let replaces_deployed = daemon_lock::left_by_deployed(paths).is_some();
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
        durable::write(locked.file(), cluster.text().as_bytes(), MODE)?;
    }
    if replaces_deployed {
        // Once: what an operator sets afterwards, or unsets, stays.
        durable::remove(&paths.deployed_mark())?;
    }
    Ok(is_new && !replaces_deployed)
}

/// Makes the authority and the certificate of the TLS listener of a node that was new just now, and alone: `system/sec/ca-<cluster>`
/// and `system/sec/cert-<cluster>`. Where it is not alone its cluster has some, or who runs it makes them (`om cluster tls`): two
/// authorities of one name would be two until the nodes hear each other, and one afterwards.
pub fn make_certificates(paths: &Paths, nodename: &NodeName) {
    match crate::certificates::ensure_at_first_start(paths, nodename) {
        Ok(made) => {
            made.iter().for_each(|path| log::info!(path:% = path; "made for the TLS listener"));
        }
        Err(reason) => {
            log::warn!("no certificate for the TLS listener: {reason}: `om cluster tls` makes it");
        }
    }
}
