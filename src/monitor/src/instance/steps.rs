//! Steps towards a target, one per pass (src/monitor/README.md, Targets). The first that blocks wins.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length; [`placing`] and [`provisioning`] have the
//! targets of their name.

mod placing;
mod provisioning;

use model::{GlobalExpect, LocalExpect, MonitorStatus, NodeName, Timestamp};

use crate::effect::{Action, Effect};
use crate::hold::Hold;
use crate::instance::cx::Cx;
use crate::instance::{InstanceCore, Then, rules};
use crate::placement::{Filters, candidates, ranks};
use crate::world::Seen;

/// How long an instance that was not started keeps the target `restarted`, for its peers to take it over, and how long one
/// that was waits for better ranked ones to do so.
const RESTARTED_SECS: f64 = 2.0;

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
                self.hold(|| Hold::NotThawed(cx.nodes_where(rules::is_frozen)));
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
            self.take_back(cx);
            self.claim_no_more(cx);
        } else if !cx.all_frozen() {
            self.hold(|| Hold::NotFrozen(cx.nodes_where(|seen| !rules::is_frozen(seen))));
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
