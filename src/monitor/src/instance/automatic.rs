//! What happens without being asked: failover, flex, contested starts
//! (src/monitor/README.md, Automatic orchestration).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use std::collections::BTreeMap;

use model::{GlobalExpect, LocalExpect, MonitorStatus, NodeName, Orchestrate, Status, Topology};

use crate::effect::Action;
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::{InstanceCore, rules};
use crate::load::is_overloaded;
use crate::placement::{Filters, candidates, counts_as_up, discarded, ranks};
use crate::world::{Seen, is_compatible};

/// An alarm for an announced start that rings that much later, beyond the period itself, tells that time did not pass
/// here as it did elsewhere.
const LATE_SECS: f64 = 1.0;

/// How long an instance is waited for that seems not to be evaluated since its target changed.
const UNSETTLED_SECS: f64 = 10.0;

impl InstanceCore {
    /// A failed start is forgotten when the object runs all the same and nobody asks for anything.
    pub(super) fn clear_failed_start(&mut self, cx: &Cx<'_>) -> bool {
        let status = &cx.before.status;
        if !matches!(status, MonitorStatus::StartFailed | MonitorStatus::PlaceFailed) {
            return true;
        }
        let is_asked = cx.view.instances.iter().any(|seen| seen.monitor.global_expect.is_some());
        let up = cx.view.known().filter(|seen| seen.status.avail == Some(Status::Up)).count();
        let wanted = cx.view.known().last().and_then(|seen| seen.status.flex_target);
        let is_enough = wanted.is_none_or(|wanted| up as i64 >= wanted);
        if cx.avail() == Some(&Status::Up) && !is_asked && is_enough {
            self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
        }
        true
    }

    pub(super) fn automatic(&mut self, cx: &Cx<'_>) {
        let is_unknown = matches!(cx.avail(), None | Some(Status::Unknown));
        let is_incompatible = !is_compatible(cx.view.world);
        let is_span = cx.settings.topology == Topology::Span;
        self.hold_if(is_unknown && is_span, || Hold::Span);
        self.hold_if(is_unknown && !is_span, || Hold::Unknown);
        self.hold_if(cx.settings.disabled, || Hold::Disabled);
        self.hold_if(is_incompatible, || Hold::Incompatible);
        if is_unknown || cx.settings.disabled || is_incompatible {
            return;
        }
        match &cx.settings.topology {
            Topology::Span | Topology::Other(_) => {
                self.hold(|| Hold::Span);
                return;
            }
            Topology::Failover => {
                if cx.before.local_expect == Some(LocalExpect::Started) {
                    if !self.is_to_be_given_up(cx) {
                        self.hold(|| Hold::Kept(cx.local_avail().cloned()));
                        return;
                    }
                    self.set_local_expect(cx.now, None);
                }
            }
            Topology::Flex => {}
        }
        if cx.is_node_frozen() || cx.is_instance_frozen() {
            self.hold_if(cx.is_node_frozen(), || Hold::NodeFrozen);
            self.hold_if(cx.is_instance_frozen(), || Hold::Frozen);
            // Announced before it was frozen: peers must not wait for it.
            self.take_back(cx);
            return;
        }
        if cx.conditions.grace {
            self.hold(|| Hold::Grace);
            return;
        }
        if cx.settings.scale.is_some() {
            self.scale(cx);
            return;
        }
        if matches!(cx.avail(), None | Some(Status::Undef | Status::NotApplicable)) {
            self.hold(|| Hold::Avail(cx.avail().cloned()));
            return;
        }
        match cx.settings.topology {
            Topology::Flex => self.flex(cx),
            Topology::Failover | Topology::Span | Topology::Other(_) => self.failover(cx),
        }
    }

