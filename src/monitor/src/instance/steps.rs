//! Steps towards a target, one per pass (src/monitor/README.md, Targets). The first that blocks wins.

use model::{
    GlobalExpect, Kind, LocalExpect, MonitorStatus, NodeName, Provisioned, Status, Timestamp,
};

use super::{Cx, InstanceCore, Then, rules};
use crate::{
    Action, Effect, Filters, Hold, Seen, candidates, is_natural_leader, live_nodes, ranks,
};

/// How long an instance that was not started keeps the target `restarted`, for its peers to take it over, and how long one
/// that was waits for better ranked ones to do so.
const RESTARTED_SECS: f64 = 2.0;
/// How long a destination waits for those to take over its target that may restart what they lost.
const UNAWARE_SECS: f64 = 2.0;

impl InstanceCore {
    pub(super) fn step(&mut self, cx: &Cx<'_>, target: &GlobalExpect) {
        match target {
            GlobalExpect::Frozen => {
                if !cx.is_instance_frozen() {
                    self.freeze(cx);
                }
            }
            GlobalExpect::Thawed => {
                if cx.is_instance_frozen() {
                    self.thaw(cx);
                }
            }
            GlobalExpect::Started => self.step_started(cx),
            GlobalExpect::Stopped => self.step_stopped(cx, Action::Stop { force: false }),
            GlobalExpect::Shutdown => self.step_stopped(cx, Action::Shutdown),
            GlobalExpect::Placed => self.step_placed(cx),
            GlobalExpect::PlacedAt(nodes) => {
                let nodes: Vec<&str> = nodes.split(',').collect();
                self.step_placed_at(cx, &nodes);
            }
            GlobalExpect::Provisioned => self.step_provisioned(cx),
            GlobalExpect::Unprovisioned => self.step_unprovisioned(cx),
            GlobalExpect::Purged => self.step_purged(cx),
            GlobalExpect::Deleted => {
                if self.wait_for_children(cx) {
                    return;
                }
                self.tell("instance_delete", "target");
                self.set_local_expect(cx.now, None);
                self.run(cx.now, Action::Delete, MonitorStatus::Deleting, cx.view.world);
            }
            GlobalExpect::Aborted => {
                if cx.before.local_expect.as_ref().is_some_and(|t| *t != LocalExpect::Started) {
                    self.tell("instance_abort", "target");
                    self.set_local_expect(cx.now, None);
                }
            }
            GlobalExpect::Restarted(time) => self.step_restarted(cx, time.unwrap_or(cx.now.wall)),
            GlobalExpect::Scaled | GlobalExpect::Other(_) => {
                self.effects.push(Effect::Warn(format!(
                    "unsupported global expect on {}: {target}",
                    self.path
                )));
                self.give_up_target(cx);
            }
        }
    }

    fn freeze(&mut self, cx: &Cx<'_>) {
        self.tell("instance_freeze", "target");
        self.run(cx.now, Action::Freeze, MonitorStatus::Freezing, cx.view.world);
    }

    fn thaw(&mut self, cx: &Cx<'_>) {
        self.tell("instance_thaw", "target");
        self.run(cx.now, Action::Thaw, MonitorStatus::Thawing, cx.view.world);
    }

    fn stop(&mut self, cx: &Cx<'_>, force: bool) {
        self.tell("instance_stop", "target");
        self.run(cx.now, Action::Stop { force }, MonitorStatus::Stopping, cx.view.world);
    }

    /// Waits, or ends such a wait. True while it lasts.
    fn wait(&mut self, cx: &Cx<'_>, is_met: bool, status: MonitorStatus) -> bool {
        if !is_met {
            self.set_status(cx.now, status, cx.view.world);
        } else if cx.before.status == status {
            self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
        }
        !is_met
    }

    fn wait_for_children(&mut self, cx: &Cx<'_>) -> bool {
        let are_down = cx.are_children_down();
        self.hold_if(!are_down, || Hold::Children(cx.children_not_down()));
        self.wait(cx, are_down, MonitorStatus::WaitChildren)
    }

    /// Enters the wait when a parent is missing, leaves it when all are there to stay. True while it lasts.
    fn wait_for_parents(&mut self, cx: &Cx<'_>) -> bool {
        if cx.before.status == MonitorStatus::WaitParents {
            self.hold_parents(cx);
            return self.wait(cx, cx.are_parents_settled(), MonitorStatus::WaitParents);
        }
        self.hold_if(!cx.are_parents_available(), || Hold::Parents(cx.missing_parents()));
        self.wait(cx, cx.are_parents_available(), MonitorStatus::WaitParents)
    }

    fn step_started(&mut self, cx: &Cx<'_>) {
        if cx.is_instance_frozen() {
            self.thaw(cx);
        } else if self.wait_for_parents(cx) {
        } else if self.monitor.status != cx.before.status {
            // The wait is over: announced before the next step.
        } else if !rules::is_started(cx.avail()) {
            if cx.all_thawed() {
                self.automatic(cx);
            } else {
                self.hold(|| Hold::NotThawed(nodes_where(cx, rules::is_frozen)));
            }
        }
    }

