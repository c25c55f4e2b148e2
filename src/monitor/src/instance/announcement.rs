//! Who knows of an announced start: it is carried out once those know it that may be about to start too
//! (src/monitor/README.md, Automatic orchestration).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use std::time::Duration;

use model::{MonitorStatus, NodeName};

use crate::hold::Hold;
use crate::instance::InstanceCore;
use crate::instance::announced::Announced;
use crate::instance::cx::Cx;
use crate::instance::rules::is_exclusive;
use crate::world::{World, live_nodes};

/// Shortest pause between two looks at who has acknowledged a start that is due. Each next one is half as long as was
/// waited.
const LOOK_SECS: f64 = 0.05;

impl InstanceCore {
    /// Notes which of the local data announce the start: any later state of the monitor is another announcement, because
    /// peers contest it by what they have.
    pub(super) fn note_announcement(&mut self, world: &dyn World) {
        if self.monitor.status != MonitorStatus::Ready {
            self.announced = None;
        } else if self.announced.as_ref().is_none_or(|known| known.monitor != self.monitor) {
            let published = world.instance(world.local_node(), &self.path);
            let is_published =
                published.and_then(|status| status.monitor.as_ref()) == Some(&self.monitor);
            self.announced = is_published.then(|| Announced {
                monitor: self.monitor.clone(),
                generation: world.generation(),
            });
        }
    }

    /// Whether a start that is due waits for a peer that may be about to start too, and does not know of this one. Deployed
    /// agents count on messages that take less than half of the ready period.
    ///
    /// A peer that acknowledges it says with that what it does itself. So of two that start, one has seen the other. No peer
    /// is waited for as long as it takes to lose it.
    pub(super) fn waits_for_acknowledgements(&mut self, cx: &Cx<'_>, waited: f64) -> bool {
        let left = cx.conditions.heartbeat_timeout_secs - waited;
        if left <= 0.0 || !is_exclusive(cx.settings) {
            return false;
        }
        let unaware = self.unaware_of_announcement(cx);
        if unaware.is_empty() {
            return false;
        }
        self.hold(|| Hold::Unacknowledged(unaware));
        let pause = ((waited - cx.conditions.ready_period_secs) / 2.0).max(LOOK_SECS).min(left);
        let look = cx.now.steady + Duration::from_secs_f64(pause);
        self.since.look = Some(look);
        self.wake_after(pause);
        true
    }

    /// Peers of the object that beat and have not acknowledged the announcement. Deployed agents do not acknowledge what they
    /// have nothing to answer to.
    fn unaware_of_announcement(&self, cx: &Cx<'_>) -> Vec<NodeName> {
        let world = cx.view.world;
        let generation = self.announced.as_ref().map_or(u64::MAX, |known| known.generation);
        live_nodes(world)
            .filter(|(node, data)| {
                let is_there =
                    data.monitor.as_ref().is_some_and(|monitor| !monitor.status.is_leaving());
                **node != *world.local_node()
                    && cx.settings.peers.contains(node)
                    && is_there
                    && data.release.is_some()
                    && world.acked(node) < generation
            })
            .map(|(node, _)| node.clone())
            .collect()
    }
}