    /// Whether an instance that is to be kept started cannot be, or is needed no more.
    fn is_to_be_given_up(&self, cx: &Cx<'_>) -> bool {
        let Some(local) = cx.view.local().filter(|seen| seen.status.is_known()) else {
            return false;
        };
        let is_inactive = matches!(
            local.status.avail,
            Some(Status::Down | Status::StdbyDown | Status::Undef | Status::NotApplicable)
        );
        // Asked to start what its restarts could not: deployed agents wait for a `clear` here, for ever.
        let is_asked = cx.wants_start() && is_inactive;
        if self.has_restarts_at_work(cx) && !is_asked {
            return false;
        }
        let is_up = local.status.avail == Some(Status::Up);
        let is_up_somewhere = cx.avail() == Some(&Status::Up);
        let keepers = cx
            .view
            .known()
            .filter(|seen| seen.monitor.local_expect == Some(LocalExpect::Started))
            .count();
        (is_up_somewhere && !is_up)
            || (keepers > 1 && !is_up && !cx.before.is_leader())
            || (!is_up_somewhere && is_inactive && (is_asked || !self.has_resource_to_handle(cx)))
    }

    /// Back to idle, if a start was announced or waited for.
    pub(super) fn take_back(&mut self, cx: &Cx<'_>) {
        if matches!(cx.before.status, MonitorStatus::Ready | MonitorStatus::WaitParents) {
            self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
        }
    }

    fn is_orchestrated(cx: &Cx<'_>) -> bool {
        !matches!(cx.settings.orchestrate, Orchestrate::No | Orchestrate::Other(_))
            || cx.wants_start()
    }

