//! What the parts of a pass do: changes of the monitor data, runs, alarms, and why nothing is done.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{GlobalExpect, LocalExpect, MonitorStatus, Timestamp};

use crate::effect::{Action, Effect, Event, RunId};
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::pacing::Wait;
use crate::instance::{ALARM_MARGIN_SECS, InstanceCore, Run, Then};
use crate::moment::Moment;
use crate::world::World;

impl InstanceCore {
    /// Sets the status. Leaving a failed one counts this node among the candidates again at once.
    pub(super) fn set_status(&mut self, now: Moment, status: MonitorStatus, world: &dyn World) {
        let was_failed = self.monitor.status.is_failed();
        if self.monitor.status != status {
            self.monitor.status = status;
            self.monitor.status_updated = Some(now.wall);
            (self.since.status, self.since.look) = (Some(now.steady), None);
            if was_failed {
                self.place(world);
            }
        }
    }

    pub(super) fn set_local_expect(&mut self, now: Moment, target: Option<LocalExpect>) {
        if self.monitor.local_expect != target {
            self.monitor.local_expect = target;
            self.monitor.local_expect_updated = Some(now.wall);
        }
    }

    pub(super) fn set_global_expect(&mut self, now: Moment, target: Option<GlobalExpect>) {
        let own = self.monitor.global_expect.as_ref().and(self.monitor.global_expect_updated);
        let updated = now.newer_than([own.filter(|_| target.is_some())]);
        self.set_global_expect_at(now, updated, target);
    }

    pub(super) fn set_global_expect_at(
        &mut self,
        now: Moment,
        updated: Timestamp,
        target: Option<GlobalExpect>,
    ) {
        if self.monitor.global_expect != target {
            self.monitor.global_expect = target;
            self.monitor.global_expect_updated = Some(updated);
            self.since.target = Some(now.steady);
        }
    }

    /// Drops the target: it is reached, or cannot be.
    pub(super) fn give_up_target(&mut self, cx: &Cx<'_>) {
        let target = &cx.before.global_expect;
        self.given_up = cx
            .view
            .instances
            .iter()
            .filter(|seen| seen.node != cx.view.world.local_node())
            .filter_map(|seen| {
                let theirs = seen
                    .monitor
                    .global_expect
                    .clone()
                    .filter(|_| seen.monitor.global_expect == *target)?;
                Some((seen.node.clone(), (theirs, seen.monitor.global_expect_updated)))
            })
            .collect();
        self.set_global_expect(cx.now, None);
    }

    /// Runs an action, announced by `status`.
    pub(super) fn run(
        &mut self,
        now: Moment,
        action: Action,
        status: MonitorStatus,
        world: &dyn World,
    ) {
        self.run_then(now, action, Then::Plain, status, world);
    }

    pub(super) fn run_then(
        &mut self,
        now: Moment,
        action: Action,
        then: Then,
        status: MonitorStatus,
        world: &dyn World,
    ) {
        self.set_status(now, status, world);
        self.start_run(action, then);
    }

    pub(super) fn start_run(&mut self, action: Action, then: Then) {
        let id = RunId(self.next_run);
        self.next_run += 1;
        self.runs.insert(id, Run { action: action.clone(), then, before: None });
        self.effects.push(Effect::Run { id, action });
    }

    pub(super) fn wake_after(&mut self, secs: f64) {
        self.effects.push(Effect::WakeAfter(secs + ALARM_MARGIN_SECS));
    }

    /// Notes why nothing is done, or what is waited for.
    pub(super) fn hold(&mut self, hold: impl FnOnce() -> Hold) {
        if let Some(holds) = &mut self.holds {
            holds.push(hold());
        }
    }

    pub(super) fn hold_if(&mut self, holds: bool, hold: impl FnOnce() -> Hold) {
        if holds {
            self.hold(hold);
        }
    }

    pub(super) fn tell(&mut self, id: &'static str, reason: &'static str) {
        self.effects.push(Effect::Event(Event::new(id, reason)));
    }

    /// What was in vain is tried again later.
    pub(super) fn hold_up(&mut self, action: &Action, wait: Wait) {
        let Wait { left, in_vain, is_new } = wait;
        let words = action.argv().into_iter().filter(|word| !word.starts_with("--"));
        let action = words.collect::<Vec<_>>().join(" ");
        if is_new {
            self.effects.push(Effect::Warn(format!(
                "{action} ended and changed nothing, {in_vain} times: again in {left:.1} s"
            )));
        }
        self.wake_after(left);
        self.hold(|| Hold::InVain { action, left, times: in_vain });
    }
}
