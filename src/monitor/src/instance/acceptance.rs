//! Which targets an instance takes over, and which are reached or in vain.

use model::{Aggregate, Frozen, GlobalExpect, LocalExpect, MonitorStatus, Provisioned, Status};

use crate::instance::rules;
use crate::placement::{Filters, candidates, leaders};
use crate::world::ObjectView;

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
pub(crate) fn is_deleted(object: &ObjectView<'_>) -> bool {
    object.known().next().is_none()
}

/// Whether some instance has a target that an abort is to drop, or runs what it is to end. What was asked after the abort
/// is none of its business: what follows it, and what replaces it.
pub(crate) fn is_abort_pending(object: &ObjectView<'_>) -> bool {
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
pub(crate) fn has_no_option_left(object: &ObjectView<'_>) -> bool {
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
pub(crate) fn is_placed(aggregate: &Aggregate) -> bool {
    matches!(aggregate.placement.as_deref(), Some("optimal" | "n/a"))
        && rules::is_started(aggregate.avail.as_ref())
}