    /// Nodes in order of preference among all peers, whatever their state.
    fn natural_ranks<'w>(cx: &Cx<'w>) -> Vec<&'w NodeName> {
        let peers: Vec<&NodeName> = cx.settings.peers.iter().collect();
        ranks(&cx.view, &peers)
    }

    fn failover(&mut self, cx: &Cx<'_>) {
        let local = cx.view.world.local_node();
        if cx.settings.orchestrate == Orchestrate::Start {
            let natural = Self::natural_ranks(cx).first().copied();
            if natural != Some(local) {
                self.hold(|| Hold::NotNatural(natural.cloned()));
                self.take_back(cx);
                return;
            }
        }
        let avail = cx.avail();
        // Two are up already: deployed agents would start a third one.
        let is_up_elsewhere = cx.view.peers().any(|seen| seen.status.avail == Some(Status::Up));
        let is_startable =
            matches!(avail, Some(Status::Down | Status::StdbyDown | Status::StdbyUp))
                || (avail == Some(&Status::Warn) && cx.wants_start() && !is_up_elsewhere);
        let is_degraded = |seen: &&Seen<'_>| {
            seen.status.avail == Some(Status::Warn) && !seen.monitor.status.is_transitioning()
        };
        let is_acting = |seen: &&Seen<'_>| seen.monitor.status.is_transitioning();
        let is_peer_degraded = cx.view.peers().any(|seen| is_degraded(&seen));
        let is_peer_acting = cx.view.peers().any(|seen| is_acting(&seen));
        let placed_elsewhere = destinations_elsewhere(cx);
        let is_placed_elsewhere = !placed_elsewhere.is_empty();
        self.hold_if(is_placed_elsewhere, || Hold::PlacedElsewhere(placed_elsewhere));
        let has_no_quorum = cx.has_no_quorum();
        self.hold_if(has_no_quorum, || cx.no_quorum());
        let is_up = cx.local_avail() == Some(&Status::Up);
        let is_leader = cx.before.is_leader();
        let contesting = contesting(cx);
        let is_contested = !contesting.is_empty();
        self.hold_if(is_contested, || Hold::Contested(contesting));
        self.hold_if(!Self::is_orchestrated(cx), || Hold::NotOrchestrated);
        self.hold_if(!is_startable, || Hold::Avail(avail.cloned()));
        self.hold_if(is_peer_degraded, || Hold::PeerDegraded(nodes_of(cx, is_degraded)));
        self.hold_if(is_peer_acting, || {
            let acting = cx.view.peers().filter(is_acting);
            Hold::PeerActing(
                acting.map(|seen| (seen.node.clone(), seen.monitor.status.clone())).collect(),
            )
        });
        match cx.before.status {
            MonitorStatus::Ready | MonitorStatus::WaitParents => {
                if is_up
                    || !is_startable
                    || is_peer_degraded
                    || is_peer_acting
                    || is_contested
                    || is_placed_elsewhere
                    || has_no_quorum
                    || !Self::is_orchestrated(cx)
                {
                    self.take_back(cx);
                } else {
                    self.go_on_waiting(cx);
                }
            }
            MonitorStatus::Idle => {
                let has_failed =
                    |seen: &&Seen<'_>| seen.monitor.status == MonitorStatus::StartFailed;
                let is_blocked =
                    !cx.settings.rollback && cx.view.peers().any(|seen| has_failed(&seen));
                self.hold_if(is_blocked, || Hold::PeerStartFailed(nodes_of(cx, has_failed)));
                self.hold_if(!is_leader, || not_leader(cx));
                if Self::is_orchestrated(cx)
                    && is_startable
                    && !is_peer_degraded
                    && !is_blocked
                    && !is_peer_acting
                    && !is_placed_elsewhere
                    && !has_no_quorum
                    && !is_contested
                    && is_leader
                {
                    self.announce_start(cx);
                }
            }
            _ => self.hold_doing(cx),
        }
    }

    /// Notes that the instance acts, or failed to.
    fn hold_doing(&mut self, cx: &Cx<'_>) {
        let status = &cx.before.status;
        self.hold_if(status.is_failed(), || Hold::Failed(status.clone()));
        self.hold_if(!status.is_failed(), || Hold::Acting(status.clone()));
    }

    /// The instance is to start: alone at once, else announced first, so that peers may contest it.
    fn announce_start(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        let is_failover = cx.settings.topology == Topology::Failover;
        if !cx.are_parents_settled() {
            self.hold_parents(cx);
            self.set_status(cx.now, MonitorStatus::WaitParents, world);
        } else if is_failover && cx.settings.peers.len() == 1 {
            self.start(cx, "single_node");
        } else if cx.local_avail() != Some(&Status::Up) {
            self.announce(cx);
        }
    }

    /// Announces a start, for peers to contest.
    pub(super) fn announce(&mut self, cx: &Cx<'_>) {
        self.set_status(cx.now, MonitorStatus::Ready, cx.view.world);
        self.hold(|| Hold::Ready(cx.conditions.ready_period_secs));
        self.wake_after(cx.conditions.ready_period_secs);
    }

    /// Notes the parents that are waited for.
    pub(super) fn hold_parents(&mut self, cx: &Cx<'_>) {
        if self.holds.is_none() {
            return;
        }
        self.hold_if(!cx.are_parents_available(), || Hold::Parents(cx.missing_parents()));
        self.hold_if(cx.is_parent_moving(), || Hold::ParentsMoving(cx.moving_parents()));
    }

    /// An announced start that nobody contests is carried out when it is due.
    pub(super) fn go_on_waiting(&mut self, cx: &Cx<'_>) {
        let world = cx.view.world;
        if cx.before.status == MonitorStatus::WaitParents {
            if cx.are_parents_settled() {
                self.set_status(cx.now, MonitorStatus::Idle, world);
            }
            self.hold_parents(cx);
            return;
        }
        if cx.is_parent_moving() {
            self.hold_parents(cx);
            self.set_status(cx.now, MonitorStatus::Idle, world);
            return;
        }
        let waited = cx.now.since(self.since.status.unwrap_or(cx.now.steady));
        let period = cx.conditions.ready_period_secs;
        let left = period - waited;
        // This process stood still: nobody has heard the announcement for as long as it seems.
        let late = self.since.look.map_or(-left, |look| cx.now.since(look));
        if late > period + LATE_SECS && !self.waits_slot {
            self.monitor.status_updated = Some(cx.now.wall);
            (self.since.status, self.since.look) = (Some(cx.now.steady), None);
            self.hold(|| Hold::Ready(period));
            self.wake_after(period);
        } else if left < 0.0 {
            let unheard = cx.peers_heard_elsewhere();
            if !unheard.is_empty() {
                self.hold(|| Hold::NotHeard(unheard));
            } else if !self.waits_for_acknowledgements(cx, waited) {
                self.start(cx, "from_ready");
            }
        } else {
            self.hold(|| Hold::Ready(left));
            self.wake_after(left);
        }
    }

    fn flex(&mut self, cx: &Cx<'_>) {
        let local = cx.view.world.local_node();
        let wanted = usize::try_from(cx.settings.flex.target).unwrap_or(0);
        let natural = Self::natural_ranks(cx);
        let rank = natural.iter().position(|node| *node == local);
        if cx.settings.orchestrate == Orchestrate::Start && rank.is_none_or(|rank| rank >= wanted) {
            self.hold(|| Hold::NotNatural(natural.first().copied().cloned()));
            self.take_back(cx);
            return;
        }
        let up: Vec<&NodeName> = cx
            .view
            .known()
            .filter(|seen| counts_as_up(seen.status.avail.as_ref(), Some(&seen.monitor.status)))
            .map(|seen| seen.node)
            .collect();
        let better_ready = natural[..rank.unwrap_or(natural.len())]
            .iter()
            .filter_map(|node| cx.view.on(node))
            .filter(|seen| seen.monitor.status == MonitorStatus::Ready)
            .count();
        let missing = wanted.saturating_sub(up.len());
        // Better ranked peers are about to start: also where the policy prefers this node to them by now.
        let is_enough = missing > 0 && better_ready >= missing;
        self.hold_if(!Self::is_orchestrated(cx), || Hold::NotOrchestrated);
        match cx.before.status {
            MonitorStatus::Ready | MonitorStatus::WaitParents => {
                let is_up = cx.local_avail() == Some(&Status::Up);
                self.hold_if(is_enough || up.len() > wanted, || Hold::Enough {
                    up: up.len() + better_ready,
                    target: wanted,
                });
                if up.len() > wanted || is_enough || is_up || !Self::is_orchestrated(cx) {
                    self.take_back(cx);
                } else {
                    self.go_on_waiting(cx);
                }
            }
            MonitorStatus::Idle if !Self::is_orchestrated(cx) => {}
            MonitorStatus::Idle if up.len() > wanted => self.stop_excess(cx, &up, wanted),
            MonitorStatus::Idle => {
                let is_placing = cx.before.global_expect == Some(GlobalExpect::Placed);
                let is_reached = up.len() == wanted && !is_placing;
                self.hold_if(is_reached || is_enough, || Hold::Enough {
                    up: up.len() + better_ready,
                    target: wanted,
                });
                if is_reached {
                    return;
                }
                let avail = cx.local_avail();
                let is_startable =
                    rules::is_stopped(avail) || (avail == Some(&Status::Warn) && cx.wants_start());
                self.hold_if(!is_startable, || Hold::Avail(avail.cloned()));
                self.hold_if(!cx.before.is_leader(), || not_leader(cx));
                if is_startable && cx.before.is_leader() && !is_enough {
                    self.announce_start(cx);
                }
            }
            _ => self.hold_doing(cx),
        }
    }

    /// Whether the effect of a target may not be known yet: an instance was not evaluated since its target changed. Where its
    /// clock was set back, its times say so for as long as it was ahead: then it is waited for as long as an evaluation takes.
    fn is_unsettled(&mut self, cx: &Cx<'_>) -> bool {
        let mut unsettled = BTreeMap::new();
        for seen in &cx.view.instances {
            let asked = seen.monitor.global_expect_updated.unwrap_or_default();
            let looked = (asked, seen.status.updated);
            if asked > seen.status.updated {
                let known = self.unsettled.get(seen.node).filter(|(known, _)| *known == looked);
                let since = known.map_or(cx.now.steady, |(_, since)| *since);
                unsettled.insert(seen.node.clone(), (looked, since));
            }
        }
        self.unsettled = unsettled;
        let waits = self.unsettled.values().map(|(_, since)| UNSETTLED_SECS - cx.now.since(*since));
        let longest = waits.filter(|left| *left > 0.0).reduce(f64::max);
        if let Some(left) = longest {
            self.wake_after(left);
        }
        longest.is_some()
    }

    /// More instances run than wanted: those on overloaded nodes stop first, then the worst ranked.
    fn stop_excess(&mut self, cx: &Cx<'_>, up: &[&NodeName], wanted: usize) {
        if !rules::is_started(cx.local_avail()) {
            return;
        }
        // A placement under way, or a target whose effect is not known yet: in doubt, wait.
        let is_placing = cx.view.instances.iter().any(|seen| {
            let target = seen.monitor.global_expect.as_ref();
            matches!(target, Some(GlobalExpect::Placed | GlobalExpect::PlacedAt(_)))
        });
        if self.is_unsettled(cx) || is_placing {
            self.hold(|| Hold::Unsettled);
            return;
        }
        let world = cx.view.world;
        let (overloaded, others): (Vec<&NodeName>, Vec<&NodeName>) =
            up.iter().partition(|node| world.node(node).is_some_and(is_overloaded));
        let mut to_stop: Vec<&NodeName> = ranks(&cx.view, &overloaded).into_iter().rev().collect();
        to_stop.extend(ranks(&cx.view, &others).into_iter().rev());
        to_stop.truncate(up.len() - wanted);
        if to_stop.contains(&world.local_node()) {
            self.tell("instance_stop", "flex_threshold");
            self.run(cx.now, Action::Stop { force: false }, MonitorStatus::Stopping, world);
        }
    }
}

