//! Steps towards a place: where the placement wants the object, or where an operator does.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{LocalExpect, MonitorStatus, NodeName, Status, Topology};

use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::{InstanceCore, rules};
use crate::placement::{Filters, candidates};
use crate::world::Seen;

/// How long a destination waits for those to take over its target that may restart what they lost.
const UNAWARE_SECS: f64 = 2.0;

/// Where an operator wants the object.
struct Destinations<'n> {
    nodes: &'n [&'n str],
    /// Whether it may be active on several nodes at once.
    is_flex: bool,
}

impl Destinations<'_> {
    fn has(&self, node: &NodeName) -> bool {
        self.nodes.contains(&node.as_str())
    }
}

fn is_flex(cx: &Cx<'_>) -> bool {
    cx.settings.topology == Topology::Flex
}

impl InstanceCore {
    pub(super) fn step_placed(&mut self, cx: &Cx<'_>) {
        let is_started_on = |is_leader: bool| {
            cx.view
                .known()
                .filter(|seen| seen.monitor.is_leader() == is_leader)
                .all(|seen| rules::is_started(seen.status.avail.as_ref()))
        };
        let is_flex = is_flex(cx);
        if cx.is_instance_frozen() {
            self.thaw(cx);
        } else if !cx.before.is_leader() {
            let has_leader = cx.view.known().any(|seen| seen.monitor.is_leader());
            let can_stop = has_leader && (!is_flex || is_started_on(true));
            let is_stopped = rules::is_stopped(cx.local_avail());
            self.hold_if(!has_leader, || Hold::NoLeader);
            self.hold_if(has_leader && !can_stop && !is_stopped, || {
                Hold::NotStarted(cx.nodes_where(|seen| {
                    seen.monitor.is_leader() && !rules::is_started(seen.status.avail.as_ref())
                }))
            });
            if can_stop && !is_stopped {
                self.stop(cx, false);
            }
        } else if !rules::is_started(cx.local_avail()) {
            let are_others_stopped = cx
                .view
                .known()
                .filter(|seen| !seen.monitor.is_leader())
                .all(|seen| rules::is_stopped(seen.status.avail.as_ref()));
            let is_done = cx.aggregate.placement.as_deref() == Some("optimal")
                && cx.avail() == Some(&Status::Up);
            self.hold_if(!is_flex && !are_others_stopped, || {
                Hold::NotStopped(cx.nodes_where(|seen| {
                    !seen.monitor.is_leader() && !rules::is_stopped(seen.status.avail.as_ref())
                }))
            });
            if (is_flex || are_others_stopped) && !is_done {
                self.automatic(cx);
            }
        }
    }

    /// Towards `placed@`: those that are not named stop, and the named ones start.
    pub(super) fn step_placed_at(&mut self, cx: &Cx<'_>, nodes: &[&str]) {
        let destinations = Destinations { nodes, is_flex: is_flex(cx) };
        if cx.is_instance_frozen() {
            self.thaw(cx);
        } else if !destinations.has(cx.view.world.local_node()) {
            self.make_way(cx, &destinations);
        } else if !rules::is_started(cx.local_avail()) {
            self.arrive(cx, &destinations);
        }
    }

    /// Stops here, for the destinations to start; of a flex once they have.
    fn make_way(&mut self, cx: &Cx<'_>, destinations: &Destinations<'_>) {
        if rules::is_stopped(cx.local_avail()) {
            return;
        }
        let is_named = |node: &NodeName| destinations.has(node);
        let are_destinations_active = cx
            .view
            .known()
            .filter(|seen| is_named(seen.node))
            .all(|seen| !rules::is_stopped(seen.status.avail.as_ref()));
        let is_too_early = destinations.is_flex && !are_destinations_active;
        let filters = Filters { na: true, ..Filters::NATURAL };
        let has_candidate = candidates(&cx.view, filters).into_iter().any(is_named);
        let has_failed = cx.before.status == MonitorStatus::StopFailed;
        self.hold_if(is_too_early, || {
            Hold::NotStarted(cx.nodes_where(|seen| {
                is_named(seen.node) && rules::is_stopped(seen.status.avail.as_ref())
            }))
        });
        self.hold_if(has_failed, || Hold::Failed(cx.before.status.clone()));
        self.hold_if(!has_candidate, || Hold::NoDestination);
        if is_too_early || has_failed || !has_candidate || self.wait_for_children(cx) {
            return;
        }
        self.stop(cx, false);
    }

