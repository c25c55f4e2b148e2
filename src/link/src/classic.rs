//! What is remembered of the classic dialect, over all connections and heartbeats: the messages that were taken, and when
//! one was heard last.
//!
//! A file keeps those that asked for a change: a recorded request does nothing a second time, also after a restart. It is
//! appended to, and synced, before such a request is carried out; they are few.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::NodeName;
use monitor::timeline::{Judged, Received, Timeline, Told};
use wire::{CipherId, Envelope, MOST_CHANGING, Refusal, SeenMessages};

use machine::{clock, durable, regular};

/// Bytes of one message in the file.
const RECORD: usize = size_of::<CipherId>();
/// Bytes from which the file is written anew.
const MOST_BYTES: u64 = 2 * (MOST_CHANGING * RECORD) as u64;

/// Silence of the dialect after which it is told that nobody needs it.
const UNUSED_AFTER: Duration = Duration::from_secs(3_600);

/// Names another length of that silence, in seconds, for tests. Unset but there.
const SILENCE_VARIABLE: &str = "OSVC_TEST_DIALECT_SILENCE";

/// What heard a heartbeat.
#[derive(Debug, Clone, Copy)]
pub struct HeartbeatOf<'a> {
    /// Its section.
    pub name: &'a str,
    /// Keyword `timeout`.
    pub timeout: Duration,
    /// Whether nobody on the network can write what it hears.
    pub is_guarded: bool,
}

/// The memory of the dialect.
#[derive(Debug)]
pub struct ClassicMemory {
    seen: Mutex<SeenMessages>,
    /// Held while it is written.
    file: Mutex<PathBuf>,
    /// When a message was heard last, or the daemon started, in seconds of the steady clock.
    heard: AtomicU64,
    /// Silence of the dialect after which it is told.
    unused_after: Duration,
    /// When the daemon started, in milliseconds: no generation of the local data is lower.
    since_ms: u64,
    /// The heartbeats of each peer, by the name of the heartbeat. They outlive the drivers.
    timelines: Mutex<BTreeMap<(String, NodeName), Timeline>>,
}

impl ClassicMemory {
    /// With what the file remembers. One that cannot be read is told of, and written anew.
    #[must_use]
    pub fn load(file: &Path) -> Self {
        let mut seen = SeenMessages::default();
        match regular::read(file, MOST_BYTES + (1 << 20)) {
            Ok(bytes) => {
                let records =
                    bytes.chunks_exact(RECORD).filter_map(|record| record.try_into().ok());
                records.for_each(|id| seen.restore(id));
                // A record that was cut by a crash would shift those that follow.
                if !bytes.len().is_multiple_of(RECORD) {
                    log_failure(rewrite(file, &seen));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::error!(
                "{}: {error}: requests of the classic dialect that were taken before are not known any more",
                file.display()
            ),
        }
        Self {
            seen: Mutex::new(seen),
            file: Mutex::new(file.to_owned()),
            heard: AtomicU64::new(clock::steady().as_secs()),
            unused_after: unused_after(),
            since_ms: u64::try_from(clock::now_ms()).unwrap_or(0),
            timelines: Mutex::default(),
        }
    }

    /// Takes a request once; `is_changing`: it asks for a change, and is to be [kept](Self::keep) before it is carried out.
    ///
    /// # Errors
    ///
    /// [`Refusal::Replayed`].
    pub fn take(&self, id: CipherId, is_changing: bool) -> Result<(), Refusal> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take(id, is_changing)
    }

    /// Remembers a request for a change that this node is about to send: it is for another one, and does nothing here, also
    /// after a restart.
    pub async fn on_sending(self: &Arc<Self>, frame: &[u8]) {
        if let Some(id) = wire::cipher_id(frame)
            && self.take(id, true).is_ok()
        {
            let this = self.clone();
            // Done or not, it is told there.
            _ = machine::blocking::run(move || this.keep(id)).await;
        }
    }

    /// Writes a message down that asks for a change. Waits for the disk.
    pub fn keep(&self, id: CipherId) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = durable::append(&file, &id, 0o600);
        let length = written.as_ref().copied().unwrap_or(0);
        log_failure(written.map(|_| ()));
        if length >= MOST_BYTES || !length.is_multiple_of(RECORD as u64) {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            log_failure(rewrite(&file, &seen));
        }
    }

    /// Judges a heartbeat of a peer: whether it is of now. `generation` is that of the local data.
    pub fn judge(
        &self,
        section: &HeartbeatOf<'_>,
        peer: &NodeName,
        told: &Told,
        generation: u64,
    ) -> Judged {
        let received = Received {
            now: clock::steady(),
            wall: clock::now(),
            timeout: section.timeout,
            least_generation: self.since_ms,
            generation,
            is_guarded: section.is_guarded,
        };
        let mut timelines = self.timelines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (section.name.to_owned(), peer.clone());
        timelines.entry(key).or_default().judge(told, &received)
    }

