//! What one part of a pass looks at.

use model::{
    Aggregate, Frozen, GlobalExpect, InstanceMonitor, MonitorStatus, NodeMonitorStatus, NodeName,
    ObjectSettings, Status, Topology,
};

use crate::instance::rules;
use crate::moment::Moment;
use crate::world::{Conditions, ObjectView, Seen};

/// What one part of a pass looks at. Made again for the next part, so that a part sees what was decided before it,
/// but not its own decisions.
pub(crate) struct Cx<'w> {
    pub(super) now: Moment,
    pub(super) view: ObjectView<'w>,
    pub(super) settings: &'w ObjectSettings,
    /// Monitor data as this part found them.
    pub(super) before: &'w InstanceMonitor,
    /// State over the instances, the local monitor included.
    pub(super) aggregate: Aggregate,
    pub(super) conditions: Conditions,
}

impl Cx<'_> {
    pub(super) fn avail(&self) -> Option<&Status> {
        self.aggregate.avail.as_ref()
    }

    /// State of the local instance; none while it is unknown.
    pub(super) fn local_avail(&self) -> Option<&Status> {
        self.view.local().and_then(|seen| seen.status.avail.as_ref())
    }

    pub(super) fn is_instance_frozen(&self) -> bool {
        self.view.local().is_some_and(|seen| rules::is_frozen(seen))
    }

    /// Whether a failover object is up on another node, or about to be, and not up here.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.settings.topology == Topology::Failover
            && self.local_avail() != Some(&Status::Up)
            && self.view.peers().any(|seen| {
                seen.status.avail == Some(Status::Up)
                    || matches!(
                        seen.monitor.status,
                        MonitorStatus::Starting | MonitorStatus::Restarting
                    )
            })
    }

    pub(super) fn is_node_frozen(&self) -> bool {
        let world = self.view.world;
        world
            .node(world.local_node())
            .and_then(|data| data.frozen)
            .is_some_and(|time| time.0 != 0.0)
    }

    pub(super) fn node_status(&self) -> Option<&NodeMonitorStatus> {
        let world = self.view.world;
        world.node(world.local_node())?.monitor.as_ref().map(|monitor| &monitor.status)
    }

    /// Whether a target asks for a start, so that the automatic rules apply even without `orchestrate`.
    pub(super) fn wants_start(&self) -> bool {
        matches!(self.before.global_expect, Some(GlobalExpect::Started | GlobalExpect::Placed))
    }

    /// Evaluated instances of which a claim is true.
    pub(super) fn nodes_where(&self, is_so: impl Fn(&Seen<'_>) -> bool) -> Vec<NodeName> {
        self.view.known().filter(|seen| is_so(seen)).map(|seen| seen.node.clone()).collect()
    }
}

/// Nodes that also run the object, or have its configuration although it is for others now, and are starting: they do not
/// know yet what they run.
pub(crate) fn peers_in_init(cx: &Cx<'_>) -> Vec<NodeName> {
    let world = cx.view.world;
    let may_run = |node: &&NodeName| {
        cx.settings.peers.contains(node) || world.config(node, cx.view.path).is_some()
    };
    let others = world.cluster_nodes().iter().filter(|node| *node != world.local_node());
    let peers = others.filter(may_run);
    let is_in_init = |node: &&NodeName| {
        world
            .node(node)
            .and_then(|data| data.monitor.as_ref())
            .is_some_and(|monitor| monitor.status == NodeMonitorStatus::Init)
    };
    peers.filter(is_in_init).cloned().collect()
}

/// Whether all live nodes have the same configuration of the object.
pub(crate) fn is_same_config_everywhere(cx: &Cx<'_>) -> bool {
    let world = cx.view.world;
    let mut digests = crate::world::live_nodes(world)
        .filter_map(|(node, _)| world.config(node, cx.view.path))
        .map(|config| config.csum.as_str());
    digests.next().is_none_or(|first| digests.all(|digest| digest == first))
}

impl Cx<'_> {
    /// Nodes of the object that are heard, and have not told of their instance.
    pub(super) fn silent(&self) -> Vec<NodeName> {
        let is_silent =
            |node: &&NodeName| self.view.on(node).is_none_or(|seen| !seen.status.is_known());
        let peers = crate::world::live_nodes(self.view.world).map(|(node, _)| node);
        let peers = peers.filter(|node| self.settings.peers.contains(node));
        peers.filter(is_silent).cloned().collect()
    }

    pub(super) fn all_thawed(&self) -> bool {
        self.aggregate.frozen == Some(Frozen::Thawed)
    }

    pub(super) fn all_frozen(&self) -> bool {
        self.aggregate.frozen == Some(Frozen::Frozen)
    }
}
