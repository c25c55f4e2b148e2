//! Steps towards an instance that is provisioned, or that is no more.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{Kind, MonitorStatus, NodeName, Provisioned, Status};

use crate::effect::Action;
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::{InstanceCore, Then, rules};
use crate::placement::{Filters, candidates, is_natural_leader, ranks};
use crate::world::{Seen, live_nodes};

impl InstanceCore {
    pub(super) fn step_provisioned(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        let is_provisioned = |provisioned| {
            matches!(provisioned, None | Some(Provisioned::Yes | Provisioned::NotApplicable))
        };
        let is_done = cx.view.local().is_some_and(|seen| is_provisioned(seen.status.provisioned));
        let is_waiting = cx.before.status.is_waiting();
        if is_done {
            if is_waiting {
                self.set_status(cx.now, MonitorStatus::Idle, world);
            }
            return;
        }
        let peers: Vec<&NodeName> = live_nodes(world)
            .map(|(node, _)| node)
            .filter(|node| cx.settings.peers.contains(node))
            .collect();
        let is_natural = is_natural_leader(&cx.view);
        let status = if cx.view.known().count() < peers.len() {
            self.hold(|| {
                let is_missing =
                    |node: &&&NodeName| cx.view.on(node).is_none_or(|seen| !seen.status.is_known());
                let missing = peers.iter().filter(is_missing);
                Hold::NotEverywhere(missing.map(|node| (*node).clone()).collect())
            });
            Some(MonitorStatus::WaitSync)
        } else if is_natural && !cx.are_parents_available() {
            self.hold(|| Hold::Parents(cx.missing_parents()));
            Some(MonitorStatus::WaitParents)
        } else if let Some(leader) = provision_leader_elsewhere(cx, is_provisioned) {
            self.hold(|| Hold::NotProvisioned(leader.clone()));
            Some(MonitorStatus::WaitLeader)
        } else {
            None
        };
        if let Some(status) = status {
            self.set_status(cx.now, status, world);
            return;
        }
        if cx.has_no_quorum() {
            self.hold(|| cx.no_quorum());
            return;
        }
        self.tell("instance_provision", "target");
        let action = Action::Provision { leader: is_natural };
        self.run(cx.now, action, MonitorStatus::Provisioning, world);
    }

    pub(super) fn step_unprovisioned(&mut self, cx: &Cx<'_>) {
        let is_left = |seen: &Seen<'_>| rules::is_to_unprovision(seen, Some(cx.settings));
        let is_done = !cx.view.local().is_some_and(is_left);
        if is_done && rules::is_stopped(cx.local_avail()) {
            if cx.before.status.is_waiting() {
                self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
            }
            return;
        }
        let are_peers_done = !cx.view.peers().any(is_left);
        let Some(leader) = self.prepare_unprovision(cx, are_peers_done) else { return };
        self.tell("instance_unprovision", "target");
        self.set_local_expect(cx.now, None);
        let action = Action::Unprovision { leader };
        self.run(cx.now, action, MonitorStatus::Unprovisioning, cx.view.world);
    }

    pub(super) fn step_purged(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        if !matches!(self.path.kind(), Kind::Svc | Kind::Vol) {
            self.tell("instance_delete", "target");
            self.run_then(cx.now, Action::Delete, Then::Purge, MonitorStatus::Deleting, world);
            return;
        }
        let are_peers_done = cx.view.peers().next().is_none();
        let Some(leader) = self.prepare_unprovision(cx, are_peers_done) else { return };
        self.tell("instance_purge", "target");
        self.set_local_expect(cx.now, None);
        let action = Action::Unprovision { leader };
        self.run_then(cx.now, action, Then::Purge, MonitorStatus::Unprovisioning, world);
    }

    /// Stops and waits until the instance may be unprovisioned: says whether as the leader, which goes last.
    fn prepare_unprovision(&mut self, cx: &Cx<'_>, are_peers_done: bool) -> Option<bool> {
        let are_children_done = cx.are_children_unprovisioned();
        self.hold_if(!are_children_done, || Hold::Children(cx.children_not_unprovisioned()));
        if self.wait(cx, are_children_done, MonitorStatus::WaitChildren) {
            return None;
        }
        if !rules::is_stopped(cx.local_avail()) {
            self.stop(cx, true);
            return None;
        }
        if !rules::is_stopped(cx.avail()) {
            self.hold(|| {
                let is_active = |seen: &Seen<'_>| !rules::is_stopped(seen.status.avail.as_ref());
                Hold::NotStopped(cx.nodes_where(is_active))
            });
            return None;
        }
        let filters =
            Filters { frozen: false, overloaded: false, start_failed: false, ..Filters::ALL };
        let leader = ranks(&cx.view, &candidates(&cx.view, filters)).first()
            == Some(&cx.view.world.local_node());
        if leader && !are_peers_done {
            self.hold(|| Hold::NotUnprovisioned);
            self.set_status(cx.now, MonitorStatus::WaitNonLeader, cx.view.world);
            return None;
        }
        Some(leader)
    }
}

/// The other node that has to provision first, and has not yet.
fn provision_leader_elsewhere<'w>(
    cx: &Cx<'w>,
    is_provisioned: impl Fn(Option<Provisioned>) -> bool,
) -> Option<&'w NodeName> {
    let active: Vec<&NodeName> = cx
        .view
        .known()
        .filter(|seen| matches!(seen.status.avail, Some(Status::Up | Status::Warn)))
        .map(|seen| seen.node)
        .collect();
    let filters = Filters { frozen: false, unprovisioned: false, ..Filters::ALL };
    let leader = ranks(&cx.view, &active)
        .first()
        .copied()
        .or_else(|| ranks(&cx.view, &candidates(&cx.view, filters)).first().copied());
    leader.filter(|leader| {
        *leader != cx.view.world.local_node()
            && cx.view.on(leader).is_some_and(|seen| !is_provisioned(seen.status.provisioned))
    })
}
