//! Signals: TERM and INT stop the daemon, HUP reloads it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use mail::mail::Mail;
use mail::root::{Reload, StopDaemon};

/// Handles signals from now on.
pub(super) fn listen(mail: &Mail) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let root = mail.root.clone();
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
