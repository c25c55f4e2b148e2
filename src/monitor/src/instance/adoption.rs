//! Targets that peers have, taken over (src/monitor/README.md, Targets).

use model::{
    Aggregate, Frozen, GlobalExpect, InstanceMonitor, LocalExpect, MonitorStatus, ObjectPath,
    Provisioned, Status, Topology,
};

use super::{InstanceCore, rules};
use crate::{Filters, Moment, ObjectView, Seen, World, candidates, leaders};

impl InstanceCore {
    pub(super) fn adopt(&mut self, now: Moment, world: &dyn World) {
        if self.monitor.global_expect == Some(GlobalExpect::Aborted) {
            return;
        }
        let (path, before, since) = (self.path.clone(), self.monitor.clone(), self.since.target);
        let view = ObjectView::with_monitor(world, &path, Some(&before));
        let Some(local) = view.local() else { return };
        if !local.status.is_known() {
            return;
        }
        let is_disabled = view.settings.is_some_and(|settings| settings.disabled);
        for peer in view.instances.iter().filter(|seen| seen.node != world.local_node()) {
            let Some(target) = &peer.monitor.global_expect else { continue };
            if self.monitor.global_expect.as_ref() == Some(target) {
                continue;
            }
            let given_up = self.given_up.get(peer.node);
            if given_up.is_some_and(|(known, since)| {
                known == target && *since == peer.monitor.global_expect_updated
            }) {
                continue;
            }
            // A newer local target stays, one just adopted from another peer too. Of two of the same time, all nodes take the
            // same.
            if let Some(own) = &self.monitor.global_expect
                && let Some(theirs) = peer.monitor.global_expect_updated
                && let Some(ours) = self.monitor.global_expect_updated
                && (theirs < ours || (theirs == ours && target.to_string() < own.to_string()))
            {
                continue;
            }
            if is_disabled && !target.is_beside_resources() {
                continue;
            }
            if is_about_an_earlier_object(world, &path, peer, target, now) {
                continue;
            }
            if accepts(&view, target) || is_outrun(&view, &self.monitor, peer.monitor) {
                // As old as it is there. Deployed agents take the time at which they take it over: it then goes before what
                // was asked later elsewhere.
                let updated = peer.monitor.global_expect_updated.unwrap_or(now.wall);
                self.set_global_expect_at(now, updated, Some(target.clone()));
                if *target == GlobalExpect::Aborted {
                    break;
                }
            }
        }
        // What comes back to where it was is no news, or all nodes would tell each other of it without end.
        if self.monitor.global_expect == before.global_expect {
            self.monitor = before;
            self.since.target = since;
        }
    }
}

/// Whether the order of a node without instance, to delete, is about an object that had this path before the one that is
/// here.
fn is_about_an_earlier_object(
    world: &dyn World,
    path: &ObjectPath,
    peer: &Seen<'_>,
    target: &GlobalExpect,
    now: Moment,
) -> bool {
    let is_deletion = matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
    let written = world.config(world.local_node(), path).map(|config| config.updated);
    let asked = peer.monitor.global_expect_updated;
    // What is dated ahead of the clock was not written later.
    is_deletion
        && !peer.status.is_known()
        && written.zip(asked).is_some_and(|(written, asked)| asked < written && written <= now.wall)
}

/// Whether this node is the destination of a move, and a peer was told later to move the object elsewhere: of two
/// destinations one is enough. Deployed agents start on both.
fn is_outrun(view: &ObjectView<'_>, ours: &InstanceMonitor, theirs: &InstanceMonitor) -> bool {
    let is_failover = view.settings.is_some_and(|settings| settings.topology == Topology::Failover);
    let local = view.world.local_node().as_str();
    let (Some(GlobalExpect::PlacedAt(here)), Some(GlobalExpect::PlacedAt(_))) =
        (&ours.global_expect, &theirs.global_expect)
    else {
        return false;
    };
    is_failover && &**here == local && ours.global_expect_updated < theirs.global_expect_updated
}

