//! What actions do to a copied instance, when they succeed.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    EncapData, InstanceStatus, MonitorStatus, ObjectSettings, ResourceStatus, Status, Timestamp,
};
use serde_json::{Value, json};

use crate::{Action, instance_states};

/// The action that a published monitor status tells of; none for those that change no instance.
pub(super) fn action_of(status: &MonitorStatus) -> Option<Action> {
    Some(match status {
        MonitorStatus::Starting | MonitorStatus::Placing => Action::Start,
        MonitorStatus::Restarting => Action::Restart,
        MonitorStatus::Stopping | MonitorStatus::Tocing => Action::Stop { force: false },
        MonitorStatus::Shutdown | MonitorStatus::Shutting => Action::Shutdown,
        MonitorStatus::Freezing => Action::Freeze,
        MonitorStatus::Thawing => Action::Thaw,
        MonitorStatus::Provisioning => Action::Provision { leader: false },
        MonitorStatus::Unprovisioning | MonitorStatus::Purging => {
            Action::Unprovision { leader: false }
        }
        MonitorStatus::Deleting => Action::Delete,
        _ => return None,
    })
}

/// Changes an instance as the end of an action would.
pub(super) fn carry_out(
    status: &mut InstanceStatus,
    settings: &ObjectSettings,
    action: &Action,
    now: Timestamp,
) {
    match action {
        Action::Start | Action::Restart => set_states(status, start),
        Action::Stop { force: false } => set_states(status, |_, resource| stop(resource, false)),
        Action::Stop { force: true } | Action::Shutdown => {
            set_states(status, |_, resource| stop(resource, true));
        }
        Action::Freeze => status.frozen = Some(now),
        Action::Thaw | Action::ThawAll => status.frozen = Some(Timestamp::NEVER),
        Action::Provision { leader } => {
            set_provisioned(status, true);
            // The leader keeps what it started, the others roll it back.
            if *leader || settings.peers.len() < 2 {
                set_states(status, start);
            }
        }
        Action::Unprovision { .. } => {
            set_states(status, |_, resource| stop(resource, true));
            set_provisioned(status, false);
        }
        Action::StartResources { rids, slave: None, .. } => {
            set_states(status, |rid, resource| match rids.iter().any(|r| r == rid) {
                true => start(rid, resource),
                false => resource.status.clone(),
            });
        }
        Action::StartResources { slave: Some(guest), .. } => {
            if let Some(EncapData::Host(guests)) = &mut status.encap
                && let Some(Value::Object(data)) = guests.get_mut(guest)
            {
                data.insert("resources".to_owned(), json!({}));
            }
        }
        Action::Toc => set_states(status, |_, resource| stop(resource, false)),
        Action::Refresh | Action::Delete | Action::Stonith { .. } | Action::Other(_) => {}
    }
    status.updated = now;
    let Some(resources) = status.resources.as_ref().filter(|resources| !resources.is_empty())
    else {
        return;
    };
    let no_guests = BTreeMap::new();
    let guests = match &status.encap {
        Some(EncapData::Host(guests)) => guests,
        Some(EncapData::Guest(_)) | None => &no_guests,
    };
    let states = instance_states(settings, resources, guests);
    status.avail = Some(states.avail);
    status.overall = Some(states.overall);
    status.optional = Some(states.optional);
    status.status_group = Some(Arc::new(states.status_group));
    status.provisioned = states.provisioned;
}

fn start(_: &str, resource: &ResourceStatus) -> Status {
    match &resource.status {
        Status::NotApplicable => Status::NotApplicable,
        _ if resource.disable => resource.status.clone(),
        _ if resource.standby => Status::StdbyUp,
        _ => Status::Up,
    }
}

fn stop(resource: &ResourceStatus, force: bool) -> Status {
    match &resource.status {
        Status::NotApplicable => Status::NotApplicable,
        _ if resource.disable => resource.status.clone(),
        _ if resource.standby && force => Status::StdbyDown,
        _ if resource.standby => resource.status.clone(),
        _ => Status::Down,
    }
}

fn set_states(status: &mut InstanceStatus, state: impl Fn(&str, &ResourceStatus) -> Status) {
    for (rid, resource) in status.resources.iter_mut().flatten() {
        let after = state(rid, resource);
        if after != resource.status {
            let resource = Arc::make_mut(resource);
            resource.status = after;
            resource.log.clear();
        }
    }
    // What guests report follows their host.
    if let Some(EncapData::Host(guests)) = &mut status.encap {
        for (rid, guest) in guests {
            let host = status.resources.as_ref().and_then(|resources| resources.get(rid));
            if let (Some(host), Value::Object(guest)) = (host, guest) {
                guest.insert("avail".to_owned(), json!(host.status));
                guest.insert("overall".to_owned(), json!(host.status));
            }
        }
    }
}

fn set_provisioned(status: &mut InstanceStatus, is_provisioned: bool) {
    for resource in status.resources.iter_mut().flat_map(BTreeMap::values_mut) {
        if let Some(provisioned) = &mut Arc::make_mut(resource).provisioned {
            provisioned.state = is_provisioned;
        }
    }
}
