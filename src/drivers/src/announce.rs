//! What an action tells the daemon, over its control socket. An absent daemon is no error: actions work without it.

use std::time::Duration;

use model::{GlobalExpect, InstanceStatus, LocalExpect, MonitorStatus, ObjectPath};
use serde_json::{Value, json};
use wire::Request;
use wire::reply::{Lines, status_of};

use crate::journal::Journal;
use files::deletions::DELETE_TIME;
use link::link::error::AskError;
use link::link::local;
use machine::paths::Paths;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells the monitor of the instance what is going on, and what is expected of it.
pub(crate) fn monitor(
    paths: &Paths,
    path: &ObjectPath,
    status: &MonitorStatus,
    local_expect: Option<Option<LocalExpect>>,
    global_expect: Option<&GlobalExpect>,
) {
    let unset = || "unset".to_owned();
    let request = wire::SetObjectMonitor {
        path: path.to_string(),
        status: Some(status.to_string()),
        local_expect: local_expect.map(|it| it.map_or_else(unset, |it| it.to_string())),
        global_expect: global_expect.map(ToString::to_string),
        reset_retries: false,
        stonith: None,
    };
    tell(paths, path, &Request::new(request));
}

/// Hands over the instance status; `session`: found at the end of that action of the daemon.
pub(crate) fn status(
    paths: &Paths,
    path: &ObjectPath,
    status: &InstanceStatus,
    session: Option<&str>,
) {
    let request = wire::SetObjectStatus {
        path: path.to_string(),
        data: json!(status),
        session: session.map(str::to_owned),
    };
    tell(paths, path, &Request::new(request));
}

/// What the daemon knows of an object: its part of `daemon_status`. None without a daemon.
pub(crate) fn known(paths: &Paths, path: &ObjectPath) -> Option<Value> {
    let selector = Some(path.to_string());
    let request = wire::DaemonStatus { selector, namespace: None, relatives: false };
    local::ask(paths, &Request::new(request), PATIENCE).ok()
}

/// Asks the daemon to delete an object on all nodes. False without a daemon.
pub(crate) fn delete(paths: &Paths, path: &ObjectPath) -> Result<bool, String> {
    let request = wire::SetObjectMonitor {
        path: path.to_string(),
        status: None,
        local_expect: None,
        global_expect: Some(GlobalExpect::Deleted.to_string()),
        reset_retries: false,
        stonith: None,
    };
    match local::ask(paths, &Request::new(request), DELETE_TIME) {
        Ok(reply) if reply.get("status").and_then(Value::as_i64) == Some(0) => Ok(true),
        Ok(reply) => Err(Lines::of(&reply).errors.join(", ")),
        Err(AskError::NotRunning(_)) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

fn tell(paths: &Paths, path: &ObjectPath, request: &Request) {
    let journal = Journal::new(path);
    let action = &request.name;
    match local::ask(paths, request, PATIENCE) {
        Ok(reply) if status_of(&reply) == 0 => {}
        Ok(reply) => {
            let reason = reply.get("error").map(ToString::to_string).unwrap_or_default();
            journal.debug(format_args!("the daemon refused {action}: {reason}"));
        }
        // Nobody to tell.
        Err(AskError::NotRunning(_)) => {}
        Err(error) => journal.warn(format_args!("the daemon could not be told {action}: {error}")),
    }
}
