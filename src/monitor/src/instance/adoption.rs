//! Targets that peers have, taken over (src/monitor/README.md, Targets).
//!
//! Part of the `impl` of [`InstanceCore`], in a file of its own for its length.

use model::{GlobalExpect, InstanceMonitor, ObjectPath, Topology};

use crate::instance::InstanceCore;
use crate::instance::acceptance::accepts;
use crate::moment::Moment;
use crate::world::{ObjectView, Seen, World};

impl InstanceCore {
    pub(super) fn adopt(&mut self, now: Moment, world: &dyn World) {
        if self.monitor.global_expect == Some(GlobalExpect::Aborted) {
            return;
        }
        let (path, before, since) = (self.path.clone(), self.monitor.clone(), self.since.target);
        let view = ObjectView::with_monitor(world, &path, Some(&before));
        let Some(local) = view.local() else { return };
        if !local.status.is_known() {
            return;
        }
        let is_disabled = view.settings.is_some_and(|settings| settings.disabled);
        for peer in view.instances.iter().filter(|seen| seen.node != world.local_node()) {
            let Some(target) = &peer.monitor.global_expect else { continue };
            if self.monitor.global_expect.as_ref() == Some(target) {
                continue;
            }
            let given_up = self.given_up.get(peer.node);
            if given_up.is_some_and(|(known, since)| {
                known == target && *since == peer.monitor.global_expect_updated
            }) {
                continue;
            }
            // A newer local target stays, one just adopted from another peer too. Of two of the same time, all nodes take the
            // same.
            if let Some(own) = &self.monitor.global_expect
                && let Some(theirs) = peer.monitor.global_expect_updated
                && let Some(ours) = self.monitor.global_expect_updated
                && (theirs < ours || (theirs == ours && target.to_string() < own.to_string()))
            {
                continue;
            }
            if is_disabled && !target.is_beside_resources() {
                continue;
            }
            if is_about_an_earlier_object(world, &path, peer, target, now) {
                continue;
            }
            if accepts(&view, target) || is_outrun(&view, &self.monitor, peer.monitor) {
                // As old as it is there. Deployed agents take the time at which they take it over: it then goes before what
                // was asked later elsewhere.
                let updated = peer.monitor.global_expect_updated.unwrap_or(now.wall);
                self.set_global_expect_at(now, updated, Some(target.clone()));
                if *target == GlobalExpect::Aborted {
                    break;
                }
            }
        }
        // What comes back to where it was is no news, or all nodes would tell each other of it without end.
        if self.monitor.global_expect == before.global_expect {
            self.monitor = before;
            self.since.target = since;
        }
    }
}

/// Whether the order of a node without instance, to delete, is about an object that had this path before the one that is
/// here.
fn is_about_an_earlier_object(
    world: &dyn World,
    path: &ObjectPath,
    peer: &Seen<'_>,
    target: &GlobalExpect,
    now: Moment,
) -> bool {
    let is_deletion = matches!(target, GlobalExpect::Deleted | GlobalExpect::Purged);
    let written = world.config(world.local_node(), path).map(|config| config.updated);
    let asked = peer.monitor.global_expect_updated;
    // What is dated ahead of the clock was not written later.
    is_deletion
        && !peer.status.is_known()
        && written.zip(asked).is_some_and(|(written, asked)| asked < written && written <= now.wall)
}

/// Whether this node is the destination of a move, and a peer was told later to move the object elsewhere: of two
/// destinations one is enough. Deployed agents start on both.
fn is_outrun(view: &ObjectView<'_>, ours: &InstanceMonitor, theirs: &InstanceMonitor) -> bool {
    let is_failover = view.settings.is_some_and(|settings| settings.topology == Topology::Failover);
    let local = view.world.local_node().as_str();
    let (Some(GlobalExpect::PlacedAt(here)), Some(GlobalExpect::PlacedAt(_))) =
        (&ours.global_expect, &theirs.global_expect)
    else {
        return false;
    };
    is_failover && &**here == local && ours.global_expect_updated < theirs.global_expect_updated
}