/// Whether the local instance takes over a target that a peer has.
#[must_use]
pub fn accepts(object: &ObjectView<'_>, target: &GlobalExpect) -> bool {
    let Some(local) = object.local() else { return false };
    // Freezing, thawing and aborting are worth another try.
    let is_retried =
        matches!(target, GlobalExpect::Aborted | GlobalExpect::Thawed | GlobalExpect::Frozen);
    if !is_retried && rules::drops_target(&local.monitor.status, target, local.monitor.is_leader())
    {
        return false;
    }
    // As published: a state that nobody has computed yet asks for nothing.
    let aggregate = object.world.aggregate(object.path).cloned().unwrap_or_default();
    let avail = local.status.avail.as_ref();
    let is_scaler = local.status.scale.is_some();
    let is_applicable = avail != Some(&Status::NotApplicable);
    let is_frozen = rules::is_frozen(local);
    match target {
        GlobalExpect::Stopped => !rules::is_stopped(avail) || !is_frozen,
        GlobalExpect::Shutdown => {
            (is_applicable || is_scaler) && !object.known().all(rules::is_shut_down)
        }
        GlobalExpect::Started => {
            (is_applicable || is_scaler)
                && (rules::is_stopped(aggregate.avail.as_ref()) || is_frozen)
        }
        GlobalExpect::Frozen => aggregate.frozen.is_some_and(|frozen| frozen != Frozen::Frozen),
        GlobalExpect::Thawed => aggregate.frozen.is_some_and(|frozen| frozen != Frozen::Thawed),
        GlobalExpect::Provisioned => {
            !matches!(aggregate.provisioned, None | Some(Provisioned::Yes))
        }
        GlobalExpect::Unprovisioned => {
            !matches!(aggregate.provisioned, None | Some(Provisioned::No))
        }
        GlobalExpect::Deleted => !is_deleted(object),
        GlobalExpect::Purged => {
            let is_clean = matches!(
                aggregate.provisioned,
                Some(Provisioned::Yes | Provisioned::NotApplicable)
            );
            !(is_deleted(object) && is_clean)
        }
        GlobalExpect::Aborted => is_abort_pending(object),
        GlobalExpect::Placed => {
            let is_misplaced = aggregate.placement.as_deref() == Some("non-optimal")
                || aggregate.avail != Some(Status::Up)
                || aggregate.frozen == Some(Frozen::Frozen);
            is_applicable && is_misplaced && !has_no_option_left(object)
        }
        GlobalExpect::PlacedAt(nodes) => {
            let is_destination = nodes.split(',').any(|node| node == local.node.as_str());
            is_applicable && rules::is_stopped(avail) == is_destination
        }
        GlobalExpect::Restarted(Some(time)) => {
            local.monitor.local_expect == Some(LocalExpect::Started)
                && local.monitor.local_expect_updated.is_none_or(|started| started < *time)
        }
        GlobalExpect::Restarted(None) | GlobalExpect::Scaled | GlobalExpect::Other(_) => false,
    }
}

/// Whether no instance is left anywhere.
pub(super) fn is_deleted(object: &ObjectView<'_>) -> bool {
    object.known().next().is_none()
}

/// Whether some instance has a target that an abort is to drop, or runs what it is to end. What was asked after the abort
/// is none of its business: what follows it, and what replaces it.
pub(super) fn is_abort_pending(object: &ObjectView<'_>) -> bool {
    let own = object.local().map(|seen| seen.monitor);
    let own = own.filter(|own| own.global_expect == Some(GlobalExpect::Aborted));
    let asked = own.and_then(|own| own.global_expect_updated);
    object.instances.iter().any(|seen| {
        let global = seen.monitor.global_expect.as_ref();
        let local = seen.monitor.local_expect.as_ref();
        let is_later = asked
            .is_some_and(|asked| seen.monitor.global_expect_updated.is_some_and(|at| at > asked));
        global.is_some_and(|target| *target != GlobalExpect::Aborted && !is_later)
            || local.is_some_and(|target| *target != LocalExpect::Started)
            || rules::is_ended_by_abort(&seen.monitor.status)
    })
}

/// Whether every node that could be the leader failed to start, and nothing runs elsewhere.
pub(super) fn has_no_option_left(object: &ObjectView<'_>) -> bool {
    let kept = Filters { start_failed: false, frozen: false, ..Filters::ALL };
    let leaders = leaders(object, &candidates(object, kept));
    object.known().all(|seen| {
        if leaders.contains(&seen.node) {
            seen.monitor.status == MonitorStatus::PlaceFailed
        } else {
            rules::is_stopped(seen.status.avail.as_ref())
        }
    })
}

/// Whether a placed object is where it is wanted, and runs.
pub(super) fn is_placed(aggregate: &Aggregate) -> bool {
    matches!(aggregate.placement.as_deref(), Some("optimal" | "n/a"))
        && rules::is_started(aggregate.avail.as_ref())
}
