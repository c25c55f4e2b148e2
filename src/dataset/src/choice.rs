//! Which copy of an object's configuration counts here, and whether the object was deleted, from what the nodes publish
//! (src/monitor/README.md, Configurations).

use std::sync::Arc;

use conf::NodeSettings;
use model::{ConfigEntry, Deletion, InstanceStatus, Kind, NodeName, ObjectPath};
use monitor::{Copy, Verdict, Voter};

use crate::snapshot::Snapshot;

/// A deletion of the object that is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Deleted<'a> {
    /// What was deleted, and when.
    pub deletion: &'a Deletion,
    /// The object was gone here after it: what is there now is another one.
    pub is_followed: bool,
}

impl Deleted<'_> {
    /// Whether it is still to be followed here.
    fn is_to_bury(&self, own: Option<&ConfigEntry>) -> bool {
        match own {
            Some(own) => monitor::is_deleted(self.deletion, own),
            None => !self.is_followed,
        }
    }
}

/// What becomes of an object here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The object was deleted: so is what is left of it here.
    Bury,
    /// An instance is on its way out: nothing is installed or deleted meanwhile.
    Wait,
    /// What the election says.
    Elected(Verdict<'a>),
}

/// Chooses. `node` has the members of the cluster.
#[must_use]
pub fn choose<'a>(
    snapshot: &'a Snapshot,
    node: &'a NodeSettings,
    path: &'a ObjectPath,
    deleted: Option<Deleted<'_>>,
) -> Choice<'a> {
    let local = snapshot.nodename();
    let own = snapshot.config(local, path).map(|entry| &**entry);
    let is_to_bury = deleted.is_some_and(|deleted| deleted.is_to_bury(own));
    // Nothing of it is in force here: whoever still orders its deletion waits to hear that.
    if own.is_none() && is_to_bury {
        return Choice::Bury;
    }
    let is_leaving = |(_, instance): &(&NodeName, &Arc<InstanceStatus>)| {
        instance.monitor.as_ref().is_some_and(monitor::is_leaving)
    };
    let leaving = snapshot.instances(path).find(is_leaving).map(|(node, _)| node);
    // Of what has no instances, a deployed agent tells that it is deleted; we note that, and act on the note.
    match leaving.filter(|_| path.kind().has_instances()) {
        // It is purged or deleted where it belongs: what is left over here would bring it back.
        Some(node)
            if node != local && own.is_some_and(|own| monitor::is_for_others(own, local)) =>
        {
            Choice::Elected(Verdict::Vacate(node))
        }
        Some(_) => Choice::Wait,
        None if is_to_bury => Choice::Bury,
        None => Choice::Elected(elected(snapshot, node, path, own, deleted)),
    }
}

/// Which copy counts, as the nodes publish them.
fn elected<'a>(
    snapshot: &'a Snapshot,
    settings: &'a NodeSettings,
    path: &ObjectPath,
    own: Option<&'a ConfigEntry>,
    deleted: Option<Deleted<'_>>,
) -> Verdict<'a> {
    let local = snapshot.nodename();
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
        deleted.is_some_and(|deleted| monitor::is_deleted(deleted.deletion, copy.entry))
    };
    monitor::elect(&voter, copies.filter(|copy| !is_left_over(copy)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{InstanceMonitor, MonitorStatus, NodeMonitorData, NodeMonitorStatus, Timestamp};

    use crate::snapshot::NodeEntry;

    use super::*;

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn svc() -> ObjectPath {
        ObjectPath::parse("svc1").unwrap()
    }

    fn settings() -> NodeSettings {
        let text = "[cluster]\nname = demo\nnodes = n1 n2\n";
        NodeSettings::parse(name("n1"), text, "").unwrap()
    }

    /// Of n1, what two nodes publish of an object: the time of the file, its checksum, its nodes, the status of its instance.
    fn snapshot(of: [Option<(f64, &str, &str, MonitorStatus)>; 2]) -> Snapshot {
        let members = ["n1", "n2"].map(name);
        let entry = |told: Option<(f64, &str, &str, MonitorStatus)>| {
            let mut entry = NodeEntry::default();
            let status = NodeMonitorStatus::Idle;
            entry.data.monitor = Some(NodeMonitorData { status, ..Default::default() });
            if let Some((updated, csum, scope, status)) = told {
                let scope = scope.split_whitespace().map(name).collect();
                let (updated, csum) = (Timestamp(updated), csum.to_owned());
                let config = ConfigEntry { updated, csum, scope };
                entry.config.insert(svc(), Arc::new(config));
                let monitor = Some(InstanceMonitor { status, ..Default::default() });
                let instance = InstanceStatus { monitor, ..Default::default() };
                entry.status.insert(svc(), Arc::new(instance));
            }
            entry
        };
        let nodes: BTreeMap<_, _> = members.iter().cloned().zip(of.map(entry)).collect();
        Snapshot::of_nodes(&members[0], &members, nodes)
    }

    fn choice(
        of: [Option<(f64, &str, &str, MonitorStatus)>; 2],
        deleted: Option<(f64, bool)>,
    ) -> String {
        let deletion = deleted.map(|(at, _)| Deletion { at: Timestamp(at), ..Deletion::default() });
        let deleted = deletion.as_ref().zip(deleted);
        let deleted = deleted.map(|(deletion, (_, is_followed))| Deleted { deletion, is_followed });
        let (snapshot, settings, path) = (snapshot(of), settings(), svc());
        format!("{:?}", choose(&snapshot, &settings, &path, deleted))
    }

    const IDLE: MonitorStatus = MonitorStatus::Idle;

    #[test]
    fn the_newer_copy_is_fetched_unless_it_is_older_than_the_deletion() {
        let (old, new) = ((1.0, "a", "n1 n2", IDLE), (5.0, "b", "n1 n2", IDLE));
        let fetched = "Elected(Fetch(NodeName(\"n2\")))";
        assert_eq!(choice([Some(old.clone()), Some(new.clone())], None), fetched);
        assert_eq!(choice([Some(new.clone()), Some(old)], None), "Elected(Keep)");
        assert_eq!(choice([None, Some(new.clone())], Some((4.0, true))), fetched);
        assert_eq!(choice([None, Some(new)], Some((5.0, true))), "Elected(Keep)");
    }

    #[test]
    fn what_was_deleted_is_buried_once_and_what_was_made_after_it_stays() {
        let own = (5.0, "a", "n1 n2", IDLE);
        assert_eq!(choice([Some(own.clone()), None], Some((5.0, true))), "Bury");
        assert_eq!(choice([Some(own), None], Some((4.0, false))), "Elected(Keep)");
        assert_eq!(choice([None, None], Some((4.0, false))), "Bury");
        assert_eq!(choice([None, None], Some((4.0, true))), "Elected(Keep)");
    }

    #[test]
    fn nothing_is_installed_or_deleted_while_an_instance_is_on_its_way_out() {
        let own = (1.0, "a", "n1 n2", IDLE);
        let deleting = (5.0, "b", "n1 n2", MonitorStatus::Deleting);
        assert_eq!(choice([Some(own), Some(deleting.clone())], None), "Wait");
        assert_eq!(choice([None, Some(deleting.clone())], Some((9.0, false))), "Bury");
        // What is for others only would bring it back.
        let left_over = (1.0, "a", "n2", IDLE);
        let vacated = "Elected(Vacate(NodeName(\"n2\")))";
        assert_eq!(choice([Some(left_over), Some(deleting)], None), vacated);
    }
}
