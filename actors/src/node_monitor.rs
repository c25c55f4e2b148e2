//! The node monitor: drives this node, and starts and ends the service monitors.
//!
//! Hears: configuration changes, cluster data changes, requests of operators. Tells: the service monitors, the cluster data.
//! Restart: always; its data comes back from the cluster data.

pub mod stats;

use std::time::Duration;

use actix::prelude::*;
use model::ObjectPath;

/// Sets node monitor attributes; validated before by whoever took the request.
/// Applied at once, and published before the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetNodeMonitor(pub monitor::NodeChange);

/// Announces `maintenance` (or `upgrade`): from then on no decision is taken. Answers when it is published.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Announce {
    /// Announce `upgrade` instead.
    pub upgrade: bool,
}

/// Shuts the local instances down, in order, then answers: the instances that were not down in time, or that failed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<ObjectPath>")]
pub struct ShutdownInstances {
    /// Longest wait, none for no limit.
    pub time: Option<Duration>,
}

/// Freezes the node and shuts its instances down. Answers as [`ShutdownInstances`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<ObjectPath>")]
pub struct Drain {
    /// Longest wait, none for no limit.
    pub time: Option<Duration>,
}

/// Takes a decision now, on one object or on all (request `wake_monitor`).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Wake(pub Option<ObjectPath>);

/// Configurations of these objects were loaded, changed or deleted: look at the newest.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ObjectsChanged(pub Vec<ObjectPath>);

/// The actor.
#[derive(Debug, Default)]
pub struct NodeMonitor {}

impl Actor for NodeMonitor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("node monitor started");
    }
}
impl Handler<ObjectsChanged> for NodeMonitor {
    type Result = ();
    fn handle(&mut self, _: ObjectsChanged, _: &mut Context<Self>) {}
}
impl Handler<Wake> for NodeMonitor {
    type Result = ();
    fn handle(&mut self, _: Wake, _: &mut Context<Self>) {}
}
