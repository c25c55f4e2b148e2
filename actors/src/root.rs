//! The root supervisor: starts, watches, restarts and stops every other actor.
//!
//! Hears: what happens to its children, what they report of themselves, requests to stop and start. Tells: the cluster
//! data (thread blocks). Restart: never; when it is gone the watchdog of systemd restarts the whole.

use actix::prelude::*;
use serde_json::{Map, Value};

use crate::supervision::ChildEvent;

/// Stops a thread, and answers when it is stopped (5 s at most). It stays so until started.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), ThreadError>")]
pub struct StopThread {
    /// `listener`, `monitor`, `hb#1.rx`, .., or `tx` for all whose id ends so.
    pub id: String,
}

/// Starts a stopped thread, and answers when it runs (5 s at most). No effect on one that runs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), ThreadError>")]
pub struct StartThread {
    /// As in [`StopThread`].
    pub id: String,
}

/// Why a thread was not stopped or started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadError {
    /// No thread has this id.
    Unknown,
    /// Not within 5 s.
    Late,
}

/// What a child says of itself, merged into its block of `daemon_status`: `config`, `stats`, `alerts`, ..
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ThreadReport {
    /// Its id.
    pub id: &'static str,
    /// Keys to set; null removes one. `alerts` is an array of `{"severity", "message"}`.
    pub fields: Map<String, Value>,
}

/// Ends a client session, an event subscriber's for one. Answered at once, also when there is none.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StopSession {
    /// Id of the session.
    pub id: String,
}

/// Stops the daemon, instances untouched: announces `maintenance`, stops the children in reverse order, ends.
/// Answered once the announcement is published; the daemon ends right after.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopDaemon {
    /// Announce `upgrade` instead of `maintenance`.
    pub upgrade: bool,
}

/// Stops the instances in order, then the daemon. Answered when the instances are stopped.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), String>")]
pub struct ShutdownDaemon {
    /// Longest time to wait for the instances; none waits for ever.
    pub limit: Option<std::time::Duration>,
}

/// Reads the configuration again and reopens the logs (SIGHUP).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Makes an actor panic, if the daemon was started with `OSVC_TEST_PANIC=1`. False: it was not, or there is none.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct TestPanic {
    /// Id of the child.
    pub id: String,
}

/// The root supervisor.
#[derive(Debug)]
pub struct Root {}

impl Actor for Root {
    type Context = Context<Self>;
}

impl Handler<ChildEvent> for Root {
    type Result = ();

    fn handle(&mut self, event: ChildEvent, _: &mut Context<Self>) {
        log::debug!(event:? = event; "child");
    }
}

impl Handler<ThreadReport> for Root {
    type Result = ();

    fn handle(&mut self, report: ThreadReport, _: &mut Context<Self>) {
        log::debug!(report:? = report; "thread report");
    }
}

impl Handler<crate::config_watcher::NodeConfigChanged> for Root {
    type Result = ();

    fn handle(&mut self, _: crate::config_watcher::NodeConfigChanged, _: &mut Context<Self>) {
        log::debug!("node configuration changed");
    }
}
