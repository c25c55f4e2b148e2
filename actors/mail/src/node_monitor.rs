//! What the node monitor hears.

use crate::hearer::hearer;
use std::time::Duration;

use actix::prelude::*;
use model::{MonitorStatus, ObjectPath, Status};
use monitor::NodeChange;

/// Sets node monitor attributes; validated before by whoever took the request.
/// Applied at once, and published before the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetNodeMonitor(pub NodeChange);

/// Announces `maintenance` (or `upgrade`): from then on no decision is taken. Answers when it is published.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Announce {
    /// Announce `upgrade` instead.
    pub upgrade: bool,
}

/// An instance that is not down after all were to be shut down.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// Its object.
    pub path: ObjectPath,
    /// What its monitor does.
    pub status: MonitorStatus,
    /// Its state.
    pub avail: Option<Status>,
    /// Whether it was still to be shut down when the time was over.
    pub is_late: bool,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, status, avail, is_late } = self;
        match avail {
            _ if status.is_failed() => write!(f, "{path}: {status}"),
            _ if *is_late => write!(f, "timeout: {path}: still in state {status}"),
            Some(avail) => write!(f, "{path}: still {avail} after its shutdown"),
            None => write!(f, "{path}: not shut down"),
        }
    }
}

/// Shuts the local instances down, in order, then answers: the instances that were not down in time, or that failed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Left>")]
pub struct ShutdownInstances {
    /// Longest wait, none for no limit.
    pub time: Option<Duration>,
}

/// Freezes the node and shuts its instances down. Answers as [`ShutdownInstances`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Left>")]
pub struct Drain {
    /// Longest wait, none for no limit.
    pub time: Option<Duration>,
    /// It is the split action of the node.
    pub is_after_split: bool,
}

/// Takes a decision now, on one object or on all (request `wake_monitor`).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Wake(pub Option<ObjectPath>);

/// Configurations of these objects were loaded, changed or deleted: look at the newest. The first one tells that all
/// were read.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ObjectsChanged(pub Vec<ObjectPath>);

/// As many actions run as allowed: the service monitor wants to be told when one more may.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct WaitSlot {
    /// Its object.
    pub path: ObjectPath,
    /// Keyword `priority` of it: the lowest comes first.
    pub priority: i64,
}

/// One action less runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SlotFreed;

/// A service monitor ended: its object is gone.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Gone(pub ObjectPath);

hearer! {
    /// The node monitor.
    ToNodeMonitor {
        set_node_monitor: SetNodeMonitor,
        announce: Announce,
        shutdown_instances: ShutdownInstances,
        drain: Drain,
        wake: Wake,
        objects_changed: ObjectsChanged,
        wait_slot: WaitSlot,
        slot_freed: SlotFreed,
        gone: Gone,
    }
}