/// Peers of which a claim is true.
fn nodes_of(cx: &Cx<'_>, is_so: impl FnMut(&&Seen<'_>) -> bool) -> Vec<NodeName> {
    cx.view.peers().filter(is_so).map(|seen| seen.node.clone()).collect()
}

/// Nodes other than this one where an operator wants the instance, and where it may still start.
///
/// The old instance has stopped, the new one does not act yet, and this one, stopped all along, has no target: deployed
/// agents announce a start here meanwhile, and count on the ready period of 5 s being longer than that moment. With a
/// short one, both would start.
fn destinations_elsewhere(cx: &Cx<'_>) -> Vec<NodeName> {
    let local = cx.view.world.local_node();
    let is_able = |seen: &&Seen<'_>| seen.status.is_known() && !seen.monitor.status.is_failed();
    let mut elsewhere = vec![];
    for seen in cx.view.peers() {
        if let Some(GlobalExpect::PlacedAt(nodes)) = &seen.monitor.global_expect
            && nodes.split(',').all(|node| node != local.as_str())
        {
            let named =
                cx.view.peers().filter(|seen| nodes.split(',').any(|it| it == seen.node.as_str()));
            elsewhere.extend(named.filter(is_able).map(|seen| seen.node.clone()));
        }
    }
    elsewhere.sort();
    elsewhere.dedup();
    elsewhere
}

