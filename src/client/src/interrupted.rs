//! What is said when an operator interrupts a wait: what he asked for goes on without him.

use std::sync::mpsc;

use tokio::signal::unix::{SignalKind, signal};

use crate::om::note;

/// Exit code of who is interrupted, as shells tell it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// From now on, an interruption ends the command with this line. Returns once that is so.
pub(super) fn ends_with(line: String) {
    let (ready, is_ready) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let Ok(mut interrupts) = signal(SignalKind::interrupt()) else { return };
            drop(ready);
            if interrupts.recv().await.is_some() {
                note(&format!("interrupted: {line}"));
                std::process::exit(INTERRUPTED);
            }
        });
    });
    // Without it, an interruption ends the command all the same.
    _ = is_ready.recv();
}
