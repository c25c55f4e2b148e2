//! What is asked of the elections, from what the nodes publish.

use model::{ConfigEntry, Kind, ObjectPath};
use monitor::{Copy, Verdict, Voter};

use super::Known;
use crate::cluster_data::Snapshot;
use crate::config::LoadedConfig;

/// Which copy counts, as the nodes publish them.
pub(super) fn verdict<'a>(
    snapshot: &'a Snapshot,
    config: &'a LoadedConfig,
    path: &ObjectPath,
    own: Option<&'a ConfigEntry>,
    deleted: Option<&Known>,
) -> Verdict<'a> {
    let local = snapshot.nodename();
    let settings = &config.node;
    let voter = Voter {
        node: local,
        entry: own,
        is_drp: settings.drpnodes.contains(local),
        is_cluster: path.kind() == Kind::Ccfg,
    };
    let members = settings.nodes.iter().chain(&settings.drpnodes);
    let copies = members.filter(|node| *node != local).filter_map(|node| {
        let entry = snapshot.node(node)?;
        Some(Copy {
            node,
            entry: entry.config.get(path)?,
            status: entry.data.monitor.as_ref().map(|monitor| &monitor.status),
            is_drp: settings.drpnodes.contains(node),
        })
    });
    let is_left_over = |copy: &Copy<'_>| {
        deleted.is_some_and(|known| monitor::is_deleted(&known.deletion, copy.entry))
    };
    monitor::elect(&voter, copies.filter(|copy| !is_left_over(copy)))
}

/// Whether a deletion is still to be followed here.
pub(super) fn is_to_bury(deleted: Option<&Known>, own: Option<&ConfigEntry>) -> bool {
    deleted.is_some_and(|known| match own {
        Some(own) => monitor::is_deleted(&known.deletion, own),
        None => !known.is_followed,
    })
}