/// Peers whose announced start goes before one of this node.
///
/// Two nodes that see a third object change at different moments may both take themselves for the leader for a while:
/// deployed agents then start both. The one listed first goes on, as seen by all alike.
fn contesting(cx: &Cx<'_>) -> Vec<NodeName> {
    let is_waiting = matches!(cx.before.status, MonitorStatus::Ready | MonitorStatus::WaitParents);
    let position = |node: &NodeName| {
        let listed = cx.settings.peers.iter().position(|peer| peer == node);
        (listed.unwrap_or(usize::MAX), node.clone())
    };
    let own = position(cx.view.world.local_node());
    let goes_before = |seen: &Seen<'_>| match cx.before.is_leader() {
        true => seen.monitor.is_leader() && position(seen.node) < own,
        false => is_waiting,
    };
    nodes_of(cx, |seen| seen.monitor.status == MonitorStatus::Ready && goes_before(seen))
}

/// Why this node is not the one that starts it.
fn not_leader(cx: &Cx<'_>) -> Hold {
    let candidates = candidates(&cx.view, Filters::ALL);
    // A node outside of the scope has no peers to look at.
    if candidates.is_empty() && !cx.settings.peers.is_empty() {
        let reason = |node: &NodeName| {
            discarded(&cx.view, node, Filters::ALL).map(|reason| (node.clone(), reason))
        };
        return Hold::NoCandidate(cx.settings.peers.iter().filter_map(reason).collect());
    }
    Hold::NotLeader(match candidates.as_slice() {
        [only] => Some((*only).clone()),
        candidates => ranks(&cx.view, candidates).first().copied().cloned(),
    })
}
