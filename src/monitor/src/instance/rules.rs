//! Words and sets that the parts of a pass share.

use model::{GlobalExpect, MonitorStatus, ObjectSettings, Provisioned, Status, Topology};

use crate::world::Seen;

/// Whether an object counts against `node.max_parallel`: an action runs on it.
#[must_use]
pub fn is_transition(status: &MonitorStatus) -> bool {
    status.is_transitioning() && *status != MonitorStatus::Scaling
}

/// Whether what is down now is about to come up there.
#[must_use]
pub fn is_coming_up(status: &MonitorStatus) -> bool {
    use MonitorStatus as S;
    matches!(status, S::Ready | S::Starting | S::Restarting | S::Placing | S::Provisioning)
}

/// Whether an abort ends what runs: all that takes its time, and is not over at once.
#[must_use]
pub fn is_ended_by_abort(status: &MonitorStatus) -> bool {
    use MonitorStatus as S;
    matches!(
        status,
        S::Starting
            | S::Stopping
            | S::Restarting
            | S::Placing
            | S::Shutdown
            | S::Shutting
            | S::Provisioning
            | S::Unprovisioning
            | S::Purging
            | S::Tocing
    )
}

/// Whether a target is given up because of how its last step ended (src/monitor/README.md, Targets).
#[must_use]
pub fn drops_target(status: &MonitorStatus, target: &GlobalExpect, is_leader: bool) -> bool {
    use GlobalExpect as G;
    // Literally `placed@`, without a destination.
    let is_placed = match target {
        G::Placed => true,
        G::PlacedAt(nodes) => nodes.is_empty(),
        _ => false,
    };
    match status {
        MonitorStatus::ThawFailed => *target == G::Thawed,
        MonitorStatus::FreezeFailed => *target == G::Frozen,
        MonitorStatus::StartFailed => *target == G::Started || (is_placed && is_leader),
        MonitorStatus::StopFailed => {
            matches!(target, G::Stopped | G::Purged | G::Unprovisioned) || (is_placed && !is_leader)
        }
        MonitorStatus::ShutdownFailed => *target == G::Shutdown,
        MonitorStatus::DeleteFailed => *target == G::Deleted,
        MonitorStatus::UnprovisionFailed => *target == G::Unprovisioned,
        MonitorStatus::ProvisionFailed => *target == G::Provisioned,
        MonitorStatus::PlaceFailed => *target == G::Placed,
        MonitorStatus::PurgeFailed => *target == G::Purged,
        _ => false,
    }
}

/// Set STARTED of src/monitor/README.md: up, or nothing to bring up.
pub(super) fn is_started(avail: Option<&Status>) -> bool {
    matches!(avail, Some(Status::NotApplicable | Status::Up))
}

/// Set STOPPED of src/monitor/README.md: standby resources may be up.
pub(super) fn is_stopped(avail: Option<&Status>) -> bool {
    matches!(
        avail,
        None | Some(
            Status::NotApplicable
                | Status::Down
                | Status::StdbyUp
                | Status::StdbyDown
                | Status::Unknown
        )
    )
}

/// Whether the frozen flag of the instance is set; that of its node does not count.
pub(super) fn is_frozen(seen: &Seen<'_>) -> bool {
    seen.status.frozen.is_some_and(|time| time.0 != 0.0)
}

/// Whether an instance is shut down: standby resources too, where it has some. One that is disabled, optional or not
/// applicable leaves the instance `down`, which deployed agents do not take for shut down: they shut it down for ever.
pub(super) fn is_shut_down(seen: &Seen<'_>) -> bool {
    let mut standby = seen
        .status
        .resources
        .iter()
        .flat_map(|resources| resources.values())
        .filter(|resource| resource.standby);
    match &seen.status.avail {
        Some(Status::NotApplicable) => true,
        Some(Status::Down) => !standby.any(|resource| resource.status == Status::StdbyUp),
        Some(Status::StdbyDown) => standby.next().is_some(),
        _ => false,
    }
}

/// Whether an unprovision has something left to undo there. Resources that cannot be provisioned count as provisioned, so
/// that an instance of these alone is never unprovisioned: deployed agents unprovision it for ever.
pub(super) fn is_to_unprovision(seen: &Seen<'_>, settings: Option<&ObjectSettings>) -> bool {
    if !matches!(seen.status.provisioned, Some(Provisioned::Yes | Provisioned::Mixed)) {
        return false;
    }
    let Some(resources) = seen.status.resources.as_ref().filter(|all| !all.is_empty()) else {
        return true;
    };
    let is_ignored = |rid: &str| {
        let settings = settings.and_then(|settings| settings.resources.get(rid));
        settings.is_some_and(|settings| settings.ignore_provisioned)
    };
    resources.iter().any(|(rid, resource)| {
        let is_provisioned = resource.provisioned.is_some_and(|provisioned| provisioned.state);
        is_provisioned && !resource.disable && !is_ignored(rid)
    })
}

/// Whether the monitor is free to take a step.
pub(super) fn is_available(status: &MonitorStatus) -> bool {
    matches!(status, MonitorStatus::Idle | MonitorStatus::Ready) || status.is_waiting()
}

/// Whether an object may be active on one of several nodes only.
#[must_use]
pub fn is_exclusive(settings: &ObjectSettings) -> bool {
    settings.topology == Topology::Failover && settings.peers.len() > 1 && !settings.disabled
}