    fn step_stopped(&mut self, cx: &Cx<'_>, action: Action) {
        if self.wait_for_children(cx) {
            return;
        }
        let is_done = if action == Action::Shutdown {
            cx.view.local().is_none_or(rules::is_shut_down)
        } else {
            rules::is_stopped(cx.local_avail())
        };
        if !cx.is_instance_frozen() {
            self.freeze(cx);
        } else if is_done {
            self.claim_no_more(cx);
        } else if !cx.all_frozen() {
            self.hold(|| Hold::NotFrozen(nodes_where(cx, |seen| !rules::is_frozen(seen))));
        } else if action == Action::Shutdown {
            self.tell("instance_shutdown", "target");
            self.run(cx.now, action, MonitorStatus::Shutdown, cx.view.world);
        } else {
            self.stop(cx, false);
        }
    }

    /// What an operator stopped is kept up by nobody: where it was down already, no stop ends that.
    pub(super) fn claim_no_more(&mut self, cx: &Cx<'_>) {
        let is_claimed = cx.before.local_expect == Some(LocalExpect::Started);
        if is_claimed && rules::is_stopped(cx.local_avail()) {
            self.set_local_expect(cx.now, None);
        }
    }

    fn step_placed(&mut self, cx: &Cx<'_>) {
        let is_started_on = |is_leader: bool| {
            cx.view
                .known()
                .filter(|seen| seen.monitor.is_leader() == is_leader)
                .all(|seen| rules::is_started(seen.status.avail.as_ref()))
        };
        let is_flex = cx.settings.topology == model::Topology::Flex;
        if cx.is_instance_frozen() {
            self.thaw(cx);
        } else if !cx.before.is_leader() {
            let has_leader = cx.view.known().any(|seen| seen.monitor.is_leader());
            let can_stop = has_leader && (!is_flex || is_started_on(true));
            let is_stopped = rules::is_stopped(cx.local_avail());
            self.hold_if(!has_leader, || Hold::NoLeader);
            self.hold_if(has_leader && !can_stop && !is_stopped, || {
                Hold::NotStarted(nodes_where(cx, |seen| {
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
                Hold::NotStopped(nodes_where(cx, |seen| {
                    !seen.monitor.is_leader() && !rules::is_stopped(seen.status.avail.as_ref())
                }))
            });
            if (is_flex || are_others_stopped) && !is_done {
                self.automatic(cx);
            }
        }
    }

    fn step_placed_at(&mut self, cx: &Cx<'_>, nodes: &[&str]) {
        let is_flex = cx.settings.topology == model::Topology::Flex;
        let is_named = |node: &NodeName| nodes.contains(&node.as_str());
        let is_destination = is_named(cx.view.world.local_node());
        if cx.is_instance_frozen() {
            self.thaw(cx);
        } else if !is_destination {
            if rules::is_stopped(cx.local_avail()) {
                return;
            }
            let are_destinations_active = cx
                .view
                .known()
                .filter(|seen| is_named(seen.node))
                .all(|seen| !rules::is_stopped(seen.status.avail.as_ref()));
            let filters = Filters { na: true, ..Filters::NATURAL };
            let has_candidate = candidates(&cx.view, filters).into_iter().any(is_named);
            let has_failed = cx.before.status == MonitorStatus::StopFailed;
            self.hold_if(is_flex && !are_destinations_active, || {
                Hold::NotStarted(nodes_where(cx, |seen| {
                    is_named(seen.node) && rules::is_stopped(seen.status.avail.as_ref())
                }))
            });
            self.hold_if(has_failed, || Hold::Failed(cx.before.status.clone()));
            self.hold_if(!has_candidate, || Hold::NoDestination);
            if (is_flex && !are_destinations_active)
                || has_failed
                || !has_candidate
                || self.wait_for_children(cx)
            {
                return;
            }
            self.stop(cx, false);
        } else if !rules::is_started(cx.local_avail()) {
            if self.wait(cx, cx.are_parents_settled(), MonitorStatus::WaitParents) {
                self.hold_parents(cx);
                return;
            }
            let are_others_stopped = cx
                .view
                .known()
                .filter(|seen| !is_named(seen.node))
                .all(|seen| rules::is_stopped(seen.status.avail.as_ref()));
            let avail = cx.local_avail();
            let has_failed =
                matches!(cx.before.status, MonitorStatus::StartFailed | MonitorStatus::PlaceFailed);
            let can_start =
                !has_failed && (rules::is_stopped(avail) || avail == Some(&Status::Warn));
            self.hold_if(has_failed, || Hold::Failed(cx.before.status.clone()));
            self.hold_if(!has_failed && !can_start, || Hold::Avail(avail.cloned()));
            self.hold_if(!is_flex && !are_others_stopped, || {
                Hold::NotStopped(nodes_where(cx, |seen| {
                    !is_named(seen.node) && !rules::is_stopped(seen.status.avail.as_ref())
                }))
            });
            // A node that has just come up has not heard yet where the object runs. Deployed agents start.
            let is_early = !is_flex && cx.conditions.grace && !self.knows_all_peers(cx);
            self.hold_if(is_early, || Hold::Grace);
            // Down for now: it may be starting. Deployed agents start beside it.
            let is_acting =
                |seen: &&Seen<'_>| !is_named(seen.node) && seen.monitor.status.is_transitioning();
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
            let is_contested = is_early || has_no_quorum || !acting.is_empty() || is_unaware;
            let is_due = (is_flex || are_others_stopped) && can_start && !is_contested;
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

    fn step_provisioned(&mut self, cx: &Cx<'_>) {
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

    fn step_unprovisioned(&mut self, cx: &Cx<'_>) {
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

    fn step_purged(&mut self, cx: &Cx<'_>) {
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
                Hold::NotStopped(nodes_where(cx, is_active))
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

    fn step_restarted(&mut self, cx: &Cx<'_>, time: Timestamp) {
        match cx.before.status {
            // Up on another node: not to be started here. Deployed agents do.
            MonitorStatus::Idle
                if cx.before.local_expect == Some(LocalExpect::Started) && !cx.is_elsewhere() =>
            {
                let started = cx.before.local_expect_updated;
                let is_due = started.is_none_or(|started| started <= time);
                let status = if is_due { MonitorStatus::WaitPriors } else { MonitorStatus::Idle };
                self.set_status(cx.now, status, cx.view.world);
            }
            MonitorStatus::Idle => {
                let left =
                    RESTARTED_SECS - cx.now.since(self.since.target.unwrap_or(cx.now.steady));
                if left < 0.0 {
                    self.give_up_target(cx);
                } else {
                    self.wake_after(left);
                }
            }
            MonitorStatus::WaitPriors if cx.is_elsewhere() => {
                self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
            }
            MonitorStatus::WaitPriors => {
                let candidates = candidates(&cx.view, Filters::ALL);
                let ranks = ranks(&cx.view, &candidates);
                let local = cx.view.world.local_node();
                // One that has not heard of the target yet shows nothing. Deployed agents count on their passes being
                // further apart than that takes, and restart at once where they are not.
                let waited = cx.now.since(self.since.status.unwrap_or(cx.now.steady));
                let may_be_deaf = waited < RESTARTED_SECS;
                let is_to_adopt = |seen: &Seen<'_>| {
                    may_be_deaf
                        && seen.monitor.status == MonitorStatus::Idle
                        && seen.monitor.local_expect == Some(LocalExpect::Started)
                        && seen.monitor.local_expect_updated.is_none_or(|started| started <= time)
                };
                let is_busy = |node: &NodeName| {
                    cx.view.on(node).is_some_and(|seen| {
                        matches!(
                            seen.monitor.status,
                            MonitorStatus::Restarting
                                | MonitorStatus::WaitPriors
                                | MonitorStatus::RestartFailed
                        ) || is_to_adopt(seen)
                    })
                };
                let priors = ranks.into_iter().take_while(|node| *node != local);
                let priors: Vec<&NodeName> = priors.filter(|node| is_busy(node)).collect();
                if !priors.is_empty() {
                    self.hold(|| Hold::Priors(priors.into_iter().cloned().collect()));
                    if may_be_deaf {
                        self.wake_after(RESTARTED_SECS - waited);
                    }
                    return;
                }
                if cx.has_no_quorum() {
                    self.hold(|| cx.no_quorum());
                    return;
                }
                self.set_local_expect(cx.now, None);
                self.run(cx.now, Action::Restart, MonitorStatus::Restarting, cx.view.world);
            }
            _ => {}
        }
    }

    /// Starts the instance, after the node to fence if there is one.
    pub(super) fn start(&mut self, cx: &Cx<'_>, reason: &'static str) {
        let world = cx.view.world;
        if let Some(stale) = self.monitor.stonith.take()
            && let Ok(node) = NodeName::new(&stale)
            && world.node(&node).is_none_or(|data| data.monitor.is_none())
        {
            self.start_run(Action::Stonith { node }, Then::Plain);
        }
        self.tell("instance_start", reason);
        let then = if cx.before.global_expect == Some(GlobalExpect::Placed) {
            Then::Placed
        } else {
            Then::Plain
        };
        self.run_then(cx.now, Action::Start, then, MonitorStatus::Starting, world);
    }
}

/// Evaluated instances of which a claim is true.
fn nodes_where(cx: &Cx<'_>, is_so: impl Fn(&Seen<'_>) -> bool) -> Vec<NodeName> {
    cx.view.known().filter(|seen| is_so(seen)).map(|seen| seen.node.clone()).collect()
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
