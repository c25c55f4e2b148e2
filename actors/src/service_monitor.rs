//! The service monitor: drives the local instance of one object.
//!
//! Hears: cluster data changes, requests of operators, ends of actions, its own alarms. Tells: the runner, the cluster data.
//! Restart: always; its monitor data comes back from the cluster data, running actions are not interrupted.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use model::{MonitorStatus, ObjectPath};

/// Service monitors by object, to send them requests. Written by the node monitor only.
pub type Registry = Arc<ArcSwap<BTreeMap<ObjectPath, Addr<ServiceMonitor>>>>;

/// What this node knows of the object, or of one it names, changed: look at the newest snapshot.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ViewChanged;

/// Sets monitor attributes of the local instance; validated before by whoever took the request.
/// Applied at once, and published before the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SetMonitor(pub monitor::Change);

/// Forgets a failure and the restart counters. Refused, with the status, while an action runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), MonitorStatus>")]
pub struct Clear;

/// The monitor of one object.
#[derive(Debug)]
pub struct ServiceMonitor {
    path: ObjectPath,
}

impl Actor for ServiceMonitor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::debug!(path:% = self.path; "service monitor started");
    }
}
