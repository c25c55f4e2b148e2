//! Stopping and starting: the daemon, its threads, a client session.

use std::time::Duration;

use serde_json::{Value, json};
use wire::{DaemonShutdown, DaemonStart, DaemonStop};

use super::{Context, NotNow, Outcome, refusal, shorten};
use crate::root::{ShutdownDaemon, StartThread, StopDaemon, StopSession, StopThread, ThreadError};

/// The root answers within 5 s; a little more for its queue.
const THREAD_PATIENCE: Duration = Duration::from_secs(7);
/// A stop announces itself to the peers first.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A shutdown without limit of its own ends with the actions it runs, which have theirs.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The deployed agents' text: they join the characters' worth of errors of their 50 tries, and clients show it as is.
fn no_thread() -> Value {
    json!({"status": 1, "error": "thread does not exist".repeat(50)})
}

fn thread_reply(result: Result<Result<(), ThreadError>, NotNow>, id: &str, what: &str) -> Outcome {
    match result {
        Ok(Err(ThreadError::Vital)) => {
            refusal(1, format!("{} is not stopped alone: stop the daemon", shorten(id))).into()
        }
        Ok(Ok(())) => json!({"status": 0}).into(),
        Ok(Err(ThreadError::Unknown)) => no_thread().into(),
        Ok(Err(ThreadError::Late)) => {
            refusal(1, format!("the thread did not {what} in time")).into()
        }
        Err(not_now) => not_now.into(),
    }
}

/// POST `daemon_stop`.
pub(super) async fn stop(context: &Context, options: &DaemonStop) -> Outcome {
    let root = &context.routes.root;
    match (&options.thr_id, &options.session_id) {
        (Some(_), Some(_)) => {
            refusal(1, "can't use both 'thr_id' and 'session_id' options in same call").into()
        }
        (Some(id), None) => {
            let stopped = context.ask_for(root, StopThread { id: id.clone() }, THREAD_PATIENCE);
            thread_reply(stopped.await, id, "stop")
        }
        (None, Some(id)) => match context.ask(root, StopSession { id: id.clone() }).await {
            // Ended or never there: the same to whoever wants it gone.
            Ok(_) => json!({"status": 0}).into(),
            Err(not_now) => not_now.into(),
        },
        (None, None) => {
            let stop = StopDaemon { upgrade: options.upgrade };
            match context.ask_for(root, stop, STOP_PATIENCE).await {
                Ok(()) => json!({"status": 0}).into(),
                Err(not_now) => not_now.into(),
            }
        }
    }
}

/// POST `daemon_start`.
pub(super) async fn start(context: &Context, options: &DaemonStart) -> Outcome {
    let Some(id) = options.thr_id.clone() else { return no_thread().into() };
    let start = StartThread { id: id.clone() };
    let started = context.ask_for(&context.routes.root, start, THREAD_PATIENCE);
    thread_reply(started.await, &id, "start")
}

/// POST `daemon_shutdown`.
pub(super) async fn shutdown(context: &Context, options: &DaemonShutdown) -> Outcome {
    let patience = options.time.map_or(SHUTDOWN_PATIENCE, |limit| limit + STOP_PATIENCE);
    let shutdown = ShutdownDaemon { time: options.time };
    match context.ask_for(&context.routes.root, shutdown, patience).await {
        Ok(Ok(())) => json!({"status": 0}).into(),
        Ok(Err(error)) => refusal(1, error).into(),
        Err(not_now) => not_now.into(),
    }
}