    /// Starts here, once the others have stopped and nobody contests it.
    fn arrive(&mut self, cx: &Cx<'_>, destinations: &Destinations<'_>) {
        if self.wait(cx, cx.are_parents_settled(), MonitorStatus::WaitParents) {
            self.hold_parents(cx);
            return;
        }
        let is_other_active = |seen: &Seen<'_>| {
            !destinations.has(seen.node) && !rules::is_stopped(seen.status.avail.as_ref())
        };
        let are_others_stopped = !cx.view.known().any(is_other_active);
        let avail = cx.local_avail();
        let has_failed =
            matches!(cx.before.status, MonitorStatus::StartFailed | MonitorStatus::PlaceFailed);
        let can_start = !has_failed && (rules::is_stopped(avail) || avail == Some(&Status::Warn));
        self.hold_if(has_failed, || Hold::Failed(cx.before.status.clone()));
        self.hold_if(!has_failed && !can_start, || Hold::Avail(avail.cloned()));
        self.hold_if(!destinations.is_flex && !are_others_stopped, || {
            Hold::NotStopped(cx.nodes_where(is_other_active))
        });
        let is_contested = self.is_arrival_contested(cx, destinations);
        let is_due = (destinations.is_flex || are_others_stopped) && can_start && !is_contested;
        let is_announced = cx.before.status == MonitorStatus::Ready;
        if !is_due {
            if is_announced && cx.conditions.ballot.is_some() {
                self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
            }
        } else if !cx.is_peer_lost() {
            self.start(cx, "target");
        } else if is_announced {
            self.go_on_waiting(cx);
        } else {
            // Deployed agents start at once, while the lost peer may be judged only now.
            self.announce(cx);
        }
    }

    /// Whether the object may run, or be about to, where nothing of it is seen to be up.
    fn is_arrival_contested(&mut self, cx: &Cx<'_>, destinations: &Destinations<'_>) -> bool {
        let is_flex = destinations.is_flex;
        // A node that has just come up has not heard yet where the object runs. Deployed agents start.
        let is_early = !is_flex && cx.conditions.grace && !self.knows_all_peers(cx);
        self.hold_if(is_early, || Hold::Grace);
        // Down for now: it may be starting. Deployed agents start beside it.
        let is_acting = |seen: &&Seen<'_>| {
            !destinations.has(seen.node) && seen.monitor.status.is_transitioning()
        };
        let acting: Vec<_> =
            if is_flex { vec![] } else { cx.view.peers().filter(is_acting).collect() };
        self.hold_if(!acting.is_empty(), || {
            let peers = acting.iter();
            Hold::PeerActing(
                peers.map(|seen| (seen.node.clone(), seen.monitor.status.clone())).collect(),
            )
        });
        let unaware = if is_flex { vec![] } else { self.unaware_peers(cx) };
        let is_unaware = !unaware.is_empty();
        self.hold_if(is_unaware, || Hold::PeerUnaware(unaware));
        let has_no_quorum = cx.has_no_quorum();
        self.hold_if(has_no_quorum, || cx.no_quorum());
        is_early || has_no_quorum || !acting.is_empty() || is_unaware
    }

    /// Peers that lost what they are to keep started, and do not show the target yet: they may be restarting it. Deployed
    /// agents start beside that.
    fn unaware_peers(&mut self, cx: &Cx<'_>) -> Vec<NodeName> {
        let left = UNAWARE_SECS - cx.now.since(self.since.target.unwrap_or(cx.now.steady));
        if left < 0.0 {
            return vec![];
        }
        let is_unaware = |seen: &Seen<'_>| {
            rules::is_stopped(seen.status.avail.as_ref())
                && seen.monitor.status == MonitorStatus::Idle
                && seen.monitor.local_expect == Some(LocalExpect::Started)
                && seen.monitor.global_expect != cx.before.global_expect
        };
        let peers = cx.view.peers().filter(|seen| is_unaware(seen));
        let unaware: Vec<NodeName> = peers.map(|seen| seen.node.clone()).collect();
        if !unaware.is_empty() {
            self.wake_after(left);
        }
        unaware
    }

    /// Whether every peer of the object has told of its instance.
    fn knows_all_peers(&self, cx: &Cx<'_>) -> bool {
        let is_known =
            |node: &NodeName| cx.view.on(node).is_some_and(|seen| seen.status.is_known());
        cx.settings.peers.iter().all(is_known)
    }
}
