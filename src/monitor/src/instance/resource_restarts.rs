//! Supervision of the resources: restarts, and the monitor action when they are used up
//! (src/monitor/README.md, Supervision).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use std::collections::BTreeMap;

use model::{
    EncapData, GlobalExpect, LocalExpect, MonitorStatus, NodeMonitorStatus, ResourceStatus,
    Restart, Status,
};

use crate::effect::{Action, Effect, Event};
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::rules::is_exclusive;
use crate::instance::{InstanceCore, Then, rules};
use crate::placement::{Filters, candidates};
use crate::world::World;

/// Restarts of a standby resource that asks for fewer.
const STANDBY_RESTARTS: u32 = 2;

/// The pause before the second restart of a resource that does not stay up, doubled for each next one, up to the longest.
const FIRST_PAUSE_SECS: f64 = 1.0;
const LONGEST_PAUSE_SECS: f64 = 30.0;

/// What one resource needs.
#[derive(Debug, PartialEq)]
enum Need {
    /// Nothing: it works. Its counter goes in so many seconds.
    Recovered(f64),
    /// Nothing: nobody asks for it, or it cannot be.
    Nothing,
    /// Nothing more: so many restarts were allowed.
    GivenUp(u32),
    /// One more restart.
    Restart { tries: u32, allowed: u32, standby: bool },
    /// A restart, after so many seconds.
    Later(f64),
    /// Its restarts are used up, which is noticed once.
    UsedUp { tries: u32, allowed: u32, monitored: bool, standby: bool },
}

impl InstanceCore {
    pub(super) fn supervise(&mut self, cx: &Cx<'_>) -> bool {
        // With quorum on: another node has it now, and this one has nothing left to keep up. It would restart it once it
        // lost sight of that node. Deployed agents go on claiming it.
        if cx.conditions.ballot.is_some()
            && is_exclusive(cx.settings)
            && cx.before.status == MonitorStatus::Idle
            && cx.before.local_expect == Some(LocalExpect::Started)
            && rules::is_stopped(cx.local_avail())
            && cx.is_elsewhere()
        {
            self.set_local_expect(cx.now, None);
            return true;
        }
        if !is_supervised(cx) {
            return true;
        }
        let Some(local) = cx.view.local().filter(|seen| seen.status.is_known()) else {
            return true;
        };
        let resources = local.status.resources.iter().flatten();
        let own: Vec<_> = resources
            .filter(|(_, status)| !status.encap)
            .map(|(rid, status)| (rid.as_str(), &**status))
            .collect();
        if self.supervise_resources(cx, &own, None) {
            return true;
        }
        if let Some(EncapData::Host(guests)) = &local.status.encap {
            for (guest, data) in guests {
                let Some(resources) = thawed_guest_resources(data) else { continue };
                let resources: Vec<_> =
                    resources.iter().map(|(rid, status)| (rid.as_str(), status)).collect();
                if self.supervise_resources(cx, &resources, Some(guest)) {
                    break;
                }
            }
        }
        true
    }