    /// A heartbeat of a member was heard that is of now. Requests tell nothing: what was recorded may be sent again, to
    /// each node that has not seen it.
    pub fn on_heard(&self) {
        self.heard.store(clock::steady().as_secs(), Ordering::Relaxed);
    }

    /// What is told of a cluster that takes the dialect and does not need it.
    #[must_use]
    pub fn unused(&self, envelope: Envelope) -> Option<String> {
        let heard = Duration::from_secs(self.heard.load(Ordering::Relaxed));
        let is_silent = clock::steady().saturating_sub(heard) >= self.unused_after;
        if is_silent { unused(envelope) } else { None }
    }
}

fn unused_after() -> Duration {
    let seconds = std::env::var(SILENCE_VARIABLE).ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(UNUSED_AFTER, Duration::from_secs)
}

/// As [`ClassicMemory::unused`], after such a silence.
fn unused(envelope: Envelope) -> Option<String> {
    let word = match envelope {
        Envelope::Sealed => return None,
        Envelope::Any => "any",
        Envelope::Classic => "classic",
    };
    Some(format!(
        "cluster.envelope is {word}, and no deployed agent was heard for an hour: once all nodes are replaced, type om \
         cluster set --kw cluster.envelope=sealed, for nothing authenticates what deployed agents send"
    ))
}

/// Whether an address is one of this machine's, so that what names this node may come from there. The kernel reaches such
/// an address from itself.
pub fn is_of_this_machine(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        // Nothing is sent: the port does not matter.
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    address.is_loopback() || source().is_ok_and(|source: SocketAddr| source.ip() == address)
}

fn rewrite(file: &Path, seen: &SeenMessages) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(seen.changing().len() * RECORD);
    seen.changing().for_each(|id| bytes.extend_from_slice(id));
    durable::write(file, &bytes, 0o600)
}

fn log_failure(written: io::Result<()>) {
    if let Err(error) = written {
        log::error!("{error}: a request of the classic dialect could be repeated after a restart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_something_is_known_after_a_restart_also_after_a_crash_in_the_middle_of_a_record()
     {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node/classic");
        let memory = ClassicMemory::load(&file);
        for id in 1..=3 {
            assert_eq!(memory.take([id; 16], true), Ok(()));
            memory.keep([id; 16]);
        }
        assert_eq!(memory.take([9; 16], false), Ok(()));
        for cut in [0, 5] {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes.extend_from_slice(&[7; 16][..cut]);
            std::fs::write(&file, bytes).unwrap();
            let memory = ClassicMemory::load(&file);
            for id in 1..=3 {
                assert_eq!(memory.take([id; 16], true), Err(Refusal::Replayed), "{cut}");
                assert_eq!(memory.take([id; 16], false), Err(Refusal::Replayed), "{cut}");
            }
            assert_eq!(std::fs::read(&file).unwrap().len(), 48);
        }
        memory.keep([4; 16]);
        assert_eq!(ClassicMemory::load(&file).take([4; 16], true), Err(Refusal::Replayed));
    }

    #[test]
    fn the_addresses_of_this_machine_are_known() {
        for ours in ["127.0.0.1", "127.9.8.7", "::1"] {
            assert!(is_of_this_machine(ours.parse().unwrap()), "{ours}");
        }
        for other in ["192.0.2.7", "198.51.100.1", "2001:db8::7"] {
            assert!(!is_of_this_machine(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("classic");
        let record = |n: usize| -> CipherId { (n as u128).to_be_bytes() };
        let old: Vec<u8> = (0..2 * MOST_CHANGING - 1).flat_map(record).collect();
        std::fs::write(&file, old).unwrap();
        let memory = ClassicMemory::load(&file);
        let last = record(2 * MOST_CHANGING);
        assert_eq!(memory.take(last, true), Ok(()));
        memory.keep(last);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), MOST_BYTES / 2);
        let memory = ClassicMemory::load(&file);
        assert_eq!(memory.take(last, true), Err(Refusal::Replayed));
        assert_eq!(memory.take(record(2 * MOST_CHANGING - 2), true), Err(Refusal::Replayed));
    }

    #[test]
    fn a_dialect_that_nobody_speaks_for_an_hour_is_told_with_what_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = ClassicMemory::load(&folder.path().join("classic"));
        assert_eq!((memory.unused(Envelope::Any), memory.unused_after), (None, UNUSED_AFTER));
        memory.heard.store(0, Ordering::Relaxed);
        memory.unused_after = Duration::from_secs(1);
        for envelope in [Envelope::Any, Envelope::Classic] {
            // A request may be a recording: it is no sign of an agent.
            _ = memory.take([7; 16], true);
            let text = memory.unused(envelope).unwrap();
            assert!(text.contains("om cluster set --kw cluster.envelope=sealed"), "{text}");
        }
        assert_eq!(memory.unused(Envelope::Sealed), None);
        memory.on_heard();
        assert_eq!(memory.unused(Envelope::Any), None);
    }
}
