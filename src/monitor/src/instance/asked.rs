//! What an instance is asked for.
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use std::collections::BTreeMap;

use model::{GlobalExpect, MonitorStatus, ObjectPath, Timestamp};

use crate::effect::Change;
use crate::instance::InstanceCore;
use crate::moment::Moment;
use crate::world::{ObjectView, Seen, World};

impl InstanceCore {
    /// Takes a validated request over. Call [`pass`](Self::pass) afterwards.
    pub fn apply(&mut self, now: impl Into<Moment>, change: &Change, world: &dyn World) {
        let now = now.into();
        if self.is_beside_the_point(change, world) {
            return;
        }
        if let Some(status) = &change.status {
            let is_ended_start = is_start(&self.monitor.status) && status.is_failed();
            if status.is_failed() && *status != self.monitor.status {
                self.tell_failure(world);
            }
            self.set_status(now, status.clone(), world);
            if is_ended_start {
                self.hold_after_abort(now, world);
            }
        }
        if let Some(target) = &change.local_expect {
            self.set_local_expect(now, target.clone());
        }
        if let Some(target) = &change.global_expect {
            let target = match target {
                Some(GlobalExpect::Restarted(None)) => {
                    Some(GlobalExpect::Restarted(Some(restart_time(now, &self.path, world))))
                }
                Some(GlobalExpect::Other(word)) if &**word == "unset" => None,
                other => other.clone(),
            };
            // A new word goes before the ones that it is to replace, also where the clocks of those who gave them are ahead.
            let view = ObjectView::with_monitor(world, &self.path, Some(&self.monitor));
            // An abort is no word to be replaced: it is over when nobody has a target any more.
            let is_pending = |seen: &&Seen<'_>| {
                !matches!(seen.monitor.global_expect, None | Some(GlobalExpect::Aborted))
            };
            let words = view.instances.iter().filter(is_pending);
            let updated = now.newer_than(words.map(|seen| seen.monitor.global_expect_updated));
            self.set_global_expect_at(now, updated, target);
        }
        if let Some(stonith) = &change.stonith {
            self.monitor.stonith.clone_from(stonith);
        }
        if change.reset_retries {
            self.monitor.restart.clear();
        }
        if change.global_expect == Some(Some(GlobalExpect::Aborted)) {
            // Asked again, what still runs is told again: its rollback may hang as well.
            self.ended_for = None;
        }
        // Somebody acts: what could not be reached before may be reached now.
        self.given_up.clear();
        self.pacing.forget();
    }

    /// An instance without resources has nothing to start, stop or freeze by itself: its slaves are asked instead.
    fn is_beside_the_point(&self, change: &Change, world: &dyn World) -> bool {
        let Some(instance) = world.instance(world.local_node(), &self.path) else { return false };
        // What was only just created looks so too, until it is evaluated.
        let is_empty =
            instance.is_known() && instance.resources.as_ref().is_some_and(BTreeMap::is_empty);
        if !is_empty || change.status.is_some() || change.reset_retries {
            return false;
        }
        match &change.global_expect {
            Some(None) => false,
            Some(Some(target)) => !target.is_beside_resources(),
            None => change.local_expect != Some(None),
        }
    }
}

/// Whether it is the status of a start.
fn is_start(status: &MonitorStatus) -> bool {
    matches!(status, MonitorStatus::Starting | MonitorStatus::Restarting)
}

/// The time of a restart that is asked for now: all instances of the object that run were started before, as far as is
/// known here, whatever the clocks of their nodes.
#[must_use]
pub fn restart_time(now: Moment, path: &ObjectPath, world: &dyn World) -> Timestamp {
    let view = ObjectView::new(world, path);
    now.newer_than(view.instances.iter().map(|seen| seen.monitor.local_expect_updated))
}
