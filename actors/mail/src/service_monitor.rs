//! What service monitors hear.

use crate::hearer::hearer;
use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use model::MonitorStatus;
use monitor::Change;

use dataset::shared_map::SharedMap;

/// Service monitors by object, to send them requests. Written by the node monitor only.
pub type Registry = Arc<ArcSwap<SharedMap<ToServiceMonitor>>>;

/// What this node knows of the object, or of one it names, changed: look at the newest snapshot.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ViewChanged;

/// The configuration of the object changed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ConfigChanged;

/// Fewer actions run than allowed: whoever waited for that decides again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct YourTurn;

/// The local node has no instance of the object any more: ends the monitor.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Leave;

/// Sets monitor attributes of the local instance; validated before by whoever took the request.
/// Applied at once, and published before the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetMonitor(pub Change);

/// Forgets a failure and the restart counters. Refused, with the status, while an action runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), MonitorStatus>")]
pub struct Clear;

hearer! {
    /// The service monitor of one object.
    ToServiceMonitor {
        view_changed: ViewChanged,
        config_changed: ConfigChanged,
        your_turn: YourTurn,
        leave: Leave,
        set_monitor: SetMonitor,
        clear: Clear,
    }
}
