//! Stopping and starting: the daemon, its threads, a client session.

use std::time::Duration;

use mail::requests::{Outcome, Refused};
use mail::root::{ShutdownDaemon, StartThread, StopDaemon, StopSession, StopThread, ThreadError};
use wire::{DaemonShutdown, DaemonStart, DaemonStop};

use crate::context::{Context, shorten};

/// The root answers within 5 s; a little more for its queue.
const THREAD_PATIENCE: Duration = Duration::from_secs(7);
/// A stop announces itself to the peers first.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A shutdown without limit of its own ends with the actions it runs, which have theirs.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The deployed agents' text: they join the characters' worth of errors of their 50 tries, and clients show it as is.
fn no_thread() -> Refused {
    Refused::new(1, "thread does not exist".repeat(50))
}

/// Why a thread did not do what it was told.
fn not_done(error: &ThreadError, id: &str, what: &str) -> Refused {
    match error {
        ThreadError::Vital => {
            Refused::new(1, format!("{} is not stopped alone: stop the daemon", shorten(id)))
        }
        ThreadError::Unknown => no_thread(),
        ThreadError::Late => Refused::new(1, format!("the thread did not {what} in time")),
    }
}

/// POST `daemon_stop`.
pub(super) async fn stop(context: &Context, options: &DaemonStop) -> Result<Outcome, Refused> {
    let root = &context.mail.root;
    match (&options.thr_id, &options.session_id) {
        (Some(_), Some(_)) => {
            let error = "can't use both 'thr_id' and 'session_id' options in same call";
            return Err(Refused::new(1, error));
        }
        (Some(id), None) => {
            let stopped = context.ask_for(root, StopThread { id: id.clone() }, THREAD_PATIENCE);
            stopped.await?.map_err(|error| not_done(&error, id, "stop"))?;
        }
        // Ended or never there: the same to whoever wants it gone.
        (None, Some(id)) => context.ask(root, StopSession { id: id.clone() }).await?,
        (None, None) => {
            let stop = StopDaemon { upgrade: options.upgrade };
            context.ask_for(root, stop, STOP_PATIENCE).await?;
        }
    }
    Ok(wire::reply::done().into())
}

/// POST `daemon_start`.
pub(super) async fn start(context: &Context, options: &DaemonStart) -> Result<Outcome, Refused> {
    let id = options.thr_id.clone().ok_or_else(no_thread)?;
    let start = StartThread { id: id.clone() };
    let started = context.ask_for(&context.mail.root, start, THREAD_PATIENCE);
    started.await?.map_err(|error| not_done(&error, &id, "start"))?;
    Ok(wire::reply::done().into())
}

/// POST `daemon_shutdown`.
pub(super) async fn shutdown(
    context: &Context,
    options: &DaemonShutdown,
) -> Result<Outcome, Refused> {
    let patience = options.time.map_or(SHUTDOWN_PATIENCE, |limit| limit + STOP_PATIENCE);
    let shutdown = ShutdownDaemon { time: options.time };
    let ended = context.ask_for(&context.mail.root, shutdown, patience).await?;
    ended.map_err(|error| Refused::new(1, error))?;
    Ok(wire::reply::done().into())
}
