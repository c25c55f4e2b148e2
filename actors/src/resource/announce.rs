//! What an action tells the daemon, over its control socket. An absent daemon is no error: actions work without it.

use std::io::{self, Read, Write};
use std::time::Duration;

use model::{InstanceStatus, ObjectPath};
use serde_json::{Value, json};
use wire::reply::Lines;

use super::journal::Journal;
use crate::control_socket;
use crate::paths::Paths;
use crate::propagation::DELETE_TIME;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const LONGEST_REPLY: u64 = 1 << 20;

/// Tells the monitor of the instance what is going on, and what is expected of it.
pub(crate) fn monitor(
    paths: &Paths,
    path: &ObjectPath,
    status: &str,
    local_expect: Option<&str>,
    global_expect: Option<&str>,
) {
    let mut options = json!({ "path": path, "status": status });
    if let Some(expect) = local_expect {
        options["local_expect"] = expect.into();
    }
    if let Some(expect) = global_expect {
        options["global_expect"] = expect.into();
    }
    tell(paths, path, "object_monitor", &options);
}

/// Hands over the instance status; `session`: found at the end of that action of the daemon.
pub(crate) fn status(
    paths: &Paths,
    path: &ObjectPath,
    status: &InstanceStatus,
    session: Option<&str>,
) {
    let mut options = json!({ "path": path, "data": status });
    if let Some(session) = session {
        options["session"] = session.into();
    }
    tell(paths, path, "object_status", &options);
}

/// What the daemon knows of an object: its part of `daemon_status`. None without a daemon.
pub(crate) fn known(paths: &Paths, path: &ObjectPath) -> Option<Value> {
    let options = json!({ "selector": path });
    exchange(paths, &json!({ "action": "daemon_status", "method": "GET", "options": options })).ok()
}

/// Asks the daemon to delete an object on all nodes. False without a daemon.
pub(crate) fn delete(paths: &Paths, path: &ObjectPath) -> io::Result<bool> {
    let options = json!({ "path": path, "global_expect": "deleted" });
    let request = json!({ "action": "object_monitor", "method": "POST", "options": options });
    let reply = match exchange_within(paths, &request, DELETE_TIME) {
        Ok(reply) => reply,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    match reply.get("status").and_then(Value::as_i64) {
        Some(0) => Ok(true),
        _ => Err(io::Error::other(Lines::of(&reply).errors.join(", "))),
    }
}

/// Whether no daemon runs.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn tell(paths: &Paths, path: &ObjectPath, action: &str, options: &Value) {
    let request = json!({ "action": action, "method": "POST", "options": options });
    let journal = Journal::new(path);
    match exchange(paths, &request) {
        Ok(reply) => {
            let is_refused =
                reply.get("status").and_then(Value::as_i64).is_some_and(|code| code != 0);
            if is_refused {
                let reason = reply.get("error").map(ToString::to_string).unwrap_or_default();
                journal.debug(format_args!("the daemon refused {action}: {reason}"));
            }
        }
        // Not running: nobody to tell.
        Err(error) if is_absent(&error) => {}
        Err(error) => journal.warn(format_args!("the daemon could not be told {action}: {error}")),
    }
}

fn exchange(paths: &Paths, request: &Value) -> io::Result<Value> {
    exchange_within(paths, request, PATIENCE)
}

fn exchange_within(paths: &Paths, request: &Value, patience: Duration) -> io::Result<Value> {
    let mut stream = control_socket::connect(&paths.lsnr_socket())?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(0);
    stream.write_all(&bytes)?;
    let mut reply = vec![];
    let mut chunk = [0_u8; 4096];
    while !reply.contains(&0) && (reply.len() as u64) < LONGEST_REPLY {
        match stream.read(&mut chunk)? {
            0 => break,
            count => reply.extend_from_slice(&chunk[..count]),
        }
    }
    let end = reply.iter().position(|byte| *byte == 0).unwrap_or(reply.len());
    if end == 0 {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_slice(&reply[..end])?)
}
