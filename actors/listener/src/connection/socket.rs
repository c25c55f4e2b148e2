//! Bytes of a connection, with a time limit on everything.

use std::cell::OnceCell;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::{Framing, TooLong};

use link::gate::STALL;
use machine::descriptor;

/// Bytes of one read.
pub(super) const READ: usize = 16 * 1024;

/// A message or a reply in progress has this long, and what its bytes allow.
const GRACE: Duration = Duration::from_secs(20);

/// Slowest sender or reader that is served, in bytes per second.
const SLOWEST: u64 = 4 * 1024;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// The peer closed it, or nothing is left to say.
    Done,
    /// The peer was silent, or too slow.
    Slow,
    /// The peer's message is longer than the limits.
    TooLong,
    /// Unfinished messages take too much memory, and this one most.
    Crowded,
    /// The system ended it.
    Broken,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The network.
    Tcp,
    /// The control socket.
    Unix,
}

/// A stream of either kind. The event loop knows of it from the first wait on: a request that is there already, and a
/// reply that is taken at once, never need it.
#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    stream: Arc<socket2::Socket>,
    events: OnceCell<AsyncFd<Arc<socket2::Socket>>>,
}

/// Deadline of something that moves bytes: from its start, extended by what moved.
fn deadline(start: Instant, bytes: u64) -> Instant {
    start + GRACE + Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST)
}

impl Socket {
    /// A connection from the network. Non-blocking.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self { kind: Kind::Tcp, stream: Arc::new(stream.into()), events: OnceCell::new() }
    }

    /// A connection to the control socket. Non-blocking.
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self { kind: Kind::Unix, stream: Arc::new(stream.into()), events: OnceCell::new() }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Does `work` once it does not have to wait, before `until`. `work` also tells whether the next one would have to.
    async fn when_ready<T>(
        &self,
        interest: Interest,
        until: Instant,
        mut work: impl FnMut(&socket2::Socket) -> io::Result<(T, bool)>,
    ) -> Result<T, Close> {
        loop {
            let done = match self.events.get() {
                None => match work(&self.stream) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        let events = descriptor::follow(self.stream.clone(), interest);
                        _ = self.events.set(events.map_err(|_| Close::Broken)?);
                        continue;
                    }
                    done => done,
                },
                Some(events) => {
                    let ready = tokio::time::timeout_at(until.into(), events.ready(interest));
                    let mut ready =
                        ready.await.map_err(|_| Close::Slow)?.map_err(|_| Close::Broken)?;
                    // A false alarm is forgotten, and the next one waited for.
                    let Ok(done) = ready.try_io(|events| work(events.get_ref())) else { continue };
                    if matches!(done, Ok((_, true))) {
                        ready.clear_ready();
                    }
                    done
                }
            };
            match done {
                Ok((done, _)) => return Ok(done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Close::Broken),
            }
        }
    }

    /// Waits until there is something to read, for no longer than `patience`, and until `last`.
    pub(super) async fn readable(
        &self,
        patience: Duration,
        last: Option<Instant>,
    ) -> Result<(), Close> {
        let until = Instant::now() + patience;
        let until = last.map_or(until, |last| until.min(last));
        if self.events.get().is_none() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let events = descriptor::follow(self.stream.clone(), interest);
            _ = self.events.set(events.map_err(|_| Close::Broken)?);
        }
        let Some(events) = self.events.get() else { return Ok(()) };
        let ready = tokio::time::timeout_at(until.into(), events.ready(Interest::READABLE));
        // It stays ready: who reads next finds it so.
        ready.await.map_err(|_| Close::Slow)?.map_err(|_| Close::Broken)?.retain_ready();
        Ok(())
    }

    /// Waits for bytes and hands one read to `framing`, if `grant` allows it the memory that this takes. Zero: end of stream.
    /// `start` is when the message in progress began; without one, the peer may be silent for `patience`. `last` is when
    /// the message has to be whole, whatever comes.
    pub(super) async fn receive(
        &self,
        framing: &mut Framing,
        start: Option<Instant>,
        patience: Duration,
        last: Option<Instant>,
        mut grant: impl FnMut(&Framing, &[u8]) -> bool,
    ) -> Result<usize, Close> {
        let now = Instant::now();
        let until = match start {
            None => now + patience,
            Some(start) => (now + STALL).min(deadline(start, framing.pending() as u64)),
        };
        let until = last.map_or(until, |last| until.min(last));
        if until <= now {
            return Err(Close::Slow);
        }
        let read = self
            .when_ready(Interest::READABLE, until, |stream| read_into(stream, framing, &mut grant));
        read.await?
    }

    /// Writes all of `bytes`, unless the peer stops reading or reads too slowly.
    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), Close> {
        let (start, mut sent) = (Instant::now(), 0);
        while sent < bytes.len() {
            let until = (Instant::now() + STALL).min(deadline(start, sent as u64));
            let rest = &bytes[sent..];
            let write = self.when_ready(Interest::WRITABLE, until, |mut stream| {
                stream.write(rest).map(|length| (length, length < rest.len()))
            });
            sent += write.await?;
        }
        Ok(())
    }

    /// Returns when the peer closes; what it sends meanwhile is discarded.
    pub(super) async fn closed(&self) {
        // As good as never: streams end when either side ends them.
        let never = Instant::now() + Duration::from_secs(86_400 * 365);
        while matches!(self.when_ready(Interest::READABLE, never, discard).await, Ok(1..)) {}
    }

    /// Ends the connection after a reply. Unread bytes would make the system reset it and the peer lose the reply, so
    /// some are read.
    pub(super) fn finish(&self) {
        let has_more = || matches!(discard(&self.stream), Ok((1.., _)));
        if has_more() {
            _ = self.stream.shutdown(std::net::Shutdown::Write);
            for _ in 0..64 {
                if !has_more() {
                    break;
                }
            }
        }
    }
}

/// One read into `framing`. The buffer lives here, so that an idle connection has none.
fn read_into(
    mut stream: &socket2::Socket,
    framing: &mut Framing,
    grant: &mut impl FnMut(&Framing, &[u8]) -> bool,
) -> io::Result<(Result<usize, Close>, bool)> {
    let mut buffer = [0; READ];
    let length = stream.read(&mut buffer)?;
    let read = &buffer[..length];
    let pushed = if grant(framing, read) {
        framing.push(read).map(|()| length).map_err(|TooLong { .. }| Close::TooLong)
    } else {
        Err(Close::Crowded)
    };
    Ok((pushed, is_drained(length, READ)))
}

fn discard(mut stream: &socket2::Socket) -> io::Result<(usize, bool)> {
    let mut buffer = [0; 1024];
    let length = stream.read(&mut buffer)?;
    Ok((length, is_drained(length, buffer.len())))
}

/// Whether a read of `length` bytes, with room for `room`, took all there was. The end of a stream stays readable.
fn is_drained(length: usize, room: usize) -> bool {
    (1..room).contains(&length)
}
