//! Why an object is where it is, and what is waited for.
//!
//! Nothing is decided here: candidates come from the placement, blockers from what the monitors themselves note in a pass
//! on a copy of the data, next steps from the forecast.

mod failures;
pub(crate) mod present;
mod summary;

use model::{Explanation, NodeMonitorStatus, NodeName, ObjectPath, Timer, Timestamp};

use crate::explain::present::{as_it_is, unwatched};
use crate::forecast::{Play, blockers};
use crate::world::{World, live_nodes};

/// What the cluster data do not tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Seconds left of the rejoin grace period of this node; none when it is over.
    pub grace_left_secs: Option<f64>,
    /// Keyword `node.maintenance_grace_period` in seconds, default 60: how long a node that announced its restart is
    /// not forgotten.
    pub maintenance_grace_secs: f64,
}

impl Default for Facts {
    fn default() -> Self {
        Self { grace_left_secs: None, maintenance_grace_secs: 60.0 }
    }
}

/// Explains an object that is configured here.
#[must_use]
pub fn explain(world: &dyn World, now: Timestamp, path: &ObjectPath, facts: &Facts) -> Explanation {
    let mut play = Play::new(world, now, path);
    let mut explanation = as_it_is(&play.seen_from(&judge(world, path)), world.local_node(), path);
    play.run();
    explanation.blockers = blockers(play.first_holds.iter().map(|(node, holds)| (node, &**holds)));
    explanation.timers = timers(world, &play, now, facts);
    explanation.next = play.steps;
    explanation.summary = summary::sentence(&explanation, unwatched(world, path), now);
    explanation
}

/// The node from which the candidates are looked at: this one if it has the object, else the first that has.
fn judge(world: &dyn World, path: &ObjectPath) -> NodeName {
    let local = world.local_node();
    let Some(settings) = world.settings(path) else { return local.clone() };
    if settings.peers.contains(local) {
        return local.clone();
    }
    let has_instance = |node: &&NodeName| world.instance(node, path).is_some();
    settings.nodes.iter().find(has_instance).unwrap_or(local).clone()
}

fn timers(world: &dyn World, play: &Play, now: Timestamp, facts: &Facts) -> Vec<Timer> {
    let mut timers = vec![];
    for (node, holds) in &play.first_holds {
        for (id, left) in holds.iter().filter_map(crate::hold::Hold::timer) {
            timers.push(Timer { id, node: node.clone(), left: left.max(0.0) });
        }
    }
    if let Some(left) = facts.grace_left_secs {
        let (id, node) = ("rejoin_grace_period".to_owned(), world.local_node().clone());
        timers.push(Timer { id, node, left: left.max(0.0) });
    }
    for (node, data) in live_nodes(world) {
        let Some(monitor) = &data.monitor else { continue };
        let is_away =
            matches!(monitor.status, NodeMonitorStatus::Maintenance | NodeMonitorStatus::Upgrade);
        if let Some(since) = monitor.status_updated.filter(|_| is_away) {
            let left = facts.maintenance_grace_secs - now.since(since);
            let (id, node) = ("maintenance_grace_period".to_owned(), node.clone());
            timers.push(Timer { id, node, left: left.max(0.0) });
        }
    }
    timers.sort_by(|a, b| a.left.total_cmp(&b.left));
    timers
}