    /// True when an action was started.
    fn supervise_resources(
        &mut self,
        cx: &Cx<'_>,
        resources: &[(&str, &ResourceStatus)],
        guest: Option<&String>,
    ) -> bool {
        for (rid, status) in resources {
            match is_well(status) {
                true => _ = self.since.up.entry((*rid).to_owned()).or_insert(cx.now.steady),
                false => _ = self.since.up.remove(*rid),
            }
        }
        let needs: Vec<(&str, Need)> =
            resources.iter().map(|(rid, status)| (*rid, self.need(cx, rid, status))).collect();
        for (rid, need) in &needs {
            match need {
                Need::Recovered(left) => self.forget_restarts(rid, *left),
                Need::UsedUp { tries, allowed, monitored, standby } => {
                    self.count(cx, rid, *tries);
                    let can_leave = *monitored && has_other_candidate(cx);
                    let event = match (monitored, can_leave, standby) {
                        (true, true, _) => "resource_toc",
                        (true, false, _) => "resource_would_toc",
                        (false, _, true) => "max_stdby_resource_restart",
                        (false, _, false) if *allowed > 0 => "max_resource_restart",
                        (false, _, false) => "resource_degraded",
                    };
                    self.tell_resource(event, rid, *tries, *allowed);
                    if can_leave {
                        let world = cx.view.world;
                        self.run(cx.now, Action::Toc, MonitorStatus::Tocing, world);
                        return true;
                    }
                }
                Need::Later(delay) => {
                    let (rid, left) = ((*rid).to_owned(), *delay);
                    self.hold(|| Hold::RestartDelay { rid, left });
                    self.wake_after(*delay);
                }
                Need::GivenUp(allowed) => {
                    let is_optional = resources.iter().any(|(it, s)| it == rid && s.optional);
                    let (rid, allowed) = ((*rid).to_owned(), *allowed);
                    // The object does without it.
                    self.hold_if(!is_optional, || Hold::RestartsUsedUp { rid, allowed });
                }
                Need::Nothing | Need::Restart { .. } => {}
            }
        }
        // One kind of start at a time: the other kind is restarted by the pass that follows it.
        let is_standby = |need: &Need| matches!(need, Need::Restart { standby: true, .. });
        let is_plain = |need: &Need| matches!(need, Need::Restart { standby: false, .. });
        let standby = !needs.iter().any(|(_, need)| is_plain(need));
        let mut rids = vec![];
        for (rid, need) in &needs {
            if let Need::Restart { tries, allowed, .. } = need
                && is_standby(need) == standby
            {
                self.count(cx, rid, *tries);
                let event = if standby { "stdby_resource_restart" } else { "resource_restart" };
                self.tell_resource(event, rid, *tries, *allowed);
                rids.push((*rid).to_owned());
            }
        }
        if rids.is_empty() {
            return false;
        }
        let action = Action::StartResources { rids, standby, slave: guest.cloned() };
        self.set_status(cx.now, MonitorStatus::Restarting, cx.view.world);
        self.start_run(action, Then::Plain);
        true
    }

    fn need(&self, cx: &Cx<'_>, rid: &str, status: &ResourceStatus) -> Need {
        let settings = cx.settings.resources.get(rid);
        let reset = settings.map_or(0.0, |settings| settings.restart_reset);
        if is_well(status) {
            let up = self.since.up.get(rid).map_or(0.0, |since| cx.now.since(*since));
            return Need::Recovered(reset - up);
        }
        let is_unprovisioned = status.provisioned.is_some_and(|provisioned| !provisioned.state);
        if is_unprovisioned || status.disable {
            return Need::Nothing;
        }
        let restart = settings.map_or(status.restart, |settings| settings.restart);
        let is_monitored = settings.map_or(status.monitor, |settings| settings.monitor);
        let delay = settings.map_or(0.0, |settings| settings.restart_delay);
        let is_started = cx.before.local_expect == Some(LocalExpect::Started);
        if !is_started && !status.standby {
            return Need::Nothing;
        }
        // A standby resource is kept up whatever becomes of its instance. Where it has a monitor action too, that one
        // comes when its own restarts are used up.
        let allowed = match status.standby && !(is_started && is_monitored) {
            true => restart.max(STANDBY_RESTARTS),
            false => restart,
        };
        let counter = self.monitor.restart.get(rid).copied();
        let done = counter.map_or(0, |counter| counter.retries);
        if done > allowed {
            return Need::GivenUp(allowed);
        }
        // Its own restarts first, with what needs it, then those that all standby resources have.
        let standby = !is_started || done >= restart;
        if done == allowed {
            let monitored = is_monitored && is_started;
            let standby = status.standby && !monitored;
            return Need::UsedUp { tries: done + 1, allowed, monitored, standby };
        }
        // Up on another node meanwhile, or on the other side of a split: one is enough. Deployed agents restart beside it.
        if !standby && (cx.is_elsewhere() || cx.has_no_quorum()) {
            return Need::Nothing;
        }
        if let Some(since) = self.since.restarts.get(rid) {
            let waited = cx.now.since(*since);
            let delay = if reset > 0.0 { delay.max(pause_secs(done)) } else { delay };
            if waited < delay {
                return Need::Later(delay - waited);
            }
        }
        Need::Restart { tries: done + 1, allowed, standby }
    }

    /// The counter of a resource that is up goes, in so many seconds if it stays up.
    fn forget_restarts(&mut self, rid: &str, left: f64) {
        if left <= 0.0 {
            self.monitor.restart.remove(rid);
        } else if self.monitor.restart.contains_key(rid) {
            self.wake_after(left);
        }
    }

