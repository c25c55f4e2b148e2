//! The monitor of one local instance: what it does now, what it is asked to reach, and the next step.

use std::collections::BTreeMap;

use model::{InstanceMonitor, MonitorStatus, ObjectPath, Timestamp};

use crate::{Action, Change, Effect, RunId, World};

/// Whether an object counts against `node.max_parallel`: an action runs on it.
#[must_use]
pub fn is_transition(status: &MonitorStatus) -> bool {
    status.is_transitioning() && *status != MonitorStatus::Scaling
}

/// The monitor of one local instance.
///
/// Use: [`apply`](Self::apply) a validated request, [`on_action_done`](Self::on_action_done) when a run ends, then
/// [`pass`](Self::pass), as on any change of what the object sees and on every alarm.
#[derive(Debug, Clone)]
pub struct InstanceCore {
    path: ObjectPath,
    monitor: InstanceMonitor,
    /// As last published.
    published: Option<InstanceMonitor>,
    runs: BTreeMap<RunId, Action>,
    next_run: u64,
}

impl InstanceCore {
    /// Starts from the monitor data that the cluster data still have, if any.
    #[must_use]
    pub fn new(path: ObjectPath, monitor: Option<InstanceMonitor>) -> Self {
        let monitor = monitor.unwrap_or_default();
        Self { path, monitor, published: None, runs: BTreeMap::new(), next_run: 0 }
    }

    /// The object.
    #[must_use]
    pub fn path(&self) -> &ObjectPath {
        &self.path
    }

    /// The monitor data, as it is now.
    #[must_use]
    pub fn monitor(&self) -> &InstanceMonitor {
        &self.monitor
    }

    /// Actions asked for and not ended.
    #[must_use]
    pub fn runs(&self) -> &BTreeMap<RunId, Action> {
        &self.runs
    }

    /// Takes a validated request over. Call [`pass`](Self::pass) afterwards.
    pub fn apply(&mut self, now: Timestamp, change: &Change, world: &dyn World) {
        let _ = (now, change, world);
    }

    /// Takes the end of a run: `exit_code` 0 is success. Call [`pass`](Self::pass) afterwards: it returns the effects.
    pub fn on_action_done(&mut self, now: Timestamp, id: RunId, exit_code: i32, world: &dyn World) {
        let _ = (now, exit_code, world);
        self.runs.remove(&id);
    }

    /// Looks at everything and decides the next step.
    pub fn pass(&mut self, now: Timestamp, world: &dyn World) -> Vec<Effect> {
        let mut effects = self.refresh(now, world);
        effects.extend(self.orchestrate(now, world));
        effects
    }

    /// First half of a pass: the local target, the placement, the targets of peers.
    pub fn refresh(&mut self, now: Timestamp, world: &dyn World) -> Vec<Effect> {
        let _ = (now, world, self.next_run);
        self.publish()
    }

    /// Second half of a pass: supervision of the resources, then the next step towards the targets.
    pub fn orchestrate(&mut self, now: Timestamp, world: &dyn World) -> Vec<Effect> {
        let _ = (now, world);
        self.publish()
    }

    fn publish(&mut self) -> Vec<Effect> {
        if self.published.as_ref() == Some(&self.monitor) {
            return vec![];
        }
        self.published = Some(self.monitor.clone());
        vec![Effect::Publish(Box::new(self.monitor.clone()))]
    }
}
