//! Whether what an operator starts on one node would be a second copy, and whether there is one.
//!
//! The monitors ask each other before they start. Whoever starts on one node by hand asks nobody, so this is asked for him.

use std::collections::BTreeMap;

use model::{InstanceStatus, MonitorStatus, NodeName, ObjectPath, ObjectSettings, Status};

use crate::instance::rules::is_exclusive;
use crate::world::{ObjectView, World};

/// The nodes where an object is up that may be active on one only, if this node is one of them. No node stops it for that:
/// which copy has the data that count is known to nobody but its users.
#[must_use]
pub fn doubled(world: &dyn World, path: &ObjectPath) -> Option<Vec<NodeName>> {
    if !is_exclusive(world.settings(path)?) {
        return None;
    }
    let view = ObjectView::new(world, path);
    let up = view.known().filter(|seen| seen.status.avail == Some(Status::Up));
    let up: Vec<NodeName> = up.map(|seen| seen.node.clone()).collect();
    (up.len() > 1 && up.contains(world.local_node())).then_some(up)
}

/// What to do about an object that is up on these nodes.
#[must_use]
pub fn told_doubled(path: &ObjectPath, nodes: &str) -> String {
    format!(
        "{path} is up on {nodes} at once: decide which one is to go on, and stop the others with \
         `om {path} stop --local` there"
    )
}

/// Where an object that may be active on one node only is active, or about to be, beside `local`: the nodes, and what the
/// instance there is. An instance that is partly up here may be completed beside one that is partly up, and beside no other.
#[must_use]
pub fn active_elsewhere<'a>(
    settings: &ObjectSettings,
    local: &NodeName,
    instances: &'a BTreeMap<NodeName, InstanceStatus>,
) -> BTreeMap<&'a NodeName, String> {
    if !is_exclusive(settings) {
        return BTreeMap::new();
    }
    let is_partly_up = |status: &InstanceStatus| matches!(status.avail, Some(Status::Warn));
    let is_active_here = instances
        .get(local)
        .is_some_and(|status| status.avail == Some(Status::Up) || is_partly_up(status));
    let others = instances.iter().filter(|(node, _)| *node != local);
    let active = others.filter_map(|(node, status)| {
        let doing = status.monitor.as_ref().map(|monitor| &monitor.status);
        let is_starting = matches!(
            doing,
            Some(
                MonitorStatus::Ready
                    | MonitorStatus::Starting
                    | MonitorStatus::Restarting
                    | MonitorStatus::Provisioning
            )
        );
        match &status.avail {
            Some(avail @ Status::Up) => Some((node, avail.to_string())),
            Some(avail) if is_partly_up(status) && !is_active_here => {
                Some((node, avail.to_string()))
            }
            _ if is_starting => doing.map(|doing| (node, doing.to_string())),
            _ => None,
        }
    });
    active.collect()
}

#[cfg(test)]
mod tests {
    use model::{InstanceMonitor, Topology};

    use super::*;

    fn instance(avail: Status, doing: MonitorStatus) -> InstanceStatus {
        let monitor = InstanceMonitor { status: doing, ..InstanceMonitor::default() };
        InstanceStatus { avail: Some(avail), monitor: Some(monitor), ..InstanceStatus::default() }
    }

    fn told(topology: Topology, here: Status, there: Status, doing: MonitorStatus) -> String {
        let [n1, n2] = ["n1", "n2"].map(|name| NodeName::new(name).unwrap());
        let settings = ObjectSettings {
            topology,
            peers: vec![n1.clone(), n2.clone()],
            ..ObjectSettings::default()
        };
        let instances = BTreeMap::from([
            (n1.clone(), instance(here, MonitorStatus::Idle)),
            (n2, instance(there, doing)),
        ]);
        let found = active_elsewhere(&settings, &n1, &instances);
        found.iter().map(|(node, what)| format!("{node} {what}")).collect()
    }

    #[test]
    fn a_second_copy_is_seen_before_it_is_started() {
        use MonitorStatus::{Idle, Provisioning, Ready, StartFailed, Starting, Stopping};
        use Status::{Down, StdbyUp, Up, Warn};
        let failover = |here, there, doing| told(Topology::Failover, here, there, doing);
        assert_eq!(failover(Down, Up, Idle), "n2 up");
        assert_eq!(failover(Down, Warn, Idle), "n2 warn");
        assert_eq!(failover(Down, Down, Starting), "n2 starting");
        assert_eq!(failover(Down, Down, Ready), "n2 ready");
        assert_eq!(failover(Down, Down, Provisioning), "n2 provisioning");
        // It is up until the stop ends.
        assert_eq!(failover(Down, Up, Stopping), "n2 up");
        assert_eq!(failover(Up, Up, Idle), "n2 up");
        for (here, there, doing) in [
            (Down, Down, Idle),
            (Down, Down, StartFailed),
            // Kept up on each node, whatever the instance is.
            (Down, StdbyUp, Idle),
            // What is partly down is completed where it runs.
            (Up, Warn, Idle),
            (Warn, Warn, Idle),
            (Warn, Down, Idle),
        ] {
            assert_eq!(failover(here.clone(), there.clone(), doing.clone()), "", "{here} {there}");
        }
        assert_eq!(told(Topology::Flex, Down, Up, Idle), "");
    }
}
