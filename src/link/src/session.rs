//! A client session: what is counted of a connection, and how it is ended from outside.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Timestamp, thread};
use tokio::sync::Notify;

use machine::clock;

/// One connection, as the listener counts it. Shared between the connection, which counts, and the listener, which reads.
#[derive(Debug)]
pub struct Session {
    id: Arc<str>,
    address: Option<IpAddr>,
    created: Timestamp,
    received: AtomicU64,
    sent: AtomicU64,
    validated: AtomicU32,
    tid: AtomicI32,
    /// A lock that is hardly ever waited for: read only when sessions are shown.
    progress: Mutex<Option<&'static str>>,
    is_stopped: AtomicBool,
    stop: Notify,
    /// Its number among those that the listener admitted.
    number: u64,
    standing: AtomicU8,
}

/// Standings of a session. Whichever comes first lasts.
const UNPROVEN: u8 = 0;
/// A message of it opened.
const PROVEN: u8 = 1;
/// It made room for another one.
const CLOSED: u8 = 2;

impl Session {
    /// A session that begins now; without address over the control socket.
    #[must_use]
    pub fn new(id: String, address: Option<IpAddr>) -> Arc<Self> {
        Self::numbered(id, address, 0)
    }

    /// The same, with its number among those that were admitted.
    #[must_use]
    pub fn numbered(id: String, address: Option<IpAddr>, number: u64) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            address: address.map(|address| address.to_canonical()),
            created: clock::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            validated: AtomicU32::new(0),
            tid: AtomicI32::new(0),
            progress: Mutex::new(None),
            is_stopped: AtomicBool::new(false),
            stop: Notify::new(),
            number,
            standing: AtomicU8::new(UNPROVEN),
        })
    }

    /// Its number among those that were admitted.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A message of it opened. False: it made room for another connection meanwhile, and ends.
    #[must_use]
    pub fn prove(&self) -> bool {
        let proven =
            self.standing.compare_exchange(UNPROVEN, PROVEN, Ordering::AcqRel, Ordering::Acquire);
        proven != Err(CLOSED)
    }

    /// Whether a message of it opened.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.standing.load(Ordering::Acquire) == PROVEN
    }

    /// Ends it, unless it was proven. False: it was.
    #[must_use]
    pub fn close_unproven(&self) -> bool {
        let closed =
            self.standing.compare_exchange(UNPROVEN, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        if closed == Err(PROVEN) {
            return false;
        }
        self.stop();
        true
    }

    /// Its id, as `daemon_stop session_id` takes it.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Address of the client, IPv4-mapped ones as IPv4; none over the control socket.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Bytes received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages that were let through to the requests.
    #[must_use]
    pub fn validated(&self) -> u32 {
        self.validated.load(Ordering::Relaxed)
    }

    /// The entry of `listener.stats.sessions.alive` in `daemon_status`.
    #[must_use]
    pub fn shown(&self) -> thread::Session {
        let progress = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let tid = self.tid.load(Ordering::Relaxed);
        thread::Session {
            created: self.created,
            addr: self.address.map_or_else(|| "local".to_owned(), |address| address.to_string()),
            encrypted: self.address.is_some(),
            progress: progress.unwrap_or_default(),
            ident: tid,
            tid,
        }
    }

    /// Ends the connection, whatever it is doing.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    /// Returns once the session is asked to stop.
    pub async fn stopped(&self) {
        let asked = self.stop.notified();
        if !self.is_stopped.load(Ordering::Acquire) {
            asked.await;
        }
    }

    /// It is served by this thread.
    pub fn on_started(&self) {
        self.tid.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    }

    /// Bytes came.
    pub fn on_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes were sent.
    pub fn on_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A message was let through to the requests.
    pub fn on_validated(&self) {
        self.validated.fetch_add(1, Ordering::Relaxed);
    }

    /// Which request it is at, by its name.
    pub fn on_progress(&self, request: Option<&'static str>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = request;
    }
}

/// What happened to a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// A client connected to the control socket.
    Opened(Arc<Session>),
    /// A connection ended.
    Closed(Arc<Session>),
}

/// Events kept for a listener that is stopped. Those of the control socket are not counted beyond; the others are no more
/// than the connections that it left open.
const MOST_UNSEEN: usize = 4_096;

/// What happened to sessions since the listener looked.
///
/// A lock, held for one push, and one message for all that happens until the listener has looked: a message for each
/// connection would wake its thread as often as all requests together.
#[derive(Debug, Default)]
pub struct SessionLog {
    events: Mutex<Vec<SessionEvent>>,
    is_told: AtomicBool,
}

impl SessionLog {
    /// Adds an event; true when the listener has to be told that there is something.
    #[must_use]
    pub fn push(&self, event: SessionEvent) -> bool {
        let (SessionEvent::Opened(session) | SessionEvent::Closed(session)) = &event;
        let is_local = session.address().is_none();
        let mut events = self.lock();
        if is_local && events.len() >= MOST_UNSEEN {
            return false;
        }
        events.push(event);
        drop(events);
        !self.is_told.swap(true, Ordering::AcqRel)
    }

    /// Takes what happened, in order. Whoever pushes next still tells nobody, until [`SessionLog::listen`].
    pub fn take(&self) -> Vec<SessionEvent> {
        std::mem::take(&mut self.lock())
    }

    /// Whoever pushes next tells the listener: to be called before the last look.
    pub fn listen(&self) {
        self.is_told.store(false, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SessionEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next id of a row that starts at random.
///
/// # Panics
///
/// Where the system has no random numbers.
#[must_use]
pub fn next_id(seed: &mut Option<[u8; 16]>, number: &mut u64) -> String {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let seed = seed.get_or_insert_with(|| {
        let mut seed = [0; 16];
        SystemRandom::new().fill(&mut seed).expect("the system has random numbers");
        seed
    });
    *number += 1;
    let mut id = *seed;
    for (byte, part) in id[9..].iter_mut().zip(&number.to_be_bytes()[1..]) {
        *byte ^= part;
    }
    conf::uuid(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_uuids() {
        let (mut seed, mut number) = (None, 0);
        let ids: std::collections::BTreeSet<_> =
            (0..1_000).map(|_| next_id(&mut seed, &mut number)).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'4'));
    }
}
