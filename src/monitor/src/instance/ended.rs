//! What becomes of an instance when an action on it ended, and when an abort has one ended.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{GlobalExpect, LocalExpect, MonitorStatus, Orchestrate};

use super::pacing::Looks;
use super::{InstanceCore, Run, Then, rules};
use crate::{Action, Effect, Event, Moment, RunId, World};

impl InstanceCore {
    /// Takes the end of a run: `exit_code` 0 is success. Call [`pass`](Self::pass) afterwards.
    pub fn on_action_done(
        &mut self,
        now: impl Into<Moment>,
        id: RunId,
        exit_code: i32,
        world: &dyn World,
    ) {
        let now = now.into();
        let Some(Run { action, then, before }) = self.runs.remove(&id) else { return };
        if let Some((target, looks)) = before {
            let has_changed = Looks::of(now, &action, &self.path, world).as_ref() != Some(&looks);
            self.pacing.ended(now, &action, target.as_ref(), has_changed);
        }
        let succeeded = exit_code == 0;
        if !succeeded && !matches!(action, Action::Refresh | Action::Stonith { .. }) {
            self.tell_failure(world);
        }
        let is_ended_start = !succeeded
            && matches!(action, Action::Start | Action::Restart | Action::StartResources { .. });
        match action {
            Action::Start => {
                let failed = match then {
                    Then::Placed => MonitorStatus::PlaceFailed,
                    Then::Plain | Then::Purge => MonitorStatus::StartFailed,
                };
                self.end(now, succeeded, failed, world);
                if succeeded {
                    self.expect_started(now);
                    self.monitor.restart.clear();
                }
            }
            Action::Stop { .. } => {
                self.end(now, succeeded, MonitorStatus::StopFailed, world);
                if succeeded {
                    self.set_local_expect(now, None);
                }
            }
            Action::Shutdown => {
                self.end(now, succeeded, MonitorStatus::ShutdownFailed, world);
                self.set_local_expect(now, None);
            }
            Action::Restart => self.end_restart(now, succeeded, world),
            Action::Freeze | Action::Thaw | Action::ThawAll => {
                self.set_status(now, MonitorStatus::Idle, world);
            }
            Action::Provision { .. } => {
                if succeeded {
                    self.run(now, Action::ThawAll, MonitorStatus::Thawing, world);
                } else {
                    self.set_status(now, MonitorStatus::ProvisionFailed, world);
                }
            }
            Action::Unprovision { .. } => self.end_unprovision(now, succeeded, &then, world),
            Action::Delete => {
                let failed = if then == Then::Purge {
                    MonitorStatus::PurgeFailed
                } else {
                    MonitorStatus::DeleteFailed
                };
                self.end(now, succeeded, failed, world);
            }
            Action::Toc => self.end_toc(now, succeeded, world),
            Action::StartResources { ref rids, .. } => {
                self.set_status(now, MonitorStatus::Idle, world);
                if succeeded {
                    self.forget_restarts_of_recovered(rids, world);
                }
            }
            Action::Refresh | Action::Stonith { .. } | Action::Other(_) => {}
        }
        if is_ended_start {
            self.hold_after_abort(now, world);
        }
    }

    /// Tells why an action failed, as far as it is known.
    pub(super) fn tell_failure(&mut self, world: &dyn World) {
        let instance = world.instance(world.local_node(), &self.path);
        let Some(failure) = instance.and_then(|status| status.last_failure.as_deref()) else {
            return self.tell("instance_failed", "");
        };
        let avail = instance.and_then(|status| status.avail.as_ref());
        let avail = avail.map_or("unknown", |avail| avail.as_str());
        let event = Event {
            rid: failure.rid.clone(),
            text: Some(format!("{} is {avail}: {failure}", self.path)),
            ..Event::new("instance_failed", "")
        };
        self.effects.push(Effect::Event(event));
    }

    fn end_restart(&mut self, now: Moment, succeeded: bool, world: &dyn World) {
        self.end(now, succeeded, MonitorStatus::RestartFailed, world);
        if succeeded {
            self.monitor.restart.clear();
            self.expect_started(now);
            // Later than the restart was asked for, whatever the clock of who asked: it is done.
            if let Some(GlobalExpect::Restarted(asked)) = self.monitor.global_expect {
                self.monitor.local_expect_updated = Some(now.newer_than([asked]));
                self.set_global_expect(now, None);
            }
        }
    }

    fn end_unprovision(&mut self, now: Moment, succeeded: bool, then: &Then, world: &dyn World) {
        match (then, succeeded) {
            (Then::Purge, true) => {
                self.run_then(now, Action::Delete, Then::Purge, MonitorStatus::Deleting, world);
            }
            (Then::Purge, false) => self.set_status(now, MonitorStatus::PurgeFailed, world),
            (Then::Plain | Then::Placed, _) => {
                self.end(now, succeeded, MonitorStatus::UnprovisionFailed, world);
                self.set_local_expect(now, None);
            }
        }
    }

    fn end_toc(&mut self, now: Moment, succeeded: bool, world: &dyn World) {
        if !succeeded {
            self.set_status(now, MonitorStatus::TocFailed, world);
            return;
        }
        // A switch has announced a failed start meanwhile, which keeps this node out of the ranks.
        if self.monitor.status == MonitorStatus::Tocing {
            self.set_status(now, MonitorStatus::Idle, world);
        }
        self.set_local_expect(now, None);
    }

    /// A start that an abort ended: the object is frozen, else another node starts it, or this one again, and it hangs
    /// alike.
    pub(super) fn hold_after_abort(&mut self, now: Moment, world: &dyn World) {
        let is_aborted = self.monitor.global_expect == Some(GlobalExpect::Aborted);
        let is_orchestrated =
            world.settings(&self.path).is_some_and(|it| it.orchestrate != Orchestrate::No);
        if is_aborted && is_orchestrated {
            self.tell("instance_freeze", "abort");
            self.set_global_expect(now, Some(GlobalExpect::Frozen));
        }
    }

    /// Has what runs ended, once per abort.
    pub(super) fn end_by_abort(&mut self) {
        let asked = self.monitor.global_expect_updated;
        let is_asked = self.monitor.global_expect == Some(GlobalExpect::Aborted)
            && rules::is_ended_by_abort(&self.monitor.status);
        if is_asked && self.ended_for != asked {
            self.ended_for = asked;
            self.tell("instance_abort", "target");
            self.effects.push(Effect::EndAction);
        }
    }

    /// It was started, and is to be kept so, unless the node began to shut down or drain meanwhile.
    fn expect_started(&mut self, now: Moment) {
        if self.monitor.local_expect != Some(LocalExpect::Shutdown) {
            self.set_local_expect(now, Some(LocalExpect::Started));
        }
    }

    fn end(&mut self, now: Moment, succeeded: bool, failed: MonitorStatus, world: &dyn World) {
        let status = if succeeded { MonitorStatus::Idle } else { failed };
        self.set_status(now, status, world);
    }
}
