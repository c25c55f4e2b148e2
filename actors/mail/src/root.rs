//! What the root hears.

use crate::hearer::hearer;
use std::time::Duration;

use actix::prelude::*;
use model::{Alert, thread};

use supervision::ChildId;

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
    /// It is a part of the daemon that others, or the operator, cannot do without.
    Vital,
    /// Not within 5 s.
    Late,
}

/// What a child says of itself, shown in its block of `daemon_status`.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct ThreadReport {
    /// Its id.
    pub id: ChildId,
    /// Who says it: of several that tell something of one child, each has alerts of its own.
    pub source: ChildId,
    /// Replaces what it reported before; none leaves that.
    pub report: Option<thread::Report>,
    /// What an operator is to be told: replaces what the source told before.
    pub alerts: Vec<Alert>,
}

impl ThreadReport {
    /// What a child says of itself.
    #[must_use]
    pub fn new(id: impl Into<ChildId>, report: Option<thread::Report>, alerts: Vec<Alert>) -> Self {
        let id = id.into();
        Self { source: id.clone(), id, report, alerts }
    }

    /// Shows these alerts, and changes nothing else.
    #[must_use]
    pub fn alerts(id: impl Into<ChildId>, alerts: Vec<Alert>) -> Self {
        Self::new(id, None, alerts)
    }

    /// Says that another child tells it.
    #[must_use]
    pub fn told_by(mut self, source: impl Into<ChildId>) -> Self {
        self.source = source.into();
        self
    }
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
#[derive(Debug, Clone, Copy, Default, Message)]
#[rtype(result = "()")]
pub struct StopDaemon {
    /// Announce `upgrade` instead of `maintenance`.
    pub upgrade: bool,
}

/// Stops the instances in order, then the daemon. Answered when the instances are stopped, or the limit is reached:
/// with those that are not down, as a text. The daemon ends in both cases.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), String>")]
pub struct ShutdownDaemon {
    /// Longest time to wait for the instances; none waits for ever.
    pub time: Option<Duration>,
}

/// Reads the configuration again and reopens the logs (SIGHUP).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Makes an actor panic, if the daemon was started with `OSVC_TEST_PANIC=1`. False: there is none of this id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct TestPanic {
    /// Id of the child.
    pub id: String,
}

hearer! {
    /// The root.
    ToRoot {
        stop_thread: StopThread,
        start_thread: StartThread,
        thread_report: ThreadReport,
        stop_session: StopSession,
        stop_daemon: StopDaemon,
        shutdown_daemon: ShutdownDaemon,
        reload: Reload,
        test_panic: TestPanic,
        child_event: supervision::ChildEvent,
        retired: crate::membership::Retired,
        node_config_changed: crate::config_watcher::NodeConfigChanged,
    }
}
