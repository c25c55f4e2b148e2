//! Signals: TERM and INT stop the daemon, HUP reloads it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::root::{Reload, StopDaemon};
use crate::routes::Routes;

/// Handles signals from now on.
pub(super) fn listen(routes: &Routes) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let root = routes.root.clone();
    actix_rt::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => root.do_send(StopDaemon::default()),
                _ = interrupt.recv() => root.do_send(StopDaemon::default()),
                _ = hangup.recv() => root.do_send(Reload),
            }
        }
    });
    Ok(())
}
