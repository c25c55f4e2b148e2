//! The freshness of sealed messages, over all connections and heartbeats, and the file that keeps it over restarts.
//!
//! The one lock on the path of a request: the check must be atomic over all threads, takes less than a microsecond and
//! never waits for anything. An owner asked by message would cost two thread switches per request. The file is written
//! outside of that lock, on a blocking thread.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wire::{Accepted, Beat, Moment, Opened, Refusal, Source, Stamp};

use machine::{clock, durable, regular};

/// Largest file that is read: thousands of senders, each with a few hundred bytes.
const MOST_BYTES: u64 = 16 << 20;

/// How often the file is written while anything is heard.
pub const SAVE_PERIOD: Duration = Duration::from_secs(45);

/// What is remembered, and where it is kept.
#[derive(Debug)]
pub struct Freshness {
    core: Mutex<wire::Freshness>,
    /// None: a restart keeps nothing, for tests.
    file: Option<PathBuf>,
    /// The number of the newest snapshot on the disk, and whether the last try failed. Held while the file is written.
    saved: Mutex<(u64, bool)>,
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Freshness {
    /// Remembers nothing, and keeps nothing.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self::with(wire::Freshness::new(milliseconds(window)), None)
    }

    fn with(core: wire::Freshness, file: Option<PathBuf>) -> Self {
        Self { core: Mutex::new(core), file, saved: Mutex::new((0, false)) }
    }

    /// Goes on from a file, and writes it anew.
    #[must_use]
    pub fn load(file: &Path, window: Duration) -> Self {
        let (window_ms, now) = (milliseconds(window), clock::stamp());
        let core = match regular::read(file, MOST_BYTES) {
            Ok(bytes) => wire::Freshness::restore(window_ms, &now, &bytes).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "is not what a daemon wrote")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(wire::Freshness::new(window_ms))
            }
            Err(error) => Err(error),
        };
        let core = core.unwrap_or_else(|error| {
            log::warn!(file:% = file.display(), error:% = error; "messages made before this start, by the clocks of their senders, are refused");
            wire::Freshness::forgetful(window_ms, &now)
        });
        let loaded = Self::with(core, Some(file.to_owned()));
        loaded.save(1);
        loaded
    }

    fn lock(&self) -> MutexGuard<'_, wire::Freshness> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the window.
    pub fn set_window(&self, window: Duration) {
        self.lock().set_window(milliseconds(window));
    }

    /// Takes a sealed message once; a heartbeat with its `beat`. What was accepted waits for [`Freshness::settle`].
    ///
    /// # Errors
    ///
    /// As [`wire::Freshness::take`].
    pub fn take(
        &self,
        opened: &Opened,
        stamp: &Stamp,
        beat: Option<Beat<'_>>,
    ) -> Result<Accepted, Refusal> {
        let source = match opened.clustername() {
            wire::JOIN => Source::Stranger(opened.nodename()),
            _ => Source::Member(opened.nodename()),
        };
        self.lock().take(&clock::stamp(), source, stamp, beat)
    }

    /// A member answered what it was asked at `asked`: see [`wire::Freshness::prove`].
    pub fn prove(&self, name: &str, stamp: &Stamp, asked: &Moment) {
        self.lock().prove(&clock::stamp(), name, stamp, asked.b_us);
    }

    /// Returns when a restart would refuse what was accepted: at once, but for the first messages of a boot.
    pub async fn settle(self: &Arc<Self>, accepted: Accepted) {
        if let Some(number) = accepted.saved_by {
            let this = self.clone();
            _ = machine::blocking::run(move || this.save(number)).await;
        }
    }

    /// Writes the file if something was heard since it was written last.
    pub fn save_if_due(&self) {
        let due = {
            let core = self.lock();
            core.is_unsaved().then(|| core.snapshots() + 1)
        };
        if let Some(number) = due {
            self.save(number);
        }
    }

    /// Accepts nothing any more, and writes the file for the last time.
    pub fn close(&self) {
        let number = {
            let mut core = self.lock();
            core.close();
            core.snapshots() + 1
        };
        self.save(number);
    }

    /// Nothing is saved while this is held, as on a disk that hangs.
    #[cfg(any(test, feature = "testing"))]
    pub fn hold(&self) -> impl Drop {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file unless that snapshot, or a later one, is there already. A disk that is full must not isolate the
    /// node: what cannot be kept is told once.
    fn save(&self, number: u64) {
        let Some(file) = &self.file else { return };
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.0 >= number {
            return;
        }
        let (taken, bytes) = self.lock().snapshot(&clock::stamp());
        match durable::write(file, &bytes, 0o600) {
            Ok(()) => *saved = (taken, false),
            Err(error) if !saved.1 => {
                saved.1 = true;
                log::error!(error:% = error; "what was heard is not kept: after a restart it could be sent again");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use wire::{ClusterSecret, Dialect, Envelope, Form, Keyring, Limits, Prepared, Sender};

    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn opened() -> Opened {
        let secret = ClusterSecret::new("81ec81d6e68c11f1ae3f02fc00000001");
        let random = SystemRandom::new();
        let form = Form::request(Dialect::Sealed, "n1", clock::stamp(), &random);
        let sender = Sender::new("demo", "n2", secret.clone());
        let frame = sender.seal(&form, &Prepared::new(&1), &random).unwrap();
        let keyring = Keyring {
            own: Sender::new("demo", "n1", secret),
            accepted: Default::default(),
            envelope: Envelope::Sealed,
            drpnodes: Default::default(),
            limits: Limits::default(),
        };
        keyring.open(&frame).unwrap()
    }

    fn take(freshness: &Freshness, opened: &Opened) -> Result<Accepted, Refusal> {
        freshness.take(opened, opened.stamp().unwrap(), None)
    }

    #[actix::test]
    async fn what_was_accepted_is_refused_after_a_restart_however_the_daemon_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("freshness.json");
        let before = Arc::new(Freshness::load(&file, WINDOW));
        let first = opened();
        let accepted = take(&before, &first).unwrap();
        assert!(accepted.saved_by.is_some(), "the first message of a boot");
        before.settle(accepted).await;
        let second = opened();
        assert_eq!(take(&before, &second).unwrap().saved_by, None);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        // Killed: nothing was written after the second one.
        let killed = Freshness::load(&file, WINDOW);
        for message in [&first, &second] {
            assert!(matches!(take(&killed, message), Err(Refusal::Late { .. })));
        }
        let stopped = Freshness::load(&file, WINDOW);
        stopped.close();
        assert!(take(&stopped, &opened()).is_err(), "the last word is written");
        let after = Freshness::load(&file, WINDOW);
        assert!(take(&after, &first).is_err());
    }

    #[test]
    fn a_file_that_is_no_state_is_replaced_and_what_was_made_before_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("freshness.json");
        let early = opened();
        std::fs::write(&file, "{\"boot\": 7}").unwrap();
        let freshness = Freshness::load(&file, WINDOW);
        assert!(matches!(take(&freshness, &early), Err(Refusal::Stale { .. })));
        std::thread::sleep(Duration::from_millis(2));
        assert!(take(&freshness, &opened()).is_ok());
        assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).unwrap()["members"].is_object());
    }
}
