//! What the node monitor publishes of its node: its data, its flag, its load.
//!
//! Part of the `impl` of [`NodeMonitor`], in a file of its own for its length.

use std::time::Duration;

use actix::prelude::*;

use dataset::changes::NodeFacts;
use machine::{clock, durable, stats};
use mail::cluster_data::SetNode;
use mail::latest::keep_on;

use crate::node::{NodeMonitor, boot};

/// Pause between two measures of load and memory.
const STATS: Duration = Duration::from_secs(30);

impl NodeMonitor {
    pub(super) fn publish(&mut self, monitor: model::NodeMonitorData, ctx: &mut Context<Self>) {
        let set = SetNode(NodeFacts { monitor: Some(monitor), ..NodeFacts::default() });
        self.tell_node("monitor", set, ctx);
    }

    /// Tells the cluster data something of the node: the last of each kind, when it has no room.
    pub(super) fn tell_node(&mut self, kind: &'static str, set: SetNode, ctx: &mut Context<Self>) {
        if self.told.send(kind, set) {
            keep_on(ctx, |this: &mut Self| this.told.again());
        }
    }

    /// Sets the flag of the node, with its reason in it, or removes it, and publishes it.
    pub(super) fn freeze(&mut self, reason: Option<&str>, ctx: &mut Context<Self>) {
        let file = self.shared.paths.node_frozen();
        let done = match reason {
            Some(reason) => durable::write_at(&file, reason.as_bytes(), 0o644, clock::system()),
            None => durable::remove(&file),
        };
        if let Err(error) = done {
            log::error!(error:% = error; "frozen flag of the node not changed");
        }
        self.publish_frozen(ctx);
    }

    pub(super) fn publish_frozen(&mut self, ctx: &mut Context<Self>) {
        let file = self.shared.paths.node_frozen();
        let frozen = Some(boot::modified(&file));
        let frozen_by = machine::regular::words(&file).filter(|reason| !reason.is_empty());
        self.tell_node(
            "frozen",
            SetNode(NodeFacts { frozen, frozen_by, ..NodeFacts::default() }),
            ctx,
        );
    }

    pub(super) fn measure(&mut self, ctx: &mut Context<Self>) {
        let stats = Some(stats::measure().0);
        self.tell_node("stats", SetNode(NodeFacts { stats, ..NodeFacts::default() }), ctx);
        ctx.run_later(STATS, |this, ctx| this.measure(ctx));
    }
}
