//! The threads of the daemon, but for the one that it starts with.

use std::io;

use actix_rt::{Arbiter, ArbiterHandle};
use machine::{blocking, process};
use supervision::workers::Workers;

/// Most worker threads for connections.
const MOST_WORKERS: usize = 8;

/// The nice value of the thread of heartbeats, which does little: on a machine that is busy with something else, peers would
/// take this node for lost, and this node its peers.
const BEATS_NICE: i32 = -15;

/// Where actors run.
pub(super) struct Threads {
    /// The thread that the daemon starts with.
    pub(super) here: ArbiterHandle,
    /// What others say, and what is said to them.
    pub(super) network: ArbiterHandle,
    /// Log files.
    pub(super) writer: ArbiterHandle,
    /// Heartbeats.
    pub(super) beats: ArbiterHandle,
    /// Connections.
    pub(super) workers: Workers,
    /// Those of the operator, who is answered whatever the network keeps the others busy with.
    pub(super) own_worker: Workers,
}

impl Threads {
    pub(super) fn start() -> io::Result<Self> {
        let (network, writer) = (Arbiter::try_new()?.handle(), Arbiter::try_new()?.handle());
        // Nothing else runs there: whatever blocks, the beats go on.
        let beats = Arbiter::try_new()?.handle();
        beats.spawn_fn(|| {
            // Of the calling thread, and of no child process. Without the right to, it is as it was.
            if let Err(error) = rustix::process::setpriority_process(None, BEATS_NICE) {
                log::debug!(error:% = error; "the beats have no priority");
            }
            blocking::keep_own_pool();
        });
        let workers = Workers::start(process::processors().clamp(1, MOST_WORKERS))?;
        let own_worker = Workers::start(1)?;
        Ok(Self { here: Arbiter::current(), network, writer, beats, workers, own_worker })
    }
}
