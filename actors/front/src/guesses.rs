//! What is compared in secret, and who guessed wrong.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;
use ring::rand::SystemRandom;
use web::failures::Failures;

/// The failures of this boot, and the key that it compares with.
#[derive(Debug)]
pub(crate) struct Guesses {
    begin: Instant,
    /// Random: nobody can choose what is compared.
    key: Option<hmac::Key>,
    failures: Mutex<Failures>,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Self { begin: Instant::now(), key, failures: Mutex::default() }
    }

    /// Whether two texts are the same, in a time that tells nothing of either.
    pub(crate) fn is_same(&self, own: &[u8], given: &[u8]) -> bool {
        let Some(key) = &self.key else { return false };
        hmac::verify(key, given, hmac::sign(key, own).as_ref()).is_ok()
    }

    /// How long an address waits before it may try again.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        self.lock().wait(address, self.begin.elapsed())
    }

    /// True: it is to be told.
    pub(crate) fn on_failure(&self, address: IpAddr) -> bool {
        self.lock().on_failure(address, self.begin.elapsed())
    }

    pub(crate) fn on_success(&self, address: IpAddr) {
        self.lock().on_success(address);
    }

    /// Held for a look at a table.
    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
