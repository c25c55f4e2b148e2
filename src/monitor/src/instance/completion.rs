//! Targets that are reached, and dropped (src/monitor/README.md, Targets).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{Frozen, GlobalExpect, LocalExpect, MonitorStatus, Provisioned, Status};

use crate::effect::Effect;
use crate::hold::Hold;
use crate::instance::acceptance::{has_no_option_left, is_abort_pending, is_deleted, is_placed};
use crate::instance::cx::Cx;
use crate::instance::{InstanceCore, cx, rules};
use crate::moment::Moment;
use crate::world::{ObjectView, Seen, World};

/// How long the target of an object without local instance is published for the nodes that have one.
const FOREIGN_TARGET_SECS: f64 = 3.0;

impl InstanceCore {
    /// Drops the target if it is reached, or replaces it by its sequel.
    pub(super) fn check_completion(&mut self, cx: &Cx<'_>) {
        let Some(target) = &cx.before.global_expect else { return };
        let is_same_config = cx::is_same_config_everywhere(cx);
        self.hold_if(!is_same_config, || Hold::ConfigDiffers);
        if !is_same_config || !is_reached(cx, target) {
            return;
        }
        // One that has not told of its instance is not in that state: it takes the target over once it has. Deployed agents
        // judge by the instances that are known.
        let silent = if is_of_all(target) { cx.silent() } else { vec![] };
        if !silent.is_empty() {
            self.hold(|| Hold::NotEverywhere(silent));
            return;
        }
        match target {
            GlobalExpect::Provisioned => {
                let sequel = if rules::is_started(cx.avail()) {
                    GlobalExpect::Thawed
                } else {
                    GlobalExpect::Started
                };
                self.set_global_expect(cx.now, Some(sequel));
            }
            GlobalExpect::Unprovisioned if !is_unprovisioned(cx.aggregate.provisioned) => {
                self.tell("instance_unprovision", "nothing to unprovision");
                self.give_up_target(cx);
                if cx.before.status.is_waiting() {
                    self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
                }
            }
            GlobalExpect::Aborted => {
                self.give_up_target(cx);
                if cx.before.status.is_waiting() {
                    self.set_status(cx.now, MonitorStatus::Idle, cx.view.world);
                }
            }
            GlobalExpect::Stopped | GlobalExpect::Shutdown => {
                self.claim_no_more(cx);
                self.give_up_target(cx);
            }
            _ => self.give_up_target(cx),
        }
    }

    /// An object that is not configured here, or not any more: nothing to do but to see its target through.
    pub(super) fn wait_for_deletion(&mut self, now: Moment, world: &dyn World) {
        let path = self.path.clone();
        let before = self.monitor.clone();
        let view = ObjectView::with_monitor(world, &path, Some(&before));
        // Its deletion runs here: its end is to be told first.
        if !self.runs.is_empty() {
            return;
        }
        let is_going =
            matches!(before.global_expect, Some(GlobalExpect::Deleted | GlobalExpect::Purged));
        if is_going && view.peers().next().is_some() {
            // The peers still have to take the target over: it stays published, without instance.
            if view.local().is_some_and(|seen| seen.status.is_known()) {
                self.effects.push(Effect::Disown);
            }
            return;
        }
        let left = FOREIGN_TARGET_SECS - now.since(self.since.target.unwrap_or(now.steady));
        if before.global_expect.is_some() && !is_going && left > 0.0 {
            self.wake_after(left);
            return;
        }
        self.set_global_expect(now, None);
        self.published = Some(self.monitor.clone());
        self.effects.push(Effect::Remove);
    }
}

/// Whether every instance is to come into the state that is asked for.
fn is_of_all(target: &GlobalExpect) -> bool {
    match target {
        GlobalExpect::Started
        | GlobalExpect::Stopped
        | GlobalExpect::Shutdown
        | GlobalExpect::Frozen
        | GlobalExpect::Thawed
        | GlobalExpect::Placed
        | GlobalExpect::Provisioned
        | GlobalExpect::Unprovisioned => true,
        GlobalExpect::PlacedAt(_)
        | GlobalExpect::Deleted
        | GlobalExpect::Purged
        | GlobalExpect::Aborted
        | GlobalExpect::Restarted(_)
        | GlobalExpect::Scaled
        | GlobalExpect::Other(_) => false,
    }
}

fn is_reached(cx: &Cx<'_>, target: &GlobalExpect) -> bool {
    let avail = cx.avail();
    let is_frozen = cx.is_instance_frozen();
    match target {
        // A start under way may hear of it only once it has ended.
        GlobalExpect::Stopped => {
            let is_coming_up = |seen: &Seen<'_>| rules::is_coming_up(&seen.monitor.status);
            rules::is_stopped(avail) && is_frozen && !cx.view.known().any(is_coming_up)
        }
        GlobalExpect::Shutdown => is_frozen && cx.view.known().all(rules::is_shut_down),
        GlobalExpect::Started => {
            let is_degraded = cx.view.known().any(|seen| {
                seen.status.avail == Some(Status::Warn) && !seen.monitor.status.is_transitioning()
            });
            (rules::is_started(avail) && !is_frozen) || (cx.all_thawed() && is_degraded)
        }
        GlobalExpect::Frozen => cx.aggregate.frozen == Some(Frozen::Frozen),
        GlobalExpect::Thawed => cx.aggregate.frozen == Some(Frozen::Thawed),
        GlobalExpect::Unprovisioned => {
            let is_left = |seen: &Seen<'_>| rules::is_to_unprovision(seen, Some(cx.settings));
            let is_done = is_unprovisioned(cx.aggregate.provisioned)
                || (cx.view.known().next().is_some() && !cx.view.known().any(is_left));
            is_done && rules::is_stopped(avail)
        }
        GlobalExpect::Provisioned => {
            matches!(cx.aggregate.provisioned, Some(Provisioned::Yes | Provisioned::NotApplicable))
        }
        GlobalExpect::Deleted | GlobalExpect::Purged => is_deleted(&cx.view),
        GlobalExpect::Placed => {
            cx.all_thawed() && (is_placed(&cx.aggregate) || has_no_option_left(&cx.view))
        }
        // A destination that is gone is waited for no longer: else nobody takes over what it was to run.
        GlobalExpect::PlacedAt(nodes) => nodes.split(',').all(|node| {
            cx.view.known().find(|seen| seen.node.as_str() == node).is_none_or(|seen| {
                !rules::is_stopped(seen.status.avail.as_ref())
                    || seen.monitor.status == MonitorStatus::StartFailed
            })
        }),
        GlobalExpect::Aborted => !is_abort_pending(&cx.view),
        GlobalExpect::Restarted(Some(time)) => {
            // Restarted by somebody else meanwhile.
            cx.before.status == MonitorStatus::Idle
                && cx.before.local_expect == Some(LocalExpect::Started)
                && cx.before.local_expect_updated.is_some_and(|started| started > *time)
        }
        GlobalExpect::Restarted(None) | GlobalExpect::Scaled | GlobalExpect::Other(_) => false,
    }
}

pub(super) fn is_unprovisioned(provisioned: Option<Provisioned>) -> bool {
    matches!(provisioned, Some(Provisioned::No | Provisioned::NotApplicable))
}
