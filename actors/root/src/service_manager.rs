//! What the service manager is told (sd_notify(3)), when it started us and asks for it.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager.
#[derive(Debug)]
pub(super) struct ServiceManager {
    watchdog_period: Option<Duration>,
}

impl ServiceManager {
    /// Reads from the environment what it wants.
    pub(super) fn new() -> Self {
        // Half of its patience, as sd_watchdog_enabled(3) recommends.
        Self { watchdog_period: sd_notify::watchdog_enabled().map(|patience| patience / 2) }
    }

    /// How often it wants a sign of life.
    pub(super) fn watchdog_period(&self) -> Option<Duration> {
        self.watchdog_period
    }

    pub(super) fn on_ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("running")]);
    }

    pub(super) fn on_reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub(super) fn on_stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    pub(super) fn on_status(&self, text: &str) {
        tell(&[NotifyState::Status(text)]);
    }

    pub(super) fn on_alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!(error:% = error; "the service manager cannot be told");
    }
}