    fn count(&mut self, cx: &Cx<'_>, rid: &str, retries: u32) {
        self.monitor.restart.insert(rid.to_owned(), Restart { retries, updated: cx.now.wall });
        self.since.restarts.insert(rid.to_owned(), cx.now.steady);
    }

    fn tell_resource(&mut self, id: &'static str, rid: &str, tries: u32, allowed: u32) {
        let event = Event {
            rid: Some(rid.to_owned()),
            tries: Some((tries, allowed)),
            ..Event::new(id, "")
        };
        self.effects.push(Effect::Event(event));
    }

    /// After a restart that succeeded: what is up again starts counting anew, if it needs not prove that it stays up.
    pub(super) fn forget_restarts_of_recovered(&mut self, rids: &[String], world: &dyn World) {
        let settings = world.settings(&self.path);
        let has_to_stay = |rid: &String| {
            settings.and_then(|all| all.resources.get(rid)).is_some_and(|it| it.restart_reset > 0.0)
        };
        let Some(local) = world.instance(world.local_node(), &self.path) else { return };
        for rid in rids {
            let status = local.resources.as_ref().and_then(|resources| resources.get(rid));
            let is_up = status.is_some_and(|r| matches!(r.status, Status::Up | Status::StdbyUp));
            if is_up && !has_to_stay(rid) {
                self.monitor.restart.remove(rid);
            }
        }
    }

    /// Whether a resource that is not up has used restarts.
    pub(super) fn has_restarts_at_work(&self, cx: &Cx<'_>) -> bool {
        cx.before.restart.keys().any(|rid| !self.since.up.contains_key(rid))
    }

    /// Whether a resource that is not well has restarts left, or a monitor action.
    pub(super) fn has_resource_to_handle(&self, cx: &Cx<'_>) -> bool {
        let Some(local) = cx.view.local() else { return false };
        local.status.resources.iter().flatten().any(|(rid, status)| {
            let is_well = matches!(
                status.status,
                Status::Up | Status::StdbyUp | Status::NotApplicable | Status::Undef
            );
            let settings = cx.settings.resources.get(rid);
            let restart = settings.map_or(status.restart, |settings| settings.restart);
            let is_monitored = settings.map_or(status.monitor, |settings| settings.monitor);
            let done = self.monitor.restart.get(rid).map_or(0, |counter| counter.retries);
            !status.disable && !is_well && (done < restart || is_monitored)
        })
    }
}

/// How long after the last restart the next one comes of a resource that was restarted so often.
fn pause_secs(done: u32) -> f64 {
    match done.checked_sub(1) {
        None => 0.0,
        Some(doubled) => {
            (FIRST_PAUSE_SECS * f64::from(doubled.min(10)).exp2()).min(LONGEST_PAUSE_SECS)
        }
    }
}

fn is_well(status: &ResourceStatus) -> bool {
    !matches!(status.status, Status::Warn | Status::Down | Status::StdbyDown)
}

fn is_supervised(cx: &Cx<'_>) -> bool {
    let is_going = match &cx.before.global_expect {
        Some(
            GlobalExpect::Unprovisioned
            | GlobalExpect::Purged
            | GlobalExpect::Deleted
            | GlobalExpect::Frozen,
        ) => true,
        // It is to run elsewhere, and may be starting there. Deployed agents restart it all the same.
        Some(GlobalExpect::PlacedAt(nodes)) => {
            let local = cx.view.world.local_node();
            !nodes.split(',').any(|node| node == local.as_str())
        }
        _ => false,
    };
    cx.node_status() != Some(&NodeMonitorStatus::Shutting)
        && !cx.is_node_frozen()
        && !cx.is_instance_frozen()
        && !cx.settings.disabled
        && cx.before.status == MonitorStatus::Idle
        && !is_going
}

fn has_other_candidate(cx: &Cx<'_>) -> bool {
    let local = cx.view.world.local_node();
    candidates(&cx.view, Filters::ALL).iter().any(|node| *node != local)
}

/// Resources that a guest reported, none while it is frozen or has reported nothing.
fn thawed_guest_resources(data: &serde_json::Value) -> Option<BTreeMap<String, ResourceStatus>> {
    let is_frozen = data.get("frozen").and_then(serde_json::Value::as_f64).unwrap_or(0.0) != 0.0;
    if is_frozen {
        return None;
    }
    serde_json::from_value(data.get("resources")?.clone()).ok()
}
