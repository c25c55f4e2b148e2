//! Bytes of a connection, with a time limit on everything.

use std::io;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use wire::{Framing, TooLong};

use super::STALL;

/// Bytes of one read.
const READ: usize = 16 * 1024;

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

/// Either kind of stream.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Deadline of something that moves bytes: from its start, extended by what moved.
fn deadline(start: Instant, bytes: u64) -> Instant {
    start + GRACE + Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST)
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// One read into `framing`. The buffer lives here, so that an idle connection has none.
    fn read_into(&self, framing: &mut Framing) -> io::Result<Result<usize, TooLong>> {
        let mut buffer = [0; READ];
        let length = self.try_read(&mut buffer)?;
        Ok(framing.push(&buffer[..length]).map(|()| length))
    }

    /// Waits for bytes and hands one read to `framing`. Zero: end of stream. `start` is when the message in
    /// progress began; without one, the peer may be silent for `patience`.
    pub(super) async fn receive(
        &self,
        framing: &mut Framing,
        start: Option<Instant>,
        patience: Duration,
    ) -> Result<usize, Close> {
        loop {
            let patience = match start {
                None => patience,
                Some(start) => {
                    let until = deadline(start, framing.pending() as u64);
                    STALL.min(until.saturating_duration_since(Instant::now()))
                }
            };
            match tokio::time::timeout(patience, self.readable()).await {
                Err(_) => return Err(Close::Slow),
                Ok(Err(_)) => return Err(Close::Broken),
                Ok(Ok(())) => {}
            }
            match self.read_into(framing) {
                Ok(Ok(length)) => return Ok(length),
                Ok(Err(TooLong { .. })) => return Err(Close::TooLong),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Close::Broken),
            }
        }
    }

    /// Writes all of `bytes`, unless the peer stops reading or reads too slowly.
    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), Close> {
        let (start, mut sent) = (Instant::now(), 0);
        while sent < bytes.len() {
            match self.try_write(&bytes[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left =
                        deadline(start, sent as u64).saturating_duration_since(Instant::now());
                    match tokio::time::timeout(STALL.min(left), self.writable()).await {
                        Err(_) => return Err(Close::Slow),
                        Ok(Err(_)) => return Err(Close::Broken),
                        Ok(Ok(())) => {}
                    }
                }
                Err(_) => return Err(Close::Broken),
            }
        }
        Ok(())
    }

    /// Returns when the peer closes; what it sends meanwhile is discarded.
    pub(super) async fn closed(&self) {
        let mut is_open = self.readable().await.is_ok();
        while is_open {
            is_open = match self.discard() {
                Ok(0) => false,
                Ok(_) => true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable().await.is_ok()
                }
                Err(_) => false,
            };
        }
    }

    fn discard(&self) -> io::Result<usize> {
        self.try_read(&mut [0; 1024])
    }

    /// Ends the sending side after a reply. Unread bytes would make the system reset the connection and the peer lose
    /// the reply, so some are read.
    pub(super) fn finish(&self) {
        _ = match self {
            Self::Tcp(stream) => socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
        };
        for _ in 0..64 {
            if !matches!(self.discard(), Ok(1..)) {
                break;
            }
        }
    }
}
